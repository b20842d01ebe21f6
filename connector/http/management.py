"""The management port: is the process alive, is it ready, and its metrics."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connector.metrics import CONTENT_TYPE, Metrics, exposition


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
        # A process's own metrics are flushed on the event loop, where they are counted; files of workers are read in a thread.
        text = exposition(metrics) if metrics else await asyncio.to_thread(exposition, None)
        return Response(text, media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)])
