"""The producers of one worker: the main one, and one that sends each record in its own batch; created, polled, replaced.

An idempotent producer can fail for good. A new one replaces it, and the records that the old one had queued are reported as
failed. Nothing here knows callbacks.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

from connector.errors import ConfigurationInvalid, KafkaAway, KafkaFailed
from connector.kafka import diagnosis
from connector.kafka.backoff import Backoff
from connector.kafka.scheduling import batch_scheduling
from connector.kafka.statistics import Statistics
from connector.kafka.tokens import takes_tokens, with_tokens
from connector.logs import RateLimitedEvent

_log: Final = logging.getLogger("connector.produce")
_POLL_SECONDS: Final = 0.05
_LEAST_SECONDS: Final = 0.1
_BACKOFF_SECONDS: Final = (0.2, 0.4, 0.8, 1.6, 2.0)
_QUIET_SECONDS: Final = 5.0
_TOKEN_RETRY_SECONDS: Final = 5.0


class Producers:
    """Owns the producers; `properties` is their whole configuration. Call `start` before the first use, `drop` at the end."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._properties = properties
        self.main: Producer | None = None
        self._single_record: Producer | None = None
        self._retiring: list[Producer] = []
        self._making: asyncio.Task[None] | None = None
        self._reported = diagnosis.ClientErrors(properties)
        self._not_replaced = RateLimitedEvent("producer_not_replaced", "error")
        self.replaced = 0
        self._to_replace: tuple[Producer, str, Sequence[str]] | None = None
        self._not_before = float("-inf")
        self._backoff = Backoff(_BACKOFF_SECONDS, _QUIET_SECONDS)

    @property
    def brokers_up(self) -> int:
        """How many connections of the main producer can take requests."""
        return self.statistics.brokers_up

    @property
    def statistics(self) -> Statistics:
        """The latest statistics of the main producer."""
        return self._reported.statistics

    def start(self) -> None:
        """Create the main producer; one that needs a token follows once it has it, and `main` is None until then."""
        if takes_tokens(self._properties):
            self._making = asyncio.get_running_loop().create_task(self._make_in_thread())
        else:
            self.main = self._make_main()

    def poll(self) -> None:
        """Poll all producers; their delivery reports are called back from here."""
        if self._to_replace and time.monotonic() >= self._not_before:
            self.replace(*self._to_replace)
        for producer in self._all():
            try:
                producer.poll(0)
            except KafkaException as error:
                # confluent-kafka raises a fatal error here, instead of calling back.
                self._on_error(error.args[0])
                if is_fatal(error.args[0]):
                    self.replace(producer, "fatal_error")
        self._retiring = [producer for producer in self._retiring if len(producer)]

    def queued(self) -> int:
        """Return how many records have no report yet."""
        return sum(map(len, self._all()))

    def drop(self) -> None:
        """Drop all producers, with the records that they have queued."""
        if self._making:
            self._making.cancel()
        self.main = self._single_record = self._to_replace = None
        self._retiring = []

    def replace(self, failed: Producer, reason: str, topics: Sequence[str] = ()) -> None:
        """Replace a producer that is of no more use; the records that it has queued are reported as failed.

        The log names the reason, and the topics if it concerns only some. The first one is replaced at once. One that follows
        soon is replaced after a pause, since what makes producers fail (a missing right) can last.
        """
        if failed is self.main and time.monotonic() < self._not_before:
            self._to_replace = failed, reason, topics
            return
        if failed is self.main and takes_tokens(self._properties):
            self.main = None
            self.start()
        elif failed is self.main:
            try:
                self.main = self._make_main()
            except KafkaException as error:
                # For example, a key file cannot be read. The old producer refuses every record, and each refusal retries this.
                self._not_replaced.event(error=name_of(error.args[0]))
                return
        elif failed is self._single_record:
            self._single_record = None
        else:
            return
        self._to_replace = None
        self._not_before = self._backoff.next_after(time.monotonic())
        _log.error("producer_replaced", extra={"reason": reason, **({"topics": list(topics)} if topics else {})})
        self.replaced += 1
        failed.purge()
        # Polled until its last report has arrived: requests wait for the reports.
        self._retiring.append(failed)

    async def single_record(self) -> Producer:
        """Return a producer that sends each record in its own batch, so that Kafka rejects no other record with it."""
        if self._single_record is None:
            # No statistics: those of the main producer give the state.
            overrides = {"batch.num.messages": 1, "linger.ms": 0, "statistics.interval.ms": 0}
            properties = {**self._properties, **overrides}
            if takes_tokens(properties):
                return self._keep_first(await asyncio.to_thread(self._make, properties))
            self._single_record = self._make(properties)
        return self._single_record

    def _make_main(self) -> Producer:
        # Connected to every broker, not only to those that it has sent records to: so that the start proves all of them, and
        # no record waits for a connection.
        def read(text: str) -> None:
            # A former producer reports until it is empty.
            if self.main is made:
                self._reported.read(text)

        made = self._make({**self._properties, "enable.sparse.connections": False, "stats_cb": read})
        return made

    def _keep_first(self, made: Producer) -> Producer:
        """Keep a producer that sends single records, unless another callback has made one meanwhile."""
        if self._single_record is None:
            self._single_record = made
        return self._single_record

    async def _make_in_thread(self) -> None:
        """Create the main producer off the event loop; try until there is a token."""
        while self.main is None:
            try:
                self.main = await asyncio.to_thread(self._make_main)
            except KafkaException as error:
                self._reported.record(error.args[0])
                await asyncio.sleep(_TOKEN_RETRY_SECONDS)

    def _make(self, properties: dict[str, Any]) -> Producer:
        with batch_scheduling():
            return Producer({**with_tokens(properties), "error_cb": self._on_error}, logger=_log)

    def _on_error(self, error: KafkaError) -> None:
        _log.warning("kafka_error", extra={"error": name_of(error)})
        self._reported.record(error)

    def _all(self) -> list[Producer]:
        return [producer for producer in (self.main, self._single_record, *self._retiring) if producer is not None]

    async def warm_up(self, topics: Sequence[str], timeout_seconds: float) -> None:
        """Prove what the first records need: every topic, a connection to the leader of each partition, and a producer id.

        Raises:
            KafkaFailed: when Kafka is away, rejects the credentials, lacks a topic, or does not authorise us; when a leader
                cannot be reached at its advertised address.
        """
        if self._making:
            await asyncio.wait([self._making], timeout=timeout_seconds)
        producer = self.main
        if producer is None:
            raise KafkaFailed("no token for Kafka; check the AWS credentials of the process (log event kafka_token_failed)")
        self._reported.names.clear()
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        # One by one: in the list of all topics, a hidden topic looks as if it were missing.
        found = {topic: await self._metadata(producer, topic, deadline) for topic in topics}
        errors = {topic: metadata.topics[topic].error for topic, metadata in found.items()}
        if missing := [topic for topic, error in errors.items() if error and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART]:
            raise diagnosis.missing(missing)
        if hidden := [
            topic for topic, error in errors.items() if error and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        ]:
            raise diagnosis.hidden(hidden, "WRITE")
        leaders = {topic: _leaders(metadata.topics[topic]) for topic, metadata in found.items()}
        if leaderless := [topic for topic, ids in leaders.items() if not ids or min(ids) < 0]:
            raise diagnosis.without_leader(leaderless)
        await self.connect(timeout_seconds, frozenset().union(*leaders.values()))

    async def connect(self, timeout_seconds: float, broker_ids: Collection[int] = ()) -> None:
        """Prove connections to brokers, by default to all, at the addresses that they advertise, and a producer id.

        Raises:
            KafkaFailed: when a broker cannot be reached, or Kafka assigns no producer id.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while not self._is_proven(broker_ids) and loop.time() < deadline:  # noqa: ASYNC110 - librdkafka reports it only in its statistics
            await asyncio.sleep(_POLL_SECONDS)
        statistics = self.statistics
        if not self._is_proven(broker_ids) and "CLUSTER_AUTHORIZATION_FAILED" in self._reported.names:
            advice = "allow WRITE on the topics (before Kafka 2.8 also IDEMPOTENT_WRITE on the cluster)"
            raise KafkaFailed(f"not authorised for a producer id (CLUSTER_AUTHORIZATION_FAILED); {advice}")
        advertised = statistics.advertised()
        if not advertised:
            raise diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), self._reported)  # noqa: SLF001 - the library's own name
        if down := [id_ for id_ in broker_ids or advertised if not statistics.is_up(id_)]:
            addresses = [advertised.get(id_, f"broker {id_}") for id_ in down]
            raise diagnosis.brokers_unreachable(addresses, self._reported)
        if not self._is_proven(broker_ids):
            raise KafkaAway("Kafka has not assigned a producer id yet; check that the cluster is healthy")

    def _is_proven(self, broker_ids: Collection[int]) -> bool:
        statistics = self.statistics
        needed = broker_ids or statistics.advertised()
        return bool(needed) and statistics.has_producer_id and all(map(statistics.is_up, needed))

    async def _metadata(self, producer: Producer, topic: str, deadline: float) -> ClusterMetadata:
        left = max(_LEAST_SECONDS, deadline - asyncio.get_running_loop().time())
        try:
            return await asyncio.to_thread(producer.list_topics, topic, timeout=left)
        except KafkaException as error:
            raise diagnosis.unreachable(error.args[0], self._reported) from None


def _leaders(topic: TopicMetadata) -> frozenset[int]:
    """Return the ids of the brokers that lead a topic's partitions; -1: one has no leader."""
    return frozenset(partition.leader for partition in topic.partitions.values())


