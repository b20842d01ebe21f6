"""Reads the topics for people: decoded records, live or from the beginning. Used by `tail` and `dev`, never by `serve`.

No consumer group: partitions are assigned by hand, so nothing is committed and nothing is balanced.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connector.errors import ConfigurationInvalid
from connector.kafka.diagnosis import Told, hidden, readable_partitions
from connector.kafka.producers import reason_of
from connector.mapping.avro_reader import AvroReader

_LOG = logging.getLogger("connector.consume")
_SECONDS = 10.0


class Record(NamedTuple):
    """A record as read back: `value` decoded, `headers` as text."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: dict[str, Any] | None
    headers: dict[str, str]


class Reader:
    """Reads topics; `schema_text` gives the schema behind an id, as the registry does."""

    def __init__(self, client: dict[str, Any], schema_text: Callable[[int], str]) -> None:
        ours = {"group.id": "connector-tail", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self._told = Told()
        try:
            self._consumer = Consumer({**client, **ours, "error_cb": self._told.note}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client, kafka.consumer: {reason_of(error)}"]) from None
        self._avro = AvroReader(schema_text)

    def assign(self, topics: Sequence[str], *, from_beginning: bool) -> None:
        """Start to read topics from their beginning or their end.

        Raises:
            KafkaFailed: when Kafka does not answer, lacks a topic, or does not let us see one.
        """
        partitions = readable_partitions(self._consumer, topics, self._told, _SECONDS)
        offset = OFFSET_BEGINNING if from_beginning else OFFSET_END
        places = [TopicPartition(topic, number, offset) for topic in topics for number in partitions[topic]]
        self._consumer.assign(places)

    def records(self, timeout_seconds: float) -> Iterator[Record]:
        """Yield what has arrived, waiting at most so long for it.

        Raises:
            KafkaFailed: when a topic may be seen but not read.
        """
        for message in self._consumer.consume(100, timeout_seconds):
            error = message.error()
            if error and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise hidden([message.topic() or ""], "READ")
            if error:
                _LOG.warning("read_failed", extra={"error": error.name()})
                continue
            key = message.key()
            headers: Any = message.headers() or []
            yield Record(
                topic=message.topic() or "",
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                key=key.decode("utf-8", "replace") if isinstance(key, bytes) else key,
                value=self._decode(message.value()),
                headers={
                    name: content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
                    for name, content in headers
                },
            )

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _decode(self, value: Any) -> dict[str, Any] | None:
        if not isinstance(value, bytes):
            return None
        return self._avro.read(value) or {"(not Avro with a schema id)": f"{len(value)} bytes"}
