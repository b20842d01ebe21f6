"""Serves an ASGI application on listening sockets: accepts connections, enforces their deadlines, and drains at the end.

In go sockets from `bind`, in which clients can wait before the server accepts them. Signals are left to the process.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import ASGIApp

from connector.errors import ConfigurationInvalid
from connector.http.protocol import HttpProtocol, ListenerState
from connector.http.refusals import Refuse, count_nothing
from connector.http.tls import count_failed_handshakes
from connector.settings.tables import Http

LINGER_SECONDS: Final = 1.0
"""How long an open connection can send one more request while draining: its client may be sending it already."""

_BACKLOG: Final = 2048
_TICK_SECONDS: Final = 0.1
_TICKS_PER_SWEEP: Final = 10
_DRAIN_POLL_SECONDS: Final = 0.02


class Listener:
    """An HTTP server. `serve` returns after `should_exit` is set; with `tls` it accepts nothing but TLS.

    `started` is True once it listens; `cut_off` counts the requests that were not answered within the time to drain.
    """

    def __init__(
        self,
        app: ASGIApp,
        http: Http,
        drain_timeout_seconds: float,
        tls: ssl.SSLContext | None = None,
        linger_seconds: float = LINGER_SECONDS,
        refuse: Refuse = count_nothing,
    ) -> None:
        self.state = ListenerState(app, http, "https" if tls else "http", refuse)
        self.should_exit = False
        self.started = False
        self.cut_off = 0
        self._tls = tls
        if tls:
            count_failed_handshakes(tls, refuse)
        # No sweep sees a connection before its handshake has ended.
        self._handshake_seconds = http.header_timeout_seconds if tls else None
        self._drain_timeout_seconds = drain_timeout_seconds
        self._linger_seconds = linger_seconds

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on the sockets until `should_exit`, close them, then drain."""
        servers = [await self._listen(listening) for listening in sockets]
        self.started = True
        await self._sweep_until_exit()
        for server in servers:
            server.close()
        for listening in sockets:
            listening.close()
        await self._drain()

    async def _listen(self, listening: socket.socket) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: HttpProtocol(self.state),
            sock=listening,
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=self._handshake_seconds,
            ssl_shutdown_timeout=self._handshake_seconds,
        )

    async def _sweep_until_exit(self) -> None:
        """Enforce the deadlines of all connections once a second."""
        now = asyncio.get_running_loop().time
        ticks = 0
        # Polled, since it is also set from other threads.
        while not self.should_exit:
            ticks += 1
            if ticks % _TICKS_PER_SWEEP == 0:
                self._sweep(now())
            await asyncio.sleep(_TICK_SECONDS)

    def _sweep(self, now: float) -> None:
        for connection in list(self.state.connections):
            connection.enforce_deadlines(now)

    async def _drain(self) -> None:
        """Let each connection send one more request, close it, and cancel what takes longer than the time to drain."""
        state = self.state
        state.is_draining = True
        await _wait_until(lambda: not state.connections, self._linger_seconds)
        for connection in list(state.connections):
            connection.close_after_answers()
        await _wait_until(lambda: not (state.connections or state.tasks), self._drain_timeout_seconds)
        self.cut_off = len(state.tasks)
        for task in state.tasks:
            task.cancel()


class PlainServer(Listener):
    """A listener for the management port and the embedded registry: the same bounds, no TLS, a short drain."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, Http(max_connections=100), drain_timeout_seconds=1, linger_seconds=0)


async def _wait_until(condition: Callable[[], bool], timeout_seconds: float) -> None:
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_seconds
    while not condition() and now() < deadline:  # noqa: ASYNC110 - connections report nothing when they close
        await asyncio.sleep(_DRAIN_POLL_SECONDS)


def bind(host: str, port: int, port_setting: str = "the port", host_setting: str = "the host") -> socket.socket:
    """Bind a listening socket; port 0 takes a free one. An error names the last two as the settings to change.

    Raises:
        ConfigurationInvalid: if the address is not available, in one line.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        listening.close()
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES):
            advice = f"choose another port by {port_setting}"
        else:
            advice = f"set {host_setting} to an address of this machine, such as 0.0.0.0 or 127.0.0.1"
        raise ConfigurationInvalid([f"{host}:{port} cannot be listened on: {reason}; {advice}"]) from None
    listening.settimeout(0)
    return listening
