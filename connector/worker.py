"""One worker of `connector serve`: takes the data socket from the supervisor and serves it until told to stop.

Tells the supervisor its state, a JSON line each half second, over the control socket; when that closes, the supervisor is
gone and the worker stops too. Exit code 1 when records were left without acknowledgement.
"""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from connector import logs, settings, tls
from connector.app import create_app
from connector.bridge import Bridge
from connector.errors import ConfigurationInvalid
from connector.listener import Listener
from connector.settings import Settings

_STATE_SECONDS = 0.5


class Worker:
    """A bridge behind a listener; `run` returns how many records were left."""

    def __init__(self, loaded: Settings, listening: socket.socket, own_folder: Path | None = None) -> None:
        self._settings = loaded
        self._listening = listening
        self.bridge = Bridge(loaded, own_folder)
        self._listener = Listener(
            create_app(loaded.http, self.bridge.flow, self.bridge.metrics, self.bridge.desk()),
            loaded.http,
            loaded.shutdown.drain_timeout_seconds,
            tls.context(loaded.tls),
        )

    def stop(self) -> None:
        """Take no more callbacks, and let `run` finish what is under way."""
        self.bridge.drain()
        self._listener.should_exit = True

    async def run(self) -> int:
        """Serve until `stop`; return how many records were not acknowledged."""
        self.bridge.start()
        await self._listener.serve(sockets=[self._listening])
        left = await self.bridge.close()
        if left:
            logs.event("records_left", records=left)
        return left


async def work(loaded: Settings, listening: socket.socket, control: socket.socket, own_folder: Path) -> int:
    """Run a worker under a supervisor, which has a folder for it; return its exit code."""
    worker = Worker(loaded, listening, own_folder)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    reader, writer = await asyncio.open_connection(sock=control)
    watching = [
        asyncio.create_task(_stop_when_orphaned(reader, worker)),
        asyncio.create_task(_tell(writer, worker)),
    ]
    left = await worker.run()
    for task in watching:
        task.cancel()
    writer.close()
    return 1 if left else 0


async def _stop_when_orphaned(reader: asyncio.StreamReader, worker: Worker) -> None:
    await reader.read()
    worker.stop()


async def _tell(writer: asyncio.StreamWriter, worker: Worker) -> None:
    last: Any = None
    while True:
        state = worker.bridge.state()
        if state != last:
            writer.write(json.dumps(state).encode() + b"\n")
            last = state
        await asyncio.sleep(_STATE_SECONDS)


def main() -> None:
    """Start from the supervisor's arguments: listening socket, control socket, its folder, settings file (or an empty text)."""
    listening_fd, control_fd, own_folder, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    try:
        loaded = settings.load(Path(file) if file else None)
    except ConfigurationInvalid as invalid:
        sys.exit(f"connector: {invalid}")
    logs.configure(loaded.logs)
    sockets = socket.socket(fileno=listening_fd), socket.socket(fileno=control_fd)
    try:
        sys.exit(uvloop.run(work(loaded, *sockets, own_folder)))
    except ConfigurationInvalid as invalid:
        # What the settings name may have changed since the supervisor looked: a certificate.
        sys.exit(f"connector: {invalid}")


if __name__ == "__main__":
    main()
