"""One request and its answer: the `receive` and `send` of ASGI between the protocol and the application.

An answer is one `http.response.start` and one `http.response.body`, and is written at once. That is all that this package's
applications send; there is no streaming.
"""

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.types import ASGIApp, Message, Scope

from connector.http.flow_control import FlowControl
from connector.http.refusals import FAILED, Refuse, count_nothing
from connector.logs import event, fault_location
from connector.records import Answer, Request

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CONTROL_CHARACTER: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_NO_LENGTH: Final = (b"content-length", b"0")
_EMPTY_BODY: Final[Message] = {"type": "http.response.body", "body": b""}


class Exchange:
    """One request and its answer. The protocol appends to `body` and sets `is_complete`; `on_answer` is called at the end.

    `arrival` is set when the application waits for more of the body. With `keep_alive` False the connection closes after the
    answer.
    """

    # Most requests never change these: as class attributes they cost nothing.
    body = b""
    is_complete = False
    is_answered = False
    is_disconnected = False
    arrival: asyncio.Event | None = None
    _is_body_taken = False
    _start: Message | None = None

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow_control: FlowControl,
        on_answer: Callable[[], None],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self._transport = transport
        self._flow_control = flow_control
        self._on_answer = on_answer
        self._expects_continue = expects_continue

    async def run(self, app: ASGIApp, refuse: Refuse = count_nothing) -> None:
        """Call the application. If it fails or sends no answer, the answer is 500."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            # The time to drain is over; the listener counts this request as cut off.
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the peer gets an answer, and the log no content
            event("internal_error", where=fault_location(error), error=type(error).__name__)
        if not (self.is_answered or self.is_disconnected):
            self.keep_alive = False
            peer = self.scope.get("client")
            request = Request(self.scope.get("headers", []), None, peer[0] if peer else "")
            refuse("internal_error", request, self.scope["method"])
            await self.send({"type": "http.response.start", "status": FAILED.status, "headers": (_NO_LENGTH,)})
            await self.send(_EMPTY_BODY)

    async def receive(self) -> Message:
        """Return the body, in parts if the application asks before it is complete; then `http.disconnect`, at the end."""
        # Nearly always: the body is complete before the application asks for it.
        if not self.is_complete or self._is_body_taken or self._expects_continue or self.is_disconnected:
            await self._wait_for_body()
            if self.is_disconnected or self.is_answered:
                return {"type": "http.disconnect"}
        self._is_body_taken = self.is_complete
        body, self.body = self.body, b""
        return {"type": "http.request", "body": body, "more_body": not self.is_complete}

    async def _wait_for_body(self) -> None:
        """Wait until there is a part of the body, or its end, or nothing to wait for."""
        if self._expects_continue and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self._expects_continue = False
        while not (self.body or self.is_disconnected or self.is_answered or (self.is_complete and not self._is_body_taken)):
            self._flow_control.resume_reading()
            self.arrival = self.arrival or asyncio.Event()
            await self.arrival.wait()
            self.arrival.clear()

    def disconnect(self) -> None:
        """Report to the application that the peer is gone, unless it has answered."""
        self.is_disconnected = not self.is_answered
        if self.arrival:
            self.arrival.set()

    async def send(self, message: Message) -> None:
        """Keep the head of the answer until its body arrives, then write both at once.

        Raises:
            RuntimeError: if the messages are not one head and one body whose length the head gives.
        """
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is None or self.is_answered or message.get("more_body"):
            raise RuntimeError("an answer is one http.response.start and one http.response.body")
        body: Any = message.get("body", b"")
        # A client that waits for 100 Continue may leave its body out: the next request would be taken for it.
        head = _head(start["status"], tuple(start.get("headers", ())), self.keep_alive and not self._expects_continue)
        is_body_left_out = self.scope["method"] == "HEAD"
        if head.content_length != len(body) and not is_body_left_out:
            raise RuntimeError("the body is not as long as the content-length of its answer")
        if self._flow_control.is_writing_paused and not self.is_disconnected:
            await self._flow_control.wait_until_writable()
        self.is_answered = True
        if self.arrival:
            self.arrival.set()
        if not (self.is_disconnected or self._transport.is_closing()):
            self._transport.write(head.text if is_body_left_out else head.text + body)
            if not head.keep_alive:
                self._transport.close()
        self._on_answer()


def empty(answer: Answer) -> bytes:
    """Return an answer without a body as it is written, after which the connection closes."""
    return _head(answer.status, (_NO_LENGTH, *answer.headers), False).text  # noqa: FBT003 - a key of the cache


class _Head(NamedTuple):
    """The head of an answer as it is written; a `content_length` of -1 is missing."""

    text: bytes
    content_length: int
    keep_alive: bool


# There are some twenty answers; those in JSON differ in their length.
@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool) -> _Head:  # noqa: FBT001 - a key of the cache
    """Return the head of an answer, with `connection: close` if the connection ends with it."""
    if any(_CONTROL_CHARACTER.search(name) or _CONTROL_CHARACTER.search(value) for name, value in headers):
        raise RuntimeError("a header of the answer contains a control character")
    by_name = {name.lower(): value for name, value in headers}
    lines = [_status_line(status), *(b"%s: %s\r\n" % header for header in headers)]
    if by_name.get(b"connection", b"").lower() == b"close":
        keep_alive = False
    elif not keep_alive:
        lines.append(b"connection: close\r\n")
    content_length = by_name.get(b"content-length", b"0" if status in _WITHOUT_BODY else b"-1")
    return _Head(b"".join([*lines, b"\r\n"]), int(content_length), keep_alive)


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")
