"""Compares what was answered with what is in the topics: every 2xx must stand there, or the run does not count."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from benchmarks.load import CONNECTIONS, Load

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """Records that a run added. `..._ids` are distinct message ids, None if not read.

    `events` are those of messages and statuses; `messages` those of messages alone, each of which comes with a contact.
    """

    events: int
    messages: int
    contacts: int
    event_ids: int | None
    message_ids: int | None
    contact_ids: int | None


class Topics:
    """The end offsets of a server's topics before a run, and what the run added to them."""

    def __init__(self, bootstrap_servers: str, message_topics: Sequence[str], status_topic: str, contact_topic: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap_servers, "group.id": "benchmark", "enable.auto.commit": False}
        )
        self._message_topics = message_topics
        self._event_topics = (*message_topics, status_topic)
        self._contact_topic = contact_topic
        self._before = self._ends()

    def added(self, run: str, *, read: bool) -> Found:
        """Return what was added since; `read` it to find the ids of `run`, a pattern, in it."""
        after = self._ends()
        counts = dict.fromkeys((*self._event_topics, self._contact_topic), 0)
        for place, end in after.items():
            counts[place[0]] += end - self._before[place]
        ids = self._ids(after, run) if read else {}

        def distinct(*topics: str) -> int | None:
            return len(set[bytes]().union(*(ids.get(topic, set()) for topic in topics))) if read else None

        return Found(
            events=sum(counts[topic] for topic in self._event_topics),
            messages=sum(counts[topic] for topic in self._message_topics),
            contacts=counts[self._contact_topic],
            event_ids=distinct(*self._event_topics),
            message_ids=distinct(*self._message_topics),
            contact_ids=distinct(self._contact_topic),
        )

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _ends(self) -> dict[tuple[str, int], int]:
        ends = {}
        for topic in (*self._event_topics, self._contact_topic):
            partitions = self._consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
            for partition in partitions:
                offsets = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
                assert offsets is not None
                ends[topic, partition] = offsets[1]
        return ends

    def _ids(self, after: dict[tuple[str, int], int], run: str) -> dict[str, set[bytes]]:
        pattern = re.compile(b"wamid\\.HBgM(" + run.encode() + b"[0-9]{12})")
        ids: dict[str, set[bytes]] = {}
        left = sum(after.values()) - sum(self._before.values())
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._before.items()])
        while left:
            records = self._consumer.consume(num_messages=10_000, timeout=_SECONDS)
            if not records:
                break
            left -= len(records)
            for record in records:
                topic, value = record.topic(), record.value()
                if topic and isinstance(value, bytes) and (found := pattern.search(value)):
                    ids.setdefault(topic, set()).add(found[1])
        self._consumer.unassign()
        return ids


def faults(load: Load, found: Found) -> list[str]:
    """Return what is wrong with a run. What was under way when wrk stopped may be there as well, but no more than that."""
    most = load.answers + load.broken + CONNECTIONS
    counts = {"records": found.events, "message ids": found.event_ids}
    wrong = [
        f"{count} {what} for {load.acknowledged} callbacks answered 2xx"
        for what, count in counts.items()
        if count is not None and not load.acknowledged <= count <= most
    ]
    if (found.contacts, found.contact_ids) != (found.messages, found.message_ids):
        wrong.append(f"{found.contacts} contacts ({found.contact_ids} ids) for {found.messages} messages ({found.message_ids})")
    if load.refused or load.broken:
        wrong.append(f"{load.refused} callbacks were refused, {load.broken} connections broke")
    return wrong
