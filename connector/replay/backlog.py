"""A topic's records in, from a group's committed offsets to the end of the topic at the start; offsets committed on request.

Partitions are assigned manually: the group only stores offsets. Records written during the replay are not read, so a replay
never reads its own records. All methods block.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.diagnosis import ClientErrors, hidden, is_temporary, readable_partitions, retried, unreachable
from connector.kafka.producers import reason_of
from connector.kafka.tokens import with_tokens
from connector.mapping.avro_reader import AvroReader
from connector.replay.selection import BacklogRecord

_log: Final = logging.getLogger("connector.replay")
_TIMEOUT_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 30.0
"""How long the broker can send nothing although there are more records."""
_ERROR_POLL_SECONDS: Final = 0.1
_NOT_AVRO: Final = (EOFError, LookupError, ValueError, TypeError, ArithmeticError)
"""What fastavro raises for bytes that are not a record of the schema."""


class Backlog:
    """One topic: call `open`, `read` until `is_read`, `commit` from time to time, then `close`.

    `client` are the consumer's properties; `schema_text` returns the schema of an id, as the registry does.
    """

    def __init__(self, client: dict[str, Any], topic: str, group: str, schema_text: Callable[[int], str]) -> None:
        ours = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        self._client_errors = ClientErrors(client)
        try:
            # Prefetch less than the client's default, since callbacks can be large. A commit waits up to the session
            # timeout, although there is no session.
            defaults = {"queued.max.messages.kbytes": 16384, "session.timeout.ms": int(_TIMEOUT_SECONDS * 1000)}
            given = {**defaults, **with_tokens(client), **ours, **self._client_errors.callbacks()}
            self._consumer = Consumer(given, logger=_log)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client, kafka.consumer: {reason_of(error)}"]) from None
        self._topic = topic
        self._group = group
        self._avro = AvroReader(schema_text)
        self._ends: dict[int, int] = {}
        self._silent_seconds = 0.0

    @property
    def is_read(self) -> bool:
        """Whether all records that the topic had at the start have been read."""
        return not self._ends

    def open(self, since: int | None, *, from_beginning: bool) -> int:
        """Start at the group's committed offsets; without any, or `from_beginning`, at this time (None: the oldest record).

        Returns the maximum number of records to read.

        Raises:
            KafkaFailed: when Kafka is away, the topic does not exist, or we are not authorised to read it.
        """
        numbers = readable_partitions(self._consumer, [self._topic], self._client_errors, _TIMEOUT_SECONDS)[self._topic]
        try:
            bounds = {number: self._bounds(number) for number in numbers}
            committed = {} if from_beginning else self._committed(numbers)
            first = self._first(numbers, since)
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        starts = {
            number: committed[number] if oldest <= committed.get(number, -1) <= end else max(oldest, first.get(number, oldest))
            for number, (oldest, end) in bounds.items()
        }
        self._ends = {number: end for number, (_, end) in bounds.items() if starts[number] < end}
        self._consumer.assign([self._place(number, starts[number]) for number in self._ends])
        return sum(end - starts[number] for number, end in self._ends.items())

    def read(self, count: int, timeout_seconds: float) -> list[BacklogRecord]:
        """Return at most `count` records that have arrived, waiting at most `timeout_seconds`.

        Raises:
            KafkaFailed: when the broker sends nothing for too long, or we are not authorised to read.
            RegistryFailed: when it does not return the schema of a record.
        """
        messages = self._consumer.consume(count, timeout_seconds)
        self._silent_seconds = 0.0 if messages else self._silent_seconds + timeout_seconds
        if self._client_errors.is_permanent or self._silent_seconds > _SILENT_SECONDS:
            raise unreachable(KafkaError(KafkaError._TIMED_OUT), self._client_errors)  # noqa: SLF001 - the library's own name
        return [record for message in messages if (record := self._record_of(message))]

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, by partition, the offset to continue from.

        Raises:
            KafkaFailed: when Kafka refuses the commit.
        """
        places = [self._place(number, offset) for number, offset in offsets.items()]
        if not places:
            return
        try:
            retried(lambda _: _checked(self._consumer.commit(offsets=places, asynchronous=False)), _TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._failed(error.args[0]) from None

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _record_of(self, message: Message) -> BacklogRecord | None:
        number, offset = message.partition() or 0, message.offset() or 0
        if error := message.error():
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise hidden([self._topic], "READ")
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                # Kafka's control records, and deleted records, have offsets too, but never arrive.
                self._end(number)
            else:
                _log.warning("read_failed", extra={"error": error.name()})
            return None
        end = self._ends.get(number)
        if end is None or offset >= end:
            self._end(number)
            return None
        if offset == end - 1:
            self._end(number)
        headers = dict(message.headers() or [])
        traced = (_ascii(headers.get(name)) for name in ("traceparent", "tracestate"))
        return BacklogRecord(number, offset, self._value(message.value()), *traced)

    def _bounds(self, number: int) -> tuple[int, int]:
        place = self._place(number)
        return retried(lambda left: self._consumer.get_watermark_offsets(place, timeout=left), _TIMEOUT_SECONDS)

    def _value(self, value: Any) -> dict[str, Any] | None:
        try:
            return self._avro.read(value) if isinstance(value, bytes) else None
        except _NOT_AVRO:
            return None

    def _end(self, number: int) -> None:
        if self._ends.pop(number, None) is not None:
            self._consumer.pause([self._place(number)])

    def _committed(self, numbers: Iterable[int]) -> dict[int, int]:
        places = [self._place(number) for number in numbers]
        try:
            found = retried(lambda left: _checked(self._consumer.committed(places, timeout=left)), _TIMEOUT_SECONDS)
        except KafkaException:
            # The call itself only reports a timeout; the cause arrives as an error among the records. Nothing is assigned yet.
            for message in self._consumer.consume(1, _ERROR_POLL_SECONDS):
                if error := message.error():
                    raise self._failed(error) from None
            raise
        return {place.partition: place.offset for place in found}

    def _first(self, numbers: Iterable[int], since: int | None) -> dict[int, int]:
        """Return, by partition, the first offset at this time or later. The timestamps in Kafka are times of receipt."""
        if since is None:
            return {}
        places = [self._place(number, since) for number in numbers]
        found = retried(lambda left: _settled(self._consumer.offsets_for_times(places, timeout=left)), _TIMEOUT_SECONDS)
        # Below zero: there is none, or the broker does not support it (the embedded one). Then all records are read.
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _failed(self, error: KafkaError) -> KafkaFailed:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return KafkaFailed(
                f"not authorised for the consumer group {self._group}; allow READ on it, or choose another with --group"
            )
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return hidden([self._topic], "READ")
        return unreachable(error, self._client_errors)

    def _place(self, number: int, offset: int | None = None) -> TopicPartition:
        return TopicPartition(self._topic, number) if offset is None else TopicPartition(self._topic, number, offset)


def _checked(places: list[TopicPartition] | None) -> list[TopicPartition]:
    """Return the client's answer for partitions.

    Raises:
        KafkaException: the first error in it.
    """
    for place in places or ():
        if place.error:
            raise KafkaException(place.error)
    return places or []


def _settled(places: list[TopicPartition]) -> list[TopicPartition]:
    """Return the client's answer; only a temporary error in it is raised, as the caller has a fallback for the others."""
    _checked([place for place in places if is_temporary(place.error)])
    return places


def _ascii(content: Any) -> str | None:
    """Return a tracing header as text; None if it is one that we cannot have written."""
    return content.decode("ascii") if isinstance(content, bytes) and content.isascii() else None
