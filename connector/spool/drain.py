"""Spooled callbacks in, records on Kafka out: one worker of the instance delivers them in the order of acceptance.

Its producer never gives up a record, so that a later record of the same key cannot overtake one, however long an outage is.
Near the end of the queue new callbacks are held for a moment, or the queue might never become empty. If a delivery fails all
the same (the topic is missing, the producer failed for good), the drain awaits all deliveries in flight, then starts again
with the oldest callback that is not acknowledged.
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
from connector.spool.connection import SpoolConnection, name_of
from connector.spool.file import DAMAGED, REFUSED, UNDECRYPTABLE, Parked, WaitingRow
from connector.spool.row import StoredCallback, decode_content

_remaining_to_json: Final = msgspec.json.Encoder().encode
_remaining_of: Final = msgspec.json.Decoder(frozenset[Place | None]).decode
_ELECTION_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.05
_QUEUE_POLL_SECONDS: Final = 0.005
_RETRY_SECONDS: Final = 1.0
_FEW_ROWS: Final = 50
_HOLD_SECONDS: Final = 1.0
_DELETE_BATCH_ROWS: Final = 1000
_MAX_IN_FLIGHT_RECORDS: Final = 10_000
_MAX_IN_FLIGHT_BYTES: Final = 16 * 1024 * 1024
"""Above this, no callback is started until some records are acknowledged; one callback can exceed it by as much again."""

DRAIN_PROPERTIES: Final[dict[str, Any]] = {
    # Never give up a record.
    "delivery.timeout.ms": 0,
    # The drain has its own bounds, above.
    "queue.buffering.max.messages": 2 * _MAX_IN_FLIGHT_RECORDS,
    "queue.buffering.max.kbytes": 3 * _MAX_IN_FLIGHT_BYTES // 1024,
}
"""Properties of the drain's producer that differ from those of the main producer."""


class PatientSink(Sink, Protocol):
    """A sink that never gives up a record."""

    def start(self) -> None:
        """Start."""
        ...

    async def close(self, timeout_seconds: float) -> int:
        """Drop the records in flight after the timeout."""
        ...

    @property
    def outstanding_records(self) -> int:
        """Records in flight."""
        ...

    @property
    def outstanding_bytes(self) -> int:
        """Their size."""
        ...


