"""A producer that fails for good is replaced: its records are reported as unconfirmed, and later ones go through.

The fault is librdkafka's own: its test functions are called in the library that confluent-kafka brings.
"""

import asyncio
import ctypes
import uuid
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connector.dev.embedded.broker import EmbeddedBroker
from connector.kafka.sink import KafkaSink
from connector.pipeline.outcome import Outcome
from connector.records import KafkaMessage
from connector.settings.load import load_settings
from connector.settings.producer import producer_properties
from tests.stack.kafka import KafkaBroker

OUT_OF_ORDER_SEQUENCE = 45
RTT_MS = 1000
NOW_MS = 1_763_721_000_000


def test_fatal_error_of_an_idle_producer_replaces_it() -> None:
    async def test(sink: KafkaSink, _: EmbeddedBroker) -> None:
        assert sink.producers.main is not None
        fail_for_good(sink.producers.main)
        await replaced(sink)
        assert await sink.send([record("after")]) == Outcome([], [])

    run(test)


def test_fatal_error_fails_pending_and_concurrent_records() -> None:
    async def test(sink: KafkaSink, broker: EmbeddedBroker) -> None:
        set_round_trip(broker, RTT_MS)
        under_way = asyncio.create_task(sink.send([record("one"), record("two")]))
        await asyncio.sleep(0.1)
        assert sink.producers.main is not None
        fail_for_good(sink.producers.main)
        meanwhile = await sink.send([record("three")])
        assert [failure.message.value for failure in meanwhile.unconfirmed] == [b"three"]
        outcome = await asyncio.wait_for(under_way, 5)
        assert [failure.message.value for failure in outcome.unconfirmed] == [b"one", b"two"]
        assert not outcome.refused
        assert sink.producers.replaced == 1
        set_round_trip(broker, 0)
        for index in range(5):
            assert await sink.send([record(f"after.{index}")]) == Outcome([], [])
        assert sink.producers.replaced == 1
        assert sink.outstanding_records == 0

    run(test)


def test_fatal_error_of_the_single_record_producer_replaces_it() -> None:
    async def test(sink: KafkaSink, _: EmbeddedBroker) -> None:
        alone, main = await sink.producers.single_record(), sink.producers.main
        fail_for_good(alone)
        await replaced(sink)
        assert sink.producers.main is main
        assert await sink.producers.single_record() is not alone
        assert await sink.send([record("after")]) == Outcome([], [])

    run(test)


@pytest.mark.parametrize("times", [2, 3])
def test_fatal_errors_one_after_the_other(times: int) -> None:
    async def test(sink: KafkaSink, _: EmbeddedBroker) -> None:
        for index in range(1, times + 1):
            assert sink.producers.main is not None
            fail_for_good(sink.producers.main)
            await replaced(sink, index)
            assert await sink.send([record(f"after.{index}")]) == Outcome([], [])

    run(test)


def test_fatal_errors_under_load_lose_no_acknowledged_record(kafka: KafkaBroker) -> None:
    topic = f"fatal-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(topic, 3)])[topic].result(timeout=10)
    acknowledged: set[bytes] = set()
    failed: list[bytes] = []

    async def send(sink: KafkaSink, value: str) -> None:
        outcome = await sink.send([KafkaMessage(topic, value.encode(), value.encode(), [], NOW_MS, None)])
        assert not outcome.refused
        failed.extend(failure.message.value for failure in outcome.unconfirmed)
        if not outcome.unconfirmed:
            acknowledged.add(value.encode())

    async def whole() -> None:
        sink = KafkaSink(properties(kafka.bootstrap_servers))
        sink.start()
        await sink.producers.warm_up([topic], 10)
        sending: list[asyncio.Task[None]] = []
        for number in range(300):
            sending.append(asyncio.create_task(send(sink, f"{number}")))
            await asyncio.sleep(0.005)
            if number in (100, 200):
                assert sink.producers.main is not None
                fail_for_good(sink.producers.main)
        await asyncio.wait_for(asyncio.gather(*sending), 20)
        assert sink.producers.replaced == 2
        assert await sink.close(10) == 0

    asyncio.run(whole())
    assert len(acknowledged) + len(failed) == 300
    assert {f"{number}".encode() for number in range(250, 300)} <= acknowledged
    assert acknowledged <= values_in(kafka, topic)


def values_in(kafka: KafkaBroker, topic: str) -> set[bytes]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "log_level": 0})
    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(3)]
    count = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    found: list[bytes] = []
    while len(found) < count:
        found += [record.value() or b"" for record in consumer.consume(count - len(found), 1)]
    consumer.close()
    return set(found)


def run(test: Callable[[KafkaSink, EmbeddedBroker], Awaitable[None]]) -> None:
    """Run a test with a warm sink on an embedded broker; nothing may be left in the sink."""

    async def whole() -> None:
        broker = EmbeddedBroker()
        broker.create_topics(["topic"])
        sink = KafkaSink(properties(broker.bootstrap_servers))
        sink.start()
        await sink.producers.warm_up(["topic"], 10)
        await test(sink, broker)
        assert await sink.close(10) == 0

    asyncio.run(whole())


def properties(bootstrap_servers: str) -> dict[str, Any]:
    environment = {
        "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true",
        "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": bootstrap_servers,
        "CONNECTOR_KAFKA__PRODUCER__STATISTICS_INTERVAL_MS": "100",
    }
    return producer_properties(load_settings(None, environment))


async def replaced(sink: KafkaSink, times: int = 1) -> None:
    async with asyncio.timeout(5):
        while sink.producers.replaced < times:  # noqa: ASYNC110 - the sink has no event for it
            await asyncio.sleep(0.01)


def record(value: str) -> KafkaMessage:
    return KafkaMessage("topic", b"key", value.encode(), [], NOW_MS, None)


def fail_for_good(producer: Producer) -> None:
    """Raise a fatal error in a producer."""
    assert library().rd_kafka_test_fatal_error(handle(producer), OUT_OF_ORDER_SEQUENCE, b"injected") == 0


def set_round_trip(broker: EmbeddedBroker, milliseconds: int) -> None:
    """Let the embedded broker answer later."""
    cluster = library().rd_kafka_handle_mock_cluster(handle(broker._owner))
    assert library().rd_kafka_mock_broker_set_rtt(cluster, 1, milliseconds) == 0


def handle(producer: Producer) -> ctypes.c_void_p:
    """Return the `rd_kafka_t *` of a Python object: the first field behind CPython's own two."""
    return ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)


@cache
def library() -> ctypes.CDLL:
    """Return the librdkafka that confluent-kafka has loaded."""
    package = Path(confluent_kafka.__file__).parent
    found = list((package.parent / "confluent_kafka.libs").glob("librdkafka-*.so*"))
    if not found:
        pytest.skip("this confluent-kafka has no bundled librdkafka")
    loaded = ctypes.CDLL(str(found[0]))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    loaded.rd_kafka_test_fatal_error.argtypes = [pointer, number, ctypes.c_char_p]
    loaded.rd_kafka_handle_mock_cluster.argtypes = [pointer]
    loaded.rd_kafka_handle_mock_cluster.restype = pointer
    loaded.rd_kafka_mock_broker_set_rtt.argtypes = [pointer, number, number]
    return loaded
