"""One worker of `connector serve`: takes the data socket from the supervisor and serves it until told to stop.

It listens when it is ready, or when the supervisor lets it: until then callers wait in the socket's queue, or are served by
another. Tells the supervisor its state, a JSON line each half second, over the control socket; when that closes, the
supervisor is gone and the worker stops too. Exit code 1 when records were left without acknowledgement.
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
from connector.instance.bridge import Bridge
from connector.settings.tables import Settings

_STATE_SECONDS = 0.5
_LOOK_SECONDS = 0.02


class Worker:
    """A bridge behind a listener; `run` returns how many records were left. `clock` is that of the times of receipt."""

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
        self._is_let_in = False
        self._listener = Listener(
            create_app(loaded.http, self.bridge.flow, self.bridge.metrics, self.bridge.desk(), clock),
            loaded.http,
            loaded.shutdown.drain_timeout_seconds,
            tls.context(loaded.tls),
        )

    def let_in(self) -> None:
        """Take callbacks, ready or not."""
        self._is_let_in = True

    def stop(self) -> None:
        """Take no more connections, and let `run` finish what is under way."""
        self.bridge.drain()
        self._listener.should_exit = True

    async def run(self) -> int:
        """Serve until `stop`; return how many records were not acknowledged."""
        self.bridge.start()
        # Polled, since the bridge shows its state to be looked at.
        while not (self._is_let_in or self.bridge.flow() or self._listener.should_exit):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        await self._listener.serve(sockets=[self._listening])
        left = await self.bridge.close()
        if left or self._listener.cut_off:
            logs.event("records_left", records=left, callbacks_cut_off=self._listener.cut_off)
        return left


async def work(
    loaded: Settings, listening: socket.socket, control: socket.socket, own_folder: Path, clock: Callable[[], int]
) -> int:
    """Run a worker under a supervisor, which has a folder for it; return its exit code."""
    worker = Worker(loaded, listening, own_folder, clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    reader, writer = await asyncio.open_connection(sock=control)
    watching = [
        asyncio.create_task(_obey(reader, worker)),
        asyncio.create_task(_tell(writer, worker)),
    ]
    left = await worker.run()
    for task in watching:
        task.cancel()
    writer.close()
    return 1 if left else 0


async def _obey(reader: asyncio.StreamReader, worker: Worker) -> None:
    """Do what the supervisor says, which is one thing; stop when it is gone."""
    with suppress(ConnectionError):
        async for _ in reader:
            worker.let_in()
    worker.stop()


async def _tell(writer: asyncio.StreamWriter, worker: Worker) -> None:
    last: Any = None
    while True:
        state = worker.bridge.state()
        if state != last:
            writer.write(json.dumps(state).encode() + b"\n")
            last = state
        await asyncio.sleep(_STATE_SECONDS)


def main(clock: Callable[[], int] = time.time_ns) -> None:
    """Start from the supervisor's arguments: listening socket, control socket, its folder; on stdin are the settings."""
    listening_fd, control_fd, own_folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    try:
        loaded = pickle.load(sys.stdin.buffer)  # noqa: S301 - by our own supervisor, which started us with this pipe
    except EOFError:
        sys.exit("connector: started without settings; use `connector serve`")
    assert isinstance(loaded, Settings)
    logs.configure(loaded.logs)
    sockets = socket.socket(fileno=listening_fd), socket.socket(fileno=control_fd)
    try:
        sys.exit(uvloop.run(work(loaded, *sockets, own_folder, clock)))
    except ConfigurationInvalid as invalid:
        # What the settings name may have changed since the supervisor looked: a certificate.
        sys.exit(f"connector: {invalid}")


if __name__ == "__main__":
    main()
