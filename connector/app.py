"""The Starlette applications: the data port that Kaleyra calls, and the management port.

The callback route's endpoint is a raw ASGI object; there is no middleware. A request becomes a `Request` and, once it is
known to be authentic, a `RawCallback`; `Flow` does the rest. Nothing here logs a URL, a header or a body.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from connector import metrics as metrics_of
from connector.logs import event, fault_location
from connector.metrics import Metrics
from connector.pipeline import acknowledge as answers
from connector.pipeline.flow import Flow
from connector.records import Answer, RawCallback, Request
from connector.settings import Http

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
        self._seconds = metrics.acknowledgement_seconds
        self._answered = {kind: metrics.tally(metrics.callbacks.labels(f"{kind}xx")) for kind in (2, 4, 5)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one callback; nothing but an answer of the promise table ever leaves."""
        started = time.perf_counter()
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
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
        self._answered[answer.status // 100].count += 1
        if answer.status in (200, 503):
            self._seconds.observe(time.perf_counter() - started)
        length = (b"content-length", b"%d" % len(answer.body)) if answer.body else _NO_LENGTH
        await send({"type": "http.response.start", "status": answer.status, "headers": [length, *answer.headers]})
        await send({"type": "http.response.body", "body": answer.body} if answer.body else _EMPTY_BODY)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        if method not in ("POST", "GET"):
            return answers.WRONG_METHOD
        if len(scope["query_string"]) > _LONGEST_QUERY[method]:
            return answers.TARGET_TOO_LONG
        flow = self._flow()
        if flow is None or self._in_flight > self._http.max_callbacks_in_flight:
            return answers.NO_ROOM
        headers = scope["headers"]
        request = Request(headers, scope["path_params"].get("token"))

        async def read() -> RawCallback | None:
            known = dict(headers)
            body = await self._body(known.get(b"content-length"), receive)
            return None if body is None else _raw_callback(method, scope["query_string"], known, body, self._clock())

        return await flow.handle(request, read)

    async def _body(self, content_length: bytes | None, receive: Receive) -> bytes | None:
        """Read the body; None as soon as it is over the limit."""
        limit = self._http.max_body_bytes
        # Blanks behind a value are no part of it, and the parser leaves them.
        length = content_length.strip(b" \t") if content_length is not None else b"0"
        if not length.isdigit() or int(length[:20]) > limit:
            return None
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message["body"]
            return body if len(body) <= limit else None
        parts, size_bytes = [], 0
        while True:
            if message["type"] != "http.request":
                raise _Disconnected
            size_bytes += len(message["body"])
            if size_bytes > limit:
                return None
            parts.append(message["body"])
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()


def _raw_callback(method: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes, now_ns: int) -> RawCallback:
    traceparent = headers.get(b"traceparent", b"")
    tracestate = headers.get(b"tracestate", b"")
    is_traced = bool(traceparent) and _TRACEPARENT.fullmatch(traceparent) is not None
    return RawCallback(
        method=method,
        query=query.decode("latin-1"),
        content_type=headers.get(b"content-type", b"").decode("latin-1")[:_LONGEST_CONTENT_TYPE],
        body=bytes(body),
        received_at=now_ns // 1_000_000,
        traceparent=traceparent.decode("ascii") if is_traced else None,
        tracestate=tracestate.decode("ascii") if is_traced and _TRACESTATE.fullmatch(tracestate) else None,
    )


def create_app(
    http: Http, flow: Callable[[], Flow | None], metrics: Metrics, clock: Callable[[], int] = time.time_ns
) -> ASGIApp:
    """Return the data port's application: the callback path with and without token and trailing slash, and nothing else."""
    endpoint = CallbackEndpoint(http, flow, metrics, clock)
    paths = (http.path, f"{http.path}/", f"{http.path}/{{token}}", f"{http.path}/{{token}}/")
    # Starlette's router alone: its application adds two layers that answer errors, and the endpoint lets none out.
    # A redirect would carry the URL's token.
    return Router([Route(path, endpoint) for path in paths], redirect_slashes=False)


def create_management_app(state: Callable[[], Mapping[str, Any]], metrics: Metrics | None) -> Starlette:
    """Return the management port's application.

    `state` returns `{"ready": bool, "reasons": {...}, ...}`; `metrics` is None in a supervisor, which adds its workers up.
    """

    def healthz(_request: HttpRequest) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: HttpRequest) -> Response:
        current = state()
        return JSONResponse(dict(current), status_code=200 if current["ready"] else 503)

    def show_metrics(_request: HttpRequest) -> Response:
        return Response(metrics_of.exposition(metrics), media_type=metrics_of.CONTENT_TYPE)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)])
