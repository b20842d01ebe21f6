"""What an application can answer; one that fails is answered 500, and no content is logged."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.http import exchange as module
from connector.http.exchange import Exchange
from connector.http.flow_control import FlowControl

FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
SECRET = "an-invented-secret"


class Transport(asyncio.Transport):
    """Keeps what is written until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    logged: list[str] = []
    monkeypatch.setattr(module, "event", lambda name, **facts: logged.append(f"{name} {facts}"))
    return logged


def answering(status: int, headers: Mapping[bytes, bytes], *bodies: bytes) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers.items())})
        for number, body in enumerate(bodies, 1):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies)})

    return app


def run(app: ASGIApp, method: str = "GET", *, expects_continue: bool = False) -> Transport:
    async def run_once() -> Transport:
        transport = Transport()
        flow_control = FlowControl(transport)
        scope = {"type": "http", "method": method}
        exchange = Exchange(scope, transport, flow_control, lambda: None, expects_continue=expects_continue, keep_alive=True)
        exchange.is_complete = True
        await exchange.run(app)
        return transport

    return asyncio.run(run_once())


def test_answer_is_written_as_a_whole(events: list[str]) -> None:
    transport = run(answering(200, {b"content-length": b"2"}, b"ok"))
    assert transport.written == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert not transport.is_closed
    assert not events


def test_answer_to_head_has_no_body() -> None:
    transport = run(answering(200, {b"content-length": b"2"}, b"ok"), "HEAD")
    assert transport.written == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("value", [b"close", b"Close"])
def test_application_can_close_the_connection(value: bytes) -> None:
    transport = run(answering(200, {b"content-length": b"0", b"Connection": value}, b""))
    assert transport.written == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: %s\r\n\r\n" % value
    assert transport.is_closed


def test_answer_without_content_is_kept_alive() -> None:
    transport = run(answering(204, {}, b""))
    assert transport.written == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert not transport.is_closed


def test_status_without_a_phrase_is_written() -> None:
    assert run(answering(599, {b"content-length": b"0"}, b"")).written.startswith(b"HTTP/1.1 599 \r\n")


def test_answer_before_100_continue_closes_the_connection() -> None:
    transport = run(answering(401, {b"content-length": b"0"}, b""), expects_continue=True)
    assert transport.written == b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    assert transport.is_closed


@pytest.mark.parametrize(
    "app",
    [
        answering(200, {b"content-length": b"3"}, b"ok"),
        answering(200, {b"content-length": b"1"}, b"ok"),
        answering(200, {}, b"ok"),
        answering(200, {}, b""),
        answering(200, {b"content-length": b"2"}, b"o", b"k"),
        answering(200, {b"content-length": b"2"}),
        answering(200, {b"content-length": b"0", b"x": b"a\r\nset-cookie: b"}, b""),
        answering(200, {b"content-length": b"0", b"x\n": b"a"}, b""),
    ],
    ids=["shorter", "longer", "no length", "no length, no body", "in parts", "no body", "line end in a value", "in a name"],
)
def test_answer_that_cannot_be_framed_is_500(app: ASGIApp, events: list[str]) -> None:
    transport = run(app)
    assert transport.written == FAILED
    assert transport.is_closed
    assert "set-cookie" not in "".join(events)


def test_failing_application_is_500_and_its_message_is_not_logged(events: list[str]) -> None:
    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError(SECRET)

    assert run(failing).written == FAILED
    (line,) = events
    assert "ValueError" in line
    assert SECRET not in line


def test_second_answer_is_not_written(events: list[str]) -> None:
    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(200, {b"content-length": b"0"}, b"")(scope, receive, send)
        await answering(200, {b"content-length": b"6"}, b"second")(scope, receive, send)

    assert b"second" not in run(twice).written
    assert len(events) == 1


def test_cancelled_application_is_500_and_no_fault(events: list[str]) -> None:
    async def cancelled(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    assert run(cancelled).written == FAILED
    assert not events
