"""`connector serve`: opens the data socket, passes it to its workers, serves the management port, restarts crashed workers.

The supervisor carries no callback. Its metrics are the sums over the workers; it is ready if at least one worker is. SIGTERM
drains and stops it; SIGHUP reads the settings again and replaces the workers one by one.
"""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connector import logs, metrics
from connector.errors import ConfigurationInvalid
from connector.http.listener import LINGER_SECONDS, PlainServer, bind
from connector.http.management import create_management_app
from connector.instance.backoff import Backoff
from connector.instance.preflight import load_and_check
from connector.instance.readiness import DRAINING, STARTING, Readiness, instance_state
from connector.instance.spool import take_spool
from connector.instance.worker_process import WorkerProcess
from connector.logs import event
from connector.settings.tables import Settings, Shutdown
from connector.spool.lock import SpoolLock
from connector.temporary import make_own_folder

if TYPE_CHECKING:
    import socket

_GRACE_SECONDS: Final = 5.0
_REPLACE_SECONDS: Final = 30.0
"""A new worker that is not ready by then does not replace the old one."""
_PATIENCE_SECONDS: Final = 10.0
"""How long connections wait for a restarted worker while no worker is ready; then it answers 503. A busy machine needs more
than 5 s for a start, and a callback can take as long anyway, while Kafka does not answer."""
_FIXED: Final = ("http.host", "http.port", "management.host", "management.port", "spool.folder")
"""Settings that an instance keeps until it stops: it has opened what they name."""


def longest_stop_seconds(shutdown: Shutdown) -> float:
    """Return how long an instance takes from SIGTERM to its end, at most: the grace period of its container."""
    return shutdown.delay_seconds + _longest_end_seconds(shutdown) + _GRACE_SECONDS


def _longest_end_seconds(shutdown: Shutdown) -> float:
    # Callbacks under way, then the last flush: each takes the drain time at most.
    return LINGER_SECONDS + 2 * shutdown.drain_timeout_seconds + _GRACE_SECONDS


