"""The data listener against senders of every kind, over real sockets: slow, greedy, broken, hostile.

The bounds are small, so that the tests are short. The flow behind the listener needs no servers.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from connector.auth.authenticate import Credentials
from connector.http.app import create_app
from connector.http.listener import Listener, bind
from connector.metrics import Metrics
from connector.pipeline.outcome import Outcome
from connector.records import KafkaMessage
from connector.settings.tables import Http
from tests.support.callbacks import MemorySink, envelope, flow, message
from tests.support.raw_client import Answer, Client
from tests.support.threaded_listener import ThreadedListener

PATH = "/callbacks/kaleyra"
TOKEN = "invented-token-0123456789"
HTTP = Http(
    max_body_bytes=4096,
    header_timeout_seconds=0.5,
    body_timeout_seconds=0.5,
    idle_timeout_seconds=1,
    max_connections=5,
    max_callbacks_in_flight=2,
)
LONGEST_CUT_SECONDS = 3.0
"""A deadline of half a second, a sweep once a second, and a slow machine."""
TOKEN_ONLY = Credentials(url_token=TOKEN.encode())
HEADER_ONLY = Credentials(header_name=b"x-kaleyra", header_value=b"invented-value")
BODY = envelope([message()])


class HeldSink(MemorySink):
    """Confirms nothing until `released` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.released = False

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        self.waiting += 1
        while not self.released:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        return await super().send(messages)


class Running:
    """A listener in its own thread, until `stop`."""

    def __init__(self, credentials: Credentials, sink: MemorySink) -> None:
        self.sink = sink
        carrier = flow(sink, credentials=credentials)
        listening = bind("127.0.0.1", 0)
        self.port: int = listening.getsockname()[1]
        self.listener = Listener(create_app(HTTP, lambda: carrier, Metrics()), HTTP, drain_timeout_seconds=1)
        self._thread = ThreadedListener(self.listener, listening)
        self._thread.start()

    @property
    def connections(self) -> int:
        return len(self.listener.state.connections)

    def stop(self) -> None:
        self._thread.stop()


class Serving:
    """Gives listeners and connections, which end with the test; a listener with its own sink serves one test."""

    def __init__(self, shared: dict[Credentials, Running], stack: ExitStack) -> None:
        self._shared = shared
        self._stack = stack
        self.running: Running | None = None

    def __call__(self, credentials: Credentials | None = None, sink: MemorySink | None = None) -> "Serving":
        credentials = credentials or Credentials(allow_anyone=True)
        if sink:
            self.running = Running(credentials, sink)
            self._stack.callback(self.running.stop)
            return self
        if credentials not in self._shared:
            self._shared[credentials] = Running(credentials, MemorySink())
        running = self.running = self._shared[credentials]
        # Connections of the test before are closed.
        until(lambda: not running.connections)
        running.sink.messages.clear()
        return self

    @property
    def sink(self) -> MemorySink:
        assert self.running
        return self.running.sink

    def connect(self) -> Client:
        assert self.running
        client = Client(self.running.port)
        self._stack.callback(client.socket.close)
        return client

    def ask(self, content: bytes) -> Answer:
        return self.connect().send(content).answer()

    def is_healthy(self) -> bool:
        """Whether a callback goes through, in full."""
        before = len(self.sink.messages)
        return self.ask(post()).status == 200 and len(self.sink.messages) > before


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[Credentials, Running]]:
    found: dict[Credentials, Running] = {}
    yield found
    for running in found.values():
        running.stop()


