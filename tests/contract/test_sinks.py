"""One suite for both sinks: the one in memory, which most tests use, behaves as the one that talks to Kafka."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from msgspec.structs import replace

from connector.errors import KafkaFailed, NoRoom
from connector.kafka.sink import KafkaSink
from connector.pipeline.outcome import Outcome
from connector.pipeline.ports import Sink
from connector.records import KafkaMessage
from connector.settings.load import load_settings
from connector.settings.producer import producer_properties
from tests.stack.kafka import KafkaBroker
from tests.support.callbacks import MemorySink
from tests.support.servers import eventually

LARGE_BYTES = 20_000
"""The topics of these tests take less than this."""
ROOM = 50
NOW_MS = 1_763_721_000_000

Result = TypeVar("Result")
Place = list[tuple[str, bytes | None, bytes]]


class SinkSuite(ABC):
    """What every sink does."""

    @abstractmethod
    def use(self, test: Callable[[Sink, str], Awaitable[Result]], *, away: bool = False) -> tuple[Result, Place]:
        """Run a test with a sink and a topic; return its result and the records then in the topic, in order of offset.

        The sink has room for `ROOM` records and refuses those of more than `LARGE_BYTES`; `away`: nothing is confirmed.
        """

    def test_all_are_acknowledged(self) -> None:
        sent = [record(f"v{index}", key=f"k{index}") for index in range(20)]
        outcome, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert outcome == Outcome([], [])
        assert sorted(there) == sorted(place(sent, there))

    def test_nothing_to_send_is_acknowledged(self) -> None:
        outcome, there = self.use(lambda sink, _: sink.send([]))
        assert outcome == Outcome([], [])
        assert not there

    def test_record_without_a_key_or_headers_goes_through(self) -> None:
        sent = [KafkaMessage("", None, b"value", [], NOW_MS, None)]
        outcome, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert outcome == Outcome([], [])
        assert [(key, value) for _, key, value in there] == [(None, b"value")]

    def test_records_of_a_key_keep_their_order_within_a_callback(self) -> None:
        sent = [record(f"{index}", key="one") for index in range(ROOM)]
        _, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert [value for _, _, value in there] == [one.value for one in sent]

    def test_records_of_a_key_keep_their_order_over_callbacks_at_once(self) -> None:
        async def send(sink: Sink, topic: str) -> None:
            callbacks = [[record(f"{index}.{part}", key="one") for part in range(3)] for index in range(15)]
            outcomes = await asyncio.gather(*(sink.send(on(topic, records)) for records in callbacks))
            assert outcomes == [Outcome([], [])] * 15

        _, there = self.use(send)
        assert [value.decode() for _, _, value in there] == [f"{index}.{part}" for index in range(15) for part in range(3)]

    def test_permanent_refusal_is_reported_and_siblings_go_through(self) -> None:
        sent = [record("first"), record("x" * LARGE_BYTES), record("last")]
        outcome, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        (refused,) = outcome.refused
        assert (refused.message.value, refused.error, refused.for_good) == (sent[1].value, "MSG_SIZE_TOO_LARGE", True)
        assert not outcome.unconfirmed
        assert sorted(value for _, _, value in there) == [b"first", b"last"]

    def test_all_permanent_refusals_are_reported(self) -> None:
        sent = [record("x" * LARGE_BYTES), record("y" * LARGE_BYTES)]
        outcome, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert sorted(failure.message.value for failure in outcome.refused) == [one.value for one in sent]
        assert not there

    def test_refused_twins_are_reported_twice(self) -> None:
        sent = [record("x" * LARGE_BYTES)] * 2
        outcome, _ = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert len(outcome.refused) == 2

    def test_neighbour_of_a_refused_callback_goes_through(self) -> None:
        async def send(sink: Sink, topic: str) -> list[Outcome]:
            bad, good = [record("x" * LARGE_BYTES)], [record("good")]
            return list(await asyncio.gather(sink.send(on(topic, bad)), sink.send(on(topic, good))))

        (bad, good), there = self.use(send)
        assert (len(bad.refused), good) == (1, Outcome([], []))
        assert [value for _, _, value in there] == [b"good"]

    def test_unconfirmed_record_is_reported(self) -> None:
        sent = [record("one"), record("two", key="other")]
        outcome, _ = self.use(lambda sink, topic: sink.send(on(topic, sent)), away=True)
        assert not outcome.refused
        assert sorted(failure.message.value for failure in outcome.unconfirmed) == [b"one", b"two"]
        assert {(failure.error, failure.for_good) for failure in outcome.unconfirmed} == {("_MSG_TIMED_OUT", False)}


class TestMemorySink(SinkSuite):
    def use(self, test: Callable[[Sink, str], Awaitable[Result]], *, away: bool = False) -> tuple[Result, Place]:
        sink = MemorySink(refuse=lambda one: one.size_bytes() > LARGE_BYTES, confirm=not away)

        async def run() -> Result:
            return await test(sink, "topic")

        result = asyncio.run(run())
        return result, [(one.topic, one.key, one.value) for one in sink.messages]

    def test_no_room_and_nothing_is_taken(self) -> None:
        sink = MemorySink(room=False)
        with pytest.raises(NoRoom):
            asyncio.run(sink.send([record("one")]))
        assert not sink.messages


class TestKafkaSink(SinkSuite):
    @pytest.fixture(autouse=True)
    def _broker(self, kafka: KafkaBroker) -> None:
        self.kafka = kafka

    def use(self, test: Callable[[Sink, str], Awaitable[Result]], *, away: bool = False) -> tuple[Result, Place]:
        topic = make_topic(self.kafka)

        async def run() -> Result:
            # A topic that is not there is never confirmed: librdkafka waits for it to come.
            more = {"delivery.timeout.ms": 1500} if away else {}
            async with started(self.kafka, **more) as sink:
                return await test(sink, f"{topic}-missing" if away else topic)

        return asyncio.run(run()), read(self.kafka, topic)

    def test_too_many_records_for_the_room_are_refused_as_a_whole(self) -> None:
        async def send(sink: Sink, topic: str) -> Outcome:
            with pytest.raises(NoRoom):
                await sink.send(on(topic, [record(f"{index}") for index in range(ROOM + 1)]))
            return await sink.send(on(topic, [record("after")]))

        outcome, there = self.use(send)
        assert outcome == Outcome([], [])
        assert [value for _, _, value in there] == [b"after"]

    def test_too_many_bytes_for_the_room_are_refused_as_a_whole(self) -> None:
        async def send(sink: Sink, topic: str) -> None:
            with pytest.raises(NoRoom):
                await sink.send(on(topic, [record("x" * 10_000) for _ in range(ROOM)]))
            assert isinstance(sink, KafkaSink)
            assert sink.outstanding_records == 0

        _, there = self.use(send)
        assert not there

    def test_room_is_shared_by_the_callbacks_under_way(self) -> None:
        async def send(sink: Sink, topic: str) -> list[Any]:
            callbacks = [[record(f"{index}.{part}") for part in range(ROOM // 2)] for index in range(3)]
            return await asyncio.gather(*(sink.send(on(topic, one)) for one in callbacks), return_exceptions=True)

        (first, second, third), there = self.use(send)
        assert (first, second) == (Outcome([], []), Outcome([], []))
        assert isinstance(third, NoRoom)
        assert {value[:1] for _, _, value in there} == {b"0", b"1"}

    def test_room_of_a_cancelled_request_is_freed_after_delivery(self) -> None:
        async def send(sink: Sink, topic: str) -> None:
            assert isinstance(sink, KafkaSink)
            sending = asyncio.create_task(sink.send(on(topic, [record(f"{part}") for part in range(ROOM)])))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert sink.outstanding_records == ROOM
            with pytest.raises(NoRoom):
                await sink.send(on(topic, [record("one more")]))
            while sink.outstanding_records:  # noqa: ASYNC110 - the sink has no event for it
                await asyncio.sleep(0.01)

        _, there = self.use(send)
        assert len(there) == ROOM

    def test_room_comes_back(self) -> None:
        async def send(sink: Sink, topic: str) -> None:
            for index in range(5):
                assert await sink.send(on(topic, [record(f"{index}.{part}") for part in range(ROOM)])) == Outcome([], [])

        _, there = self.use(send)
        assert len(there) == 5 * ROOM

    def test_record_with_a_future_timestamp_is_refused_alone(self) -> None:
        # Brokers refuse what lies more than an hour ahead, and with it all that travels in the same batch.
        ahead = replace(record("ahead"), timestamp_ms=9_999_999_999_999)
        sent = [record("first"), ahead, record("last")]
        outcome, there = self.use(lambda sink, topic: sink.send(on(topic, sent)))
        assert [(failure.message.value, failure.error) for failure in outcome.refused] == [(b"ahead", "INVALID_TIMESTAMP")]
        assert not outcome.unconfirmed
        assert sorted(value for _, _, value in there) == [b"first", b"last"]

    def test_record_over_the_producer_limit_is_reported(self) -> None:
        sent = [record("one"), record("x" * 4_400_000)]

        async def run() -> Outcome:
            async with started(self.kafka, **{"queue.buffering.max.kbytes": 32768}) as sink:
                return await sink.send(on(topic, sent))

        topic = make_topic(self.kafka)
        outcome = asyncio.run(run())
        assert [failure.message.value for failure in outcome.refused + outcome.unconfirmed] == [sent[1].value]
        assert [value for _, _, value in read(self.kafka, topic)] == [b"one"]

    def test_sender_that_is_gone_leaves_the_record_on_its_way(self) -> None:
        async def send(sink: Sink, topic: str) -> None:
            sending = asyncio.create_task(sink.send(on(topic, [record("kept")])))
            await asyncio.sleep(0)
            sending.cancel()
            assert await sink.send(on(topic, [record("after")])) == Outcome([], [])

        _, there = self.use(send)
        assert [value for _, _, value in there] == [b"kept", b"after"]

    def test_close_waits_for_what_is_under_way(self) -> None:
        topic = make_topic(self.kafka)

        async def run() -> tuple[int, Outcome]:
            sink = KafkaSink(properties(self.kafka))
            sink.start()
            sending = asyncio.create_task(sink.send(on(topic, [record("one")])))
            await asyncio.sleep(0)
            return await sink.close(10), await sending

        assert asyncio.run(run()) == (0, Outcome([], []))
        assert len(read(self.kafka, topic)) == 1

    def test_close_returns_the_number_of_unacknowledged_records(self) -> None:
        async def run() -> int:
            sink = KafkaSink(properties(self.kafka))
            sink.start()
            sending = asyncio.create_task(sink.send([record("one"), record("two")]))
            await asyncio.sleep(0)
            left = await sink.close(0.2)
            sending.cancel()
            return left

        assert asyncio.run(run()) == 2

    def test_closed_sink_has_no_room(self) -> None:
        async def run() -> None:
            sink = KafkaSink(properties(self.kafka))
            sink.start()
            await sink.close(5)
            with pytest.raises(NoRoom):
                await sink.send([record("one")])

        asyncio.run(run())

    def test_warming_up_proves_topics_and_producer(self) -> None:
        topic = make_topic(self.kafka)

        async def run() -> None:
            async with started(self.kafka) as sink:
                await sink.producers.warm_up([topic], 10)
                assert sink.producers.statistics.has_producer_id
                assert sink.producers.brokers_up == 1
                with pytest.raises(KafkaFailed, match=r"topics are missing: nowhere; `connector topics create`"):
                    await sink.producers.warm_up([topic, "nowhere"], 10)

        asyncio.run(run())


def record(value: str, key: str = "key") -> KafkaMessage:
    return KafkaMessage("nowhere", key.encode(), value.encode(), [("ce_id", b"1")], NOW_MS, None)


def on(topic: str, records: Sequence[KafkaMessage]) -> list[KafkaMessage]:
    return [replace(one, topic=topic) for one in records]


def place(records: Sequence[KafkaMessage], there: Place) -> Place:
    return [(topic, one.key, one.value) for one, (topic, _, _) in zip(records, there, strict=True)]


def properties(kafka: KafkaBroker, **more: Any) -> dict[str, Any]:
    environment = {
        "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true",
        "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "CONNECTOR_KAFKA__DELIVERY_TIMEOUT_SECONDS": "10",
        "CONNECTOR_KAFKA__PRODUCER__QUEUE_BUFFERING_MAX_MESSAGES": str(ROOM),
        "CONNECTOR_KAFKA__PRODUCER__QUEUE_BUFFERING_MAX_KBYTES": "256",
        "CONNECTOR_KAFKA__PRODUCER__STATISTICS_INTERVAL_MS": "100",
    }
    return {**producer_properties(load_settings(None, environment)), "log_level": 0, **more}


@asynccontextmanager
async def started(kafka: KafkaBroker, **more: Any) -> AsyncIterator[KafkaSink]:
    sink = KafkaSink(properties(kafka, **more))
    sink.start()
    try:
        yield sink
    finally:
        await sink.close(10)


def make_topic(kafka: KafkaBroker) -> str:
    topic = f"sinks-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    new = NewTopic(topic, num_partitions=1, config={"max.message.bytes": str(LARGE_BYTES // 2)})
    admin.create_topics([new])[topic].result(timeout=10)
    # The answer comes before every part of the broker knows the topic.
    eventually(lambda: admin.list_topics(topic, timeout=5).topics[topic].error is None)
    return topic


def read(kafka: KafkaBroker, topic: str) -> Place:
    """Return all records of a topic with one partition."""
    client = {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, "group.id": topic}
    consumer = Consumer({**client, "enable.auto.commit": False, "fetch.wait.max.ms": 20})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found: Place = []
        while not found or consumer.position([TopicPartition(topic, 0)])[0].offset < end:
            if not end:
                break
            for message in consumer.consume(500, 1):
                assert message.error() is None, message.error()
                key, value = message.key(), message.value()
                assert isinstance(value, bytes)
                found.append((topic, key if isinstance(key, bytes) else None, value))
        return found
    finally:
        consumer.close()
