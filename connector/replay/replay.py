"""Records of a backlog through the pipeline again, in order, and what became of them.

A window of callbacks is under way at once; when all of it is acknowledged its offsets are committed. Whatever ends this in
between, what was not committed is replayed again by the next run, with the same ids.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from connector.errors import KafkaFailed, NoRoom
from connector.pipeline.flow import Flow
from connector.pipeline.outcome import ALL_ACKNOWLEDGED, Outcome
from connector.pipeline.ports import Sink
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

    def told(self) -> dict[str, Any]:
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
    """A sink that tells a report what came through it."""

    def __init__(self, sink: Sink, report: Report, dead_letters: str) -> None:
        self._sink = sink
        self._report = report
        self._dead_letters = dead_letters

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback; count those that are acknowledged."""
        outcome = await self._sink.send(messages)
        for message in outcome.acknowledged(messages):
            self._report.records[message.topic] += 1
            if message.topic == self._dead_letters:
                self._report.dead_again[dict(message.headers)[_REASON].decode()] += 1
        self._report.nothing_made += not messages
        return outcome


class Nowhere:
    """A sink that takes everything and keeps nothing: for a dry run."""

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:  # noqa: ARG002 - the protocol's
        """Say that all is well."""
        return ALL_ACKNOWLEDGED


class Replay:
    """One run: `flow` sends into a `Counting` of the same `report`; `rate` is callbacks a second, 0 as fast as it goes."""

    def __init__(self, source: Source, selection: Selection, flow: Flow, report: Report, rate: float) -> None:
        self._source = source
        self._selection = selection
        self._flow = flow
        self._report = report
        self._rate = rate
        # A slow one commits about once a second too.
        self._window = min(_WINDOW, max(1, int(rate))) if rate else _WINDOW
        self._next = 0.0

    async def run(self, replayed_at: int, advance: Callable[[int], object], *, dry_run: bool) -> None:
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
                if not dry_run:
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
        return await self._with_the_producer(chosen)

    async def _with_the_producer(self, raw: RawCallback) -> "asyncio.Task[Outcome]":
        """Return once the records of a callback are handed over, so that those of the next come behind them."""
        deadline = time.monotonic() + _NO_ROOM_SECONDS
        while True:
            task = asyncio.create_task(self._flow.deliver(raw))
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
