"""A topic from where a consumer group ended to where the topic ends now: read once, and committed when it is safe.

Partitions are assigned by hand: the group only remembers offsets. What is written meanwhile is not read, so a replay never
reads what it makes itself. All methods block.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.diagnosis import ClientErrors, hidden, readable_partitions, unreachable
from connector.kafka.producers import reason_of
from connector.mapping.avro_reader import AvroReader
from connector.replay.selection import Kept

_log: Final = logging.getLogger("connector.replay")
_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 30.0
"""So long the broker may bring nothing although there is more."""
_HEARD_SECONDS: Final = 0.1
_NOT_AVRO: Final = (EOFError, LookupError, ValueError, TypeError, ArithmeticError)
"""What fastavro raises over bytes that are no record of the schema."""


class Backlog:
    """One topic; `open` it, `read` until `is_read`, `commit` now and then, `close` it.

    `client` holds the consumer's properties; `schema_text` gives the schema behind an id, as the registry does.
    """

    def __init__(self, client: dict[str, Any], topic: str, group: str, schema_text: Callable[[int], str]) -> None:
        ours = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        self._client_errors = ClientErrors()
        try:
            # Less is fetched ahead than the client would, since callbacks may be large. A commit waits for the session's
            # time, although there is none.
            defaults = {"queued.max.messages.kbytes": 16384, "session.timeout.ms": int(_SECONDS * 1000)}
            given = {**defaults, **client, **ours, "error_cb": self._client_errors.record}
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
        """Whether all that stood in the topic at the start has been read."""
        return not self._ends

    def open(self, since: int | None, *, anew: bool) -> int:
        """Begin where the group ended; without that, or `anew`, at records of this time (None: at the oldest).

        Returns how many records there are to read at most.

        Raises:
            KafkaFailed: when Kafka is away, lacks the topic, or does not let us read it.
        """
        numbers = readable_partitions(self._consumer, [self._topic], self._client_errors, _SECONDS)[self._topic]
        try:
            bounds = {number: self._consumer.get_watermark_offsets(self._place(number), timeout=_SECONDS) for number in numbers}
            committed = {} if anew else self._committed(numbers)
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

    def read(self, count: int, timeout_seconds: float) -> list[Kept]:
        """Return what has arrived, at most so many records, waiting at most so long.

        Raises:
            KafkaFailed: when the broker brings nothing for long, or does not let us read.
            RegistryFailed: when it does not tell the schema of a record.
        """
        messages = self._consumer.consume(count, timeout_seconds)
        self._silent_seconds = 0.0 if messages else self._silent_seconds + timeout_seconds
        if self._client_errors.is_permanent or self._silent_seconds > _SILENT_SECONDS:
            raise unreachable(KafkaError(KafkaError._TIMED_OUT), self._client_errors.names)  # noqa: SLF001 - the library's own name
        return [kept for message in messages if (kept := self._kept(message))]

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Let the group remember, by partition, the offset that it goes on from.

        Raises:
            KafkaFailed: when Kafka does not take it.
        """
        places = [self._place(number, offset) for number, offset in offsets.items()]
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False) if places else []
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        self._require_well(done or [])

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _kept(self, message: Message) -> Kept | None:
        number, offset = message.partition() or 0, message.offset() or 0
        if error := message.error():
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise hidden([self._topic], "READ")
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                # What Kafka keeps for itself, or has deleted, has offsets too, and never comes.
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
        return Kept(number, offset, self._value(message.value()), *traced)

    def _value(self, value: Any) -> dict[str, Any] | None:
        try:
            return self._avro.read(value) if isinstance(value, bytes) else None
        except _NOT_AVRO:
            return None

    def _end(self, number: int) -> None:
        if self._ends.pop(number, None) is not None:
            self._consumer.pause([self._place(number)])

    def _committed(self, numbers: Iterable[int]) -> dict[int, int]:
        try:
            found = self._consumer.committed([self._place(number) for number in numbers], timeout=_SECONDS)
        except KafkaException:
            # The call only says that there was no answer; why stands where records would. Nothing is assigned yet.
            for message in self._consumer.consume(1, _HEARD_SECONDS):
                if error := message.error():
                    raise self._failed(error) from None
            raise
        self._require_well(found)
        return {place.partition: place.offset for place in found}

    def _first(self, numbers: Iterable[int], since: int | None) -> dict[int, int]:
        """Return, by partition, the first offset of this time or later. Kafka's times are those of receipt."""
        if since is None:
            return {}
        found = self._consumer.offsets_for_times([self._place(number, since) for number in numbers], timeout=_SECONDS)
        # Below zero: there is none, or the broker cannot tell (the embedded one). Then all is read, and looked at.
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _require_well(self, places: Iterable[TopicPartition]) -> None:
        for place in places:
            if place.error:
                raise self._failed(place.error)

    def _failed(self, error: KafkaError) -> KafkaFailed:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return KafkaFailed(
                f"not authorised for the consumer group {self._group}; allow READ on it, or name another: --group"
            )
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return hidden([self._topic], "READ")
        return unreachable(error, self._client_errors.names)

    def _place(self, number: int, offset: int | None = None) -> TopicPartition:
        return TopicPartition(self._topic, number) if offset is None else TopicPartition(self._topic, number, offset)


def _ascii(content: Any) -> str | None:
    """Return a header of tracing as text; None when it is none that we could have written."""
    return content.decode("ascii") if isinstance(content, bytes) and content.isascii() else None
