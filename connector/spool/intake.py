"""The way into the spool, for one worker: a callback is kept when its row is on disk, many rows in one commit."""

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any, Final

from connector.errors import NoRoom
from connector.logs import RateLimitedEvent
from connector.metrics import Metrics
from connector.records import RawCallback
from connector.seals import Seals
from connector.settings.tables import Spool
from connector.spool.connection import Opened, name_of
from connector.spool.file import Totals
from connector.spool.row import Row, row_of
from connector.spool.shared_flags import NO_ROOM, ROOM, TOO_OLD

_LONGEST_HOLD_SECONDS: Final = 5.0
_HOLD_SECONDS: Final = 0.002
_MOST_ROWS: Final = 500
_REFUSALS: Final = {
    ROOM: "",
    TOO_OLD: "callbacks wait for longer than spool.max_age_seconds",
    NO_ROOM: "it has no room (spool.max_bytes), or its disk fails",
}


class DiskSpool:
    """A worker's spool; see `connector.pipeline.ports.Spool`. Made on the event loop, after `prepare` in the supervisor."""

    def __init__(self, settings: Spool, seals: Seals | None, metrics: Metrics) -> None:
        self._seals = seals
        self._max_age_ms = settings.max_age_seconds * 1000
        self._opened = Opened(settings)
        self._file, self._shared = self._opened.file, self._opened.shared
        self._rows: list[tuple[Row, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._totals = Totals(0, 0, None)
        self._oldest_seconds = 0.0
        self._spooled = metrics.tally(metrics.spooled_callbacks)
        self._metrics = metrics
        self._failed = RateLimitedEvent("spool_failed", "error")

    @property
    def is_waiting(self) -> bool:
        """Whether any callback of the instance waits."""
        return self._shared.is_waiting

    async def is_ahead(self) -> bool:
        """Return whether a new callback must queue; while the last ones are delivered, wait for that."""
        now = asyncio.get_running_loop().time
        deadline = now() + _LONGEST_HOLD_SECONDS
        while self._shared.is_held and now() < deadline:  # noqa: ASYNC110 - told by another process
            await asyncio.sleep(_HOLD_SECONDS)
        return self._shared.is_waiting

    async def store(self, raw: RawCallback, credential: str) -> None:
        """Return once the callback is on disk.

        Raises:
            NoRoom: when it is not, for lack of room or because the disk fails.
        """
        if self._shared.refusal:
            raise NoRoom(_REFUSALS[self._shared.refusal])
        kept = asyncio.get_running_loop().create_future()
        self._rows.append((row_of(raw, credential, self._seals), kept))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await kept

    def state(self) -> dict[str, Any]:
        """Return what waits, as `/readyz` shows it."""
        return {
            "waiting_callbacks": self._totals.callbacks,
            "waiting_bytes": self._totals.bytes,
            "oldest_seconds": round(self._oldest_seconds, 1),
        }

    @property
    def refusal(self) -> str:
        """Why no callback is kept, in words; empty when they are."""
        return _REFUSALS[self._shared.refusal]

    async def was_proven(self, what: str) -> bool:
        """Return whether this spool has served an instance that proved the same: topics, schemas and servers."""
        try:
            return await self._opened.run(self._file.was_proven, what)
        except sqlite3.Error:
            return False

    async def prove(self, what: str) -> None:
        """Remember what is proven; a disk that fails shows at the first callback that is kept."""
        with suppress(sqlite3.Error):
            await self._opened.run(self._file.prove, what)

    async def look(self, now_ms: int) -> None:
        """Bring the state up to date, once a second: how much waits, for how long, and whether there is room again."""
        totals = Totals(0, 0, None)
        if self._shared.is_waiting or self._shared.refusal:
            try:
                totals = await self._opened.run(self._file.totals)
                if self._shared.refusal == NO_ROOM:
                    await self._opened.run(self._file.try_room)
            except (sqlite3.Error, OSError) as error:
                self._failed.event(error=name_of(error))
        self._totals = totals
        # A clock that was set back makes nothing younger than now.
        self._oldest_seconds = max(0, now_ms - totals.oldest_ms) / 1000 if totals.oldest_ms is not None else 0.0
        is_old = totals.oldest_ms is not None and now_ms - totals.oldest_ms > self._max_age_ms
        if is_old and self._shared.refusal == ROOM:
            self._shared.refusal = TOO_OLD
        elif self._shared.refusal == TOO_OLD and not is_old:
            self._shared.refusal = ROOM
        self._metrics.spool_waiting_callbacks.set(totals.callbacks)
        self._metrics.spool_waiting_bytes.set(totals.bytes)
        self._metrics.spool_oldest_seconds.set(self._oldest_seconds)
        self._metrics.spool_unavailable.set(bool(self._shared.refusal))

    async def close(self) -> None:
        """Write what is under way, and let go of the file."""
        if self._committing:
            await self._committing
        self._opened.close()

    async def _commit(self) -> None:
        """Write rows until none is left: while one commit is under way, the next gathers."""
        while self._rows:
            batch, self._rows = self._rows[:_MOST_ROWS], self._rows[_MOST_ROWS:]
            error: NoRoom | None = None
            try:
                await self._opened.run(self._file.append, [row for row, _ in batch])
            except Exception as failed:  # noqa: BLE001 - whoever waits here gets an answer
                self._shared.refusal = NO_ROOM
                self._failed.event(error=name_of(failed))
                error = NoRoom(_REFUSALS[NO_ROOM])
            else:
                self._spooled.count += len(batch)
            for _, kept in batch:
                # Done already: the sender has hung up.
                if not kept.done():
                    kept.set_exception(error) if error else kept.set_result(None)
        self._committing = None
