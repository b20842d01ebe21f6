"""uvicorn's HTTP protocol with bounds in time and number, since the listener is public.

Headers and body must arrive within their deadlines, headers are bounded however they come, idle connections are closed, and
connections past the limit get 503. What a proxy in front may read otherwise than we do is refused (400), or left out: trailers.
At the end each open connection gets one more answer, which says that it is the last.
Deadlines are swept once a second over all connections: no timer per request. What the parser tells is handled here, for speed
and for the bounds; the rest of a connection's life is uvicorn's.
"""

import asyncio
import errno
import math
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn import Config, Server
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from connector.errors import ConfigurationInvalid
from connector.http.exchange import Exchange
from connector.settings.tables import Http

LINGER_SECONDS: Final = 1.0
"""So long an open connection may bring one more request before it is closed: closed at once, it might just be sending it."""

_LINGER_LOOK_SECONDS: Final = 0.02
_BACKLOG: Final = 2048
_MAX_HEADER_BYTES: Final = 65536
_MOST_HEADERS: Final = 128
_MOST_PIPELINED: Final = 32
_BLANK: Final = (b"\r", b"\n")
_LOOKED_AT: Final = frozenset({b"transfer-encoding", b"host", b"expect"})
_TIMED_OUT: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
_HEADERS_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _HeadersTooLarge(Exception):
    """Ends the parser's work on a request that is refused."""


class _Ambiguous(Exception):
    """Ends it too: a proxy in front may have read the request otherwise."""


class _TooManyWait(Exception):
    """Ends it too: what waits behind a request that is not answered yet takes memory; the connection closes behind them."""


