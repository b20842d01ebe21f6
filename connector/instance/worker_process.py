"""A worker process as its supervisor sees it: started, opened to traffic, stopped; its reports read.

It receives the settings on stdin. So no file holds secrets, and all workers have the same settings even if the settings file
has changed since.
"""

import asyncio
import json
import pickle
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from connector.instance.readiness import Changes
from connector.logs import event
from connector.settings.tables import Settings

OPEN_TO_TRAFFIC: Final = b"open_to_traffic\n"
"""A supervisor's command: take callbacks."""
DRAIN: Final = b"drain\n"
"""The other one: the instance stops after its delay, so load balancers are to send callbacks elsewhere."""


class WorkerProcess:
    """One worker process and its last report (`state`). Create it with `start`, `end` it; `changes` signals every change."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        changes: Changes,
    ) -> None:
        self.process = process
        self.state: dict[str, Any] = {"ready": False, "reasons": {"starting": "the worker starts"}}
        self.has_ended = False
        self.is_open = False
        self.started_at = asyncio.get_running_loop().time()
        self._writer = writer
        self._changes = changes
        self._watching = asyncio.gather(self._wait(), self._read_reports(reader))

    @classmethod
    async def start(
        cls,
        settings: Settings,
        listening: socket.socket,
        own_folder: Path,
        worker: str,
        changes: Changes,
        inherited: Sequence[int] = (),
    ) -> Self:
        """Start the module `worker` in a separate process, on a listening socket.

        It takes callbacks when it is ready, or after `open_to_traffic`. It keeps the file descriptors in `inherited` open.
        """
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            worker,
            str(listening.fileno()),
            str(theirs.fileno()),
            str(own_folder),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(listening.fileno(), theirs.fileno(), *inherited),
            # Ctrl-C in a terminal reaches the whole group; the supervisor stops its workers itself.
            start_new_session=True,
        )
        theirs.close()
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(settings))
        process.stdin.close()
        return cls(process, *await asyncio.open_connection(sock=ours), changes)

    @property
    def is_ready(self) -> bool:
        """Whether it takes callbacks and carries them."""
        return bool(self.state["ready"]) and not self.has_ended

    @property
    def lived_seconds(self) -> float:
        """Seconds since its start."""
        return asyncio.get_running_loop().time() - self.started_at

    def open_to_traffic(self) -> None:
        """Make it take callbacks even before it is ready: it answers them 503."""
        self.is_open = True
        if not self.has_ended:
            self._writer.write(OPEN_TO_TRAFFIC)

    def drain(self) -> None:
        """Make it answer load balancers that it is not healthy; it still takes callbacks."""
        if not self.has_ended:
            self._writer.write(DRAIN)

    async def end(self, limit_seconds: float) -> int:
        """Stop it with SIGTERM, and with SIGKILL if that takes longer than the limit; return its exit code."""
        if not self.has_ended:
            self.process.terminate()
            if not await self._changes.until(lambda: self.has_ended, limit_seconds):
                event("worker_killed", pid=self.process.pid, after_seconds=limit_seconds)
                self.process.kill()
        await self._watching
        assert self.process.returncode is not None
        return self.process.returncode

    async def _wait(self) -> None:
        await self.process.wait()
        self.has_ended = True
        self._changes.notify()

    async def _read_reports(self, reader: asyncio.StreamReader) -> None:
        # A killed worker may leave commands unread, which resets the connection.
        with suppress(ConnectionError):
            async for line in reader:
                self.state = json.loads(line)
                self._changes.notify()
        self._writer.close()
