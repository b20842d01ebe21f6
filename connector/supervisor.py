"""`connector serve`: opens the data socket, hands it to its workers, owns the management port, restarts what dies.

The supervisor carries no callback. Metrics are added up over the workers; ready means that at least one worker is.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from connector.app import create_management_app
from connector.listener import PlainServer, bind
from connector.logs import event
from connector.settings import Settings
from connector.spool.prepare import prepare

_RESTART_SECONDS = 1.0
_GRACE_SECONDS = 5.0


@dataclass(slots=True)
class _Child:
    """One worker process and what it last said of itself."""

    process: asyncio.subprocess.Process
    state: dict[str, Any] = field(default_factory=lambda: {"ready": False, "reasons": {"starting": "the worker starts"}})


class Supervisor:
    """Runs `workers` processes on one socket until `stop`."""

    def __init__(self, loaded: Settings, file: Path | None, workers: int) -> None:
        self._settings = loaded
        self._file = file
        self._workers = workers
        self._children: dict[int, _Child] = {}
        self._stopping = asyncio.Event()
        self._failed = False
        self._data = bind(loaded.http.host, loaded.http.port, "http.port", "http.host")
        self._management = bind(loaded.management.host, loaded.management.port, "management.port", "management.host")
        # For its workers, and gone with it: their metrics, and unless a setting names a folder, their schema ids.
        self._own_folder = Path(tempfile.mkdtemp(prefix="connector-"))
        self._metrics_folder = self._own_folder / "metrics"
        self._metrics_folder.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._metrics_folder)
        if loaded.spool.folder:
            # Ours until this process ends: other instances have folders of their own.
            self._spool = prepare(loaded.spool)

    def state(self) -> dict[str, Any]:
        """Return readiness over all workers, as `/readyz` shows it."""
        states = [child.state for child in self._children.values()]
        ready = any(state["ready"] for state in states) and not self._stopping.is_set()
        reasons = {name: text for state in states for name, text in state["reasons"].items()}
        if self._stopping.is_set():
            reasons = {"draining": "the bridge is stopping"}
        return {"ready": ready, "reasons": reasons, "workers": states}

    async def run(self) -> int:
        """Serve until a signal; return the exit code: 1 if a worker left records behind."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        server = PlainServer(create_management_app(self.state, None))
        managing = asyncio.create_task(server.serve(sockets=[self._management]))
        event(
            "listening",
            "info",
            callbacks="{}:{}".format(*self._data.getsockname()[:2]),
            management="{}:{}".format(*self._management.getsockname()[:2]),
            workers=self._workers,
        )
        try:
            await asyncio.gather(*(self._keep(number) for number in range(self._workers)))
        finally:
            self._data.close()
            server.should_exit = True
            await managing
            shutil.rmtree(self._own_folder, ignore_errors=True)
        return 1 if self._failed else 0

    async def _keep(self, number: int) -> None:
        """Keep one worker running; start it anew when it dies."""
        while not self._stopping.is_set():
            code = await self._run_worker(number)
            if self._stopping.is_set():
                # Ended by the signal itself: it had not begun, so nothing was under way.
                self._failed = self._failed or code not in (0, -signal.SIGTERM)
                return
            event("worker_died", worker=number, exit_code=code)
            try:
                await asyncio.wait_for(self._stopping.wait(), _RESTART_SECONDS)
            except TimeoutError:
                continue

    async def _run_worker(self, number: int) -> int:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "connector.worker",
            str(self._data.fileno()),
            str(theirs.fileno()),
            str(self._own_folder),
            str(self._file or ""),
            pass_fds=(self._data.fileno(), theirs.fileno()),
            # Ctrl-C in a terminal reaches the whole group; the supervisor tells its workers itself.
            start_new_session=True,
        )
        theirs.close()
        child = self._children[number] = _Child(process)
        reader, writer = await asyncio.open_connection(sock=ours)
        listening = asyncio.create_task(_listen(reader, child))
        stopping = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(process.wait())
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await self._wait_or_kill(process, ended)
        code = await ended
        for task in (listening, stopping):
            task.cancel()
        writer.close()
        multiprocess.mark_process_dead(process.pid, str(self._metrics_folder))  # type: ignore[no-untyped-call]
        self._children.pop(number)
        return code

    async def _wait_or_kill(self, process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
        # Callbacks under way, then the last flush: each may take the drain time.
        limit_seconds = 2 * self._settings.shutdown.drain_timeout_seconds + _GRACE_SECONDS
        await asyncio.wait((ended,), timeout=limit_seconds)
        if not ended.done():
            event("worker_killed", pid=process.pid)
            process.kill()


async def _listen(reader: asyncio.StreamReader, child: _Child) -> None:
    async for line in reader:
        child.state = json.loads(line)
