"""Topics whose records wait too long in, a fresh producer out, if Kafka serves these topics.

The client can lose a partition's leader for good: it takes the leaders of a topic that was deleted and created again for
old ones, since leader epochs start at zero again (librdkafka issue 4898), and it can forget a partition that had no leader for
a moment (issue 5430). It then sends to a former leader, or to none, until it is replaced.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from connector.kafka.backoff import Backoff
from connector.kafka.producers import Producers
from connector.kafka.statistics import Statistics

_STALLED_SECONDS: Final = 8.0
"""Longer than an ordinary leader election, and shorter than the default delivery timeout."""
_MARGIN_SECONDS: Final = 1.0
"""How long before a shorter delivery timeout records count as stalled."""
_RECHECK_SECONDS: Final = 2.0
_CONFIRM_SECONDS: Final = 3.0
"""Longer than the client takes to learn the leaders once Kafka answers; statistics arrive once a second."""
_METADATA_SECONDS: Final = 2.0
_HOLD_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.01
_BACKOFF_SECONDS: Final = (30.0, 60.0, 120.0, 300.0, 600.0)


class StallRecovery:
    """Replaces the main producer of `producers` when records do not move; call `observe` a few times a second.

    While it waits for the records that still move, `hold` is a future that new records wait for, so that none overtakes a
    record of the former producer. `outstanding` returns the number of records without a delivery report, `answers` how many
    deliveries Kafka has ever answered. Records are stalled after `stalled_seconds`.
    """

    def __init__(
        self,
        producers: Producers,
        outstanding: Callable[[], int],
        answers: Callable[[], int],
        delivery_timeout_seconds: float,
    ) -> None:
        self._producers = producers
        self._outstanding = outstanding
        self._answers = answers
        # 0: no timeout.
        limit = delivery_timeout_seconds - _MARGIN_SECONDS if delivery_timeout_seconds else _STALLED_SECONDS
        self.stalled_seconds = max(1.0, min(_STALLED_SECONDS, limit))
        self.hold: asyncio.Future[None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._not_before = float("-inf")
        self._backoff = Backoff(_BACKOFF_SECONDS)

    def observe(self, stalled: Collection[str]) -> None:
        """Start to recover if any topics have stalled records, unless that is under way or was tried a moment ago."""
        if not stalled or (self._recovering and not self._recovering.done()):
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._not_before:
            self._not_before = loop.time() + _RECHECK_SECONDS
            self._recovering = loop.create_task(self._recover(sorted(stalled)))

    def cancel(self) -> None:
        """Stop."""
        if self._recovering:
            self._recovering.cancel()
        self._release()

    async def _recover(self, stalled: Collection[str]) -> None:
        producer = self._producers.main
        if producer is None:
            return
        topics = await self._without_progress(producer, stalled)
        if not topics:
            return
        loop = asyncio.get_running_loop()
        self.hold = loop.create_future()
        try:
            await self._until_quiet()
            if self._producers.main is producer:
                self._producers.replace(producer, "stalled", topics)
        finally:
            self._release()
        self._not_before = self._backoff.next_after(loop.time())

    async def _without_progress(self, producer: Producer, stalled: Collection[str]) -> list[str]:
        """Return the topics for which this producer is of no use; none while it may still recover by itself.

        After an outage Kafka serves the topics a moment before the client knows their leaders. So both are looked at twice.
        """
        answers = self._answers()
        lost, served = await _lost_and_served(producer, stalled, self._producers.statistics)
        # Without a lost leader: only if nothing on Kafka's side explains why the records wait.
        if not lost and len(served) < len(stalled):
            return []
        await asyncio.sleep(_CONFIRM_SECONDS)
        lost_again, served_again = await _lost_and_served(producer, stalled, self._producers.statistics)
        if both := [topic for topic in lost_again if topic in lost]:
            return both
        is_silent = self._answers() == answers and len(served_again) == len(stalled)
        return served_again if is_silent and not lost else []

    async def _until_quiet(self) -> None:
        """Wait until no more records are acknowledged; stalled ones stay."""
        now = asyncio.get_running_loop().time
        deadline, changed, before = now() + _HOLD_SECONDS, now(), self._outstanding()
        while before and now() < deadline and now() < changed + _QUIET_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            if self._outstanding() != before:
                changed, before = now(), self._outstanding()

    def _release(self) -> None:
        if self.hold and not self.hold.done():
            self.hold.set_result(None)
        self.hold = None


async def _lost_and_served(producer: Producer, topics: Collection[str], statistics: Statistics) -> tuple[list[str], list[str]]:
    """Return the topics with a leader that this producer does not know, and those that Kafka serves completely."""
    lost, served = [], []
    for topic in topics:
        try:
            metadata = await asyncio.to_thread(producer.list_topics, topic, timeout=_METADATA_SECONDS)
        except KafkaException:
            break
        found = metadata.topics[topic]
        if found.error or not found.partitions:
            continue
        partitions = found.partitions.values()
        if any(_is_lost(statistics, topic, partition) for partition in partitions):
            lost.append(topic)
        if all(_is_served(statistics, partition) for partition in partitions):
            served.append(topic)
    return lost, served


def _is_lost(statistics: Statistics, topic: str, partition: Any) -> bool:
    ours = statistics.leader(topic, partition.id)
    return bool(partition.leader >= 0 and ours != partition.leader)


def _is_served(statistics: Statistics, partition: Any) -> bool:
    # Copies that are not in sync can be why Kafka accepts no records: another producer is no help then.
    return statistics.is_up(partition.leader) and len(partition.isrs) == len(partition.replicas)