def check_properties(properties: dict[str, Any]) -> list[str]:
    """Return librdkafka's error for each property by itself, or else for all of them together."""
    problems = []
    try:
        # Without the callback, for which the client would wait.
        properties = {name: value for name, value in with_tokens(properties).items() if name != "oauth_cb"}
    except ConfigurationInvalid as invalid:
        return list(invalid.problems)
    for name, value in properties.items():
        try:
            Producer({name: value}, logger=_log)
        except (KafkaException, TypeError, ValueError) as error:
            text = reason_of(error)
            # By itself, a property may lack others that it needs (a mechanism its password): the test of all reports that.
            if not text.startswith("Failed to create"):
                problems.append(f"kafka: {name}: {text}")
    if not problems:
        try:
            Producer(properties, logger=_log)
        except (KafkaException, TypeError, ValueError) as error:
            problems.append(f"kafka: {reason_of(error)}")
    return problems


def reason_of(error: Exception) -> str:
    """Return a client's error about its properties."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, KafkaError) and cause.code() == KafkaError.SASL_AUTHENTICATION_FAILED:
        # Only the constructor of a client with a token provider reports it here: it waits for the first token.
        return "no token for Kafka; check the AWS credentials of the process (log event kafka_token_failed)"
    return str(cause.str() if isinstance(cause, KafkaError) else cause)


def name_of(error: Any) -> str:
    """Return the name of a client's error; anything else means that the queue was full."""
    return str(error.name()) if isinstance(error, KafkaError) else "QUEUE_FULL"


def is_fatal(error: Any) -> bool:
    """Return whether the error makes the producer unusable."""
    return isinstance(error, KafkaError) and (error.fatal() or error.name() == "_FATAL")
