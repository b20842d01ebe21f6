"""Compares what was answered with what is in the topics: every 2xx must be there, or the run does not count."""

import re
import time
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.load import Load

_SECONDS = 10.0
_SETTLE_SECONDS = 0.3


class Written(NamedTuple):
    """The topics that a server writes to."""

    messages: tuple[str, ...]
    status: str
    contacts: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class Found:
    """Records that a run added. `..._ids` are distinct message ids, None if not read.

    `events` are those of messages and statuses, as records or dead letters; `messages` those of messages alone, each of which
    comes with a contact.
    """

    events: int
    messages: int
    contacts: int
    dead_letters: int
    event_ids: int | None
    message_ids: int | None
    contact_ids: int | None


class Topics:
    """The end offsets of a server's topics, and what a run added to them."""

    def __init__(self, bootstrap_servers: str, written: Written) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap_servers, "group.id": "benchmark", "enable.auto.commit": False, "log_level": 0}
        )
        self._written = written
        self._event_topics = (*written.messages, written.status, written.dead_letters)
        self._before = self._ends()

    def mark(self) -> None:
        """Begin a run: records that are there now do not count."""
        self._before = self._ends()

    def wait_until_settled(self) -> None:
        """Return when nothing is added any more: all records in flight when the load stopped have arrived."""
        deadline = time.monotonic() + _SECONDS
        before, now = self._before, self._ends()
        while before != now and time.monotonic() < deadline:
            time.sleep(_SETTLE_SECONDS)
            before, now = now, self._ends()

    def added(self, run: str, *, read: bool) -> Found:
        """Return what was added since; `read` it to find the ids of `run`, a pattern, in it."""
        after = self._ends()
        counts = dict.fromkeys((*self._event_topics, self._written.contacts), 0)
        for place, end in after.items():
            counts[place[0]] += end - self._before[place]
        ids = self._ids(after, run) if read else {}

        def distinct(*topics: str) -> int | None:
            return len(set[bytes]().union(*(ids.get(topic, set()) for topic in topics))) if read else None

        return Found(
            events=sum(counts[topic] for topic in self._event_topics),
            messages=sum(counts[topic] for topic in self._written.messages),
            contacts=counts[self._written.contacts],
            dead_letters=counts[self._written.dead_letters],
            event_ids=distinct(*self._event_topics),
            message_ids=distinct(*self._written.messages),
            contact_ids=distinct(self._written.contacts),
        )

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _ends(self) -> dict[tuple[str, int], int]:
        ends = {}
        for topic in (*self._event_topics, self._written.contacts):
            partitions = self._consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
            for partition in partitions:
                ends[topic, partition] = self._end(TopicPartition(topic, partition))
        return ends

    def _end(self, partition: TopicPartition) -> int:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                offsets = self._consumer.get_watermark_offsets(partition, timeout=_SECONDS)
            except KafkaException:
                # The leader of a new partition takes its time to know that it is one.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                assert offsets is not None
                return int(offsets[1])

    def _ids(self, after: dict[tuple[str, int], int], run: str) -> dict[str, set[bytes]]:
        pattern = re.compile(b"wamid\\.HBgM(" + run.encode() + b"[0-9]{12})")
        ids: dict[str, set[bytes]] = {}
        left = sum(after.values()) - sum(self._before.values())
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._before.items()])
        while left:
            records = self._consumer.consume(num_messages=min(left, 10_000), timeout=_SECONDS)
            if not records:
                break
            left -= len(records)
            for record in records:
                topic, value = record.topic(), record.value()
                if topic and isinstance(value, bytes) and (found := pattern.search(value)):
                    ids.setdefault(topic, set()).add(found[1])
        self._consumer.unassign()
        return ids


def faults(load: Load, found: Found, connections: int, events_per_callback: int = 1, *, is_bad: bool = False) -> list[str]:
    """Return the errors of a run. Callbacks under way when the load stopped can be in the topics too, but no more than those.

    Of bad callbacks some have a contact and some have none.
    """
    most = load.answers + load.broken + connections
    counts = {"records": (found.events, events_per_callback), "message ids": (found.event_ids, 1)}
    wrong = [
        f"{count} {what} for {load.acknowledged} callbacks answered 2xx"
        for what, (count, each) in counts.items()
        if count is not None and not load.acknowledged * each <= count <= most * each
    ]
    if not is_bad and (found.contacts, found.contact_ids) != (found.messages, found.message_ids):
        wrong.append(f"{found.contacts} contacts ({found.contact_ids} ids) for {found.messages} messages ({found.message_ids})")
    if bool(found.dead_letters) != is_bad:
        wrong.append(f"{found.dead_letters} dead letters")
    if load.refused or load.broken:
        wrong.append(f"{load.refused} callbacks were refused, {load.broken} connections broke")
    return wrong
