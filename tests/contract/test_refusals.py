"""Every refused request is counted once, under one reason, and logged with the network of its sender: over real sockets.

Each place that answers other than 200 is a row of `CASES`; the last test states that no reason is without one.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args
from urllib.parse import urlsplit

import httpx
import pytest

from connector import logs
from connector.auth.authenticate import Credentials
from connector.http import tls
from connector.http.app import create_app
from connector.http.listener import Listener, bind
from connector.http.refusals import Refusals
from connector.http.token_endpoint import TokenIssuer
from connector.metrics import Metrics, exposition
from connector.pipeline.outcome import Failure, Outcome
from connector.records import KafkaMessage
from connector.refusals import Refusal
from connector.settings.tables import Authentication, Http, Oauth, Tls
from tests.contract.test_listener import HeldSink
from tests.support import servers
from tests.support.callbacks import MemorySink, counted, envelope, flow, message
from tests.support.certificates import Authority
from tests.support.raw_client import Client
from tests.support.threaded_listener import ThreadedListener

PATH = "/callbacks/kaleyra"
TOKEN = "invented-token-0123456789"
SECRET = "an-invented-secret-0001"
BODY = envelope([message()])
BOUNDS: dict[str, Any] = {
    "max_body_bytes": 4096,
    "max_bytes_in_flight": 8192,
    "header_timeout_seconds": 0.5,
    "body_timeout_seconds": 0.5,
    "max_connections": 5,
    "max_callbacks_in_flight": 2,
}
LONGEST_SECONDS = 5.0


class WithoutTopic(MemorySink):
    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        return Outcome([], [Failure(one, "UNKNOWN_TOPIC_OR_PART", for_good=False) for one in messages])


class Broken(MemorySink):
    async def send(self, _messages: Sequence[KafkaMessage]) -> Outcome:
        raise ZeroDivisionError


class Bridge:
    """A listener in its own thread, whose refused requests are counted."""

    def __init__(
        self, sink: MemorySink, credentials: Credentials | None, secured: Tls | None, *, is_ready: bool, **bounds: Any
    ) -> None:
        self.sink = sink
        self.metrics = Metrics()
        self._clients: list[Client] = []
        http = Http(**{**BOUNDS, **bounds})
        oauth = Oauth.model_validate({"signing_keys": {"a": "k" * 32}, "max_requests_per_minute": 2})
        client = {"kind": "oauth", "client_id": "kaleyra", "secret": SECRET}
        of_tokens = Credentials.of(Authentication.model_validate({"credentials": {"client": client}}), oauth)
        assert of_tokens.tokens
        issuer = TokenIssuer(oauth, of_tokens, of_tokens.tokens, self.metrics)
        carrier = flow(sink, credentials=credentials, metrics=self.metrics) if is_ready else None
        refusals = Refusals(self.metrics)
        app = create_app(http, lambda: carrier, self.metrics, issuer, refusals=refusals)
        listening = bind("127.0.0.1", 0)
        self.port: int = listening.getsockname()[1]
        context = tls.context(secured) if secured else None
        self.listener = Listener(app, http, 0.1, context, linger_seconds=0.1, refuse=refusals.add)
        self._thread = ThreadedListener(self.listener, listening)
        self._thread.start()

    def connect(self) -> Client:
        self._clients.append(Client(self.port))
        return self._clients[-1]

    def ask(self, content: bytes) -> int:
        return self.connect().send(content).answer().status

    def refused(self) -> dict[str, int]:
        found = {
            reason: int(counted(self.metrics, "connector_refused_requests", reason=reason)) for reason in get_args(Refusal)
        }
        return {reason: count for reason, count in found.items() if count}

    def stop(self) -> None:
        self._thread.stop()
        for client in self._clients:
            client.socket.close()


@contextmanager
def serving(
    sink: MemorySink | None = None, credentials: Credentials | None = None, secured: Tls | None = None, **more: Any
) -> Iterator[Bridge]:
    bridge = Bridge(sink or MemorySink(), credentials, secured, **{"is_ready": True, **more})
    try:
        yield bridge
    finally:
        bridge.stop()


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(logs, "event", lambda name, _level="error", **facts: written.append({"event": name, **facts}))
    return written


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post(body: bytes = BODY, *headers: str, path: str = PATH, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: bridge", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask_for_token(**more: str) -> bytes:
    return post(json.dumps({"client_id": "kaleyra", "client_secret": SECRET, **more}).encode(), path="/oauth/token")


class Case(NamedTuple):
    """One place that refuses: the answers of all that is sent, and the one reason that is counted."""

    reason: Refusal
    status: int
    run: Callable[[], tuple[list[int], dict[str, int]]]


def answered(*contents: bytes, **more: Any) -> Callable[[], tuple[list[int], dict[str, int]]]:
    """Send each content on its own connection; return the answers, and what was counted."""

    def run() -> tuple[list[int], dict[str, int]]:
        with serving(**{name: part() if name == "sink" else part for name, part in more.items()}) as bridge:
            return [bridge.ask(content) for content in contents], bridge.refused()

    return run


def behind_held(content: bytes) -> Callable[[], tuple[list[int], dict[str, int]]]:
    """Send a content while two callbacks are held."""

    def run() -> tuple[list[int], dict[str, int]]:
        sink = HeldSink()
        with serving(sink) as bridge:
            held = [bridge.connect().send(post()) for _ in range(2)]
            until(lambda: sink.waiting == 2)
            statuses = [bridge.ask(content)]
            sink.released = True
            return [*(one.answer().status for one in held), *statuses], bridge.refused()

    return run


def of_bytes_in_flight() -> tuple[list[int], dict[str, int]]:
    sink = HeldSink()
    with serving(sink, max_bytes_in_flight=4096) as bridge:
        held = bridge.connect().send(post(BODY.ljust(4000)))
        until(lambda: sink.waiting)
        statuses = [bridge.ask(post(BODY.ljust(200)))]
        sink.released = True
        return [held.answer().status, *statuses], bridge.refused()


def of_an_end_in_the_body() -> tuple[list[int], dict[str, int]]:
    with serving() as bridge:
        bridge.connect().send(post()[:-5]).socket.shutdown(socket.SHUT_WR)
        until(bridge.refused)
        return [], bridge.refused()


def of_many_connections() -> tuple[list[int], dict[str, int]]:
    with serving() as bridge:
        opened = [bridge.connect() for _ in range(6)]
        return [opened[-1].answer().status], bridge.refused()


def of_many_pipelined() -> tuple[list[int], dict[str, int]]:
    sink = HeldSink()
    with serving(sink) as bridge:
        client = bridge.connect().send(post() * 40)
        until(bridge.refused)
        sink.released = True
        return [client.answer().status for _ in range(33)], bridge.refused()


def of_a_stop() -> tuple[list[int], dict[str, int]]:
    sink = HeldSink()
    bridge = Bridge(sink, None, None, is_ready=True)
    client = bridge.connect().send(post())
    until(lambda: sink.waiting)
    bridge.listener.should_exit = True
    statuses = [client.answer().status]
    bridge.stop()
    return statuses, bridge.refused()


LIMITED = Credentials(allow_anyone=True, limit_per_second=1)
TOKEN_ONLY = Credentials(url_token=TOKEN.encode())
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()

CASES = [
    Case("too_many_connections", 503, of_many_connections),
    Case("malformed_http", 400, answered(b"garbage\r\n\r\n")),
    Case("malformed_http", 400, answered(post(BODY, "Content-Length: 3"))),
    Case("malformed_http", 400, answered(post(BODY, "Host: another"))),
    Case("malformed_http", 400, answered(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n")),
    Case("malformed_http", 400, answered(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n")),
    Case("headers_too_large", 431, answered(HEAD + b"X: " + b"x" * 70_000)),
    Case("headers_too_large", 431, answered(post(BODY, *(f"X-{number}: y" for number in range(200))))),
    Case("headers_too_slow", 408, answered(HEAD)),
    Case("headers_too_slow", 408, answered(b"\r\n")),
    Case("body_too_slow", 408, answered(post()[:-5])),
    Case("body_incomplete", 0, of_an_end_in_the_body),
    Case("too_many_pipelined", 200, of_many_pipelined),
    Case("wrong_path", 404, answered(post(path="/another"))),
    Case("wrong_path", 404, answered(post(path=f"{PATH}/{TOKEN}/more"))),
    Case("wrong_method", 405, answered(post(method="PATCH"))),
    Case("wrong_method", 405, answered(post(b"", method="HEAD"))),
    Case("uri_too_long", 414, answered(post(path=f"{PATH}?{'x' * 9000}"))),
    Case("uri_too_long", 414, answered(post(path=f"{PATH}?{'x' * 60_000}", method="DELETE"))),
    Case("not_authentic", 401, answered(post(), credentials=TOKEN_ONLY)),
    Case("not_authentic", 401, answered(post(path=f"{PATH}/wrong-{TOKEN}"), credentials=TOKEN_ONLY)),
    Case("too_often", 429, answered(post(), post(), credentials=LIMITED)),
    Case("meta_verification", 400, answered(post(b"", path=f"{PATH}?hub.mode=subscribe", method="GET"))),
    Case("compressed", 415, answered(post(BODY, "Content-Encoding: gzip"))),
    Case("too_large", 413, answered(post(b" " * 5000))),
    Case("too_large", 413, answered(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b" " * 5000)),
    Case("token_wrong_method", 405, answered(post(path="/oauth/token", method="GET"))),
    Case("token_too_often", 429, answered(*[ask_for_token()] * 3)),
    Case("token_malformed", 400, answered(post(b"{", path="/oauth/token"))),
    Case("token_unsupported_grant", 400, answered(ask_for_token(grant_type="password"))),
    Case("token_not_authentic", 401, answered(ask_for_token(client_secret="wrong"))),
    Case("too_large", 413, answered(post(b" " * 9000, path="/oauth/token"))),
    Case("compressed", 415, answered(post(b"{}", "Content-Encoding: br", path="/oauth/token"))),
    Case("not_ready", 503, answered(post(), is_ready=False)),
    Case("no_room", 503, behind_held(post())),
    Case("no_room", 503, of_bytes_in_flight),
    Case("kafka_unavailable", 503, answered(post(), sink=lambda: MemorySink(room=False))),
    Case("topic_unavailable", 503, answered(post(), sink=WithoutTopic)),
    Case("not_confirmed", 503, answered(post(), sink=lambda: MemorySink(confirm=False))),
    Case("not_confirmed", 503, answered(post(), sink=lambda: MemorySink(refuse=lambda _: True))),
    Case("stopping", 503, of_a_stop),
    Case("internal_error", 503, answered(post(), sink=Broken)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_refused_request_is_counted_once_and_logged_without_what_it_holds(case: Case, lines: list[dict[str, Any]]) -> None:
    statuses, refused = case.run()

    assert refused == {case.reason: 1}
    assert {status for status in statuses if status != 200} == ({case.status} if case.status not in (0, 200) else set())
    (line,) = [one for one in lines if one["event"] == "request_refused"]
    assert (line["reason"], line["network"], line["times"]) == (case.reason, "127.0.0.0/24", 1)
    assert set(line) == {"event", "times", "reason", "network", "method"}
    assert line["method"] in ("", "GET", "POST", "PATCH", "HEAD", "DELETE")


def test_failed_tls_handshakes_are_counted_with_openssl_s_reason(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    files = Authority(tmp_path).sign("bridge")
    secured = Tls(certificate_path=str(files.certificate), key_path=str(files.key))
    with serving(secured=secured) as bridge:
        bridge.connect().send(post())
        until(bridge.refused)
        assert bridge.refused() == {"tls_handshake": 1}
    (line,) = [one for one in lines if one["event"] == "request_refused"]
    assert (line["reason"], line["network"]) == ("tls_handshake", "unknown")
    assert line["error"] == "HTTP_REQUEST"


def test_answered_callbacks_are_not_refused(lines: list[dict[str, Any]]) -> None:
    with serving() as bridge:
        assert [bridge.ask(post(method=method)) for method in ("POST", "PUT", "GET", "DELETE")] == [200] * 4
        client = bridge.connect().send(post()).answer()
        assert client.status == 200
        assert bridge.refused() == {}
    assert not [one for one in lines if one["event"] == "request_refused"]


def test_every_reason_has_a_case_here() -> None:
    assert {case.reason for case in CASES} == set(get_args(Refusal)) - {"tls_handshake"}


def test_every_reason_is_shown_from_the_start() -> None:
    metrics = Metrics()
    Refusals(metrics)
    shown = exposition(metrics).decode()
    assert all(f'connector_refused_requests_total{{reason="{reason}"}} 0.0' in shown for reason in get_args(Refusal))


def test_two_workers_are_summed_up_and_the_doctor_shows_it(tmp_path: Path) -> None:
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, tmp_path) as (_, dev):
        environment = servers.environment(dev.bootstrap_servers, dev.registry_url, prefix=dev.prefix)
        with servers.served(environment, tmp_path, workers=2) as server:
            server.wait_until_ready(workers=2)
            url, management = server.addresses.callback_url, server.addresses.management_url
            for _ in range(20):
                # Each over its own connection: the kernel chooses the worker.
                assert httpx.post(f"{url}/another/path", trust_env=False).status_code == 404
            servers.eventually(
                lambda: servers.metric(management, "connector_refused_requests_total", reason="wrong_path") == 20
            )
            of_doctor = {**environment, "CONNECTOR_MANAGEMENT__PORT": str(urlsplit(management).port)}
            findings = servers.done(of_doctor, "doctor", "--json").json()
            log = server.log()
    (found,) = [finding for finding in findings if finding["check"] == "refused requests"]
    assert found["found"].startswith("20 wrong_path since the start of the instance")
    assert "http.path" in found["advice"]
    lines = [json.loads(line) for line in log.splitlines() if "request_refused" in line]
    assert {(line["reason"], line["network"], line["method"]) for line in lines} == {("wrong_path", "127.0.0.0/24", "POST")}
    assert "another" not in log