@pytest.fixture
def serve(shared: dict[Credentials, Running]) -> Iterator[Serving]:
    with ExitStack() as stack:
        yield Serving(shared, stack)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post(body: bytes = BODY, *headers: str, path: str = PATH, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: bridge", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, is_whole: bool = True) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: bridge\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if is_whole else b"")


# Authentication


def test_callback_is_200_and_the_connection_stays_open(serve: Serving) -> None:
    client = serve().connect()
    for number in (1, 2):
        answer = client.send(post()).answer()
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert len(serve.sink.messages) == number


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/wrong-token-0123456789", f"{PATH}/{TOKEN}x", f"{PATH}/%FF"])
def test_wrong_token_is_401_and_nothing_is_produced(serve: Serving, path: str) -> None:
    client = serve(TOKEN_ONLY).connect()
    answer = client.send(post(path=path)).answer()
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.is_closed()
    assert not serve.sink.messages


@pytest.mark.parametrize("path", [f"{PATH}/{TOKEN}", f"{PATH}/{TOKEN}/", f"{PATH}/{TOKEN}?campaign=7"])
def test_right_token_is_200(serve: Serving, path: str) -> None:
    assert serve(TOKEN_ONLY).ask(post(path=path)).status == 200
    assert serve.sink.messages


def test_unauthenticated_body_is_not_awaited(serve: Serving) -> None:
    serve(TOKEN_ONLY)
    assert serve.ask(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n".encode()).status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["X-Kaleyra: invented-value"], 200),
        (["x-kaleyra:   invented-value  "], 200),
        ([], 401),
        (["X-Kaleyra: another-value"], 401),
        (["X-Kaleyra:"], 401),
        (["X-Kaleyra: invented-value", "X-Kaleyra: invented-value"], 401),
        (["X-Kaleyra: another-value", "x-kaleyra: invented-value"], 401),
        (["X-Kaleyra: invented-value, invented-value"], 401),
    ],
)
def test_header_credential_must_appear_exactly_once(serve: Serving, headers: list[str], status: int) -> None:
    assert serve(HEADER_ONLY).ask(post(BODY, *headers)).status == status
    assert bool(serve.sink.messages) == (status == 200)


# Methods and paths


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_wrong_method_is_405(serve: Serving, method: str) -> None:
    answer = serve().ask(post(b"", method=method))
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET, POST, PUT, DELETE", b"")
    assert not serve.sink.messages


@pytest.mark.parametrize(
    "path", ["/", "/callbacks", "/callbacks/", f"{PATH}x", f"{PATH}/a/b", f"/{PATH}", f"{PATH}//", "/metrics"]
)
def test_wrong_path_is_404(serve: Serving, path: str) -> None:
    answer = serve().ask(post(path=path))
    assert answer.status == 404
    assert "location" not in answer.headers
    assert not serve.sink.messages


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/{TOKEN}", f"{PATH}/{TOKEN}/"])
def test_trailing_slash_is_no_redirect(serve: Serving, path: str) -> None:
    answer = serve().ask(post(path=path))
    assert answer.status == 200
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_get_put_and_delete_are_callbacks_too(serve: Serving, method: str) -> None:
    assert serve().ask(post(method=method)).status == 200
    assert serve.sink.messages


