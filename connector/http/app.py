"""The Starlette applications: the data port that Kaleyra calls, and the management port.

The callback route's endpoint is a raw ASGI object; there is no middleware. A request becomes a `Request` and, once it is
known to be authentic, a `RawCallback`; `Flow` does the rest. Nothing here logs a URL, a header or a body.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector import metrics as metrics_of
from connector.http.token_endpoint import LONGEST_BODY, TokenIssuer
from connector.logs import event, fault_location
from connector.metrics import Metrics
from connector.pipeline import acknowledge as answers
from connector.pipeline.flow import Flow
from connector.records import Answer, RawCallback, Request
from connector.settings.tables import Http

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
_LONGEST_QUERY: Final = {"POST": 8192, "GET": 57_344}
"""A GET may hold a whole message: 4,096 characters, of which each can be nine or more once it is encoded."""
_LONGEST_CONTENT_TYPE: Final = 256
_EMPTY_BODY: Final = {"type": "http.response.body", "body": b""}
_NO_LENGTH: Final = (b"content-length", b"0")


class _Disconnected(Exception):
    pass


class CallbackEndpoint:
    """The ASGI endpoint of the callback route. `flow` returns None until the bridge is ready; `clock` is `time.time_ns`."""

    def __init__(self, http: Http, flow: Callable[[], Flow | None], metrics: Metrics, clock: Callable[[], int]) -> None:
        self._http = http
        self._flow = flow
        self._clock = clock
        self._in_flight = 0
        self._room = _Room(http.max_bytes_in_flight)
        self._seconds = metrics.acknowledgement_seconds
        self._answered = {kind: metrics.tally(metrics.callbacks.labels(f"{kind}xx")) for kind in (2, 4, 5)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one callback; nothing but an answer of the promise table ever leaves."""
        started = time.perf_counter()
        self._in_flight += 1
        reading = _Reading(self._room, self._http.max_body_bytes, scope, receive, self._clock)
        try:
            flow = self._flow()
            if refusal := _refusal_of_request(scope):
                answer = refusal
            elif flow is None or self._in_flight > self._http.max_callbacks_in_flight:
                answer = answers.NO_ROOM
            else:
                answer = await flow.handle(_request(scope), reading.callback)
        except _Disconnected:
            return
        except asyncio.CancelledError:
            # Only a server that stops does this, when the time to drain is over. What becomes of the records is not known.
            answer = answers.NOT_CONFIRMED
        except Exception as unexpected:  # noqa: BLE001 - the last line: 503 and a log line with no content, never a traceback
            event("defect", where=fault_location(unexpected), error=type(unexpected).__name__)
            answer = answers.NOT_CONFIRMED
        finally:
            self._in_flight -= 1
            self._room.bytes_left += reading.size_bytes
        self._answered[answer.status // 100].count += 1
        if answer.status in (200, 503):
            self._seconds.observe(time.perf_counter() - started)
        await _send(answer, send)


class TokenEndpoint:
    """The ASGI endpoint at which a client of the kind oauth asks for a token."""

    def __init__(self, desk: TokenIssuer) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for a token."""
        try:
            answer = await self._answer(scope, receive)
        except _Disconnected:
            return
        except Exception as unexpected:  # noqa: BLE001 - as above: no traceback, and no content
            event("defect", where=fault_location(unexpected), error=type(unexpected).__name__)
            answer = answers.NOT_CONFIRMED
        await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return answers.ONLY_POST
        request = _request(scope)
        if refusal := self._desk.refusal(request):
            return refusal
        reading = _Reading(_Room(LONGEST_BODY), LONGEST_BODY, scope, receive, time.time_ns)
        asked = await reading.callback()
        return asked if isinstance(asked, Answer) else self._desk.answer(request, asked)


def _refusal_of_request(scope: Scope) -> Answer | None:
    """Return the answer to what is refused whoever it comes from, and whatever its body is."""
    method = scope["method"]
    if method not in _LONGEST_QUERY:
        return answers.WRONG_METHOD
    if len(scope["query_string"]) > _LONGEST_QUERY[method]:
        return answers.TARGET_TOO_LONG
    return None


def _request(scope: Scope) -> Request:
    peer = scope.get("client")
    return Request(scope["headers"], scope["path_params"].get("token"), peer[0] if peer else "")


async def _nowhere(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _send(answers.WRONG_PATH, send)


async def _send(answer: Answer, send: Send) -> None:
    length = (b"content-length", b"%d" % len(answer.body)) if answer.body else _NO_LENGTH
    await send({"type": "http.response.start", "status": answer.status, "headers": (length, *answer.headers)})
    await send({"type": "http.response.body", "body": answer.body} if answer.body else _EMPTY_BODY)


class _Room:
    """How many bytes of bodies may still be in flight in this worker."""

    __slots__ = ("bytes_left",)

    def __init__(self, size_bytes: int) -> None:
        self.bytes_left = size_bytes


class _Reading(msgspec.Struct):
    """Reads the body of one request. `size_bytes` of the room are taken from the first byte until the answer."""

    room: _Room
    limit_bytes: int
    scope: Scope
    receive: Receive
    clock: Callable[[], int]
    size_bytes: int = 0

    async def callback(self) -> RawCallback | Answer:
        """Return the callback, or the answer that refuses its body."""
        headers = dict(self.scope["headers"])
        if refusal := self._refusal(headers):
            return refusal
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body") and len(message["body"]) == self.size_bytes:
            # Nearly always: the whole body, and as long as was told.
            body = message["body"]
        else:
            body = await self._joined(message)
            if isinstance(body, Answer):
                return body
        return _raw_callback(self.scope["method"], self.scope["query_string"], headers, body, self.clock())

    def _refusal(self, headers: Mapping[bytes, bytes]) -> Answer | None:
        """Return the answer to a body that is refused for what is told of it."""
        if (coding := headers.get(b"content-encoding")) and coding.strip(b" \t").lower() != b"identity":
            return answers.COMPRESSED
        # Blanks behind a value are no part of it, and the parser leaves them.
        told = headers.get(b"content-length", b"0").strip(b" \t")
        length = int(told[:20]) if told.isdigit() else -1
        if not 0 <= length <= self.limit_bytes:
            return answers.TOO_LARGE
        return None if self._take(length) else answers.NO_ROOM

    async def _joined(self, message: Message) -> bytes | Answer:
        """Return the body that begins with a message and may go on in others."""
        parts, size_bytes = [], 0
        while True:
            if message["type"] != "http.request":
                raise _Disconnected
            size_bytes += len(message["body"])
            if size_bytes > self.limit_bytes:
                return answers.TOO_LARGE
            if not self._take(size_bytes):
                return answers.NO_ROOM
            parts.append(message["body"])
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    def _take(self, size_bytes: int) -> bool:
        """Take room for so many bytes in all; a body whose length is told takes all of it at once."""
        more = size_bytes - self.size_bytes
        if more > 0:
            if more > self.room.bytes_left:
                return False
            self.room.bytes_left -= more
            self.size_bytes = size_bytes
        return True


def _raw_callback(method: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes, now_ns: int) -> RawCallback:
    traceparent = tracestate = None
    if (given := headers.get(b"traceparent")) and _TRACEPARENT.fullmatch(given):
        traceparent = given.decode("ascii")
        if (given := headers.get(b"tracestate")) and _TRACESTATE.fullmatch(given):
            tracestate = given.decode("ascii")
    content_type = headers.get(b"content-type", b"").decode("latin-1")[:_LONGEST_CONTENT_TYPE]
    return RawCallback(method, query.decode("latin-1"), content_type, bytes(body), now_ns // 1_000_000, traceparent, tracestate)


def create_app(
    http: Http,
    flow: Callable[[], Flow | None],
    metrics: Metrics,
    desk: TokenIssuer | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> ASGIApp:
    """Return the data port's application: the callback path with and without token and trailing slash, and nothing else.

    With a `desk`, tokens are given at its path.
    """
    endpoint = CallbackEndpoint(http, flow, metrics, clock)
    paths = (http.path, f"{http.path}/", f"{http.path}/{{token}}", f"{http.path}/{{token}}/")
    # Starlette's router alone: its application adds two layers that answer errors, and the endpoint lets none out.
    # A redirect would carry the URL's token. What is nowhere closes the connection, as a stranger's: 401 does it, too.
    routes = [Route(path, endpoint) for path in paths]
    if desk:
        routes.append(Route(desk.path, TokenEndpoint(desk)))
    router = Router(routes, redirect_slashes=False, default=_nowhere)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Nearly every request: the router would search its routes by regular expressions and find this one.
        if scope.get("path") == http.path:
            scope["path_params"] = {}
            return endpoint(scope, receive, send)
        return router(scope, receive, send)

    return app


def create_management_app(state: Callable[[], Mapping[str, Any]], metrics: Metrics | None) -> Starlette:
    """Return the management port's application.

    `state` returns `{"ready": bool, "reasons": {...}, ...}`; `metrics` is None in a supervisor, which adds its workers up.
    """

    def healthz(_request: HttpRequest) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: HttpRequest) -> Response:
        current = state()
        return JSONResponse(dict(current), status_code=200 if current["ready"] else 503)

    async def show_metrics(_request: HttpRequest) -> Response:
        # A process's own are told on the event loop, where they are counted; files of workers are read in a thread.
        told = metrics_of.exposition(metrics) if metrics else await asyncio.to_thread(metrics_of.exposition, None)
        return Response(told, media_type=metrics_of.CONTENT_TYPE)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)])
