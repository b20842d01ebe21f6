"""The callbacks of a backlog in, replayed in order, a `Report` out.

A window of callbacks is in flight at a time; once all of it is acknowledged, its offsets are committed. After an interruption,
the next run replays what was not committed, with the same ids.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from connector.errors import KafkaFailed, NoRoom
from connector.pipeline.deliver import Deliverer
from connector.pipeline.outcome import ALL_ACKNOWLEDGED, Outcome
from connector.pipeline.ports import Sink
from connector.pipeline.translate import Translator
from connector.records import KafkaMessage, RawCallback
from connector.replay.selection import BacklogRecord, Selection, Why

_WINDOW: Final = 500
_READ_SECONDS: Final = 0.5
_QUEUE_POLL_SECONDS: Final = 0.05
_NO_ROOM_SECONDS: Final = 30.0
_REASON: Final = "__connect.errors.exception.class.name"


class Source(Protocol):
    """Where records are read from: a topic, or a list in memory."""

    @property
    def is_read(self) -> bool:
        """Whether all records have been read."""
        ...

    def read(self, count: int, timeout_seconds: float) -> list[BacklogRecord]:
        """Return at most `count` records that have arrived, waiting at most `timeout_seconds`."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, by partition, the offset to continue from."""
        ...


@dataclass(slots=True)
class Report:
    """The result: `records` produced, by topic; `dead_letters` among them, by reason; records `skipped`, by reason.

    `without_records` counts callbacks that produced no record, as those with only a contact.
    """

    read: int = 0
    replayed: int = 0
    records: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    without_records: int = 0
    skipped: Counter[Why] = field(default_factory=Counter)

    def count(self, messages: Sequence[KafkaMessage], dead_letter_topic: str) -> None:
        """Count records that are acknowledged, or would be in a dry run."""
        for message in messages:
            self.records[message.topic] += 1
            if message.topic == dead_letter_topic:
                self.dead_letters[dict(message.headers)[_REASON].decode()] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the report as the command's JSON shows it."""
        counted: dict[str, Mapping[str, int]] = {"records": self.records, "dead_letters": self.dead_letters}
        return {
            "read": self.read,
            "replayed": self.replayed,
            "without_records": self.without_records,
            **{name: dict(sorted(counts.items())) for name, counts in counted.items()},
            "skipped": dict(sorted(self.skipped.items())),
        }


class CountingSink:
    """Sends to another sink, and counts in a report the records that were acknowledged."""

    def __init__(self, sink: Sink, report: Report, dead_letter_topic: str) -> None:
        self._sink = sink
        self._report = report
        self._dead_letter_topic = dead_letter_topic

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback; count those that are acknowledged."""
        outcome = await self._sink.send(messages)
        self._report.count(outcome.acknowledged(messages), self._dead_letter_topic)
        return outcome


class Replay:
    """One run. Without a `deliverer` it is a dry run; `rate` is callbacks per second, 0 for no limit."""

    def __init__(
        self,
        source: Source,
        selection: Selection,
        translator: Translator,
        deliverer: Deliverer | None,
        report: Report,
        rate: float,
    ) -> None:
        self._source = source
        self._selection = selection
        self._translator = translator
        self._deliverer = deliverer
        self._report = report
        self._rate = rate
        # A slow replay also commits about once a second.
        self._window = min(_WINDOW, max(1, int(rate))) if rate else _WINDOW
        self._next = 0.0

    async def run(self, replayed_at: int, advance: Callable[[int], object]) -> None:
        """Replay all records of the source; `advance` gets the number of records that each window has finished.

        Raises:
            KafkaFailed: when a record is not acknowledged; the offsets before it are committed.
        """
        while not self._source.is_read:
            window = await asyncio.to_thread(self._source.read, self._window, _READ_SECONDS)
            in_flight: list[tuple[BacklogRecord, asyncio.Task[Outcome] | None]] = []
            try:
                for record in window:
                    task = await self._start_delivery(record, replayed_at)
                    in_flight.append((record, task))
            finally:
                offsets, errors = await _results(in_flight)
                self._report.read += len(in_flight)
                self._report.replayed += sum(task is not None for _, task in in_flight) - len(errors)
                if self._deliverer:
                    await asyncio.to_thread(self._source.commit, offsets)
            if errors:
                advice = "the offsets before them are committed: run the same command again to continue from there"
                raise KafkaFailed(f"{len(errors)} callbacks were not acknowledged ({errors[0]}); {advice}")
            advance(len(window))

    async def _start_delivery(self, record: BacklogRecord, replayed_at: int) -> "asyncio.Task[Outcome] | None":
        chosen = self._selection.callback_of(record, replayed_at)
        if not isinstance(chosen, RawCallback):
            self._report.skipped[chosen] += 1
            return None
        if self._rate:
            now = time.monotonic()
            await asyncio.sleep(max(0.0, self._next - now))
            self._next = max(self._next, now) + 1 / self._rate
        return await self._enqueue(chosen)

    async def _deliver(self, raw: RawCallback) -> Outcome:
        messages = self._translator.translate(raw)
        self._report.without_records += not messages
        if self._deliverer:
            return await self._deliverer.deliver(raw, messages)
        self._report.count(messages, self._translator.dead_letter_topic)
        return ALL_ACKNOWLEDGED

    async def _enqueue(self, raw: RawCallback) -> "asyncio.Task[Outcome]":
        """Return once the records of a callback are enqueued, so that those of the next one follow them."""
        deadline = time.monotonic() + _NO_ROOM_SECONDS
        while True:
            task = asyncio.create_task(self._deliver(raw))
            # The task now runs until it awaits its acknowledgements.
            await asyncio.sleep(0)
            if not (task.done() and isinstance(task.exception(), NoRoom)):
                return task
            if time.monotonic() > deadline:
                advice = "check that Kafka is healthy, and that kafka.producer queue.buffering.max.kbytes is large enough"
                raise KafkaFailed(f"the producer's queue had no room for a callback for {_NO_ROOM_SECONDS:g} s; {advice}")
            await asyncio.sleep(_QUEUE_POLL_SECONDS)


async def _results(
    in_flight: Sequence[tuple[BacklogRecord, "asyncio.Task[Outcome] | None"]],
) -> tuple[dict[int, int], list[str]]:
    """Await all deliveries; return, by partition, the offset up to which all succeeded, and the errors of the others."""
    await asyncio.gather(*(task for _, task in in_flight if task), return_exceptions=True)
    offsets: dict[int, int] = {}
    errors: list[str] = []
    stopped: set[int] = set()
    for record, task in in_flight:
        outcome = task.result() if task else ALL_ACKNOWLEDGED
        if failures := outcome.refused + outcome.unconfirmed:
            errors.append(failures[0].error)
            stopped.add(record.partition)
        elif record.partition not in stopped:
            offsets[record.partition] = record.offset + 1
    return offsets, errors
