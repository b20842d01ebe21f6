"""One connection: bytes in, requests to an ASGI application, answers and refusals out. httptools parses.

The listener is public, so everything is bounded: headers, pipelined requests, connections, and how long a peer can take. What a
proxy in front may read in another way is refused with 400; trailers are left out. A refusal never overtakes the answers to
complete requests before it. Deadlines need no timer per request: the listener sweeps all connections.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Scope

from connector.http import refusals
from connector.http.exchange import Exchange, empty
from connector.http.flow_control import FlowControl
from connector.http.parsing import head_without_upgrade, new_parser, with_ascii_target
from connector.http.request_queue import QueueFull, RequestQueue
from connector.records import Answer, Request
from connector.settings.tables import Http

_MAX_HEADER_BYTES: Final = 65536
_MAX_HEADERS: Final = 128
_HIGH_WATER_BYTES: Final = 65536
"""The connection is not read while more than this of a body waits for the application."""
_CHECKED_HEADERS: Final = frozenset({b"transfer-encoding", b"host", b"expect"})


class _Refused(Exception):
    """Stops the parser: the request is answered 400, unless it has its answer already."""


@dataclass(slots=True, eq=False)
class ListenerState:
    """What the connections of one listener share. While `is_draining`, each answer is the last of its connection."""

    app: ASGIApp
    http: Http
    scheme: Literal["http", "https"]
    refuse: refusals.Refuse = refusals.count_nothing
    connections: set["HttpProtocol"] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    is_draining: bool = False


class HttpProtocol(asyncio.Protocol):
    """One connection.

    `_reading` is the part of a request that the peer is to send, since `_since`; None between requests. Once the connection
    `_is_over`, the requests at hand are answered and nothing more is read.
    """

    def __init__(self, state: ListenerState) -> None:
        self._state = state
        self._http = state.http
        # Nearly every request has it: then there is no URL to parse.
        self._usual_target = state.http.path.encode("ascii")
        self._loop = asyncio.get_running_loop()
        self._parser = new_parser(self)
        self._transport: asyncio.Transport
        self._flow_control: FlowControl
        self._requests: RequestQueue
        self._server: Any = None
        self._client: Any = None
        self._is_over = False
        self._is_at_request_line = True
        self._head_bytes = 0
        self._max_head_bytes = 0
        self._headers: list[tuple[bytes, bytes]]
        self._reading: Literal["headers", "body"] | None
        # Sets what is of one request.
        self.on_message_begin()

    # Called by the event loop
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many connections."""
        self._state.connections.add(self)
        self._transport = transport
        self._flow_control = FlowControl(transport)
        self._requests = RequestQueue(self._state.app, self._state.tasks, transport, self._flow_control, self._state.refuse)
        # Not when this object was made: with TLS, that was before the handshake.
        self._since = self._loop.time()
        # None if the peer is gone already; IPv6 addresses have four parts.
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client, self._server = peer and peer[:2], own and own[:2]
        if len(self._state.connections) > self._http.max_connections:
            self._refuse(refusals.TOO_MANY_CONNECTIONS)

    def connection_lost(self, _error: Exception | None) -> None:
        """Notify the application, and release what refers to this object."""
        self._state.connections.discard(self)
        if self._reading == "body" and not self._is_over and self._requests.is_answering():
            self._state.refuse("body_incomplete", self._what_is_known())
        self._requests.disconnect()
        self._flow_control.resume_writing()
        del self._parser

    def pause_writing(self) -> None:
        """Make answers wait until the peer has read others."""
        self._flow_control.pause_writing()

    def resume_writing(self) -> None:
        """Write answers again."""
        self._flow_control.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse, then start the request that the data began."""
        if self._is_over:
            return
        if self._reading is None:
            # Blank lines between requests start no message for the parser, but they end the idle time.
            self._reading, self._since, self._headers = "headers", self._loop.time(), []
        # No head that ends in this data is longer.
        self._max_head_bytes = len(data)
        if self._reading != "body":
            self._head_bytes = self._max_head_bytes = self._head_bytes + len(data)
        is_line_complete = True
        if self._is_at_request_line:
            data, is_line_complete = with_ascii_target(data)
        self._parse(data)
        self._requests.start_ready()
        # A request that starts in the middle of this data is parsed as it is.
        self._is_at_request_line = not is_line_complete or self._reading is None
        if self._reading == "headers" and self._head_bytes > _MAX_HEADER_BYTES:
            self._refuse(refusals.HEADERS_TOO_LARGE)

    # Called by the listener
    def enforce_deadlines(self, now: float) -> None:
        """Close the connection if the peer does not read its answers, takes too long to send, or has been idle too long."""
        waited_seconds = now - max(self._since, self._requests.answered_at)
        if waited_seconds > self._http.idle_timeout_seconds and self._transport.get_write_buffer_size() > 0:
            # close() would wait until the answers are read.
            self._transport.abort()
        elif self._is_late(waited_seconds):
            self._refuse(refusals.HEADERS_TOO_SLOW if self._reading == "headers" else refusals.BODY_TOO_SLOW)
        elif self._reading is None and not self._requests.is_answering() and waited_seconds > self._http.idle_timeout_seconds:
            self._transport.close()

    def close_after_answers(self) -> None:
        """Close the connection, after the answers that it waits for."""
        latest = self._requests.latest
        if latest and not latest.is_answered:
            latest.keep_alive = False
        else:
            self._transport.close()

    # Called by httptools
    def on_message_begin(self) -> None:
        """Forget the head of the request before."""
        self._target = b""
        self._headers = []
        self._expects_continue = False
        self._is_chunked = False
        self._is_upgrade_offered = False
        self._reading, self._since = "headers", self._loop.time()

    def on_url(self, target: bytes) -> None:
        """Append a part of the request target."""
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; leave trailers out, since a proxy does not check them as it checks headers."""
        if self._reading == "body":
            return
        name = name.lower()
        if name in _CHECKED_HEADERS:
            self._check_header(name, value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head, and add the request to the pipeline."""
        if len(self._headers) > _MAX_HEADERS or (self._max_head_bytes > _MAX_HEADER_BYTES and self._is_head_too_large()):
            self._refuse(refusals.HEADERS_TOO_LARGE)
            raise _Refused
        version = self._parser.get_http_version()
        if self._is_chunked and version != "1.1":
            raise _Refused
        method = self._parser.get_method()
        if self._parser.should_upgrade():
            if method == b"CONNECT":
                # For a proxy. The parser takes it for an upgrade that cannot be left out.
                raise _Refused
            self._is_upgrade_offered = True
            return
        self._requests.add(
            Exchange(
                self._scope(method, version),
                self._transport,
                self._flow_control,
                self._requests.on_answer,
                expects_continue=self._expects_continue,
                keep_alive=version != "1.0" and self._parser.should_keep_alive() and not self._state.is_draining,
            )
        )
        self._head_bytes = 0
        self._reading, self._since = "body", self._loop.time()

    def on_body(self, data: bytes) -> None:
        """Append a part of the body, unless the request is answered already."""
        exchange = self._requests.latest
        if self._is_upgrade_offered or exchange is None or exchange.is_answered:
            return
        exchange.body = exchange.body + data if exchange.body else data
        if len(exchange.body) > _HIGH_WATER_BYTES:
            self._flow_control.pause_reading()
        if exchange.arrival:
            exchange.arrival.set()

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        exchange = self._requests.latest
        if self._is_upgrade_offered or exchange is None:
            return
        self._reading = None
        exchange.is_complete = True
        if exchange.arrival:
            exchange.arrival.set()

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = head_without_upgrade(self._parser, self._target, self._headers) + data[offer.args[0] :]
                self._parser = new_parser(self)
            except httptools.HttpParserError as error:
                # Also what is raised in the calls above.
                is_full = isinstance(error.__context__, QueueFull)
                self._refuse(refusals.TOO_MANY_PIPELINED if is_full else refusals.MALFORMED_HTTP)
                return
            else:
                return

    def _check_header(self, name: bytes, value: bytes) -> None:
        """Note a header that says how the request is framed, or refuse it."""
        if name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            # Other codings are not supported, and of several a proxy may have chosen another.
            if self._is_chunked or value.strip(b" \t").lower() != b"chunked":
                raise _Refused
            self._is_chunked = True
        elif any(known == b"host" for known, _ in self._headers):
            raise _Refused

    def _is_head_too_large(self) -> bool:
        """Return whether the headers are, for a head that arrived in one piece with other data."""
        return sum(len(name) + len(value) for name, value in self._headers) > _MAX_HEADER_BYTES

    def _scope(self, method: bytes, version: str) -> Scope:
        if self._target == self._usual_target:
            path, raw_path, query = self._http.path, self._usual_target, b""
        else:
            target = httptools.parse_url(self._target)
            path, raw_path, query = target.path.decode("ascii"), target.path, target.query or b""
            path = unquote(path) if "%" in path else path
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._state.scheme,
            "method": method.decode("ascii"),
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
        }

    def _refuse(self, answer: Answer) -> None:
        """Refuse the request that is being read, and close: with this answer, or after those to complete requests before it."""
        if self._is_over or self._transport.is_closing():
            return
        self._is_over = True
        assert answer.refusal
        self._state.refuse(answer.refusal, self._what_is_known())
        if self._requests.end_after_complete():
            self._reading = None
        else:
            self._transport.write(empty(answer))
            self._transport.close()

    def _what_is_known(self) -> Request:
        return Request(self._headers, None, self._client[0] if self._client else "")

    def _is_late(self, waited_seconds: float) -> bool:
        """Return whether the peer took too long to send what is awaited."""
        if (
            self._reading is None
            or self._requests.is_waiting()
            or (self._reading == "headers" and self._requests.is_answering())
        ):
            # The bridge itself does not read while requests wait for their answers.
            return False
        limit = self._http.header_timeout_seconds if self._reading == "headers" else self._http.body_timeout_seconds
        return waited_seconds > limit
