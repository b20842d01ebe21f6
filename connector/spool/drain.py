"""The way out of the spool: one worker of the instance brings what waits into Kafka, in the order of acceptance.

Its producer gives no record up, so that an outage of any length leaves no gap that a later record of the same key could slip
through. Near the end new callbacks are held for a moment, instead of queueing behind the last ones for ever. When a callback
fails all the same (its topic is missing, the producer failed for good), what is under way is awaited, and all that is not
acknowledged is taken anew.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from connector.errors import NoRoom, NotOpened
from connector.logs import RateLimitedEvent, event, fault_location
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.ports import Sink
from connector.records import Place
from connector.seals import Seals
from connector.settings.tables import Spool
from connector.spool.connection import Opened, name_of
from connector.spool.file import DAMAGED, NOT_OPENED, REFUSED, Aside, Waiting
from connector.spool.row import Kept, kept_of

_remaining_to_json: Final = msgspec.json.Encoder().encode
_remaining_of: Final = msgspec.json.Decoder(frozenset[Place | None]).decode
_ELECTION_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.05
_ROOM_SECONDS: Final = 0.005
_PAUSE_SECONDS: Final = 1.0
_FEW_ROWS: Final = 50
_HOLD_SECONDS: Final = 1.0
_TAKE_OUT_ROWS: Final = 1000
_UNDER_WAY_RECORDS: Final = 10_000
_UNDER_WAY_BYTES: Final = 16 * 1024 * 1024
"""More records than this are not handed over before some are acknowledged; one callback can have as many again."""

DRAINS: Final[dict[str, Any]] = {
    # No record is given up.
    "delivery.timeout.ms": 0,
    # Ours are the bounds, above.
    "queue.buffering.max.messages": 2 * _UNDER_WAY_RECORDS,
    "queue.buffering.max.kbytes": 3 * _UNDER_WAY_BYTES // 1024,
    # The main producer's tell the state.
    "statistics.interval.ms": 0,
}
"""What the properties of its producer have other than those of the producer of callbacks."""


class PatientSink(Sink, Protocol):
    """A sink that gives no record up."""

    def start(self) -> None:
        """Begin."""
        ...

    async def close(self, timeout_seconds: float) -> int:
        """Let go of what is under way."""
        ...

    @property
    def outstanding_records(self) -> int:
        """Records under way."""
        ...

    @property
    def outstanding_bytes(self) -> int:
        """Their size."""
        ...


class Drain:
    """Empties the spool whenever anything waits, in the worker that holds the lock.

    `new_sink` makes a sink that never gives up a record (`DRAINS`), `new_deliverer` delivers into it; `may_deliver` says
    whether anything can be produced now.
    """

    def __init__(
        self,
        settings: Spool,
        seals: Seals | None,
        new_sink: Callable[[], PatientSink],
        new_deliverer: Callable[[PatientSink], Deliverer],
        may_deliver: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._seals = seals
        self._opened = Opened(settings)
        self._file, self._shared = self._opened.file, self._opened.shared
        self._lock = os.open(Path(settings.folder) / "drain.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._new_sink = new_sink
        self._new_deliverer = new_deliverer
        self._may_deliver = may_deliver
        self._way: tuple[PatientSink, Deliverer] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._done: set[int] = set()
        self._aside: dict[int, Aside] = {}
        self._failed = self._is_full = False
        self._delivered_at = self._held_at = float("-inf")
        self._delivered = metrics.tally(metrics.spool_delivered_callbacks)
        self._set_aside = metrics.spool_parked_callbacks
        self._disk_failed = RateLimitedEvent("spool_failed", "error")
        self._not_delivered = RateLimitedEvent("spool_delivery_failed", "error")
        self._not_opened = RateLimitedEvent("spool_undecryptable", "error")

    async def run(self) -> None:
        """Drain until cancelled."""
        while not self._is_elected():  # noqa: ASYNC110 - a lock between processes: nobody calls
            await asyncio.sleep(_ELECTION_SECONDS)
        while True:
            if self._shared.is_waiting:
                try:
                    await self._empty()
                except Exception as error:  # noqa: BLE001 - nobody else can take its place while it lives: it goes on
                    self._disk_failed.event(error=name_of(error), where=fault_location(error))
                    await asyncio.sleep(_PAUSE_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Let go; what is under way stays in the file, and is delivered again."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._leave_kafka()
        with suppress(sqlite3.Error):
            await self._take_out()
            if self._shared.is_held:
                await self._opened.run(self._file.let_go)
        self._opened.close()
        os.close(self._lock)

    def _is_elected(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def _empty(self) -> None:
        """Deliver all that waits."""
        if await self._opened.run(self._file.empty_if_so):
            return
        event("spool_draining", "warning")
        while not await self._deliver_in_order():  # noqa: ASYNC110 - a pause, not a wait for an event
            await asyncio.sleep(_PAUSE_SECONDS)
        event("spool_drained", "warning")
        await self._leave_kafka()

    async def _deliver_in_order(self) -> bool:
        """Deliver until nothing waits; return False when something failed, to begin anew with all that is still there."""
        # Of a run before this one, which the disk ended.
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._failed = False
        after = 0
        while not self._failed:
            if not self._may_deliver():
                break
            if self._way is None:
                sink = self._new_sink()
                sink.start()
                self._way = sink, self._new_deliverer(sink)
            rows = await self._opened.run(self._file.read, after)
            for row in rows:
                if not self._failed:
                    await self._begin(*self._way, row)
                    after = row.id
            await self._hold_near_the_end(len(rows))
            if not rows and self._under_way:
                await asyncio.wait(self._under_way, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            are_all_delivered = not (rows or self._under_way or self._failed)
            await self._take_out(after if are_all_delivered else None)
            if not rows and not self._under_way and await self._opened.run(self._file.empty_if_so):
                return True
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._take_out()
        return False

    async def _begin(self, sink: PatientSink, deliverer: Deliverer, row: Waiting) -> None:
        """Hand one callback over to the producer, when that has room."""
        # What is done with is still there only where a full disk could not let it go.
        is_done = row.id in self._done or row.id in self._aside
        kept = None if is_done else self._kept(row)
        if kept is None:
            return
        while sink.outstanding_records > _UNDER_WAY_RECORDS or sink.outstanding_bytes > _UNDER_WAY_BYTES:  # noqa: ASYNC110 - plain numbers
            await asyncio.sleep(_ROOM_SECONDS)
        task = asyncio.create_task(self._deliver(deliverer, row, kept))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # It runs until it has handed its records over, so that they are in order; and callers get their turn.
        await asyncio.sleep(0)

    def _kept(self, row: Waiting) -> Kept | None:
        """Return the callback of a row, or None for one that has to be set aside."""
        kept = None
        try:
            kept = kept_of(row.content, self._seals) if row.content is not None else None
        except NotOpened as sealed:
            self._aside[row.id] = Aside(NOT_OPENED)
            self._not_opened.event(why=str(sealed), advice="add that key to privacy.seal_keys and start again: it is kept")
        else:
            if kept is None:
                self._aside[row.id] = Aside(DAMAGED)
        return kept

    async def _deliver(self, deliverer: Deliverer, row: Waiting, kept: Kept) -> None:
        try:
            raw = kept.raw()
            messages = deliverer.translator.translate(raw)
            if row.remaining:
                # The other records are in Kafka already, and newer ones may have followed them.
                remaining = _remaining_of(row.remaining)
                messages = [message for message in messages if message.place in remaining]
            outcome = await deliverer.deliver(raw, messages)
        except NoRoom:
            self._failed = True
            return
        except Exception as unexpected:  # noqa: BLE001 - whatever it was, it is not delivered, and taken anew
            self._failed = True
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            return
        if outcome.unconfirmed:
            self._failed = True
            failure = outcome.unconfirmed[0]
            self._not_delivered.event(topic=failure.message.topic, error=failure.error)
        elif outcome.refused:
            self._aside[row.id] = Aside(REFUSED, _remaining_to_json([failure.message.place for failure in outcome.refused]))
        else:
            self._done.add(row.id)
            self._delivered_at = asyncio.get_running_loop().time()

    async def _hold_near_the_end(self, rows: int) -> None:
        """Hold new callbacks while the last ones are delivered, for as long as that goes on well, and not for long."""
        now = asyncio.get_running_loop().time()
        if self._shared.is_held:
            if now > self._held_at + _HOLD_SECONDS:
                await self._opened.run(self._file.let_go)
        elif (
            rows < _FEW_ROWS
            and len(self._under_way) < _FEW_ROWS
            and now - self._delivered_at < _HOLD_SECONDS
            and now > self._held_at + 2 * _HOLD_SECONDS
        ):
            self._held_at = now
            await self._opened.run(self._file.hold)

    async def _take_out(self, last: int | None = None) -> None:
        """Take out of the file what is done with; `last` is the last place when all up to it is done with.

        On a full disk, what cannot be taken out stays noted: it is not delivered again, and taken out at the end at once.
        """
        try:
            done = sorted(self._done)
            if done and last is not None and self._is_full and await self._opened.run(self._file.delete_all, last, len(done)):
                self._is_out(done)
                done = []
            # After an outage on a full disk these are all that waited, and it has no room for one large change.
            for first in range(0, len(done), _TAKE_OUT_ROWS):
                places = done[first : first + _TAKE_OUT_ROWS]
                await self._opened.run(self._file.delete, places)
                self._is_out(places)
            if aside := dict(self._aside):
                await self._opened.run(self._file.set_aside, aside)
                for place in aside:
                    del self._aside[place]
                self._set_aside.inc(len(aside))
                event("spool_callbacks_parked", callbacks=len(aside), why=next(iter(aside.values())).why)
            self._is_full = False
        except sqlite3.Error as error:
            if not _is_full(error):
                raise
            self._is_full = True
            self._disk_failed.event(error=name_of(error))
            await self._opened.run(self._file.release_reserve)
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_out(self, places: Sequence[int]) -> None:
        self._done.difference_update(places)
        self._delivered.count += len(places)

    async def _leave_kafka(self) -> None:
        if self._way:
            await self._way[0].close(0)
            self._way = None


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
