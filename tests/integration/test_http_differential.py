"""Our HTTP protocol against uvicorn's: the same bytes to both, with the same application behind each.

Compared are what the application saw and the statuses of the answers. A last request follows each entry on its connection: it
shows whether the connection stays open, and where the next request begins. Every intended difference is in a table with its
reason; an entry that is no longer a difference fails the test. Entries also arrive in pieces, which must not make a difference.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from connector.http.listener import Listener, bind
from connector.settings.tables import Http

SILENCE_SECONDS: Final = 6.0
"""A server that is silent for this long waits for more. Few entries end so: the last request closes the connection."""
MAX_CONNECTIONS: Final = 100
PATH: Final = "/callbacks/kaleyra"
UNREAD: Final = "/unread"
"""Here the application answers without reading the body."""


def request(
    *headers: str, body: str | bytes = "", method: str = "POST", target: str = PATH, version: str = "1.1", host: str = "Host: x"
) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    length = [f"Content-Length: {len(content)}"] if content or method == "POST" else []
    lines = [f"{method} {target} HTTP/{version}", *([host] if host else []), *length, *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def chunked(content: bytes, *headers: str, version: str = "1.1", coding: str = "Transfer-Encoding: chunked") -> bytes:
    """Return a request whose content is written as chunks already."""
    lines = [f"POST {PATH} HTTP/{version}", "Host: x", coding, *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


LAST: Final = request("Connection: close", method="GET", target="/last")
GET: Final = request(method="GET")
POST: Final = request(body='{"a": 1}')
CHUNKS: Final = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

CORPUS: Final[Mapping[str, bytes]] = {
    # Targets
    "get": GET,
    "query": request(method="GET", target=f"{PATH}?a=b&c=%20d&e"),
    "empty query": request(method="GET", target=f"{PATH}?"),
    "two question marks": request(method="GET", target=f"{PATH}?a?b"),
    "fragment": request(method="GET", target=f"{PATH}?a#b"),
    "encoded path": request(method="GET", target="/a%2Fb%20c/%C3%A9"),
    "path that is not UTF-8": request(method="GET", target="/%FF"),
    "wrong percent encoding": request(method="GET", target="/a%zz%"),
    "empty segments": request(method="GET", target="//a//b/../c"),
    "root": request(method="GET", target="/"),
    "absolute form": request(method="GET", target=f"http://x{PATH}?a=b"),
    "absolute form with a port": request(method="GET", target=f"http://x:80{PATH}"),
    "absolute form without a path": request(method="GET", target="http://x"),
    "absolute form of https": request(method="GET", target=f"https://user@x{PATH}"),
    "absolute form of nonsense": request(method="GET", target="http://["),
    "asterisk form": request(method="OPTIONS", target="*"),
    "authority form": request(method="CONNECT", target="x:443"),
    "connect with a path": request(method="CONNECT", target=PATH),
    "raw UTF-8 in the query": request(method="GET", target=f"{PATH}?body=caffè"),
    "raw UTF-8 in the path": request(method="GET", target="/è"),
    "raw Latin-1 in the query": request(method="GET", target=f"{PATH}?body=X").replace(b"X", b"\xe9"),
    "blank in the target": request(method="GET", target="/a b"),
    "control character in the target": request(method="GET", target="/a\x01b"),
    "target without a slash": request(method="GET", target="a"),
    # Methods and versions
    **{method.lower(): request(method=method) for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND")},
    "unknown method": request(method="NONSENSE"),
    "method in small letters": request(method="get"),
    "HTTP/1.0": request(version="1.0", body="abc"),
    "HTTP/1.0 with keep-alive": request("Connection: keep-alive", version="1.0", body="abc"),
    "HTTP/1.0 without a host": request(method="GET", version="1.0", host=""),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": request(version="1.2"),
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version in small letters": GET.replace(b"HTTP", b"http"),
    # Headers
    "casing of names": request("X-ABC: Def", "x-aBc: gHI", body="a"),
    "duplicate headers": request("X: a", "X: b", "x: a"),
    "blanks around a value": request("X:   a b \t ", "Y:\tc"),
    "no blank before a value": request("X:a"),
    "empty value": request("X:", "Y: "),
    "value of Latin-1": request("X: \xe9").replace("\xe9".encode(), b"\xe9"),
    "value of UTF-8": request("X: è"),
    "underscore in a name": request("Content_Length: 5"),
    "odd characters in a name": request("!#$%&'*+-.^_`|~9: a"),
    "long value": request("X: " + "x" * 8000),
    "no host": request(host="", body="a"),
    "two hosts": request("Host: y"),
    "two equal hosts": request("Host: x"),
    "blank before the colon": request("X : a"),
    "blank before the first header": request(host=" Host: x"),
    "folded header": request("X: a\r\n b"),
    "no colon": request("X"),
    "no name": request(": a"),
    "blank in a name": request("X Y: a"),
    "NUL in a value": request("X: a\0b"),
    "carriage return in a value": request("X: a\rb"),
    "line feeds alone": POST.replace(b"\r\n", b"\n"),
    "one line feed alone": request("X: a\nY: b"),
    "128 headers": request(*[f"X-{number}: a" for number in range(126)]),
    "129 headers": request(*[f"X-{number}: a" for number in range(127)]),
    "64 KiB of headers": request("X: " + "x" * 66_000),
    # Bodies
    "post": POST,
    "empty body": request(),
    "post without a length": request().replace(b"Content-Length: 0\r\n", b""),
    "get with a body": request(method="GET", body="abc"),
    "body of all bytes": request(body=bytes(range(256)) * 20),
    "large body": request(body=b"x" * 200_000),
    "length with zeros": request("Content-Length: 003").replace(b"Content-Length: 0\r\n", b"") + b"abc",
    "body that is a request": request(body=POST),
    "two lengths": request("Content-Length: 3"),
    "two equal lengths": request("Content-Length: 0"),
    "negative length": request().replace(b": 0", b": -1"),
    "length with a sign": request().replace(b": 0", b": +0"),
    "length in a list": request().replace(b": 0", b": 0, 0"),
    "length of letters": request().replace(b": 0", b": abc"),
    "length of 40 digits": request().replace(b": 0", b": " + b"9" * 40),
    "body that is too short": request(body="abc")[:-1],
    "body that is too long": request(body="abc") + b"d",
    # Chunks
    "chunked": chunked(CHUNKS),
    "chunked and nothing in it": chunked(b"0\r\n\r\n"),
    "chunk sizes in hexadecimal": chunked(b"00A\r\n0123456789\r\n0b\r\n0123456789a\r\n000\r\n\r\n"),
    "chunk extensions": chunked(b"3;a=b\r\nabc\r\n2;c;d=\"e f\"\r\nde\r\n0;g\r\n\r\n"),
    "trailers": chunked(b"3\r\nabc\r\n0\r\nX-Trailer: a\r\nY: b\r\n\r\n"),
    "length in a trailer": chunked(b"0\r\nContent-Length: 5\r\n\r\n"),
    "coding in capitals": chunked(CHUNKS, coding="TRANSFER-ENCODING: Chunked"),
    "chunks and a length": chunked(CHUNKS, "Content-Length: 5"),
    "chunked twice": chunked(CHUNKS, "Transfer-Encoding: chunked"),
    "coding before chunked": chunked(CHUNKS, coding="Transfer-Encoding: gzip, chunked"),
    "coding after chunked": chunked(CHUNKS, coding="Transfer-Encoding: chunked, gzip"),
    "other coding": chunked(CHUNKS, coding="Transfer-Encoding: gzip"),
    "identity as coding": chunked(CHUNKS, coding="Transfer-Encoding: identity"),
    "empty coding": chunked(CHUNKS, coding="Transfer-Encoding:"),
    "chunks in HTTP/1.0": chunked(CHUNKS, version="1.0"),
    "chunk that is too long": chunked(b"1\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a sign": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk size of letters": chunked(b"xyz\r\nabc\r\n0\r\n\r\n"),
    "chunk size of 17 digits": chunked(b"f" * 17 + b"\r\n\r\n"),
    "chunk line with a line feed alone": chunked(b"3\nabc\r\n0\r\n\r\n"),
    # Several on a connection
    "pipelined": POST + GET + chunked(CHUNKS) + POST,
    "pipelined after close": request("Connection: close", body="abc") + POST,
    "pipelined after HTTP/1.0": request(version="1.0") + POST,
    "blank lines before": b"\r\n\r\n" + POST,
    "blank lines between": POST + b"\r\n\r\n" + GET,
    "garbage": b"garbage\r\n\r\n",
    "garbage behind a request": POST + b"garbage\r\n\r\n",
    "wrong chunk behind a request": POST + chunked(b"xyz\r\n"),
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "50 pipelined": GET * 50,
    # Connection, Expect, Upgrade
    "connection: close": request("Connection: close", body="abc"),
    "connection: keep-alive": request("Connection: keep-alive", body="abc"),
    "expect": request("Expect: 100-continue", body="abc"),
    "expect in capitals": request("EXPECT: 100-Continue", body="abc"),
    "expect something else": request("Expect: a miracle", body="abc"),
    "expect and no body is read": request("Expect: 100-continue", body="abc", target=UNREAD),
    "no body is read": request(body="abc", target=UNREAD) + POST,
    "offer of HTTP/2": request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA", body="abc"),
    "offer of a web socket": request("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", method="GET"),
    "offer without connection": request("Upgrade: h2c", body="abc"),
    "offer and chunks": chunked(CHUNKS, "Connection: upgrade", "Upgrade: h2c"),
    "offer and another request": request("Connection: upgrade", "Upgrade: h2c", body="abc") + POST,
}  # fmt: skip

_ENCODED = "templates of GET callbacks put a person's text into the target as it is: it is percent-encoded instead of refused"
_TWO_HOSTS = "a proxy in front may have chosen the other host"
_BEHIND = "a complete request is answered for what it is, whatever follows it"
_OFFER = "the offer is ignored, so the body is read, and so is what follows"
INTENDED: Final[Mapping[str, str]] = {
    "connect with a path": "CONNECT is refused: the bridge is no proxy",
    "raw UTF-8 in the query": _ENCODED,
    "raw UTF-8 in the path": _ENCODED,
    "raw Latin-1 in the query": _ENCODED,
    "two hosts": _TWO_HOSTS,
    "two equal hosts": _TWO_HOSTS,
    "129 headers": "the number of headers is bounded",
    "64 KiB of headers": "the size of headers is bounded",
    "body that is too short": _BEHIND,
    "body that is too long": _BEHIND,
    "garbage behind a request": _BEHIND,
    "wrong chunk behind a request": _BEHIND,
    "trailers": "a proxy does not check trailers as it checks headers: they are left out",
    "coding before chunked": "other codings are not supported",
    "chunks in HTTP/1.0": "a proxy that knows HTTP/1.0 only does not see the chunks",
    "50 pipelined": "requests that wait take memory: their number is bounded",
    "expect and no body is read": "the client may leave its body out, and the next request would be taken for it",
    "offer of HTTP/2": _OFFER,
    "offer of a web socket": _OFFER,
    "offer and chunks": _OFFER,
    "offer and another request": _OFFER,
}
"""Where our outcome is another than uvicorn's, and why."""

