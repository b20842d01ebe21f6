"""Callbacks in, rows on disk out, for one worker: a callback is stored once its row is on disk; one commit has many rows."""

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
from connector.spool.connection import SpoolConnection, name_of
from connector.spool.file import Totals
from connector.spool.row import Row, encode_row
from connector.spool.shared_flags import NO_ROOM, ROOM, TOO_OLD

_MAX_HOLD_SECONDS: Final = 5.0
_HOLD_POLL_SECONDS: Final = 0.002
_MAX_BATCH_ROWS: Final = 500
_REFUSALS: Final = {
    ROOM: "",
    TOO_OLD: "the oldest callback has waited longer than spool.max_age_seconds",
    NO_ROOM: "the spool has no room (spool.max_bytes), or its disk fails",
}


class DiskSpool:
    """A worker's spool; see `connector.pipeline.ports.Spool`. Make it on the event loop, after `recover` in the supervisor."""

    def __init__(self, settings: Spool, seals: Seals | None, metrics: Metrics) -> None:
        self._seals = seals
        self._max_age_ms = settings.max_age_seconds * 1000
        self._connection = SpoolConnection(settings)
        self._file, self._flags = self._connection.file, self._connection.flags
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
        return self._flags.is_waiting

    async def is_ahead(self) -> bool:
        """Return whether a new callback must queue; while the last ones are delivered, wait for that first."""
        now = asyncio.get_running_loop().time
        deadline = now() + _MAX_HOLD_SECONDS
        while self._flags.is_held and now() < deadline:  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(_HOLD_POLL_SECONDS)
        return self._flags.is_waiting

    async def store(self, raw: RawCallback, credential: str) -> None:
        """Return once the callback is on disk.

        Raises:
            NoRoom: when it cannot be stored, because the spool is full or the disk fails.
        """
        if self._flags.refusal:
            raise NoRoom(_REFUSALS[self._flags.refusal])
        stored = asyncio.get_running_loop().create_future()
        self._rows.append((encode_row(raw, credential, self._seals), stored))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await stored

    def state(self) -> dict[str, Any]:
        """Return what waits, as `/readyz` shows it."""
        return {
            "waiting_callbacks": self._totals.callbacks,
            "waiting_bytes": self._totals.bytes,
            "oldest_seconds": round(self._oldest_seconds, 1),
        }

    @property
    def refusal(self) -> str:
        """Why callbacks are refused, in words; empty when they are not."""
        return _REFUSALS[self._flags.refusal]

    async def was_verified(self, digest: str) -> bool:
        """Return whether an instance with this spool has verified the same topics, schemas and servers before."""
        try:
            return await self._connection.run(self._file.was_verified, digest)
        except sqlite3.Error:
            return False

    async def record_verified(self, digest: str) -> None:
        """Record what the start has verified; a failing disk shows at the first callback that is stored."""
        with suppress(sqlite3.Error):
            await self._connection.run(self._file.record_verified, digest)

    async def refresh(self, now_ms: int) -> None:
        """Update the state, once a second: how much waits, for how long, and whether there is room again."""
        totals = Totals(0, 0, None)
        if self._flags.is_waiting or self._flags.refusal:
            try:
                totals = await self._connection.run(self._file.totals)
                if self._flags.refusal == NO_ROOM:
                    await self._connection.run(self._file.probe_room)
            except (sqlite3.Error, OSError) as error:
                self._failed.event(error=name_of(error))
        self._totals = totals
        # If the clock was set back, the age is 0, never negative.
        self._oldest_seconds = max(0, now_ms - totals.oldest_ms) / 1000 if totals.oldest_ms is not None else 0.0
        is_old = totals.oldest_ms is not None and now_ms - totals.oldest_ms > self._max_age_ms
        if is_old and self._flags.refusal == ROOM:
            self._flags.refusal = TOO_OLD
        elif self._flags.refusal == TOO_OLD and not is_old:
            self._flags.refusal = ROOM
        self._metrics.spool_waiting_callbacks.set(totals.callbacks)
        self._metrics.spool_waiting_bytes.set(totals.bytes)
        self._metrics.spool_oldest_seconds.set(self._oldest_seconds)
        self._metrics.spool_unavailable.set(bool(self._flags.refusal))

    async def close(self) -> None:
        """Finish pending writes and close the file."""
        if self._committing:
            await self._committing
        self._connection.close()

    async def _commit(self) -> None:
        """Write rows until none is left: the next batch gathers while a commit runs."""
        while self._rows:
            batch, self._rows = self._rows[:_MAX_BATCH_ROWS], self._rows[_MAX_BATCH_ROWS:]
            error: NoRoom | None = None
            try:
                await self._connection.run(self._file.append, [row for row, _ in batch])
            except Exception as failed:  # noqa: BLE001 - every request that waits here gets an answer
                self._flags.refusal = NO_ROOM
                self._failed.event(error=name_of(failed))
                error = NoRoom(_REFUSALS[NO_ROOM])
            else:
                self._spooled.count += len(batch)
            for _, stored in batch:
                # Already done if the client disconnected.
                if not stored.done():
                    stored.set_exception(error) if error else stored.set_result(None)
        self._committing = None