class Supervisor:
    """Runs `workers` processes on one socket until a signal stops it; `worker` is the module that each of them runs."""

    def __init__(self, loaded: Settings, file: Path | None, workers: int, worker: str = "connector.instance.worker") -> None:
        self._settings = loaded
        self._file = file
        self._count = workers
        self._worker = worker
        # Those that carry callbacks, by number; one that is about to join, or has left, is not listed.
        self._workers: dict[int, WorkerProcess] = {}
        self._changing = asyncio.Lock()
        self._readiness = Readiness({"starting": STARTING})
        # Notified for everything that this process waits for: signals, and reports and ends of workers.
        self._changes = self._readiness.changes
        self._is_draining = False
        self._is_stopping = False
        self._is_reload_requested = False
        self._failed = False
        self._had_terminal = sys.stderr.isatty()
        self._management = bind(loaded.management.host, loaded.management.port, "management.port", "management.host")
        # Bound once the spool is ours: until then callers are refused, instead of waiting for an answer.
        self._data: socket.socket | None = None
        self._spool_lock = SpoolLock(Path(loaded.spool.folder)) if loaded.spool.folder else None
        # Deleted at the end: the metrics of the workers and, unless a setting names a folder, their cached schema ids.
        self._own_folder = make_own_folder(loaded.registry.cache_folder)
        self._metrics_folder = self._own_folder / "metrics"
        self._metrics_folder.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._metrics_folder)

    def state(self) -> dict[str, Any]:
        """Return readiness over all workers, as `/readyz` shows it."""
        return instance_state(self._readiness, [worker.state for _, worker in sorted(self._workers.items())])

    async def run(self) -> int:
        """Serve until a signal; return the exit code: 1 if a worker left records unacknowledged."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_sigterm)
        loop.add_signal_handler(signal.SIGHUP, self._on_sighup)
        server = PlainServer(create_management_app(self.state, None))
        managing = asyncio.create_task(server.serve(sockets=[self._management]))
        try:
            if self._spool_lock:
                await take_spool(self._settings.spool, self._spool_lock, self._readiness, lambda: self._is_draining)
            if not self._is_draining:
                await self._serve()
        finally:
            server.should_exit = True
            await managing
            shutil.rmtree(self._own_folder, ignore_errors=True)
        return 1 if self._failed else 0

    async def _serve(self) -> None:
        """Open the data socket, and run the workers until a signal."""
        http = self._settings.http
        self._data = bind(http.host, http.port, "http.port", "http.host")
        self._readiness.update({"starting": ""})
        event(
            "listening",
            "info",
            callbacks="{}:{}".format(*self._data.getsockname()[:2]),
            management="{}:{}".format(*self._management.getsockname()[:2]),
            workers=self._count,
        )
        opening = asyncio.create_task(self._open_while_none_is_ready())
        supervising = [self._supervise(number) for number in range(self._count)]
        try:
            await asyncio.gather(*supervising, self._reload_on_request(), self._stop_after_drain())
        finally:
            opening.cancel()
            self._data.close()

    def _on_sigterm(self) -> None:
        """Drain; at the second signal stop without further delay."""
        if self._is_draining:
            self._is_stopping = True
        self._is_draining = True
        self._readiness.update({"draining": DRAINING})
        for worker in self._workers.values():
            worker.drain()
        self._changes.notify()

    def _on_sighup(self) -> None:
        if self._had_terminal and not sys.stderr.isatty():
            # The terminal was closed; no operator asked for new settings.
            self._on_sigterm()
        else:
            self._is_reload_requested = True
            self._changes.notify()

    async def _stop_after_drain(self) -> None:
        """After the signal serve for some time, no longer ready, so that a load balancer turns away; then stop."""
        await self._changes.until(lambda: self._is_draining)
        delay_seconds = self._settings.shutdown.delay_seconds
        event("draining", "info", delay_seconds=delay_seconds)
        await self._changes.until(lambda: self._is_stopping, delay_seconds)
        self._is_stopping = True
        self._changes.notify()
        # Otherwise the kernel would accept connections for us that no worker serves.
        assert self._data is not None
        self._data.close()

    async def _supervise(self, number: int) -> None:
        """Keep a worker running under a number; restart it with backoff when it crashes, and end it when the instance stops."""
        backoff = Backoff()
        is_first = True
        while not self._is_stopping:
            async with self._changing:
                if number not in self._workers and not self._is_stopping:
                    self._add(number, await self._start_worker(self._settings))
                    if is_first:
                        self._workers[number].open_to_traffic()
            worker = self._workers.get(number)
            if worker is None:
                break
            is_first = False
            await self._ended_or_stopping(worker)
            # A worker that was replaced is no longer ours; the loop goes on with its successor.
            if worker.has_ended and self._workers.get(number) is worker and not self._is_stopping:
                del self._workers[number]
                seconds = backoff.after(worker.lived_seconds)
                code = await self._end(worker)
                event("worker_died", worker=number, exit_code=code, in_a_row=backoff.deaths, restart_in_seconds=seconds)
                await self._changes.until(lambda: self._is_stopping, seconds)
        if number in self._workers:
            self._note_exit_code(await self._end(self._workers[number]))

    async def _ended_or_stopping(self, worker: WorkerProcess) -> None:
        await self._changes.until(lambda: worker.has_ended or self._is_stopping)

    async def _start_worker(self, settings: Settings) -> WorkerProcess:
        assert self._data is not None
        inherited = [self._spool_lock.number] if self._spool_lock else []
        return await WorkerProcess.start(settings, self._data, self._own_folder, self._worker, self._changes, inherited)

    def _add(self, number: int, worker: WorkerProcess) -> None:
        """Let a worker carry callbacks under a number."""
        self._workers[number] = worker
        if self._is_draining:
            worker.drain()

    async def _end(self, worker: WorkerProcess) -> int:
        """End a worker, if it has not ended, and keep its counts; return its exit code."""
        code = await worker.end(_longest_end_seconds(self._settings.shutdown))
        await asyncio.to_thread(metrics.keep_counts, worker.process.pid, self._metrics_folder)
        return code

    def _note_exit_code(self, code: int) -> None:
        # Killed by the signal itself: the worker had not started to serve, so nothing was under way.
        self._failed = self._failed or code not in (0, -signal.SIGTERM)

    async def _open_while_none_is_ready(self) -> None:
        """While no worker is ready, open those to traffic that have been starting for some time: they answer 503."""
        while True:
            next_seconds = None
            if not any(worker.is_ready for worker in self._workers.values()):
                for worker in self._workers.values():
                    if worker.lived_seconds > _PATIENCE_SECONDS and not worker.is_open:
                        worker.open_to_traffic()
                closed = [worker for worker in self._workers.values() if not worker.is_open]
                next_seconds = min((_PATIENCE_SECONDS - worker.lived_seconds for worker in closed), default=None)
            await self._changes.wait(next_seconds)

    async def _reload_on_request(self) -> None:
        while not self._is_stopping:
            await self._changes.until(lambda: self._is_reload_requested or self._is_stopping)
            if self._is_reload_requested and not self._is_draining:
                self._is_reload_requested = False
                await self._reload()
            elif not self._is_stopping:
                await self._changes.until(lambda: self._is_stopping)

    async def _reload(self) -> None:
        """Read the settings again, and replace the workers one by one; an error leaves everything as it is."""
        try:
            read = await asyncio.to_thread(load_and_check, self._file)
        except ConfigurationInvalid as invalid:
            event("settings_refused", problems=list(invalid.problems), see="the workers keep the settings they have")
            return
        loaded, kept = _with_what_is_fixed(read, self._settings)
        if kept:
            event("settings_need_a_restart", "warning", settings=kept)
        for number in range(self._count):
            if self._is_stopping or not await self._replace(number, loaded):
                return
        logs.configure(loaded.logs)
        event("workers_replaced", "info", workers=self._count)

    async def _replace(self, number: int, loaded: Settings) -> bool:
        """Replace a worker by one with new settings, once that is ready; return whether it did."""
        new = await self._start_worker(loaded)
        if not await self._becomes_ready(new):
            old = self._workers.get(number)
            # An old worker that is not ready either is not worth keeping.
            if new.has_ended or self._is_stopping or (old and old.is_ready):
                reasons = new.state["reasons"]
                code = await self._end(new)
                if not self._is_stopping:
                    event("worker_not_replaced", worker=number, exit_code=code, reasons=reasons, see="the old one goes on")
                return False
            new.open_to_traffic()
        async with self._changing:
            if self._is_stopping:
                await self._end(new)
                return False
            # The old one may have crashed since, and been restarted.
            old = self._workers.get(number)
            self._add(number, new)
            self._settings = loaded
        self._changes.notify()
        if old:
            self._note_exit_code(await self._end(old))
        return True

    async def _becomes_ready(self, worker: WorkerProcess) -> bool:
        """Wait until a new worker is ready; return False if it ends, is too late, or the instance stops."""
        await self._changes.until(lambda: worker.is_ready or worker.has_ended or self._is_stopping, _REPLACE_SECONDS)
        return worker.is_ready and not self._is_stopping


def _with_what_is_fixed(read: Settings, present: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with the fixed ones as they are at present, and the names of those that would have changed."""
    kept = []
    for name in _FIXED:
        table, _, field = name.partition(".")
        value = getattr(getattr(present, table), field)
        if getattr(getattr(read, table), field) != value:
            kept.append(name)
            read = read.model_copy(update={table: getattr(read, table).model_copy(update={field: value})})
    return read, kept
