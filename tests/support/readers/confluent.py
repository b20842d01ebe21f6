"""confluent-kafka's own reader: DeserializingConsumer and AvroDeserializer, which know nothing but the registry.

In go topics; out come all their records.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from confluent_kafka import DeserializingConsumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from connector.records import Json
from tests.support.servers import Addresses


class PlainRecord(NamedTuple):
    """A record as confluent-kafka has it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]]
    value: Json


def read(addresses: Addresses, topics: Iterable[str], reader_schema: str | None = None) -> Iterator[PlainRecord]:
    """Yield all records, each read by its own schema, or by the reader's."""
    with SchemaRegistryClient({"url": addresses.registry_url, "timeout": 20}) as registry:
        consumer = DeserializingConsumer(
            {
                "bootstrap.servers": addresses.bootstrap_servers,
                "group.id": "readers",
                "enable.auto.commit": False,
                "value.deserializer": AvroDeserializer(registry, reader_schema),
            }
        )
        known = consumer.list_topics(timeout=10).topics
        places = [TopicPartition(topic, number, 0) for topic in topics for number in known[topic].partitions]
        left = sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in places)
        consumer.assign(places)
        while left:
            message = consumer.poll(20)
            assert message is not None, f"{left} records did not come"
            left -= 1
            yield _record(message)
        consumer.close()


def _record(message: Any) -> PlainRecord:
    return PlainRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.timestamp()[1],
        message.headers(),
        message.value(),
    )