class Drain:
    """Delivers whatever waits in the spool, in the worker that holds the lock.

    `new_sink` makes a sink that never gives up a record (`DRAIN_PROPERTIES`), `new_deliverer` delivers into it; `can_deliver`
    returns whether records can be produced now.
    """

    def __init__(
        self,
        settings: Spool,
        seals: Seals | None,
        new_sink: Callable[[], PatientSink],
        new_deliverer: Callable[[PatientSink], Deliverer],
        can_deliver: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._seals = seals
        self._connection = SpoolConnection(settings)
        self._file, self._flags = self._connection.file, self._connection.flags
        self._lock = os.open(Path(settings.folder) / "drain.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._new_sink = new_sink
        self._new_deliverer = new_deliverer
        self._can_deliver = can_deliver
        self._output: tuple[PatientSink, Deliverer] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._delivered_ids: set[int] = set()
        self._to_park: dict[int, Parked] = {}
        self._failed = self._is_full = False
        self._delivered_at = self._held_at = float("-inf")
        self._delivered = metrics.tally(metrics.spool_delivered_callbacks)
        self._parked = metrics.spool_parked_callbacks
        self._disk_failed = RateLimitedEvent("spool_failed", "error")
        self._not_delivered = RateLimitedEvent("spool_delivery_failed", "error")
        self._undecryptable = RateLimitedEvent("spool_undecryptable", "error")

    async def run(self) -> None:
        """Drain until cancelled."""
        while not self._is_elected():  # noqa: ASYNC110 - a lock between processes has no callback
            await asyncio.sleep(_ELECTION_SECONDS)
        while True:
            if self._flags.is_waiting:
                try:
                    await self._deliver_all()
                except Exception as error:  # noqa: BLE001 - no other worker can drain while this one lives, so it continues
                    self._disk_failed.event(error=name_of(error), where=fault_location(error))
                    await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Stop; callbacks in flight stay in the file, and are delivered again."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        await self._close_producer()
        with suppress(sqlite3.Error):
            await self._remove_finished()
            if self._flags.is_held:
                await self._connection.run(self._file.end_hold)
        self._connection.close()
        os.close(self._lock)

    def _is_elected(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def _deliver_all(self) -> None:
        """Deliver all waiting callbacks."""
        if await self._connection.run(self._file.compact_if_empty):
            return
        event("spool_draining", "warning")
        while not await self._deliver_in_order():  # noqa: ASYNC110 - a pause, not a wait for an event
            await asyncio.sleep(_RETRY_SECONDS)
        event("spool_drained", "warning")
        await self._close_producer()

    async def _deliver_in_order(self) -> bool:
        """Deliver until nothing waits; return False after a failure, to start again with all that is still in the file."""
        # Left over from a pass that a disk error aborted.
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        self._failed = False
        after = 0
        while not self._failed:
            if not self._can_deliver():
                break
            if self._output is None:
                sink = self._new_sink()
                sink.start()
                self._output = sink, self._new_deliverer(sink)
            rows = await self._connection.run(self._file.read, after)
            for row in rows:
                if not self._failed:
                    await self._start_delivery(*self._output, row)
                    after = row.id
            await self._hold_near_the_end(len(rows))
            if not rows and self._in_flight:
                await asyncio.wait(self._in_flight, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            are_all_delivered = not (rows or self._in_flight or self._failed)
            await self._remove_finished(after if are_all_delivered else None)
            if not rows and not self._in_flight and await self._connection.run(self._file.compact_if_empty):
                return True
        while self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._remove_finished()
        return False

    async def _start_delivery(self, sink: PatientSink, deliverer: Deliverer, row: WaitingRow) -> None:
        """Hand one callback to the producer, once its queue has room."""
        # A finished row is still in the file only if a full disk prevented its deletion.
        is_finished = row.id in self._delivered_ids or row.id in self._to_park
        callback = None if is_finished else self._callback_of(row)
        if callback is None:
            return
        while sink.outstanding_records > _MAX_IN_FLIGHT_RECORDS or sink.outstanding_bytes > _MAX_IN_FLIGHT_BYTES:  # noqa: ASYNC110 - plain numbers
            await asyncio.sleep(_QUEUE_POLL_SECONDS)
        task = asyncio.create_task(self._deliver(deliverer, row, callback))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        # The task now runs until it has enqueued its records, which keeps their order; and requests get their turn.
        await asyncio.sleep(0)

    def _callback_of(self, row: WaitingRow) -> StoredCallback | None:
        """Return the callback of a row, or None for one that must be parked."""
        callback = None
        try:
            callback = decode_content(row.content, self._seals) if row.content is not None else None
        except NotOpened as sealed:
            self._to_park[row.id] = Parked(UNDECRYPTABLE)
            self._undecryptable.event(why=str(sealed), advice="add that key to privacy.seal_keys and restart: it is parked")
        else:
            if callback is None:
                self._to_park[row.id] = Parked(DAMAGED)
        return callback

    async def _deliver(self, deliverer: Deliverer, row: WaitingRow, callback: StoredCallback) -> None:
        try:
            raw = callback.raw()
            messages = deliverer.translator.translate(raw)
            if row.remaining:
                # Kafka has the other records already, and newer ones may have followed them.
                remaining = _remaining_of(row.remaining)
                messages = [message for message in messages if message.place in remaining]
            outcome = await deliverer.deliver(raw, messages)
        except NoRoom:
            self._failed = True
            return
        except Exception as unexpected:  # noqa: BLE001 - whatever the error is, the callback is not delivered, and is retried
            self._failed = True
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            return
        if outcome.unconfirmed:
            self._failed = True
            failure = outcome.unconfirmed[0]
            self._not_delivered.event(topic=failure.message.topic, error=failure.error)
        elif outcome.refused:
            self._to_park[row.id] = Parked(REFUSED, _remaining_to_json([failure.message.place for failure in outcome.refused]))
        else:
            self._delivered_ids.add(row.id)
            self._delivered_at = asyncio.get_running_loop().time()

    async def _hold_near_the_end(self, rows: int) -> None:
        """Hold new callbacks while the last ones are delivered: only while deliveries succeed, and at most `_HOLD_SECONDS`."""
        now = asyncio.get_running_loop().time()
        if self._flags.is_held:
            if now > self._held_at + _HOLD_SECONDS:
                await self._connection.run(self._file.end_hold)
        elif (
            rows < _FEW_ROWS
            and len(self._in_flight) < _FEW_ROWS
            and now - self._delivered_at < _HOLD_SECONDS
            and now > self._held_at + 2 * _HOLD_SECONDS
        ):
            self._held_at = now
            await self._connection.run(self._file.hold)

    async def _remove_finished(self, last: int | None = None) -> None:
        """Delete delivered rows from the file, and park those that cannot be delivered.

        `last` is the last id, if all rows up to it are finished. On a full disk, rows that cannot be deleted are remembered:
        they are not delivered again, and deleted at once at the end.
        """
        try:
            ids = sorted(self._delivered_ids)
            if ids and last is not None and self._is_full and await self._connection.run(self._file.delete_all, last, len(ids)):
                self._count_deleted(ids)
                ids = []
            # After an outage on a full disk these are all that waited, and the disk has no room for one large transaction.
            for first in range(0, len(ids), _DELETE_BATCH_ROWS):
                batch = ids[first : first + _DELETE_BATCH_ROWS]
                await self._connection.run(self._file.delete, batch)
                self._count_deleted(batch)
            if parked := dict(self._to_park):
                await self._connection.run(self._file.park, parked)
                for row_id in parked:
                    del self._to_park[row_id]
                self._parked.inc(len(parked))
                event("spool_callbacks_parked", callbacks=len(parked), why=next(iter(parked.values())).why)
            self._is_full = False
        except sqlite3.Error as error:
            if not _is_full(error):
                raise
            self._is_full = True
            self._disk_failed.event(error=name_of(error))
            await self._connection.run(self._file.release_reserve)
            await asyncio.sleep(_POLL_SECONDS)

    def _count_deleted(self, ids: Sequence[int]) -> None:
        self._delivered_ids.difference_update(ids)
        self._delivered.count += len(ids)

    async def _close_producer(self) -> None:
        if self._output:
            await self._output[0].close(0)
            self._output = None


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
