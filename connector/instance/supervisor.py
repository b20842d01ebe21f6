"""`connector serve`: opens the data socket, hands it to its workers, owns the management port, restarts what dies.

The supervisor carries no callback. Metrics are added up over the workers; ready means that at least one worker is. SIGTERM
ends it in order; SIGHUP reads the settings anew and replaces the workers one by one.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from connector import logs, metrics
from connector.errors import ConfigurationInvalid
from connector.http.listener import LINGER_SECONDS, PlainServer, bind
from connector.http.management import create_management_app
from connector.instance.backoff import Backoff
from connector.instance.preflight import load_startable
from connector.instance.worker_process import Child
from connector.logs import event
from connector.settings.tables import Settings, Shutdown
from connector.spool.recovery import prepare

_GRACE_SECONDS: Final = 5.0
_REPLACE_SECONDS: Final = 30.0
"""A new worker that is not ready by then does not replace the old one."""
_PATIENCE_SECONDS: Final = 5.0
"""So long a worker that was started anew keeps callers waiting while none is ready; then they are answered 503."""
_LOOK_SECONDS: Final = 0.5
_FIXED: Final = ("http.host", "http.port", "management.host", "management.port", "spool.folder")
"""What a running instance has taken hold of, and keeps until it is stopped."""


def longest_stop_seconds(shutdown: Shutdown) -> float:
    """Return how long an instance may take from SIGTERM to its end: what a container must be given."""
    return shutdown.delay_seconds + _longest_end_seconds(shutdown) + _GRACE_SECONDS


def _longest_end_seconds(shutdown: Shutdown) -> float:
    # Callbacks under way, then the last flush: each may take the drain time.
    return LINGER_SECONDS + 2 * shutdown.drain_timeout_seconds + _GRACE_SECONDS


class Supervisor:
    """Runs so many processes on one socket until it is told to stop; `worker` is the module that each of them runs."""

    def __init__(self, loaded: Settings, file: Path | None, workers: int, worker: str = "connector.instance.worker") -> None:
        self._settings = loaded
        self._file = file
        self._count = workers
        self._worker = worker
        # Those that carry callbacks, by number. Who joins or leaves stands here not yet, or no more.
        self._workers: dict[int, Child] = {}
        self._changing = asyncio.Lock()
        self._draining = asyncio.Event()
        self._stopping = asyncio.Event()
        self._asked_to_reload = asyncio.Event()
        self._failed = False
        self._had_terminal = sys.stderr.isatty()
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
        states = [child.state for _, child in sorted(self._workers.items())]
        ready = any(state["ready"] for state in states) and not self._draining.is_set()
        reasons = {name: text for state in states for name, text in state["reasons"].items()}
        if self._draining.is_set():
            reasons = {"draining": "the bridge is stopping"}
        return {"ready": ready, "reasons": reasons, "workers": states}

    async def run(self) -> int:
        """Serve until a signal; return the exit code: 1 if a worker left records behind."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        server = PlainServer(create_management_app(self.state, None))
        managing = asyncio.create_task(server.serve(sockets=[self._management]))
        event(
            "listening",
            "info",
            callbacks="{}:{}".format(*self._data.getsockname()[:2]),
            management="{}:{}".format(*self._management.getsockname()[:2]),
            workers=self._count,
        )
        helping = asyncio.create_task(self._let_in_when_none_is_ready())
        keeping = [self._keep(number) for number in range(self._count)]
        try:
            await asyncio.gather(*keeping, self._reload_when_asked(), self._stop_when_asked())
        finally:
            helping.cancel()
            self._data.close()
            server.should_exit = True
            await managing
            shutil.rmtree(self._own_folder, ignore_errors=True)
        return 1 if self._failed else 0

    def _stop(self) -> None:
        """Drain; told a second time, wait no longer."""
        (self._stopping if self._draining.is_set() else self._draining).set()

    def _hang_up(self) -> None:
        if self._had_terminal and not sys.stderr.isatty():
            # Nobody asked for new settings: the terminal was closed.
            self._stop()
        else:
            self._asked_to_reload.set()

    async def _stop_when_asked(self) -> None:
        """After the signal go on for a while, red already, so that a load balancer can turn away."""
        await self._draining.wait()
        delay_seconds = self._settings.shutdown.delay_seconds
        event("draining", "info", delay_seconds=delay_seconds)
        await _first_of(self._stopping, seconds=delay_seconds)
        self._stopping.set()
        # Else the kernel would go on to take connections for us that nobody serves.
        self._data.close()

    async def _keep(self, number: int) -> None:
        """Keep one worker running, whichever process that is; start it anew when it dies."""
        backoff = Backoff()
        is_first = True
        while not self._stopping.is_set():
            async with self._changing:
                if number not in self._workers and not self._stopping.is_set():
                    self._workers[number] = await Child.start(self._settings, self._data, self._own_folder, self._worker)
                    if is_first:
                        self._workers[number].let_in()
            if self._stopping.is_set():
                break
            is_first = False
            child = self._workers[number]
            await _first_of(child.ended, self._stopping)
            # Else it was replaced, and its successor is to be kept.
            if child.ended.is_set() and self._workers.get(number) is child and not self._stopping.is_set():
                del self._workers[number]
                seconds = backoff.after(child.lived_seconds)
                code = await self._end(child)
                event("worker_died", worker=number, exit_code=code, in_a_row=backoff.deaths, restart_in_seconds=seconds)
                await _first_of(self._stopping, seconds=seconds)
        if number in self._workers:
            self._count_safe(await self._end(self._workers[number]))

    async def _end(self, child: Child) -> int:
        """End a worker, if it has not, and keep what it has counted; return its exit code."""
        code = await child.end(_longest_end_seconds(self._settings.shutdown))
        await asyncio.to_thread(metrics.keep_counts_of, child.process.pid, self._metrics_folder)
        return code

    def _count_safe(self, code: int) -> None:
        # Ended by the signal itself: it had not begun, so nothing was under way.
        self._failed = self._failed or code not in (0, -signal.SIGTERM)

    async def _let_in_when_none_is_ready(self) -> None:
        while True:
            if not any(child.is_ready for child in self._workers.values()):
                for child in self._workers.values():
                    if child.lived_seconds > _PATIENCE_SECONDS:
                        child.let_in()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _reload_when_asked(self) -> None:
        while not self._stopping.is_set():
            await _first_of(self._asked_to_reload, self._stopping)
            if not self._draining.is_set() and self._asked_to_reload.is_set():
                self._asked_to_reload.clear()
                await self._reload()
            elif not self._stopping.is_set():
                await self._stopping.wait()

    async def _reload(self) -> None:
        """Read the settings anew, and replace the workers one by one; what is wrong leaves all as it is."""
        try:
            read = await asyncio.to_thread(load_startable, self._file)
        except ConfigurationInvalid as invalid:
            event("settings_refused", problems=list(invalid.problems), see="the workers go on with the settings they have")
            return
        loaded, kept = _with_what_is_fixed(read, self._settings)
        if kept:
            event("settings_need_a_restart", "warning", settings=kept)
        for number in range(self._count):
            if self._stopping.is_set() or not await self._replace(number, loaded):
                return
        logs.configure(loaded.logs)
        event("workers_replaced", "info", workers=self._count)

    async def _replace(self, number: int, loaded: Settings) -> bool:
        """Put a worker with new settings in the place of one, once it is ready; return whether it is there."""
        new = await Child.start(loaded, self._data, self._own_folder, self._worker)
        if not await new.is_ready_within(_REPLACE_SECONDS, self._stopping):
            old = self._workers.get(number)
            # One that carries nothing either is not worth keeping.
            if new.ended.is_set() or self._stopping.is_set() or (old and old.is_ready):
                reasons = new.state["reasons"]
                code = await self._end(new)
                if not self._stopping.is_set():
                    event("worker_not_replaced", worker=number, exit_code=code, reasons=reasons, see="the old one goes on")
                return False
            new.let_in()
        async with self._changing:
            if self._stopping.is_set():
                await self._end(new)
                return False
            # It may have died meanwhile, and another may have taken its place.
            old = self._workers.get(number)
            self._workers[number] = new
            self._settings = loaded
        if old:
            self._count_safe(await self._end(old))
        return True


def _with_what_is_fixed(read: Settings, present: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with what an instance keeps until it is stopped, and the names of those that were to change."""
    kept = []
    for name in _FIXED:
        table, _, field = name.partition(".")
        value = getattr(getattr(present, table), field)
        if getattr(getattr(read, table), field) != value:
            kept.append(name)
            read = read.model_copy(update={table: getattr(read, table).model_copy(update={field: value})})
    return read, kept


async def _first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait for the first of some events, or for so many seconds."""
    waiting = [asyncio.create_task(one.wait()) for one in events]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
