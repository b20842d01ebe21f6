"""A worker process as its supervisor sees it: started, listened to, told to take callbacks, ended.

It is given the settings on its stdin, so that secrets stand in no file and all workers have the same, whatever has become of
the settings file meanwhile.
"""

import asyncio
import json
import pickle
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from connector.logs import event
from connector.settings.tables import Settings

_LOOK_SECONDS: Final = 0.05


class Child:
    """One worker process and what it last said of itself (`state`). Make it by `start`, and `end` it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.state: dict[str, Any] = {"ready": False, "reasons": {"starting": "the worker starts"}}
        self.ended = asyncio.Event()
        self.started_at = asyncio.get_running_loop().time()
        self._writer = writer
        self._watching = asyncio.gather(self._wait(), self._listen(reader))

    @classmethod
    async def start(cls, settings: Settings, listening: socket.socket, own_folder: Path, worker: str) -> Self:
        """Start a worker, the module of that name, on a listening socket.

        It takes callbacks when it is ready, or told to by `let_in`.
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
            pass_fds=(listening.fileno(), theirs.fileno()),
            # Ctrl-C in a terminal reaches the whole group; the supervisor tells its workers itself.
            start_new_session=True,
        )
        theirs.close()
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(settings))
        process.stdin.close()
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def is_ready(self) -> bool:
        """Whether it takes callbacks and carries them."""
        return bool(self.state["ready"]) and not self.ended.is_set()

    @property
    def lived_seconds(self) -> float:
        """How long ago it was started."""
        return asyncio.get_running_loop().time() - self.started_at

    def let_in(self) -> None:
        """Let it take callbacks, ready or not: unready it answers 503."""
        if not self.ended.is_set():
            self._writer.write(b"let in\n")

    async def is_ready_within(self, seconds: float, giving_up: asyncio.Event) -> bool:
        """Wait until it is ready; return False when it ends, or is late, or when nobody waits any more."""
        # Polled, since it also looks at the clock.
        while not (self.is_ready or self.ended.is_set() or giving_up.is_set() or self.lived_seconds > seconds):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        return self.is_ready and not giving_up.is_set()

    async def end(self, limit_seconds: float) -> int:
        """End it by SIGTERM, and by SIGKILL when that takes longer than the limit; return its exit code."""
        if not self.ended.is_set():
            self.process.terminate()
            try:
                await asyncio.wait_for(self.ended.wait(), limit_seconds)
            except TimeoutError:
                event("worker_killed", pid=self.process.pid, after_seconds=limit_seconds)
                self.process.kill()
        await self._watching
        assert self.process.returncode is not None
        return self.process.returncode

    async def _wait(self) -> None:
        await self.process.wait()
        self.ended.set()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        # One that was killed may leave unread what we said to it.
        with suppress(ConnectionError):
            async for line in reader:
                self.state = json.loads(line)
        self._writer.close()