TIMED: Final = frozenset(name for name, reason in INTENDED.items() if reason is _BEHIND)
"""Here the outcome depends on whether the first request is answered before the rest arrives."""
LONGEST_IN_PIECES: Final = 1000

SPLIT: Final = ("raw UTF-8 in the query", "chunk extensions", "trailers", "offer and another request", "expect")
"""Each of these is also split in two at every place."""


class Seen(NamedTuple):
    """A complete request as the application saw it."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    version: str
    body: bytes


class Outcome(NamedTuple):
    """What became of the bytes of one connection."""

    seen: tuple[Seen, ...]
    statuses: tuple[int, ...]


class RecordingApp:
    """Answers 200, and records complete requests by the port of the client."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Seen]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, is_complete = b"", scope["path"] == UNREAD
        while not is_complete:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            is_complete = not message["more_body"]
        seen = Seen(
            scope["method"],
            scope["path"],
            scope["raw_path"],
            scope["query_string"],
            tuple(scope["headers"]),
            scope["http_version"],
            body,
        )
        self.seen[scope["client"][1]].append(seen)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Client(asyncio.Protocol):
    """A connection that keeps what it received, also when it is reset."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set()


async def outcome(app: RecordingApp, address: tuple[str, int], pieces: Sequence[bytes]) -> Outcome:
    """Send bytes in pieces over a connection, then the last request; read until the server closes it, or is silent."""
    transport, client = await asyncio.get_running_loop().create_connection(Client, *address)
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port: int = transport.get_extra_info("sockname")[1]
    # The port may have been another connection's before.
    seen = app.seen[port] = []
    for piece in (*pieces, LAST):
        if not transport.is_closing():
            transport.write(piece)
            # The server runs in the same loop, and reads each piece by itself.
            await asyncio.sleep(0)
    with suppress(TimeoutError):
        await asyncio.wait_for(client.closed.wait(), SILENCE_SECONDS)
    transport.close()
    return Outcome(tuple(seen), tuple(int(part[:3]) for part in client.received.split(b"HTTP/1.1 ")[1:]))


def in_pieces() -> Iterator[tuple[str, str, list[bytes]]]:
    """Return entries in pieces: their name, a name of the pieces, and the pieces."""
    for name, content in CORPUS.items():
        if len(content) < LONGEST_IN_PIECES and name not in TIMED:
            yield name, f"{name}, byte by byte", [content[at : at + 1] for at in range(len(content))]
    for name in SPLIT:
        content = CORPUS[name]
        for at in range(1, len(content)):
            yield name, f"{name}, split at {at}", [content[:at], content[at:]]


async def outcomes(
    server: Listener | uvicorn.Server, app: RecordingApp, sent: Mapping[str, Sequence[bytes]]
) -> dict[str, Outcome]:
    """Return what became of each of the requests, given in pieces, at a server in front of the application."""
    listening = bind("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - both servers have nothing but the flag
        await asyncio.sleep(0.01)
    turn = asyncio.Semaphore(MAX_CONNECTIONS)

    async def in_turn(pieces: Sequence[bytes]) -> Outcome:
        async with turn:
            return await outcome(app, listening.getsockname(), pieces)

    found = await asyncio.gather(*(in_turn(pieces) for pieces in sent.values()))
    server.should_exit = True
    await serving
    return dict(zip(sent, found, strict=True))


@pytest.fixture(scope="module")
def ours() -> dict[str, Outcome]:
    app = RecordingApp()
    sent = {name: [content] for name, content in CORPUS.items()} | {name: pieces for _, name, pieces in in_pieces()}
    return uvloop.run(outcomes(Listener(app, Http(), drain_timeout_seconds=1, linger_seconds=0), app, sent))


@pytest.fixture(scope="module")
def theirs() -> dict[str, Outcome]:
    app = RecordingApp()
    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, log_level="critical")
    return uvloop.run(outcomes(uvicorn.Server(config), app, {name: [content] for name, content in CORPUS.items()}))


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in INTENDED])
def test_our_outcome_is_that_of_uvicorn(ours: dict[str, Outcome], theirs: dict[str, Outcome], name: str) -> None:
    assert ours[name] == theirs[name]


@pytest.mark.parametrize("name", INTENDED)
def test_intended_difference_is_still_one(ours: dict[str, Outcome], theirs: dict[str, Outcome], name: str) -> None:
    assert ours[name] != theirs[name], f"no longer a difference: {INTENDED[name]}"


def test_pieces_make_no_difference(ours: dict[str, Outcome]) -> None:
    different = [pieces_name for name, pieces_name, _ in in_pieces() if ours[pieces_name] != ours[name]]
    assert not different


def test_corpus_has_requests_that_are_answered_and_refused(ours: dict[str, Outcome]) -> None:
    assert {status for outcome in ours.values() for status in outcome.statuses} == {100, 200, 400, 431}
    assert sum(200 in ours[name].statuses for name in CORPUS) > 50
    assert sum(400 in ours[name].statuses for name in CORPUS) > 30