def bounded_protocol(http: Http, ending: asyncio.Event) -> type[HttpToolsProtocol]:  # noqa: C901 - a class in a closure, each method simple
    """Return the protocol class with the bounds of the settings. With `ending` set, a connection is closed after its answer."""
    # Nearly every request's: there is nothing in it to be looked for.
    usual_target = http.path.encode("ascii")

    class BoundedProtocol(HttpToolsProtocol):
        """One connection.

        `reading` is what is awaited from the peer (headers, body, or None: nothing), since `since`. `starting` is the request
        that the data at hand began: it starts once all of that data is parsed, with its body there as a rule. `serving` is the
        last one that was started. Once the connection `is_over`, what waits is answered, and nothing more is read.
        """

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.header_bytes = 0
            self.most_header_bytes = 0
            self.is_at_line = True
            self.reading: str | None = "headers"
            self.since = self.loop.time()
            self.starting: Exchange | None = None
            self.serving: Exchange | None = None
            self.is_over = False
            if len(self.connections) > http.max_connections:
                transport.write(_TOO_MANY)
                transport.close()

        def data_received(self, data: bytes) -> None:
            if self.is_over:
                return
            if self.reading is None:
                # Blank lines between requests begin no message, and uvicorn has stopped its idle timer.
                self.reading, self.since = "headers", self.loop.time()
            # No request whose head ends in this data has more than this.
            self.most_header_bytes = len(data)
            if self.reading != "body":
                self.header_bytes = self.most_header_bytes = self.header_bytes + len(data)
            is_line_whole = True
            # Nearly always: a whole line, and nothing but ASCII.
            if self.is_at_line and not (data.isascii() and b"\n" in data and data[:1] not in _BLANK):
                data, is_line_whole = _with_plain_target(data)
            self.feed(data)
            if self.starting:
                starting, self.starting = self.starting, None
                self.start(starting)
            # A request that began in the middle of this data is left as it is.
            self.is_at_line = not is_line_whole or self.reading is None
            if self.reading == "headers" and self.header_bytes > _MAX_HEADER_BYTES and not self.is_over:
                self.refuse_behind(_HEADERS_TOO_LARGE)

        def start(self, exchange: Exchange) -> None:
            """Let the application carry a request."""
            self.serving = exchange
            self._start_asgi_task(exchange, self.app)

        def feed(self, data: bytes) -> None:
            """Parse; an offer to speak another protocol is passed over, as RFC 9110, 7.8, allows."""
            while True:
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as offered:
                    # The parser takes what follows for the other protocol's, and is the body of a callback.
                    data = self.head_without_offer() + data[offered.args[0] :]
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                except httptools.HttpParserError:
                    self.send_400_response("Invalid HTTP request received.")
                    return
                else:
                    return

        def head_without_offer(self) -> bytes:
            """Return the head of the request as if nothing had been offered."""
            kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection", b"http2-settings")]
            if not self.parser.should_keep_alive():
                kept.append((b"connection", b"close"))
            lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode("ascii"))]
            return b"\r\n".join([*lines, *(b"%s: %s" % header for header in kept), b"", b""])

        def on_message_begin(self) -> None:
            self.url = b""
            self.headers = []
            self.expect_100_continue = False
            self.is_chunked = False
            self.is_offer = False
            self.reading, self.since = "headers", self.loop.time()

        def on_header(self, name: bytes, value: bytes) -> None:
            if self.reading == "body":
                # A trailer comes behind what a proxy has checked.
                return
            name = name.lower()
            if name in _LOOKED_AT:
                self.look_at(name, value)
            self.headers.append((name, value))

        def look_at(self, name: bytes, value: bytes) -> None:
            """Take note of a header that says how the request is framed, or refuse it."""
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            elif name == b"transfer-encoding":
                # Another coding is none that we undo, and of several the other side may have taken another one.
                if self.is_chunked or value.strip(b" \t").lower() != b"chunked":
                    raise _Ambiguous
                self.is_chunked = True
            elif any(known == b"host" for known, _ in self.headers):
                raise _Ambiguous

        def on_headers_complete(self) -> None:
            if len(self.headers) > _MOST_HEADERS or (self.most_header_bytes > _MAX_HEADER_BYTES and self.is_head_too_large()):
                if not self.is_answering():
                    self.refuse(_HEADERS_TOO_LARGE)
                raise _HeadersTooLarge
            version = self.parser.get_http_version()
            if self.is_chunked and version != "1.1":
                raise _Ambiguous
            if len(self.pipeline) >= _MOST_PIPELINED:
                raise _TooManyWait
            method = self.parser.get_method()
            self.is_offer = self.parser.should_upgrade() and method != b"CONNECT"
            if self.is_offer:
                return
            waits = self.is_answering()
            exchange = self.cycle = Exchange(
                self.scope_of(method, version),
                self.transport,
                self.flow,
                self.on_response_complete,
                expects_continue=self.expect_100_continue,
                # At the end, the answer says that it is the last.
                keep_alive=version != "1.0" and self.parser.should_keep_alive() and not ending.is_set(),
            )
            if waits:
                self.flow.pause_reading()
                self.pipeline.appendleft((exchange, self.app))
            else:
                self.starting = exchange
            self.header_bytes = 0
            self.reading, self.since = "body", self.loop.time()

        def is_head_too_large(self) -> bool:
            """Return whether the headers are, of what came in one read with its end, or behind another request."""
            return sum(len(name) + len(value) for name, value in self.headers) > _MAX_HEADER_BYTES

        def scope_of(self, method: bytes, version: str) -> HTTPScope:
            """Return what ASGI tells an application of a request."""
            if self.url == usual_target:
                path, raw_path, query = http.path, usual_target, b""
            else:
                target = httptools.parse_url(self.url)
                path, raw_path, query = target.path.decode("ascii"), target.path, target.query or b""
                path = unquote(path) if "%" in path else path
            return {
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
                "http_version": version,
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme or "http",
                "method": method.decode("ascii"),
                "root_path": "",
                "path": path,
                "raw_path": raw_path,
                "query_string": query,
                "headers": self.headers,
            }

        def on_body(self, body: bytes) -> None:
            exchange = self.cycle
            if self.is_offer or exchange.response_complete:
                return
            exchange.body = exchange.body + body if exchange.body else body  # type: ignore[assignment]
            if len(exchange.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            exchange.message_event.set()

        def on_message_complete(self) -> None:
            if self.is_offer:
                return
            self.reading = None
            if not self.cycle.response_complete:
                self.cycle.more_body = False
                self.cycle.message_event.set()

        def on_response_complete(self) -> None:
            if self.transport.is_closing():
                return
            self.since = self.loop.time()
            if self.pipeline:
                # One more is answered before more is read.
                exchange, _ = self.pipeline.pop()
                self.start(exchange)  # type: ignore[arg-type]
            if not self.pipeline:
                self.flow.resume_reading()

        def send_400_response(self, msg: str) -> None:
            if self.transport.is_closing():
                # Refused already, with an answer of its own.
                return
            if not self.ends_behind():
                super().send_400_response(msg)

        def refuse_behind(self, answer: bytes) -> None:
            """Refuse the request that is being read, but for what is to be answered before it."""
            if not self.ends_behind():
                self.refuse(answer)

        def ends_behind(self) -> bool:
            """Let whole requests be answered for what they are, if any wait, and drop what is wrong behind them."""
            behind = [entry for entry in self.pipeline if not entry[0].more_body]
            before = self.starting or self.serving
            if before is None or before.response_complete or before.more_body:
                return False
            # What is wrong itself stood there, too, once its headers were read.
            self.is_over, self.pipeline = True, deque(behind)
            self.cycle = behind[0][0] if behind else before
            self.cycle.keep_alive = False
            return True

        def refuse(self, answer: bytes) -> None:
            """Answer, unless an answer is under way, and close."""
            if not self.transport.is_closing():
                # uvicorn's annotation forgets that there is no cycle before the first request.
                cycle: RequestResponseCycle | None = self.cycle
                if cycle is None or cycle.response_complete or not cycle.response_started:
                    self.transport.write(answer)
                self.transport.close()

        def is_answering(self) -> bool:
            """Return whether a request waits for its answer, which must not be cut off."""
            cycle: RequestResponseCycle | None = self.cycle
            return cycle is not None and not cycle.response_complete

        def is_idle(self, now: float) -> bool:
            """Return whether the connection has been of no use for so long that it is closed."""
            return self.reading is None and not self.is_answering() and now - self.since > http.idle_timeout_seconds

        def is_unread(self, now: float) -> bool:
            """Return whether the peer has left its answers unread for so long that it is cut off."""
            return self.transport.get_write_buffer_size() > 0 and now - self.since > http.idle_timeout_seconds

        def is_late(self, now: float) -> bool:
            """Return whether the peer took too long to send what is awaited."""
            if self.reading is None or self.pipeline or (self.reading == "headers" and self.is_answering()):
                # While others wait for their answers, it is we who do not read.
                return False
            limit = http.header_timeout_seconds if self.reading == "headers" else http.body_timeout_seconds
            return now - self.since > limit

    return BoundedProtocol


def _with_plain_target(data: bytes) -> tuple[bytes, bool]:
    """Percent-encode what is no ASCII in the request line that begins or goes on here; return whether its end is here too.

    httptools refuses such bytes, and templates of GET callbacks do put a person's text into the query as it is.
    """
    # Blank lines may come before it.
    start = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in _BLANK else 0
    end = data.find(b"\n", start)
    line = data if end < 0 else data[:end]
    if line.isascii():
        return data, end >= 0
    plain = b"".join(b"%%%02X" % byte if byte >= 0x80 else bytes((byte,)) for byte in line)
    return plain + data[len(line) :], end >= 0


class Listener(Server):
    """A uvicorn server that leaves signals to its process and cuts slow connections off; with `tls` it speaks nothing else."""

    def __init__(
        self,
        app: Any,
        http: Http,
        drain_timeout_seconds: float,
        tls: ssl.SSLContext | None = None,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._ending = asyncio.Event()
        self._linger_seconds = linger_seconds
        self.cut_off = 0
        self._handshake_seconds = http.header_timeout_seconds
        super().__init__(
            Config(
                app,
                http=bounded_protocol(http, self._ending),
                loop="none",
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=math.ceil(drain_timeout_seconds),
                ssl_context_factory=(lambda _config, _default: tls) if tls else None,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets. Unlike uvicorn's own, this bounds the time of handshakes, which no sweep sees."""
        await self.lifespan.startup()
        config, loop = self.config, asyncio.get_running_loop()
        seconds = self._handshake_seconds if config.ssl else None
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=one,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
            for one in sockets or ()
        ]
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the process decides when to stop."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let each connection bring one more request, then close; `cut_off` counts requests not answered."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        self._ending.set()
        now = asyncio.get_running_loop().time
        deadline = now() + self._linger_seconds
        while self.server_state.connections and now() < deadline:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_LINGER_LOOK_SECONDS)
        await super().shutdown(sockets)
        self.cut_off = len(self.server_state.tasks)

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if connection.is_unread(now):  # type: ignore[union-attr]
                    # Not close(), which would wait until the answers are read.
                    connection.transport.abort()
                elif connection.is_late(now):  # type: ignore[union-attr]
                    connection.refuse(_TIMED_OUT)  # type: ignore[union-attr]
                elif connection.is_idle(now):  # type: ignore[union-attr]
                    connection.transport.close()
        return await super().on_tick(counter)


def bind(host: str, port: int, port_setting: str = "the port", host_setting: str = "the host") -> socket.socket:
    """Bind a listening socket; port 0 takes a free one. The last two say, in an error, where another can be given.

    Raises:
        ConfigurationInvalid: when the address cannot be had, in one line.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        listening.close()
        fault = error.strerror if isinstance(error, OSError) else "is no name of a host"
        if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES):
            advice = f"choose another port by {port_setting}"
        else:
            advice = f"give an address of this machine by {host_setting}, as 0.0.0.0 or 127.0.0.1"
        raise ConfigurationInvalid([f"{host}:{port} cannot be listened on: {fault}; {advice}"]) from None
    listening.settimeout(0)
    return listening


class PlainServer(Listener):
    """A server for the management port and the embedded registry: the same bounds, a short drain."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, Http(max_connections=100), drain_timeout_seconds=1, linger_seconds=0)
