"""The registry of `connector dev` in a thread of the test, with a mood: what it answers in place of itself.

In goes a function from a request to an answer, or to None where the registry itself may answer.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.dev.embedded.registry import create_registry

Mood = Callable[[Request], Response | None]
HANG = Response()
"""The answer that does not come."""


class Moody:
    """A registry at `url`; `mood` may be changed at any time, `seen` are method and path of what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mood: Mood = lambda _: None
        self.seen: list[tuple[str, str]] = []
        self.released = threading.Event()
        self._registry: ASGIApp = create_registry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.seen.append((request.method, request.url.path))
        answer = self.mood(request)
        if answer is HANG:
            # Nothing else is asked of it meanwhile.
            self.released.wait(20)
            return
        app: ASGIApp = answer or self._registry
        await app(scope, receive, send)


def error(status: int, code: int, message: str = "told by the registry") -> Response:
    """Return an answer as registries give it."""
    return JSONResponse({"error_code": code, "message": message}, status)


@contextmanager
def moody_registry(certificate: tuple[Path, Path] | None = None) -> Iterator[Moody]:
    """Run a registry, with TLS where a certificate and its key are given."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        scheme = "https" if certificate else "http"
        moody = Moody(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}")
        file, key = certificate or (None, None)
        config = uvicorn.Config(
            moody,
            # Logging belongs to the tests.
            log_config=None,
            interface="asgi3",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=file,
            ssl_keyfile=key,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield moody
        finally:
            moody.released.set()
            server.should_exit = True
            thread.join(10)
        assert not thread.is_alive()
