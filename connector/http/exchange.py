"""One request and its answer, between the HTTP parser and the application.

uvicorn's own cycle serves every ASGI application there is. This one is short where the bridge's requests are nearly all
alike: a body that is there as a whole when the application asks for it, and an answer in one piece. Then nothing is waited
for, and the answer is one write. Everything else is left to uvicorn's.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_LOG: Final = logging.getLogger("uvicorn.error")


class _NobodyWaits:
    """Stands in for the event that tells of what arrived, until somebody waits for it."""

    def set(self) -> None:
        """Tell nobody."""


_NOBODY: Final[Any] = _NobodyWaits()


class Exchange(RequestResponseCycle):
    """uvicorn's cycle, with its attributes. `begun` is the head of the answer, kept until its body comes."""

    # Not by super().__init__, which makes an event and a logger's entries for each request. What a request begins with is of
    # the class: most of it stays so.
    logger = _LOG
    access_log = False
    default_headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - uvicorn's name, and never written to
    message_event = _NOBODY
    disconnected = False
    body: Any = b""
    more_body = True
    is_read = False
    begun: Any = None
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        on_response: Callable[[], None],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.on_response = on_response
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_continue

    async def receive(self) -> ASGIReceiveEvent:
        """Return the body, at once when the whole of it is there, and after it the end of the connection."""
        if not (self.more_body or self.is_read or self.waiting_for_100_continue or self.disconnected):
            self.is_read = True
            body, self.body = self.body, b""
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        if self.message_event is _NOBODY:
            self.message_event = asyncio.Event()
            if self.disconnected or self.body or not (self.more_body or self.is_read):
                self.message_event.set()
        message = await super().receive()
        self.is_read = not self.more_body
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """Write an answer in one piece at once; any other as uvicorn does."""
        if message["type"] == "http.response.start" and not self.response_started:
            self.begun = message
            return
        begun, self.begun = self.begun, None
        if begun is not None:
            body: Any = message.get("body", b"")
            # A client that was not told to go on may leave the body out, and its next request would be taken for that.
            keeps_alive = self.keep_alive and not self.waiting_for_100_continue
            head = _head(begun["status"], tuple(begun["headers"]), keeps_alive)
            is_whole = not message.get("more_body") and head.content_length == len(body) and self.scope["method"] != "HEAD"
            if is_whole and not self.flow.write_paused:
                self._answer(head, body)
                return
            await super().send(begun)
        await super().send(message)

    def _answer(self, head: "_Head", body: bytes) -> None:
        self.response_started = self.response_complete = True
        self.keep_alive = head.keeps_alive
        self.message_event.set()
        if not (self.disconnected or self.transport.is_closing()):
            self.transport.write(head.text + body)
            if not head.keeps_alive:
                self.transport.close()
        self.on_response()


class _Head(NamedTuple):
    """The head of an answer as it is written."""

    text: bytes
    content_length: int
    keeps_alive: bool


# There are some twenty answers; of those in JSON, the length differs.
@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[tuple[bytes, bytes], ...], keeps_alive: bool) -> _Head:  # noqa: FBT001 - a key of the cache
    """Return the head of an answer. Its headers are ours; a length of -1 is one that is not told."""
    lines = [b"%s: %s\r\n" % header for header in headers]
    named = {name.lower(): value for name, value in headers}
    if named.get(b"connection", b"").lower() == b"close":
        keeps_alive = False
    elif not keeps_alive:
        lines.append(b"connection: close\r\n")
    text = b"".join([STATUS_LINE[status], *lines, b"\r\n"])
    return _Head(text, int(named.get(b"content-length", b"-1")), keeps_alive)
