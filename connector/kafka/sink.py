"""All records of a callback in, an `Outcome` out: every delivery report awaited, none swallowed.

One idempotent producer per worker, polled on the event loop; one object and one future per callback, not per record.
A callback is enqueued as a whole or not at all. Records that Kafka refuses for good are sent once more, each alone in its
batch: one bad record fails all that travel with it.
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
"""Errors that sending the same record again would only repeat."""

_BESIDE_VALUE_BYTES: Final = 512
"""What a record has beside its value, about: key, headers, overhead. Good enough to keep the queue's memory in bounds."""
_PARTITION_OF_KEY: Final = -1
_POLL_SECONDS: Final = 0.001
_IDLE_POLL_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.25
_log: Final = logging.getLogger("connector.produce")


class _Delivery(msgspec.Struct):
    """The records of one callback under way: counts the reports down, keeps the errors and what was not sent.

    `pending` is the number of reports that are still to come; with the last of them `finish` is called, then `finished` is set.
    """

    messages: Sequence[KafkaMessage]
    size_bytes: int
    pending: int
    finished: "asyncio.Future[None]"
    finish: Callable[["_Delivery"], None]
    errors: list[tuple[KafkaError, str | None, bytes | None]] = []
    unsent: list[Failure] = []

    @property
    def is_acknowledged(self) -> bool:
        """Whether no report came with an error, and none will not come."""
        return not (self.errors or self.unsent)

    def report(self, error: KafkaError | None, report: Report) -> None:
        """Take one delivery report; librdkafka calls this from `poll`, on the event loop."""
        if error is not None:
            value = report.value()
            self.errors.append((error, report.topic(), value if isinstance(value, bytes) else b""))
        self.pending -= 1
        if not self.pending:
            self._end()

    def leave(self, index: int, error: str) -> None:
        """Give up the records from an index on: they were not sent, and no report comes."""
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

    `properties` is the producer's whole configuration; `circuit` tells when Kafka is known to be away (None: nobody asks).
    `start` before the first `send`, `close` at the end.
    """

    def __init__(self, properties: dict[str, Any], circuit: CircuitBreaker | None = None) -> None:
        self.producers = Producers(properties)
        self._circuit = circuit
        self._answers = 0
        self._looking: asyncio.TimerHandle | None = None
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
        """Their size, about."""
        return self._outstanding_bytes

    def start(self) -> None:
        """Make the producer and begin to poll it on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.producers.start()
        self._polling = self._loop.call_later(_IDLE_POLL_SECONDS, self._poll)
        self._look()

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback and await every report.

        Raises:
            NoRoom: when the queue cannot take all of them, or Kafka is known to be away; nothing was enqueued.
        """
        if not messages:
            return ALL_ACKNOWLEDGED
        if self._circuit and self._circuit.is_open and not self._circuit.lets_pass(asyncio.get_running_loop().time()):
            raise NoRoom("Kafka does not answer")
        producer = self.producers.main
        size_bytes = _queued_bytes(messages)
        if (
            producer is None
            or self._outstanding + len(messages) > self._max_records
            or self._outstanding_bytes + size_bytes > self._max_bytes
        ):
            raise NoRoom("the producer's queue is full")
        delivery = self._enqueue(producer, messages, size_bytes)
        # A request that is cancelled here changes nothing: the reports still come, to nobody.
        await delivery.finished
        if delivery.is_acknowledged:
            return ALL_ACKNOWLEDGED
        failures = self._failures(delivery)
        again = [failure.message for failure in failures if failure.for_good]
        unconfirmed = [failure for failure in failures if not failure.for_good]
        refused: list[Failure] = []
        if again:
            _log.warning("batch_refused", extra={"records": len(again), "error": failures[0].error})
            delivery = self._enqueue(self.producers.alone(), again, _queued_bytes(again))
            await delivery.finished
            for failure in self._failures(delivery):
                (refused if failure.for_good else unconfirmed).append(failure)
        if unconfirmed:
            # Once a minute: an outage fails every callback.
            self._not_confirmed.event(topic=unconfirmed[0].message.topic, error=unconfirmed[0].error)
        return Outcome(refused, unconfirmed)

    async def close(self, timeout_seconds: float) -> int:
        """Wait for what is under way, and return how many records were not acknowledged in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        # Not flush() in a thread: reports belong on the event loop, where they are polled on meanwhile.
        while self.producers.queued() and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        for timer in (self._polling, self._looking):
            if timer:
                timer.cancel()
        self._polling = self._looking = None
        left = self.producers.queued()
        self.producers.drop()
        return left

    def _enqueue(self, producer: Producer, messages: Sequence[KafkaMessage], size_bytes: int) -> _Delivery:
        loop = self._loop
        assert loop is not None
        delivery = _Delivery(messages, size_bytes, len(messages), loop.create_future(), self._finish)
        if not self._outstanding:
            self._poll_in(_POLL_SECONDS)
        self._outstanding += len(messages)
        self._outstanding_bytes += size_bytes
        self._produce(producer, delivery)
        return delivery

    def _finish(self, delivery: _Delivery) -> None:
        # The client's own errors are negative: they are no answer of Kafka's.
        if delivery.is_acknowledged or (not delivery.unsent and all(error.code() > 0 for error, _, _ in delivery.errors)):
            self._answers += 1
            if self._circuit and self._circuit.is_open:
                self._ask(self._circuit)
        self._outstanding -= len(delivery.messages)
        self._outstanding_bytes -= delivery.size_bytes

    def _produce(self, producer: Producer, delivery: _Delivery) -> None:
        report = delivery.report
        for index, message in enumerate(delivery.messages):
            try:
                # Named arguments take the client a fifth more time.
                producer.produce(
                    message.topic,
                    message.value or None,
                    message.key,
                    _PARTITION_OF_KEY,
                    report,
                    None,  # on_delivery, another name for the one before
                    message.timestamp_ms,
                    message.headers,  # type: ignore[arg-type]
                )
            except (KafkaException, BufferError) as error:
                # Room was checked, so this is an error of the producer itself: what follows is not sent.
                kafka_error = error.args[0] if isinstance(error, KafkaException) else None
                delivery.leave(index, name_of(kafka_error))
                if is_fatal(kafka_error):
                    self.producers.replace(producer)
                return

    def _failures(self, delivery: _Delivery) -> list[Failure]:
        """Find what was not sent, and the records that errors belong to: by topic and value, since a report names no more."""
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

    def _look(self) -> None:
        if self._circuit:
            self._ask(self._circuit)
            self._looking = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _ask(self, circuit: CircuitBreaker) -> None:
        was_open = circuit.is_open
        circuit.look(asyncio.get_running_loop().time(), self._outstanding, self._answers, self.producers.brokers_up)
        if circuit.is_open != was_open:
            event("kafka_away" if circuit.is_open else "kafka_back", "warning")

    def _poll(self) -> None:
        try:
            self.producers.poll()
        finally:
            self._poll_in(_POLL_SECONDS if self._outstanding else _IDLE_POLL_SECONDS)


def _queued_bytes(messages: Sequence[KafkaMessage]) -> int:
    return sum([len(message.value) + _BESIDE_VALUE_BYTES for message in messages])