RAW_GET = f"GET {PATH}?from=39333&type=text&created_at=1763720000&body=caffè HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("pieces", [1, 2, len(RAW_GET)])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_query_with_raw_utf8_is_accepted(serve: Serving, pieces: int, before: bytes) -> None:
    client = serve().connect()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = before + RAW_GET
    size = -(-len(sent) // pieces)
    for start in range(0, len(sent), size):
        client.send(sent[start : start + size])
        time.sleep(0.001 if pieces > 1 else 0)

    assert client.answer().status == 200
    assert client.send(RAW_GET).answer().status == 200
    assert {written.topic for written in serve.sink.messages} == {"kaleyra.whatsapp.texts"}
    assert all("caffè".encode() in written.value for written in serve.sink.messages)


def test_body_and_headers_with_utf8_stay_unchanged(serve: Serving) -> None:
    body = envelope([message(text={"body": "caffè"})])
    client = serve().connect().send(post(body, "X-Name: è") + post(body, "X-Name: è")[:60])

    assert client.answer().status == 200
    client.send(post(body, "X-Name: è")[60:])
    assert client.answer().status == 200
    assert all("caffè".encode() in written.value for written in serve.sink.messages)


@pytest.mark.parametrize("target", [f"{PATH}/é", f"{PATH}é"])
def test_path_with_raw_utf8_is_not_found(serve: Serving, target: str) -> None:
    request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()

    assert serve(TOKEN_ONLY).ask(request).status in (401, 404)
    assert not serve.sink.messages


def test_query_that_is_too_long_is_414(serve: Serving) -> None:
    assert serve().ask(post(path=f"{PATH}?{'q' * 9000}")).status == 414
    assert not serve.sink.messages


# Sizes


def test_blanks_around_content_length_are_ignored(serve: Serving) -> None:
    assert (
        serve().ask(post().replace(b"Content-Length: ", b"Content-Length:   ").replace(b"\r\n\r\n", b"  \r\n\r\n", 1)).status
        == 200
    )
    assert serve.sink.messages


def test_body_up_to_the_limit_goes_through(serve: Serving) -> None:
    assert serve().ask(post(BODY.ljust(HTTP.max_body_bytes))).status == 200
    assert serve.sink.messages


@pytest.mark.parametrize("size_bytes", [HTTP.max_body_bytes + 1, 100_000, 3_000_000])
def test_body_over_the_limit_is_413_and_the_connection_closes(serve: Serving, size_bytes: int) -> None:
    client = serve().connect()
    answer = client.send(post(b" " * size_bytes)).answer()
    assert (answer.status, answer.headers["connection"], answer.body) == (413, "close", b"")
    assert client.is_closed()
    assert not serve.sink.messages
    assert serve.is_healthy()


def test_body_over_the_limit_is_refused_by_its_length_alone(serve: Serving) -> None:
    assert serve().ask(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n".encode()).status == 413


def test_chunked_body_within_the_limit_goes_through(serve: Serving) -> None:
    assert serve().ask(chunked(BODY[:10], BODY[10:])).status == 200
    assert serve.sink.messages


@pytest.mark.parametrize("is_whole", [True, False])
def test_chunked_body_over_the_limit_is_413(serve: Serving, is_whole: bool) -> None:
    client = serve().connect()
    answer = client.send(chunked(*[b" " * 1000] * 5, is_whole=is_whole)).answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert client.is_closed()
    assert not serve.sink.messages
    assert serve.is_healthy()


@pytest.mark.parametrize(
    "length", ["-1", "+5", "abc", "1e3", "0x10", "5 5", "1, 2", "", "4097", "99999999999", "9" * 19, "9" * 40, "9" * 5000]
)
def test_wrong_length_is_refused(serve: Serving, length: str) -> None:
    answer = serve().ask(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    assert answer.status in (400, 413)
    assert not serve.sink.messages
    assert serve.is_healthy()


@pytest.mark.parametrize("second", ["Content-Length: 3", "Transfer-Encoding: chunked"])
def test_two_lengths_are_400(serve: Serving, second: str) -> None:
    client = serve().connect()
    assert client.send(post(BODY, second)).answer().status == 400
    assert client.is_closed()
    assert not serve.sink.messages


def test_chunk_of_a_wrong_size_is_400(serve: Serving) -> None:
    client = serve().connect().send(chunked(BODY[:10], is_whole=False) + b"xyz\r\n")
    assert client.answer().status == 400
    assert not serve.sink.messages
    assert serve.is_healthy()


@pytest.mark.parametrize(
    "headers", [["X-Long: " + "x" * 70_000], [f"X-{number}: {'x' * 1000}" for number in range(100)]], ids=["one", "many"]
)
def test_giant_headers_are_refused(serve: Serving, headers: list[str]) -> None:
    client = serve().connect()
    # Without the end of the headers: they could go on for ever.
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: x", *headers])
    assert client.send(head.encode()).answer().status in (400, 431)
    assert client.is_closed()
    assert serve.is_healthy()


@pytest.mark.parametrize(
    "headers", [["X-Long: " + "x" * 70_000], [f"X-{number}: {'x' * 1000}" for number in range(70)]], ids=["one", "many"]
)
def test_giant_headers_in_one_read_are_431(serve: Serving, headers: list[str]) -> None:
    client = serve().connect().send(post(BODY, *headers))
    assert client.answer().status == 431
    assert client.is_closed()
    assert not serve.sink.messages
    client = serve.connect().send(post(BODY) + post(BODY, *headers))
    assert client.answer().status == 200, "that of the whole callback before them"
    assert client.is_closed()
    assert len(serve.sink.messages) == 1
    assert serve.is_healthy()


def test_headers_up_to_the_bound_go_through(serve: Serving) -> None:
    assert serve().ask(post(BODY, "X-Long: " + "x" * 60_000)).status == 200


@pytest.mark.parametrize("count", [1, 3])
def test_garbage_behind_callbacks_leaves_their_answers(serve: Serving, count: int) -> None:
    client = serve().connect().send(post(BODY) * count + b"\x16garbage\r\n\r\n")
    assert [client.answer().status for _ in range(count)] == [200] * count
    assert client.is_closed()
    assert len(serve.sink.messages) == count
    assert serve.is_healthy()


def test_giant_target_is_refused(serve: Serving) -> None:
    assert serve().ask(f"POST {PATH}/{'t' * 100_000}".encode()).status in (400, 414, 431)
    assert serve.is_healthy()


# Time


def test_headers_that_never_come_are_408(serve: Serving) -> None:
    started = time.monotonic()
    silent = serve().connect()
    opening = serve.connect().send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-".encode())
    for client in (silent, opening):
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert client.is_closed()
    assert time.monotonic() - started < LONGEST_CUT_SECONDS


def test_slow_headers_are_408(serve: Serving) -> None:
    started = time.monotonic()
    client = serve().connect().send(f"POST {PATH} HTTP/1.1\r\n".encode())
    client.socket.settimeout(0.1)
    while time.monotonic() - started < LONGEST_CUT_SECONDS:
        client.send(b"X: y\r\n")
        try:
            if client._read():
                break
        except TimeoutError:
            continue
    assert client.answer().status == 408


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode(),
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode(),
        chunked(b"{", is_whole=False),
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode(),
    ],
    ids=["none", "part", "chunk", "expect"],
)
def test_body_that_never_completes_is_408(serve: Serving, request_bytes: bytes) -> None:
    started = time.monotonic()
    client = serve().connect().send(request_bytes)
    answer = client.answer()
    if answer.status == 100:
        answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert client.is_closed()
    assert time.monotonic() - started < LONGEST_CUT_SECONDS
    assert not serve.sink.messages
    assert serve.is_healthy()


@pytest.mark.parametrize("between", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_idle_connection_is_closed(serve: Serving, between: bytes) -> None:
    client = serve().connect()
    assert client.send(post()).answer().status == 200
    client.send(between)
    started = time.monotonic()
    if between:
        # Blank lines are the beginning of a request that does not come.
        assert client.answer().status == 408
    assert client.is_closed()
    assert time.monotonic() - started < LONGEST_CUT_SECONDS


def test_answer_that_takes_long_is_not_cut_off(serve: Serving) -> None:
    sink = HeldSink()
    client = serve(sink=sink).connect().send(post())
    until(lambda: sink.waiting)
    time.sleep(2.5)
    sink.released = True
    assert client.answer().status == 200


@pytest.mark.parametrize("more", [b"", post(), post()[:-10]], ids=["nothing", "a request", "half a request"])
def test_client_that_does_not_read_its_answers_is_cut_off(serve: Serving, more: bytes) -> None:
    client = serve().connect()
    started = time.monotonic()
    assert client.send(post()).answer().status == 200
    running = serve.running
    assert running
    (connection,) = running.listener.state.connections
    # As a million answers: more than the kernel's buffers hold.
    connection._loop.call_soon_threadsafe(connection._transport.write, bytes(32 * 1024 * 1024))
    client.send(more)
    until(lambda: not running.connections)
    assert 1 < time.monotonic() - started < LONGEST_CUT_SECONDS
    assert serve.is_healthy()


# Drain


def test_draining_connection_gets_one_more_answer(serve: Serving) -> None:
    client = serve(sink=MemorySink()).connect()
    idle = serve.connect()
    assert "connection" not in client.send(post()).answer().headers
    running = serve.running
    assert running
    running.listener.should_exit = True
    until(lambda: running.listener.state.is_draining)
    answer = client.send(post()).answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert client.is_closed()
    assert idle.is_closed()
    with pytest.raises(ConnectionRefusedError):
        serve.connect()


def test_request_under_way_is_answered_while_draining(serve: Serving) -> None:
    sink = HeldSink()
    client = serve(sink=sink).connect().send(post())
    until(lambda: sink.waiting)
    running = serve.running
    assert running
    running.listener.should_exit = True
    until(lambda: running.listener.state.is_draining)
    sink.released = True
    assert client.answer().status == 200
    assert client.is_closed()
    running.stop()
    assert running.listener.cut_off == 0


def test_request_longer_than_the_drain_time_is_cut_off(serve: Serving) -> None:
    sink = HeldSink()
    client = serve(sink=sink).connect().send(post())
    until(lambda: sink.waiting)
    running = serve.running
    assert running
    running.stop()
    assert running.listener.cut_off == 1
    assert client.answer().status == 503
    assert not sink.messages


# Numbers


def test_connections_past_the_limit_are_503(serve: Serving) -> None:
    serve()
    running = serve.running
    assert running
    held = [serve.connect().send(b"POST ") for _ in range(HTTP.max_connections)]
    until(lambda: running.connections == HTTP.max_connections)
    client = serve.connect()
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert int(answer.headers["retry-after"]) > 0
    assert client.is_closed()
    for one in held:
        one.socket.close()
    until(lambda: not running.connections)
    assert serve.is_healthy()


def test_callbacks_past_the_limit_are_503(serve: Serving) -> None:
    sink = HeldSink()
    serve(sink=sink)
    held = [serve.connect().send(post()) for _ in range(HTTP.max_callbacks_in_flight)]
    until(lambda: sink.waiting == HTTP.max_callbacks_in_flight)
    answer = serve.ask(post())
    assert (answer.status, answer.body) == (503, b"")
    assert int(answer.headers["retry-after"]) > 0
    sink.released = True
    assert [client.answer().status for client in held] == [200, 200]
    assert len(sink.messages) == HTTP.max_callbacks_in_flight
    assert serve.is_healthy()


def test_aborted_requests_leave_no_connection(serve: Serving) -> None:
    serve()
    running = serve.running
    assert running
    for _ in range(3 * HTTP.max_callbacks_in_flight):
        client = serve.connect().send(post()[:-10])
        until(lambda: running.connections)
        client.hang_up()
        until(lambda: not running.connections)
    assert not serve.sink.messages
    assert serve.is_healthy()


def test_client_that_leaves_before_the_answer_does_no_harm(serve: Serving) -> None:
    sink = HeldSink()
    client = serve(sink=sink).connect().send(post())
    until(lambda: sink.waiting)
    client.hang_up()
    sink.released = True
    until(lambda: sink.messages)
    assert serve.is_healthy()


# HTTP


def test_expected_continue_is_sent(serve: Serving) -> None:
    client = serve().connect().send(post(BODY, "Expect: 100-continue")[: -len(BODY)])
    assert client.answer().status == 100
    assert client.send(BODY).answer().status == 200
    assert serve.sink.messages


@pytest.mark.parametrize(("path", "length", "status"), [(f"{PATH}/wrong", 100, 401), (f"{PATH}/{TOKEN}", 5000, 413)])
def test_unwanted_body_gets_no_100_continue(serve: Serving, path: str, length: int, status: int) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    assert serve(TOKEN_ONLY).ask(head.encode()).status == status


def test_pipelined_requests_are_all_answered_in_order(serve: Serving) -> None:
    client = serve().connect().send(post() + post(b"{") + post() + post(path="/nowhere") + post())
    assert [client.answer().status for _ in range(4)] == [200, 200, 200, 404]
    assert client.is_closed()
    assert len(serve.sink.messages) == 3


def test_pipelining_past_the_limit_closes_the_connection(serve: Serving) -> None:
    client = serve().connect().send(post() * 200)
    answered = 0
    while not client.is_closed():
        assert client.answer().status == 200
        answered += 1
    assert 32 <= answered < 200
    assert len(serve.sink.messages) == answered
    assert serve.is_healthy()


_BAD_CHUNK = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n" % PATH.encode()
_ENDLESS_HEADER = b"POST %s HTTP/1.1\r\nHost: x\r\nX-Long: %s" % (PATH.encode(), b"x" * 70_000)


@pytest.mark.parametrize("wrong", [b"no HTTP at all\r\n\r\n", _BAD_CHUNK, _ENDLESS_HEADER], ids=["garbage", "chunk", "header"])
@pytest.mark.parametrize("whole", [1, 3])
@pytest.mark.parametrize("is_apart", [False, True], ids=["in one read", "apart"])
def test_error_behind_pending_requests_leaves_their_answers(serve: Serving, wrong: bytes, whole: int, is_apart: bool) -> None:
    if wrong is _ENDLESS_HEADER and not is_apart:
        # So far it is within the bound for what comes in one read, and ends by its deadline, or by what follows.
        wrong *= 4
    sink = HeldSink()
    client = serve(sink=sink).connect()
    parts = [post() * whole, wrong] if is_apart else [post() * whole + wrong]
    for part in parts:
        client.send(part)
        time.sleep(0.1)
    sink.released = True

    assert [client.answer().status for _ in range(whole)] == [200] * whole
    assert client.is_closed()
    assert len(sink.messages) == whole


def test_deadline_does_not_run_while_a_request_is_pending(serve: Serving) -> None:
    sink = HeldSink()
    client = serve(sink=sink).connect().send(post() + post()[:-3])
    time.sleep(LONGEST_CUT_SECONDS)
    sink.released = True

    assert client.answer().status == 200
    assert client.send(post()[-3:]).answer().status == 200
    assert len(sink.messages) == 2


def test_refusal_before_100_continue_closes_the_connection(serve: Serving) -> None:
    limited = Credentials(allow_anyone=True, limit_per_second=1)
    serve(limited, MemorySink())
    assert serve.ask(post()).status == 200
    client = serve.connect().send(post(BODY, "Expect: 100-continue")[: -len(BODY)])
    refused = client.answer()
    assert refused.status == 429
    assert client.is_closed()


def test_http_1_0_is_answered_and_closed(serve: Serving) -> None:
    client = serve().connect().send(post(version="1.0"))
    assert client.answer().status == 200
    assert client.is_closed()
    assert serve.sink.messages


@pytest.mark.parametrize(
    "offer",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
        ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
        ("Upgrade: h2c",),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_offered_upgrade_is_ignored_and_the_body_is_whole(serve: Serving, offer: tuple[str, ...], pieces: int) -> None:
    sent = post(BODY, *offer) + post(BODY) + chunked(BODY).replace(b"\r\n\r\n", "\r\n".join(["", *offer, "", ""]).encode(), 1)
    client = serve().connect()
    size = -(-len(sent) // pieces)
    for start in range(0, len(sent), size):
        client.send(sent[start : start + size])
        time.sleep(0.001 if pieces > 1 else 0)
    assert [client.answer().status for _ in range(3)] == [200] * 3
    assert [written.topic for written in serve.sink.messages] == ["kaleyra.whatsapp.texts"] * 3


def test_offered_upgrade_with_close_is_answered_and_closed(serve: Serving) -> None:
    client = serve().connect().send(post(BODY, "Connection: upgrade, close", "Upgrade: h2c"))
    assert client.answer().status == 200
    assert client.is_closed()
    assert [written.topic for written in serve.sink.messages] == ["kaleyra.whatsapp.texts"]


def test_more_headers_than_the_bound_are_431(serve: Serving) -> None:
    assert serve().ask(post(BODY, *[f"X-{number}: x" for number in range(126)])).status == 200
    client = serve.connect().send(post(BODY, *[f"X-{number}: x" for number in range(127)]))
    assert client.answer().status == 431
    assert client.is_closed()
    assert serve.is_healthy()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"garbage\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE /callbacks/kaleyra HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT bridge:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT /callbacks/kaleyra HTTP/1.1\r\nHost: x\r\n\r\n",
        b"P\xc3\xa9ST /callbacks/kaleyra HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST /callbacks/kaleyra HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"POST /callbacks/kaleyra HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    ],
)
def test_garbage_is_400(serve: Serving, garbage: bytes) -> None:
    client = serve(TOKEN_ONLY).connect()
    answer = client.send(garbage).answer()
    assert answer.status == 400
    assert client.is_closed()
    assert not serve.sink.messages
    assert serve.ask(post(path=f"{PATH}/{TOKEN}")).status == 200
