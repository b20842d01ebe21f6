"""The delivery guarantee, one test a row: the answer to a callback, and what is in the sink at that moment.

In memory: the data port's application, driven as a server would, with a scripted sink.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.types import ASGIApp

from connector.auth.authenticate import Credentials
from connector.catalogue import Catalogue
from connector.http.app import create_app
from connector.metrics import Metrics
from connector.pipeline.outcome import Failure, Outcome
from connector.pipeline.ports import Sink
from connector.records import KafkaMessage
from connector.settings.tables import Http
from tests.support.callbacks import (
    BODIES,
    MemorySink,
    contact,
    counted,
    decoded,
    envelope,
    flow,
    message,
    on,
    order,
    outcome,
    sample,
    sample_name,
    status,
    topics,
    whole_catalogue,
)

PATH = "/callbacks/kaleyra"
TOKEN = "invented-token-0123456789"
ORDER_THAT_DOES_NOT_FIT = order({"product_retailer_id": "1", "item_price": "molto"}, id="wamid.molto")


class FailingSink(MemorySink):
    """Confirms nothing, for a reason."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self._error = error

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        self.sends += 1
        return Outcome([], [Failure(one, self._error, for_good=False) for one in messages])


class SlowSink(MemorySink):
    """Acknowledges when `confirmed` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.confirmed = asyncio.Event()

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        self.asked.set()
        await self.confirmed.wait()
        return await super().send(messages)


def test_every_record_is_acknowledged_200_with_an_empty_body() -> None:
    sink = MemorySink()
    answer = post(sink, envelope([message(), message(message_type="document")], [contact()], [status()]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert sorted(outcome(sink.messages)) == ["contacts", "documents", "statuses", "texts"]


def test_nothing_to_send_200() -> None:
    sink = MemorySink()
    # An entry with ids alone makes no record: it would wipe the name on the compacted topic.
    answer = post(sink, envelope(contacts=[contact(None)]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert not sink.messages


def test_answer_waits_for_the_acknowledgement() -> None:
    async def run() -> None:
        sink = SlowSink()
        async with client(sink) as http:
            answer = asyncio.create_task(http.post(PATH, content=envelope([message()])))
            await sink.asked.wait()
            await asyncio.sleep(0.05)
            assert not answer.done()
            sink.confirmed.set()
            assert (await answer).status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {}),
        (f"{PATH}/wrong-token-0123456789", {}),
        (f"{PATH}/{TOKEN}x", {}),
        (PATH, {"authorization": "Bearer wrong"}),
        (PATH, {"authorization": ""}),
    ],
)
@pytest.mark.parametrize("body", [envelope([message()]), b"", b"no JSON", b"x" * 5000])
def test_not_authentic_401_nothing_produced_no_detail(path: str, headers: dict[str, str], body: bytes) -> None:
    sink = MemorySink()
    answer = post(sink, body, path=path, headers=headers, credentials=both(), http=Http(max_body_bytes=1024))
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == 'Bearer realm="callbacks"'
    assert sink.sends == 0


def test_not_authentic_is_answered_before_the_body_is_read() -> None:
    sink = MemorySink()
    sent = asyncio.run(call(application(sink, credentials=both()), PATH, receive=never))
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(("path", "headers"), [(f"{PATH}/{TOKEN}", {}), (PATH, {"Authorization": "Bearer right"})])
def test_any_one_of_the_credentials_is_accepted_200(path: str, headers: dict[str, str]) -> None:
    sink = MemorySink()
    assert post(sink, envelope([message()]), path=path, headers=headers, credentials=both()).status_code == 200
    assert len(sink.messages) == 1


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_body_over_the_limit_413_nothing_produced(is_chunked: bool) -> None:
    sink = MemorySink()
    http = Http(max_body_bytes=1024)
    body = envelope([message(text={"body": "x" * 1024})])
    answer = post(sink, in_chunks(body) if is_chunked else body, http=http)
    assert (answer.status_code, answer.content) == (413, b"")
    assert sink.sends == 0


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_body_of_the_limit_goes_through_200(is_chunked: bool) -> None:
    sink = MemorySink()
    body = envelope([message()])
    body += b" " * (1024 - len(body))
    answer = post(sink, in_chunks(body) if is_chunked else body, http=Http(max_body_bytes=1024))
    assert answer.status_code == 200
    assert outcome(sink.messages) == ["texts"]


def test_credential_over_its_limit_429_and_the_others_200() -> None:
    async def run() -> None:
        sink = MemorySink()
        limited = Credentials(url_token=TOKEN.encode(), header_name=b"x-key", header_value=b"right", limit_per_second=1)
        app = application(sink, credentials=limited)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as http:
            first, second = [await http.post(f"{PATH}/{TOKEN}", content=envelope([message()])) for _ in range(2)]
            assert first.status_code == 200
            assert (second.status_code, second.content, int(second.headers["retry-after"]) > 0) == (429, b"", True)
            assert len(sink.messages) == 1
            assert (await http.post(PATH, content=b"", headers={"x-key": "right"})).status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    "coding",
    ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz", "identity, gzip", "GZIP", " gzip;q=1"],
)
def test_compressed_body_415_nothing_produced(coding: str) -> None:
    sink = MemorySink()
    answer = post(sink, gzip.compress(envelope([message()])), headers={"content-encoding": coding})
    assert (answer.status_code, answer.content, answer.headers["accept-encoding"]) == (415, b"", "identity")
    assert sink.sends == 0


@pytest.mark.parametrize(
    "coding",
    ["identity", "Identity", "", "UTF-8", "utf8", "binary", "8bit", "7bit", "none", "x", "identity, UTF-8", "aes128gcm"],
)
def test_body_that_says_it_is_not_compressed_200(coding: str) -> None:
    assert post(MemorySink(), envelope([message()]), headers={"content-encoding": coding}).status_code == 200


def test_body_whose_unknown_coding_makes_it_unreadable_200_and_its_bytes_are_a_dead_letter() -> None:
    sink, body = MemorySink(), gzip.compress(envelope([message()]))
    assert post(sink, body, headers={"content-encoding": "x-invented"}).status_code == 200
    (letter,) = on("dead-letters", sink.messages)
    assert letter["body"] == body


def test_compression_in_one_of_several_headers_415() -> None:
    app = application(MemorySink())
    for codings in (("gzip", "identity"), ("identity", "gzip")):
        headers = [(b"content-encoding", coding.encode()) for coding in codings]
        (head, _) = asyncio.run(call(app, PATH, never, headers=headers))
        assert head["status"] == 415


def test_unauthenticated_compressed_body_401() -> None:
    answer = post(MemorySink(), b"x", headers={"content-encoding": "gzip"}, credentials=both())
    assert answer.status_code == 401


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_too_many_bytes_in_flight_503_and_earlier_ones_200(is_chunked: bool) -> None:
    async def run() -> None:
        sink = SlowSink()
        body = envelope([message()]).ljust(1000)
        async with client(sink, http=Http(max_body_bytes=1024, max_bytes_in_flight=2048)) as http:
            first = [asyncio.create_task(http.post(PATH, content=body)) for _ in range(2)]
            await sink.asked.wait()
            await asyncio.sleep(0.05)
            assert is_later(await http.post(PATH, content=in_chunks(body) if is_chunked else body))
            sink.confirmed.set()
            assert [(await answer).status_code for answer in first] == [200, 200]
            for _ in range(5):
                again = in_chunks(body) if is_chunked else body
                assert (await http.post(PATH, content=again)).status_code == 200, "their room is free again"

    asyncio.run(run())


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "INVENTED"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/{TOKEN}", f"{PATH}/{TOKEN}/"])
def test_wrong_method_405(method: str, path: str) -> None:
    sink = MemorySink()
    answer = post(sink, envelope([message()]), path=path, method=method)
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == "GET, POST, PUT, DELETE"
    assert sink.sends == 0


@pytest.mark.parametrize(
    "path", ["/", "/callbacks", "/callbacks/kaleyr", f"{PATH}x", f"{PATH}/{TOKEN}/more", "//callbacks/kaleyra", "/metrics"]
)
def test_wrong_path_404_no_redirect(path: str) -> None:
    sink = MemorySink()
    answer = post(sink, envelope([message()]), path=path)
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert sink.sends == 0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/{TOKEN}", f"{PATH}/{TOKEN}/"])
def test_right_method_and_path_200_without_redirect(method: str, path: str) -> None:
    sink = MemorySink()
    assert post(sink, envelope([message()]), path=path, method=method).status_code == 200
    assert len(sink.messages) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ["dead-letters/not_json"]),
        (b"\xff", ["dead-letters/not_utf8"]),
        (b"[]", ["dead-letters/not_an_object"]),
        (b'{"object": "whatsapp_business_account"}', ["dead-letters/unknown_shape"]),
        (envelope(), ["dead-letters/nothing_in_it"]),
        (envelope([ORDER_THAT_DOES_NOT_FIT]), ["dead-letters/does_not_fit"]),
        (envelope([message("", id="wamid.1")], extra={}), ["dead-letters/no_key"]),
    ],
)
def test_unreadable_callback_200_once_dead_letter_is_acknowledged(body: bytes, expected: list[str]) -> None:
    sink = MemorySink()
    assert post(sink, body).status_code == 200
    assert outcome(sink.messages) == expected
    (letter,) = on("dead-letters", sink.messages)
    assert letter["body"] == body


def test_copy_200_with_its_records_and_may_remain_after_503() -> None:
    bodies = (envelope([message()]), b"no JSON", envelope(contacts=[contact(None)]))
    for body, became in zip(bodies, (["texts"], ["dead-letters"], []), strict=True):
        sink = MemorySink()
        assert post(sink, body, of=whole_catalogue()).status_code == 200
        assert sink.sends == 1
        assert [topic for topic in topics(sink.messages) if topic != "raw"] == became
        (copy,) = [one for one in sink.messages if topics([one]) == ["raw"]]
        assert decoded(copy, whole_catalogue())["body"] == body

    class OfCopiesAlone(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            self.messages += [one for one in messages if topics([one]) == ["raw"]]
            left = [one for one in messages if topics([one]) != ["raw"]]
            return Outcome([], [Failure(one, "_MSG_TIMED_OUT", for_good=False) for one in left])

    halved = OfCopiesAlone()
    assert is_later(post(halved, bodies[0], of=whole_catalogue()))
    assert topics(halved.messages) == ["raw"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=393335550142&type=hologram&body=Ciao", ["others"]),
        ("id=1&status=sent&mobile=393335550142", ["statuses"]),
        ("display_phone_number=390299955501&event=FLAGGED&current_limit=TIER_10K", ["account-events"]),
        ("utm_source=x", ["dead-letters/unknown_shape"]),
    ],
)
def test_get_or_delete_with_a_query_is_a_callback_without_the_token_200(query: str, expected: list[str], method: str) -> None:
    sink = MemorySink()
    answer = post(sink, b"", method=method, path=f"{PATH}/{TOKEN}?{query}", credentials=both())
    assert (answer.status_code, answer.content) == (200, b"")
    assert outcome(sink.messages) == expected
    for letter in on("dead-letters", sink.messages):
        assert (letter["method"], letter["query"], letter["body"]) == (method, query, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_or_delete_with_the_longest_text_200_and_the_text_is_whole(method: str) -> None:
    sink = MemorySink()
    query = urlencode({"from": "393335550142", "type": "text", "body": "ಕ" * 4096})
    assert post(sink, b"", method=method, path=f"{PATH}?{query}").status_code == 200
    (record,) = sink.messages
    assert decoded(record)["body"] == "ಕ" * 4096
    assert post(sink, b"", method=method, path=f"{PATH}?{query}{'x' * 25_000}").status_code == 414


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_query_of_a_post_or_put_that_is_too_long_414(method: str) -> None:
    assert post(MemorySink(), envelope([message()]), method=method, path=f"{PATH}?{'x' * 8192}").status_code == 200
    assert post(MemorySink(), envelope([message()]), method=method, path=f"{PATH}?{'x' * 8193}").status_code == 414


@pytest.mark.parametrize("path", BODIES, ids=sample_name)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_every_type_of_body_is_a_callback_200(path: Path, method: str) -> None:
    sink, given = MemorySink(), sample(path)
    answer = post(sink, given.body, method=method, headers={"content-type": given.content_type}, of=whole_catalogue())
    assert answer.status_code == 200
    *records, copy = sink.messages
    assert records
    assert not [topic for topic in topics(records) if topic == "dead-letters"]
    kept = decoded(copy, whole_catalogue())
    assert (kept["body"], kept["content_type"], kept["method"]) == (given.body, given.content_type, method)


def test_form_is_a_callback_200() -> None:
    sink = MemorySink()
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert post(sink, b"from=393335550142&type=hologram&body=Ciao", headers=form).status_code == 200
    assert outcome(sink.messages) == ["others"]


@pytest.mark.parametrize("first", ["", "a=1&"])
def test_verification_by_meta_400_with_advice_nothing_produced(first: str) -> None:
    sink = MemorySink()
    path = f"{PATH}/{TOKEN}?{first}hub.mode=subscribe&hub.challenge=5&hub.verify_token=x"
    answer = post(sink, b"", method="GET", path=path, credentials=both())
    assert answer.status_code == 400
    assert answer.text.startswith("this is a request of Meta's own webhook")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert sink.sends == 0


def test_unauthenticated_verification_401_with_an_empty_body() -> None:
    answer = post(MemorySink(), b"", method="GET", path=f"{PATH}?hub.mode=subscribe", credentials=both())
    assert (answer.status_code, answer.content) == (401, b"")


def test_callback_from_meta_200_once_dead_letter_is_acknowledged() -> None:
    sink = MemorySink()
    body = b'{"object": "whatsapp_business_account", "entry": []}'
    assert post(sink, body).status_code == 200
    assert outcome(sink.messages) == ["dead-letters/meta_direct"]
    assert is_later(post(MemorySink(confirm=False), body))


def test_siblings_of_a_dead_letter_go_through_200() -> None:
    sink = MemorySink()
    body = envelope([message(id="wamid.1"), ORDER_THAT_DOES_NOT_FIT, message(id="wamid.2")])
    assert post(sink, body).status_code == 200
    assert sorted(outcome(sink.messages)) == ["dead-letters/does_not_fit", "texts", "texts"]


def test_dead_letter_is_not_acknowledged_503() -> None:
    assert is_later(post(MemorySink(confirm=False), b"no JSON"))


def test_refused_by_kafka_for_good_becomes_a_dead_letter_then_200() -> None:
    sink = MemorySink(refuse=lambda record: record.topic.endswith("documents"))
    metrics = Metrics()
    body = envelope([message(id="wamid.1"), message(message_type="document")], [contact()])
    assert post(sink, body, metrics=metrics).status_code == 200
    assert sorted(outcome(sink.messages)) == ["contacts", "dead-letters/refused_by_kafka", "texts"]
    (letter,) = on("dead-letters", sink.messages)
    assert (letter["step"], letter["detail"]) == ("produce", "MSG_SIZE_TOO_LARGE")
    assert counted(metrics, "connector_dead_letters", reason="refused_by_kafka") == 1
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.documents") == 0
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.dead-letters") == 1


def test_dead_letter_of_a_refused_record_replays_that_record_alone() -> None:
    sink = MemorySink(refuse=lambda record: record.topic.endswith("documents"))
    post(sink, envelope([message(id="wamid.1"), message(message_type="document", id="wamid.2")], [contact()]))
    (letter,) = on("dead-letters", sink.messages)
    again = MemorySink()
    post(again, letter["body"])
    assert "wamid.2" in [one["message_id"] for one in on("documents", again.messages)]
    assert not on("texts", again.messages)


def test_dead_letter_is_refused_too_503() -> None:
    assert is_later(post(MemorySink(refuse=lambda _: True), envelope([message()])))
    assert is_later(post(MemorySink(refuse=lambda _: True), b"no JSON"))


@pytest.mark.parametrize("error", ["TOPIC_AUTHORIZATION_FAILED", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"])
def test_not_authorised_or_topic_missing_503(error: str) -> None:
    metrics = Metrics()
    sink = FailingSink(error)
    assert is_later(post(sink, envelope([message()]), metrics=metrics))
    assert sink.sends == 1  # no dead letter: an operator's fault, never the callback's
    assert counted(metrics, "connector_unconfirmed_records", error=error) == 1


def test_any_record_not_confirmed_503_with_retry_after() -> None:
    class ConfirmsDocuments(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            left = [one for one in messages if not one.topic.endswith("documents")]
            return Outcome([], [Failure(one, "_MSG_TIMED_OUT", for_good=False) for one in left])

    both_records = envelope([message(message_type="document"), message()])
    assert is_later(post(ConfirmsDocuments(), both_records))
    assert post(ConfirmsDocuments(), envelope([message(message_type="document")])).status_code == 200


def test_one_refused_and_another_not_confirmed_503() -> None:
    class RefusesAndForgets(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            self.sends += 1
            if self.sends > 1:
                return await super().send(messages)
            first, *others = messages
            left = [Failure(one, "_MSG_TIMED_OUT", for_good=False) for one in others]
            return Outcome([Failure(first, "INVALID_RECORD", for_good=True)], left)

    sink = RefusesAndForgets()
    assert is_later(post(sink, envelope([message(), message(id="wamid.2")])))
    assert outcome(sink.messages) == ["dead-letters/refused_by_kafka"]


def test_no_room_in_the_queue_503_with_retry_after() -> None:
    sink = MemorySink(room=False)
    assert is_later(post(sink, envelope([message()])))
    assert not sink.messages


def test_no_room_for_a_dead_letter_503() -> None:
    class FullAfterOne(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            self._room = not self.sends
            return await super().send(messages)

    assert is_later(post(FullAfterOne(refuse=lambda _: True), envelope([message()])))


@pytest.mark.parametrize("body", [envelope([message()]), b"no JSON"])
def test_shutting_down_or_not_warmed_up_503_with_retry_after(body: bytes) -> None:
    app = create_app(Http(), lambda: None, Metrics())

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as http:
            return await http.post(PATH, content=body)

    assert is_later(asyncio.run(run()))


def test_too_many_callbacks_in_flight_503_and_earlier_ones_200() -> None:
    async def run() -> None:
        sink = SlowSink()
        async with client(sink, http=Http(max_callbacks_in_flight=2)) as http:
            first = [asyncio.create_task(http.post(PATH, content=envelope([message()]))) for _ in range(2)]
            await sink.asked.wait()
            await asyncio.sleep(0.05)
            assert is_later(await http.post(PATH, content=envelope([message()])))
            sink.confirmed.set()
            assert [(await answer).status_code for answer in first] == [200, 200]
            assert (await http.post(PATH, content=envelope([message()]))).status_code == 200

    asyncio.run(run())


def test_internal_error_of_the_sink_503_with_an_empty_body() -> None:
    class Broken(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            raise RuntimeError(f"invented: {len(messages)}")

    assert is_later(post(Broken(), envelope([message()])))


def test_sender_that_disconnects_within_its_body_has_no_effect() -> None:
    sink = MemorySink()
    parts = iter([{"type": "http.request", "body": b'{"meta', "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(parts)

    assert asyncio.run(call(application(sink), PATH, receive=receive)) == []
    assert sink.sends == 0


def both() -> Credentials:
    return Credentials(header_name=b"authorization", header_value=b"Bearer right", url_token=TOKEN.encode())


def application(
    sink: Sink,
    *,
    credentials: Credentials | None = None,
    metrics: Metrics | None = None,
    http: Http | None = None,
    of: Catalogue | None = None,
) -> ASGIApp:
    metrics = metrics or Metrics()
    carrier = flow(sink, credentials=credentials, metrics=metrics, of=of)
    return create_app(http or Http(), lambda: carrier, metrics)


def client(sink: Sink, http: Http | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(sink, http=http)), base_url="http://bridge")


def post(
    sink: Sink,
    body: Any,
    *,
    path: str = PATH,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    credentials: Credentials | None = None,
    metrics: Metrics | None = None,
    http: Http | None = None,
    of: Catalogue | None = None,
) -> httpx.Response:
    """Send one callback to its own application."""
    app = application(sink, credentials=credentials, metrics=metrics, http=http, of=of)

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as caller:
            return await caller.request(method, path, content=body, headers=headers)

    return asyncio.run(run())


class in_chunks:  # noqa: N801 - reads as a function
    """A body without a Content-Length."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> Any:
        for start in range(0, len(self._body), 100):
            yield self._body[start : start + 100]


async def call(
    app: ASGIApp, path: str, receive: Callable[[], Awaitable[Any]], headers: Sequence[tuple[bytes, bytes]] = ()
) -> list[Any]:
    """Call an application as a server does; return what it sent."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers), "root_path": ""}
    await app(scope, receive, send)
    return sent


async def never() -> Any:
    raise AssertionError("an unauthenticated body was read")


def is_later(answer: httpx.Response) -> bool:
    """Return whether an answer is 503 with Retry-After, and no more."""
    return (answer.status_code, answer.content, int(answer.headers["retry-after"]) > 0) == (503, b"", True)
