"""The producers of one worker: the one for all records, and one that sends records alone; made, watched, polled, replaced.

Idempotent producers fail for good now and then; then a new one takes the place, and what waited in the old one is reported
as failed. Nothing here knows callbacks.
"""

import asyncio
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from connector.errors import KafkaAway, KafkaFailed
from connector.kafka import diagnosis as access
from connector.logs import RateLimitedEvent

_log: Final = logging.getLogger("connector.produce")


class Producers:
    """Owns the producers; `properties` is their whole configuration. `start` before the first use, `drop` at the end."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._properties = properties
        self.main: Producer | None = None
        self._alone: Producer | None = None
        self._leaving: list[Producer] = []
        self._errors: set[str] = set()
        self._not_replaced = RateLimitedEvent("producer_not_replaced", "error")
        self.replaced = 0
        self.has_producer_id = False
        self.brokers_up = 0

    def start(self) -> None:
        """Make the producer for all records."""
        self.main = self._make(self._properties)

    def poll(self) -> None:
        """Take the reports that have come; they are called back from here."""
        for producer in self._all():
            try:
                producer.poll(0)
            except KafkaException as error:
                # confluent-kafka raises a fatal error here, instead of calling back.
                self._on_error(error.args[0])
                if is_fatal(error.args[0]):
                    self.replace(producer)
        self._leaving = [producer for producer in self._leaving if len(producer)]

    def queued(self) -> int:
        """Return how many records have no report yet."""
        return sum(map(len, self._all()))

    def drop(self) -> None:
        """Let go of all producers, with what is left in them."""
        self.main = self._alone = None
        self._leaving = []

    def replace(self, failed: Producer) -> None:
        """Put a new producer in the place of one that failed for good; what waits in it is reported as failed."""
        if failed is self.main:
            try:
                self.main = self._make(self._properties)
            except KafkaException as error:
                # As long as a key's file cannot be read, for example. The old one refuses everything, and asks for this again.
                self._not_replaced.event(error=name_of(error.args[0]))
                return
        elif failed is self._alone:
            self._alone = None
        else:
            return
        _log.error("producer_replaced")
        self.replaced += 1
        failed.purge()
        # Polled until its last report has come: somebody waits for it.
        self._leaving.append(failed)

    def alone(self) -> Producer:
        """Return a producer that sends each record in a batch of its own."""
        if self._alone is None:
            # So that nothing else can be refused with a record.
            # Without statistics: those of the main producer tell the state.
            alone = {"batch.num.messages": 1, "linger.ms": 0, "statistics.interval.ms": 0}
            self._alone = self._make({**self._properties, **alone})
        return self._alone

    def _make(self, properties: dict[str, Any]) -> Producer:
        with _as_batch_work():
            return Producer({**properties, "error_cb": self._on_error, "stats_cb": self._on_statistics}, logger=_log)

    def _on_error(self, error: KafkaError) -> None:
        _log.warning("kafka_error", extra={"error": name_of(error)})
        self._errors.add(name_of(error))

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        self.has_producer_id = statistics.get("eos", {}).get("idemp_state") == "Assigned"
        self.brokers_up = sum(broker["state"] == "UP" for broker in statistics["brokers"].values())

    def _all(self) -> list[Producer]:
        return [producer for producer in (self.main, self._alone, *self._leaving) if producer is not None]

    async def warm_up(self, topics: Sequence[str], timeout_seconds: float) -> None:
        """Fetch every topic's metadata and wait for the producer id: the first idempotent record of a cold one takes 0.5 s.

        Raises:
            KafkaFailed: when Kafka is away, does not let us in, lacks a topic, or does not authorise us.
        """
        producer = self.main
        assert producer is not None
        self._errors.clear()
        # One by one: in the list of all topics, those that are hidden from us look as if they were missing.
        errors = {topic: await self._topic_error(producer, topic, timeout_seconds) for topic in topics}
        if missing := [topic for topic, error in errors.items() if error == KafkaError.UNKNOWN_TOPIC_OR_PART]:
            raise access.missing(missing)
        if hidden := [topic for topic, error in errors.items() if error == KafkaError.TOPIC_AUTHORIZATION_FAILED]:
            raise access.hidden(hidden, "WRITE")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not self.has_producer_id and loop.time() < deadline:  # noqa: ASYNC110 - librdkafka tells it by statistics only
            await asyncio.sleep(0.05)
        if not self.has_producer_id:
            if "CLUSTER_AUTHORIZATION_FAILED" in self._errors:
                advice = "allow WRITE on the topics (before Kafka 2.8 also IDEMPOTENT_WRITE on the cluster)"
                raise KafkaFailed(f"not authorised for a producer id (CLUSTER_AUTHORIZATION_FAILED); {advice}")
            raise KafkaAway("Kafka gave no producer id yet; is the cluster healthy?")

    async def _topic_error(self, producer: Producer, topic: str, timeout_seconds: float) -> int | None:
        """Ask for a topic's metadata; return the code of the error that stands in it."""
        try:
            metadata = await asyncio.to_thread(producer.list_topics, topic, timeout=timeout_seconds)
        except KafkaException as error:
            raise access.unreachable(error.args[0], self._errors) from None
        found = metadata.topics[topic].error
        return None if found is None else found.code()


@contextmanager
def _as_batch_work() -> Iterator[None]:
    """Let the threads that are started here, and those that they start, wait for their turn on the core.

    The client's threads wake for each answer of Kafka, thousands of times a second. On the core of the event loop they
    would interrupt it in the middle of a callback; as batch work (sched(7)) they go on when it waits or its slice ends.
    """
    is_batch_work = False
    # Linux alone has it, a sandbox may forbid it, and another policy than the usual one is somebody's wish.
    with suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            is_batch_work = True
    try:
        yield
    finally:
        if is_batch_work:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


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


def name_of(error: Any) -> str:
    """Return the name of a client's error; without one the queue was full."""
    return str(error.name()) if isinstance(error, KafkaError) else "QUEUE_FULL"


def is_fatal(error: Any) -> bool:
    """Return whether the producer can do nothing any more."""
    return isinstance(error, KafkaError) and (error.fatal() or error.name() == "_FATAL")
