"""Topics in, decoded records out, live or from the beginning. For `tail` and `dev`, never for `serve`.

It has no consumer group: partitions are assigned manually, so nothing is committed or rebalanced.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.diagnosis import ClientErrors, hidden, readable_partitions, unreachable
from connector.kafka.producers import reason_of
from connector.kafka.tokens import with_tokens
from connector.mapping.avro_reader import AvroReader

_LOG = logging.getLogger("connector.consume")
_TIMEOUT_SECONDS = 10.0


class Record(NamedTuple):
    """A record as read from Kafka: `value` decoded, `headers` as text."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: dict[str, Any] | None
    headers: dict[str, str]


class Reader:
    """Reads topics; `schema_text` returns the schema of an id, as the registry does."""

    def __init__(self, client: dict[str, Any], schema_text: Callable[[int], str]) -> None:
        ours = {"group.id": "connector-tail", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self._client_errors = ClientErrors(client)
        try:
            self._consumer = Consumer({**with_tokens(client), **ours, **self._client_errors.callbacks()}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client, kafka.consumer: {reason_of(error)}"]) from None
        self._avro = AvroReader(schema_text)

    def assign(self, topics: Sequence[str], *, from_beginning: bool) -> None:
        """Start to read topics from their beginning or their end.

        Raises:
            KafkaFailed: when Kafka does not answer, a topic does not exist, or we are not authorised for one.
        """
        partitions = readable_partitions(self._consumer, topics, self._client_errors, _TIMEOUT_SECONDS)
        offset = OFFSET_BEGINNING if from_beginning else OFFSET_END
        places = [TopicPartition(topic, number, offset) for topic in topics for number in partitions[topic]]
        self._consumer.assign(places)

    def records(self, timeout_seconds: float) -> Iterator[Record]:
        """Yield the records that have arrived, waiting at most `timeout_seconds`.

        Raises:
            KafkaFailed: when we are authorised to see a topic but not to read it.
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

    def take_problem(self) -> KafkaFailed | None:
        """Return why Kafka does not answer, if no broker does, or none will, since the last call."""
        reported = self._client_errors
        problem = None
        # A single broker restarts: the client goes on with the others.
        if reported.is_permanent or "_ALL_BROKERS_DOWN" in reported.names:
            problem = unreachable(KafkaError(KafkaError._ALL_BROKERS_DOWN), reported)  # noqa: SLF001 - the library's own name
        reported.names.clear()
        return problem

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _decode(self, value: Any) -> dict[str, Any] | None:
        if not isinstance(value, bytes):
            return None
        return self._avro.read(value) or {"(not Avro with a schema id)": f"{len(value)} bytes"}
