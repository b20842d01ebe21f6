"""All records of a callback in, an `Outcome` out: every delivery report awaited, none swallowed.

One idempotent producer per worker, polled on the event loop; one object and one future per callback, not per record.
A callback is enqueued as a whole or not at all. Records that Kafka refuses for good are sent once more, each alone in its
batch: one bad record fails all that travel with it.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from connector.errors import KafkaFailed, NoRoom
from connector.records import KafkaMessage

REFUSED_FOR_GOOD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,  # the protocol's CORRUPT_MESSAGE
    }
)
"""Errors that sending the same record again would only repeat."""

_BESIDE_VALUE_BYTES: Final = 512
"""What a record has beside its value, about: key, headers, overhead. Good enough to keep the queue's memory in bounds."""
_POLL_SECONDS: Final = 0.001
_IDLE_POLL_SECONDS: Final = 0.1
_log: Final = logging.getLogger("connector.produce")


class Failure(NamedTuple):
    """A record that Kafka did not acknowledge, and the name of the error."""

    message: KafkaMessage
    error: str
    for_good: bool


class Outcome(NamedTuple):
    """What became of the records of one callback: `refused` are those that Kafka will never take."""

    refused: list[Failure]
    unconfirmed: list[Failure]


class Sink(Protocol):
    """Where the records of a callback go: Kafka, or a list in memory."""

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback and await every acknowledgement; `NoRoom` when nothing was enqueued."""
        ...


class _Delivery:
    """The records of one callback under way: counts the reports down, keeps the errors."""

    __slots__ = ("errors", "finished", "pending")

    def __init__(self, pending: int, finished: "asyncio.Future[None]") -> None:
        self.pending = pending
        self.finished = finished
        self.errors: list[tuple[KafkaError, str | None, bytes | None]] = []

    def report(self, error: KafkaError | None, report: Report) -> None:
        """Take one delivery report; librdkafka calls this from `poll`, on the event loop."""
        if error is not None:
            value = report.value()
            self.errors.append((error, report.topic(), value if isinstance(value, bytes) else None))
        self.pending -= 1
        if not self.pending and not self.finished.done():
            self.finished.set_result(None)


class KafkaSink:
    """Owns the producer of one worker.

    `properties` is the producer's whole configuration. `start` before the first `send`, `close` at the end.
    """

    def __init__(self, properties: dict[str, Any]) -> None:
        self._properties = properties
        self._max_records = int(properties["queue.buffering.max.messages"])
        self._max_bytes = int(properties["queue.buffering.max.kbytes"]) * 1024
        self._producer: Producer | None = None
        self._alone: Producer | None = None
        self._leaving: list[Producer] = []
        self._polling: asyncio.TimerHandle | None = None
        self._outstanding = 0
        self._outstanding_bytes = 0
        self.replaced = 0
        self.has_producer_id = False
        self.brokers_up = 0

    @property
    def outstanding_records(self) -> int:
        """Records that Kafka has not acknowledged yet."""
        return self._outstanding

    def start(self) -> None:
        """Make the producer and begin to poll it on the running event loop."""
        self._producer = self._make(self._properties)
        self._poll()

    async def warm_up(self, topics: Sequence[str], timeout_seconds: float) -> None:
        """Fetch every topic's metadata and wait for the producer id: the first idempotent record of a cold one takes 0.5 s.

        Raises:
            KafkaFailed: when Kafka is away or a topic is missing.
        """
        producer = self._producer
        assert producer is not None
        try:
            metadata = await asyncio.to_thread(producer.list_topics, timeout=timeout_seconds)
        except KafkaException as error:
            raise KafkaFailed(f"Kafka does not answer ({_name(error.args[0])}); check kafka.client bootstrap.servers") from None
        missing = [topic for topic in topics if topic not in metadata.topics]
        if missing:
            raise KafkaFailed(f"topics are missing: {', '.join(missing)}; `connector topics create` makes them")
        for topic in topics:
            await asyncio.to_thread(producer.list_topics, topic, timeout=timeout_seconds)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not self.has_producer_id and loop.time() < deadline:  # noqa: ASYNC110 - librdkafka tells it by statistics only
            await asyncio.sleep(0.05)
        if not self.has_producer_id:
            raise KafkaFailed("Kafka gave no producer id yet; is the cluster healthy and IDEMPOTENT_WRITE allowed?")

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback and await every report.

        Raises:
            NoRoom: when the queue cannot take all of them; nothing was enqueued.
        """
        if not messages:
            return Outcome([], [])
        producer = self._producer
        size_bytes = _queued_bytes(messages)
        if (
            producer is None
            or len(producer) + len(messages) > self._max_records
            or self._outstanding_bytes + size_bytes > self._max_bytes
        ):
            raise NoRoom("the producer's queue is full")
        failures = await self._enqueue(producer, messages, size_bytes)
        if not failures:
            return Outcome([], [])
        again = [failure.message for failure in failures if failure.for_good]
        unconfirmed = [failure for failure in failures if not failure.for_good]
        refused: list[Failure] = []
        if again:
            _log.warning("batch_refused", extra={"records": len(again), "error": failures[0].error})
            for failure in await self._enqueue(self._alone_producer(), again, _queued_bytes(again)):
                (refused if failure.for_good else unconfirmed).append(failure)
        return Outcome(refused, unconfirmed)

    async def close(self, timeout_seconds: float) -> int:
        """Wait for what is under way, and return how many records were not acknowledged in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        # Not flush() in a thread: reports belong on the event loop, where they are polled on meanwhile.
        while sum(map(len, self._producers())) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        if self._polling:
            self._polling.cancel()
            self._polling = None
        left = sum(map(len, self._producers()))
        self._producer = self._alone = None
        self._leaving = []
        return left

    async def _enqueue(self, producer: Producer, messages: Sequence[KafkaMessage], size_bytes: int) -> list[Failure]:
        delivery = _Delivery(len(messages), asyncio.get_running_loop().create_future())
        report = delivery.report
        failures: list[Failure] = []
        count = len(messages)
        if not self._outstanding:
            self._poll_soon()
        self._outstanding += count
        self._outstanding_bytes += size_bytes
        try:
            for index, message in enumerate(messages):
                try:
                    producer.produce(
                        message.topic,
                        message.value,
                        message.key,
                        on_delivery=report,
                        timestamp=message.timestamp_ms,
                        headers=message.headers,  # type: ignore[arg-type]
                    )
                except (KafkaException, BufferError) as error:
                    # Room was checked, so this is an error of the producer itself: what follows is not sent.
                    kafka_error = error.args[0] if isinstance(error, KafkaException) else None
                    if _is_fatal(kafka_error):
                        self._replace(producer)
                    failures += [Failure(left, _name(kafka_error), for_good=False) for left in messages[index:]]
                    delivery.pending -= count - index
                    break
            if delivery.pending:
                # A cancelled request changes nothing: the reports still come, to nobody.
                await delivery.finished
        finally:
            self._outstanding -= count
            self._outstanding_bytes -= size_bytes
        return failures + self._failures(messages, delivery) if delivery.errors or failures else failures

    def _failures(self, messages: Sequence[KafkaMessage], delivery: _Delivery) -> list[Failure]:
        """Find the records that errors belong to, by topic and value: a report carries no reference of ours."""
        left = list(messages)
        failures = []
        for error, topic, value in delivery.errors:
            message = next(message for message in left if message.topic == topic and message.value == value)
            left.remove(message)
            failures.append(Failure(message, _name(error), for_good=error.code() in REFUSED_FOR_GOOD))
        return failures

    def _poll_soon(self) -> None:
        if self._polling:
            self._polling.cancel()
            self._polling = asyncio.get_running_loop().call_later(_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        for producer in self._producers():
            try:
                producer.poll(0)
            except KafkaException as error:
                # confluent-kafka raises a fatal error here, instead of calling back.
                _log.warning("kafka_error", extra={"error": _name(error.args[0])})
                if _is_fatal(error.args[0]):
                    self._replace(producer)
        self._leaving = [producer for producer in self._leaving if len(producer)]
        seconds = _POLL_SECONDS if self._outstanding else _IDLE_POLL_SECONDS
        self._polling = asyncio.get_running_loop().call_later(seconds, self._poll)

    def _producers(self) -> list[Producer]:
        return [producer for producer in (self._producer, self._alone, *self._leaving) if producer is not None]

    def _replace(self, failed: Producer) -> None:
        """Put a new producer in the place of one that failed for good; what waits in it is reported as failed."""
        if failed is self._producer:
            self._producer = self._make(self._properties)
        elif failed is self._alone:
            self._alone = None
        else:
            return
        _log.error("producer_replaced")
        self.replaced += 1
        failed.purge()
        # Polled until its last report has come: somebody waits for it.
        self._leaving.append(failed)

    def _alone_producer(self) -> Producer:
        if self._alone is None:
            # One record a batch, so that nothing else can be refused with it.
            # Without statistics: those of the main producer tell the state.
            alone = {"batch.num.messages": 1, "linger.ms": 0, "statistics.interval.ms": 0}
            self._alone = self._make({**self._properties, **alone})
        return self._alone

    def _make(self, properties: dict[str, Any]) -> Producer:
        return Producer({**properties, "error_cb": self._on_error, "stats_cb": self._on_statistics}, logger=_log)

    def _on_error(self, error: KafkaError) -> None:
        _log.warning("kafka_error", extra={"error": _name(error)})

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        self.has_producer_id = statistics.get("eos", {}).get("idemp_state") == "Assigned"
        self.brokers_up = sum(broker["state"] == "UP" for broker in statistics["brokers"].values())


def check_properties(properties: dict[str, Any]) -> list[str]:
    """Return what librdkafka says against each property, tried alone, and then against all together."""
    problems = []
    for name, value in properties.items():
        try:
            Producer({name: value}, logger=_log)
        except (KafkaException, TypeError, ValueError) as error:
            text = reason_of(error)
            # Alone, a property may lack its companions (a mechanism without its password): that is told by all together.
            if not text.startswith("Failed to create"):
                problems.append(f"kafka: {name}: {text}")
    if not problems:
        try:
            Producer(properties, logger=_log)
        except (KafkaException, TypeError, ValueError) as error:
            problems.append(f"kafka: {reason_of(error)}")
    return problems


def reason_of(error: Exception) -> str:
    """Return what a client says against its properties."""
    cause = error.args[0] if error.args else error
    return str(cause.str() if isinstance(cause, KafkaError) else cause)


def _queued_bytes(messages: Sequence[KafkaMessage]) -> int:
    return sum([len(message.value) + _BESIDE_VALUE_BYTES for message in messages])


def _name(error: Any) -> str:
    return str(error.name()) if isinstance(error, KafkaError) else "QUEUE_FULL"


def _is_fatal(error: Any) -> bool:
    return isinstance(error, KafkaError) and (error.fatal() or error.name() == "_FATAL")
