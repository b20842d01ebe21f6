"""The registry of `connector dev` in a thread of the test, with scripted answers.

In goes a function from a request to an answer, or to None where the registry itself answers.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.dev.embedded.registry import create_registry
from connector.http.listener import Listener
from connector.settings.tables import Http
from tests.support.threaded_listener import serving

Script = Callable[[Request], Response | None]
HANG = Response()
"""The answer that does not come."""


class ScriptedRegistry:
    """A registry at `url`; `script` can be changed at any time, `seen` are method and path of what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: Script = lambda _: None
        self.seen: list[tuple[str, str]] = []
        self.released = threading.Event()
        self._registry: ASGIApp = create_registry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.seen.append((request.method, request.url.path))
        answer = self.script(request)
        if answer is HANG:
            # Nothing else is asked of it meanwhile.
            self.released.wait(20)
            return
        app: ASGIApp = answer or self._registry
        await app(scope, receive, send)


def error(status: int, code: int, message: str = "from the registry") -> Response:
    """Return an answer as registries give it."""
    return JSONResponse({"error_code": code, "message": message}, status)


@contextmanager
def scripted_registry(certificate: tuple[Path, Path] | None = None) -> Iterator[ScriptedRegistry]:
    """Run a registry, with TLS where a certificate and its key are given."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        scheme = "https" if certificate else "http"
        registry = ScriptedRegistry(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}")
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
        listener = Listener(registry, Http(), drain_timeout_seconds=1, tls=tls, linger_seconds=0)
        with serving(listener, listening):
            try:
                yield registry
            finally:
                registry.released.set()
