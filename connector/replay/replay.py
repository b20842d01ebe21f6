"""The callbacks of a backlog in, replayed in order, a `Report` out.

A window of callbacks is in flight at once; when all of it is acknowledged, its offsets are committed. After an interruption,
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
from connector.replay.selection import Kept, Selection, Why

_WINDOW: Final = 500
_READ_SECONDS: Final = 0.5
_ROOM_SECONDS: Final = 0.05
_NO_ROOM_SECONDS: Final = 30.0
_REASON: Final = "__connect.errors.exception.class.name"


class Source(Protocol):
    """Where records are read from: a topic, or a list in memory."""

    @property
    def is_read(self) -> bool:
        """Whether all has been read."""
        ...

    def read(self, count: int, timeout_seconds: float) -> list[Kept]:
        """Return what has arrived, at most so many records, waiting at most so long."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Remember, by partition, the offset to go on from."""
        ...


@dataclass(slots=True)
class Report:
    """What became of what was read: `records` by topic, dead letters among them by reason, and what was passed over, why.

    `nothing_made` counts callbacks that became no record, as those of a contact alone.
    """

    read: int = 0
    replayed: int = 0
    records: Counter[str] = field(default_factory=Counter)
    dead_again: Counter[str] = field(default_factory=Counter)
    nothing_made: int = 0
    skipped: Counter[Why] = field(default_factory=Counter)

    def count(self, messages: Sequence[KafkaMessage], dead_letters: str) -> None:
        """Count records that are safe, or would be; `dead_letters` is the topic of dead letters."""
        for message in messages:
            self.records[message.topic] += 1
            if message.topic == dead_letters:
                self.dead_again[dict(message.headers)[_REASON].decode()] += 1

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        counted: dict[str, Mapping[str, int]] = {"records": self.records, "dead_again": self.dead_again}
        return {
            "read": self.read,
            "replayed": self.replayed,
            "nothing_made": self.nothing_made,
            **{name: dict(sorted(counts.items())) for name, counts in counted.items()},
            "skipped": dict(sorted(self.skipped.items())),
        }


class Counting:
    """A sink that counts in a report what the sink behind it acknowledged."""

    def __init__(self, sink: Sink, report: Report, dead_letters: str) -> None:
        self._sink = sink
        self._report = report
        self._dead_letters = dead_letters

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback; count those that are acknowledged."""
        outcome = await self._sink.send(messages)
        self._report.count(outcome.acknowledged(messages), self._dead_letters)
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
        """Replay all that the source has; `advance` hears how many records more are done with.

        Raises:
            KafkaFailed: when a record is not acknowledged; what was safe before it is committed.
        """
        while not self._source.is_read:
            window = await asyncio.to_thread(self._source.read, self._window, _READ_SECONDS)
            under_way: list[tuple[Kept, asyncio.Task[Outcome] | None]] = []
            try:
                for kept in window:
                    task = await self._begin(kept, replayed_at)
                    under_way.append((kept, task))
            finally:
                safe, errors = await _settled(under_way)
                self._report.read += len(under_way)
                self._report.replayed += sum(task is not None for _, task in under_way) - len(errors)
                if self._deliverer:
                    await asyncio.to_thread(self._source.commit, safe)
            if errors:
                advice = "what stood before them is done and remembered: the same command goes on from there"
                raise KafkaFailed(f"{len(errors)} callbacks were not acknowledged ({errors[0]}); {advice}")
            advance(len(window))

    async def _begin(self, kept: Kept, replayed_at: int) -> "asyncio.Task[Outcome] | None":
        chosen = self._selection.callback_of(kept, replayed_at)
        if not isinstance(chosen, RawCallback):
            self._report.skipped[chosen] += 1
            return None
        if self._rate:
            now = time.monotonic()
            await asyncio.sleep(max(0.0, self._next - now))
            self._next = max(self._next, now) + 1 / self._rate
        return await self._enqueue(chosen)

    async def _carry(self, raw: RawCallback) -> Outcome:
        messages = self._translator.translate(raw)
        self._report.nothing_made += not messages
        if self._deliverer:
            return await self._deliverer.deliver(raw, messages)
        self._report.count(messages, self._translator.dead_letter_topic)
        return ALL_ACKNOWLEDGED

    async def _enqueue(self, raw: RawCallback) -> "asyncio.Task[Outcome]":
        """Return once the records of a callback are handed over, so that those of the next come behind them."""
        deadline = time.monotonic() + _NO_ROOM_SECONDS
        while True:
            task = asyncio.create_task(self._carry(raw))
            # It runs until it waits for its acknowledgements.
            await asyncio.sleep(0)
            if not (task.done() and isinstance(task.exception(), NoRoom)):
                return task
            if time.monotonic() > deadline:
                advice = "is Kafka well, and kafka.producer queue.buffering.max.kbytes large enough for its records?"
                raise KafkaFailed(f"no room for a callback within {_NO_ROOM_SECONDS:g} s; {advice}")
            await asyncio.sleep(_ROOM_SECONDS)


async def _settled(under_way: Sequence[tuple[Kept, "asyncio.Task[Outcome] | None"]]) -> tuple[dict[int, int], list[str]]:
    """Wait for every acknowledgement; return, by partition, up to where all is safe, and the errors of what is not."""
    await asyncio.gather(*(task for _, task in under_way if task), return_exceptions=True)
    safe: dict[int, int] = {}
    errors: list[str] = []
    stopped: set[int] = set()
    for kept, task in under_way:
        outcome = task.result() if task else ALL_ACKNOWLEDGED
        if failures := outcome.refused + outcome.unconfirmed:
            errors.append(failures[0].error)
            stopped.add(kept.partition)
        elif kept.partition not in stopped:
            safe[kept.partition] = kept.offset + 1
    return safe, errors
