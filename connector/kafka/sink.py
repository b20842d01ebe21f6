"""All records of a callback in, an `Outcome` out: every delivery report is awaited, none is lost.

One idempotent producer per worker, polled on the event loop; one object and one future per callback, not per record.
A callback is enqueued as a whole or not at all. Records that Kafka rejects for good are sent once more, each in its own batch:
one bad record fails its whole batch.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from connector.errors import NoRoom
from connector.kafka.circuit_breaker import CircuitBreaker
from connector.kafka.producers import Producers, is_fatal, name_of
from connector.kafka.stalled import StallRecovery
from connector.logs import RateLimitedEvent, event
from connector.pipeline.outcome import ALL_ACKNOWLEDGED, Failure, Outcome
from connector.records import KafkaMessage

REFUSED_FOR_GOOD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,  # the protocol's CORRUPT_MESSAGE
    }
)
"""Errors that the same record would cause again."""

_BESIDE_VALUE_BYTES: Final = 512
"""Estimate of a record's key, headers and overhead: accurate enough to bound the queue's memory."""
_PARTITION_OF_KEY: Final = -1
_POLL_SECONDS: Final = 0.001
_IDLE_POLL_SECONDS: Final = 0.1
_OBSERVE_SECONDS: Final = 0.25
_log: Final = logging.getLogger("connector.produce")


class _Delivery(msgspec.Struct):
    """The records of one callback in flight: counts the outstanding reports, collects errors and records not sent.

    `pending` is the number of outstanding reports; the last one calls `finish`, then sets `finished`. `began` is a time of
    the event loop, to the precision of `_OBSERVE_SECONDS`.
    """

    messages: Sequence[KafkaMessage]
    size_bytes: int
    pending: int
    began: float
    finished: "asyncio.Future[None]"
    finish: Callable[["_Delivery"], None]
    errors: list[tuple[KafkaError, str | None, bytes | None]] = []
    unsent: list[Failure] = []

    @property
    def succeeded(self) -> bool:
        """True if every record was acknowledged."""
        return not (self.errors or self.unsent)

    def report(self, error: KafkaError | None, report: Report) -> None:
        """Handle one delivery report; librdkafka calls this from `poll`, on the event loop."""
        if error is not None:
            value = report.value()
            self.errors.append((error, report.topic(), value if isinstance(value, bytes) else b""))
        self.pending -= 1
        if not self.pending:
            self._end()

    def abandon(self, index: int, error: str) -> None:
        """Give up the records from an index on: they were not sent, so no reports arrive for them."""
        self.unsent = [Failure(message, error, for_good=False) for message in self.messages[index:]]
        self.pending -= len(self.unsent)
        if not self.pending:
            self._end()

    def _end(self) -> None:
        self.finish(self)
        # Done already: the request was cancelled.
        if not self.finished.done():
            self.finished.set_result(None)


class KafkaSink:
    """Sends the records of callbacks, over the producers of one worker.

    `properties` is the producer's whole configuration; `circuit` is open while Kafka is away (None: no circuit breaker).
    Call `start` before the first `send`, `close` at the end.
    """

    def __init__(self, properties: dict[str, Any], circuit: CircuitBreaker | None = None) -> None:
        self.producers = Producers(properties)
        self._circuit = circuit
        timeout_seconds = int(properties["delivery.timeout.ms"]) / 1000
        self._recovery = StallRecovery(self.producers, lambda: self._outstanding, lambda: self._answers, timeout_seconds)
        self._in_flight: dict[asyncio.Future[None], _Delivery] = {}
        """The deliveries without all of their reports, oldest first."""
        self._observed_at = 0.0
        self._answers = 0
        self._observing: asyncio.TimerHandle | None = None
        self._max_records = int(properties["queue.buffering.max.messages"])
        self._max_bytes = int(properties["queue.buffering.max.kbytes"]) * 1024
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polling: asyncio.TimerHandle | None = None
        self._outstanding = 0
        self._outstanding_bytes = 0
        self._not_confirmed = RateLimitedEvent("delivery_unconfirmed", "error")

    @property
    def outstanding_records(self) -> int:
        """Records that Kafka has not acknowledged yet."""
        return self._outstanding

    @property
    def outstanding_bytes(self) -> int:
        """Their approximate size."""
        return self._outstanding_bytes

    def start(self) -> None:
        """Create the producer and start to poll it on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.producers.start()
        self._polling = self._loop.call_later(_IDLE_POLL_SECONDS, self._poll)
        self._observe()

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback and await every report.

        Raises:
            NoRoom: when the queue cannot take all of them, or Kafka is known to be away; nothing was enqueued.
        """
        if not messages:
            return ALL_ACKNOWLEDGED
        if self._circuit and self._circuit.is_open and not self._circuit.allows(asyncio.get_running_loop().time()):
            raise NoRoom("Kafka does not answer")
        if self._recovery.hold:
            if self._circuit is None:
                # The drain of the spool: what waited here would overtake the records that fail with the former producer.
                raise NoRoom("the producer is being replaced")
            await self._recovery.hold
        producer = self.producers.main
        size_bytes = _queued_bytes(messages)
        if (
            producer is None
            or self._outstanding + len(messages) > self._max_records
            or self._outstanding_bytes + size_bytes > self._max_bytes
        ):
            raise NoRoom("the producer's queue is full")
        delivery = self._enqueue(producer, messages, size_bytes)
        # If the request is cancelled here, the reports still arrive and are counted.
        await delivery.finished
        if delivery.succeeded:
            return ALL_ACKNOWLEDGED
        failures = self._failures(delivery)
        again = [failure.message for failure in failures if failure.for_good]
        unconfirmed = [failure for failure in failures if not failure.for_good]
        refused: list[Failure] = []
        if again:
            _log.warning("batch_refused", extra={"records": len(again), "error": failures[0].error})
            delivery = self._enqueue(await self.producers.single_record(), again, _queued_bytes(again))
            await delivery.finished
            for failure in self._failures(delivery):
                (refused if failure.for_good else unconfirmed).append(failure)
        if unconfirmed:
            # Once a minute: an outage fails every callback.
            self._not_confirmed.event(topic=unconfirmed[0].message.topic, error=unconfirmed[0].error)
        return Outcome(refused, unconfirmed)

    async def close(self, timeout_seconds: float) -> int:
        """Flush, and return how many records were not acknowledged within the timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        # Not flush() in a thread: reports must be handled on the event loop, which keeps polling here.
        while self.producers.queued() and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        self._recovery.cancel()
        for timer in (self._polling, self._observing):
            if timer:
                timer.cancel()
        self._polling = self._observing = None
        left = self.producers.queued()
        self.producers.drop()
        return left

    def _enqueue(self, producer: Producer, messages: Sequence[KafkaMessage], size_bytes: int) -> _Delivery:
        loop = self._loop
        assert loop is not None
        delivery = _Delivery(messages, size_bytes, len(messages), self._observed_at, loop.create_future(), self._finish)
        self._in_flight[delivery.finished] = delivery
        if not self._outstanding:
            self._poll_in(_POLL_SECONDS)
        self._outstanding += len(messages)
        self._outstanding_bytes += size_bytes
        self._produce(producer, delivery)
        return delivery

    def _finish(self, delivery: _Delivery) -> None:
        # Errors of the client itself are negative: they are no answers of Kafka.
        if delivery.succeeded or (not delivery.unsent and all(error.code() > 0 for error, _, _ in delivery.errors)):
            self._answers += 1
            if self._circuit and self._circuit.is_open:
                self._update(self._circuit)
        del self._in_flight[delivery.finished]
        self._outstanding -= len(delivery.messages)
        self._outstanding_bytes -= delivery.size_bytes

    def _produce(self, producer: Producer, delivery: _Delivery) -> None:
        report = delivery.report
        for index, message in enumerate(delivery.messages):
            try:
                # Keyword arguments make the call a fifth slower.
                producer.produce(
                    message.topic,
                    message.value or None,
                    message.key,
                    _PARTITION_OF_KEY,
                    report,
                    None,  # on_delivery: an alias of the argument before
                    message.timestamp_ms,
                    message.headers,  # type: ignore[arg-type]
                )
            except (KafkaException, BufferError) as error:
                # Room was checked, so the producer itself failed: the other records are not sent.
                kafka_error = error.args[0] if isinstance(error, KafkaException) else None
                delivery.abandon(index, name_of(kafka_error))
                if is_fatal(kafka_error):
                    self.producers.replace(producer, "fatal_error")
                return

    def _failures(self, delivery: _Delivery) -> list[Failure]:
        """Return records not sent, and those with errors: matched by topic and value, since a report has nothing else."""
        left: dict[tuple[str | None, bytes | None], list[KafkaMessage]] = {}
        for message in delivery.messages:
            left.setdefault((message.topic, message.value), []).append(message)
        return delivery.unsent + [
            Failure(left[topic, value].pop(), name_of(error), for_good=error.code() in REFUSED_FOR_GOOD)
            for error, topic, value in delivery.errors
        ]

    def _poll_in(self, seconds: float) -> None:
        if self._polling:
            self._polling.cancel()
        self._polling = asyncio.get_running_loop().call_later(seconds, self._poll)

    def _observe(self) -> None:
        loop = asyncio.get_running_loop()
        self._observed_at = loop.time()
        if self._circuit:
            self._update(self._circuit)
        self._recovery.observe(self._stalled_topics())
        self._observing = loop.call_later(_OBSERVE_SECONDS, self._observe)

    def _stalled_topics(self) -> set[str]:
        """Return the topics of the callbacks that have waited for Kafka too long."""
        began_before = self._observed_at - self._recovery.stalled_seconds
        topics: set[str] = set()
        for delivery in self._in_flight.values():
            if delivery.began > began_before:
                break
            topics.update(message.topic for message in delivery.messages)
        return topics

    def _update(self, circuit: CircuitBreaker) -> None:
        was_open = circuit.is_open
        circuit.observe(asyncio.get_running_loop().time(), self._outstanding, self._answers, self.producers.brokers_up)
        if circuit.is_open != was_open:
            event("kafka_away" if circuit.is_open else "kafka_back", "warning")

    def _poll(self) -> None:
        try:
            self.producers.poll()
        finally:
            self._poll_in(_POLL_SECONDS if self._outstanding else _IDLE_POLL_SECONDS)


def _queued_bytes(messages: Sequence[KafkaMessage]) -> int:
    return sum([len(message.value) + _BESIDE_VALUE_BYTES for message in messages])
