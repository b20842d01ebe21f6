"""One worker of `connector serve`: inherits the data socket from the supervisor and serves it until SIGTERM.

It listens when it is ready, or when the supervisor opens it to traffic. Until then connections wait in the socket's queue, or
another worker serves them. It reports its state to the supervisor over the control socket, one JSON line for each change. When
that socket closes, the supervisor is gone and the worker stops too. Exit code 1 if records were left unacknowledged.
"""

import asyncio
import json
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop

from connector import logs
from connector.errors import ConfigurationInvalid
from connector.http import tls
from connector.http.app import create_app
from connector.http.listener import Listener
from connector.http.open_files import needed_files, raise_limit
from connector.http.refusals import Refusals
from connector.instance.bridge import Bridge
from connector.instance.worker_process import DRAIN, OPEN_TO_TRAFFIC
from connector.settings.tables import Settings

_FIGURES_SECONDS = 0.5
"""How often the figures beside readiness are sampled; readiness itself is reported when it changes."""


class Worker:
    """A bridge behind a listener; `run` serves. `clock` gives times of receipt, in nanoseconds."""

    def __init__(
        self,
        loaded: Settings,
        listening: socket.socket,
        own_folder: Path | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = loaded
        self._listening = listening
        self.bridge = Bridge(loaded, own_folder, clock)
        self._is_open = False
        refusals = Refusals(self.bridge.metrics, loaded.authentication.trusted_proxies)
        self._listener = Listener(
            create_app(
                loaded.http,
                self.bridge.flow,
                self.bridge.metrics,
                self.bridge.token_issuer(),
                clock,
                refusals,
                self._is_healthy,
            ),
            loaded.http,
            loaded.shutdown.drain_timeout_seconds,
            tls.context(loaded.tls),
            refuse=refusals.add,
        )

    def open_to_traffic(self) -> None:
        """Take callbacks even before the bridge is ready."""
        self._is_open = True
        self.bridge.readiness.changes.notify()

    def drain(self) -> None:
        """Go on taking callbacks, but let load balancers send them elsewhere."""
        self.bridge.drain()

    def stop(self) -> None:
        """Accept no more connections, and let `run` finish what is under way."""
        self.bridge.drain()
        self._listener.should_exit = True

    async def run(self) -> int:
        """Serve until `stop`; return how many records were not acknowledged."""
        self.bridge.start()
        await self.bridge.readiness.changes.until(
            lambda: self._is_open or self.bridge.flow() or self._listener.should_exit,
        )
        await self._listener.serve(sockets=[self._listening])
        unacknowledged = await self.bridge.close()
        if unacknowledged or self._listener.cut_off:
            logs.event("records_unacknowledged", records=unacknowledged, callbacks_cut_off=self._listener.cut_off)
        return unacknowledged

    def _is_healthy(self) -> bool:
        """Return what load balancers see. A full spool does not count: callbacks are taken as long as Kafka answers."""
        return self.bridge.flow() is not None and not self.bridge.is_draining


async def work(
    loaded: Settings, listening: socket.socket, control: socket.socket, own_folder: Path, clock: Callable[[], int]
) -> int:
    """Run a worker under a supervisor, which provides its folder; return its exit code."""
    worker = Worker(loaded, listening, own_folder, clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    reader, writer = await asyncio.open_connection(sock=control)
    tasks = [
        asyncio.create_task(_read_commands(reader, worker)),
        asyncio.create_task(_report_state(writer, worker.bridge)),
    ]
    unacknowledged = await worker.run()
    for task in tasks:
        task.cancel()
    writer.close()
    return 1 if unacknowledged else 0


async def _read_commands(reader: asyncio.StreamReader, worker: Worker) -> None:
    """Carry out the supervisor's commands; stop when it is gone."""
    with suppress(ConnectionError):
        async for line in reader:
            if line == OPEN_TO_TRAFFIC:
                worker.open_to_traffic()
            elif line == DRAIN:
                worker.drain()
    worker.stop()


async def _report_state(writer: asyncio.StreamWriter, bridge: Bridge) -> None:
    """Send the state when readiness changes, and when a sample of the figures differs from the last."""
    last: Any = None
    while True:
        state = bridge.state()
        if state != last:
            writer.write(json.dumps(state).encode() + b"\n")
            last = state
        await bridge.readiness.changes.wait(_FIGURES_SECONDS)


def main(clock: Callable[[], int] = time.time_ns) -> None:
    """Start with the supervisor's arguments: listening socket, control socket, folder; the settings are on stdin."""
    listening_fd, control_fd, own_folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    try:
        loaded = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own supervisor, which started us with this pipe
    except EOFError:
        sys.exit("connector: started without settings; use `connector serve`")
    assert isinstance(loaded, Settings)
    logs.configure(loaded.logs)
    limit = raise_limit(loaded.http)
    if 0 <= limit < needed_files(loaded.http):
        logs.event("open_files_limit_low", "warning", limit=limit, needed=needed_files(loaded.http))
    sockets = socket.socket(fileno=listening_fd), socket.socket(fileno=control_fd)
    try:
        sys.exit(uvloop.run(work(loaded, *sockets, own_folder, clock)))
    except ConfigurationInvalid as invalid:
        # A file that the settings name may have changed since the supervisor checked it: a certificate.
        sys.exit(f"connector: {invalid}")


if __name__ == "__main__":
    main()
