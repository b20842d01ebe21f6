"""An admin client for the topics: describe and create them, and alter their settings. All calls block."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.diagnosis import ClientErrors, fetch_metadata, hidden, result_of, retried
from connector.kafka.producers import reason_of
from connector.kafka.tokens import with_tokens
from connector.topics.deviations import DescribedTopics, TopicState

SECONDS: Final = 10.0
SHOWN_SECONDS: Final = 15.0
"""How long `wait_until_shown` waits; usually a few milliseconds are enough."""
_SHOWN_POLL_SECONDS: Final = 0.1
_UNSUPPORTED: Final = (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE)  # noqa: SLF001 - the library's own name
"""Errors of a broker that does not know a request."""
_LOG = logging.getLogger("connector.topics")


class Cluster(NamedTuple):
    """A Kafka cluster that answered."""

    cluster_id: str
    brokers: int


class TopicToCreate(NamedTuple):
    """A topic that is to be created."""

    topic: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


class Broker:
    """An admin client; `client` are the properties of every Kafka client. Each call takes at most `timeout_seconds`."""

    def __init__(self, client: Mapping[str, Any], timeout_seconds: float = SECONDS) -> None:
        self._client_errors = ClientErrors(client)
        self._timeout_seconds = timeout_seconds
        ours: dict[str, Any] = {"socket.timeout.ms": int(timeout_seconds * 1000), **self._client_errors.callbacks()}
        try:
            self._admin = AdminClient({**with_tokens(client), **ours}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client: {reason_of(error)}"]) from None

    def cluster(self) -> Cluster:
        """Return the cluster's id and number of brokers.

        Raises:
            KafkaFailed: when it does not answer or rejects our credentials.
        """
        found = fetch_metadata(self._admin, self._client_errors, self._timeout_seconds)
        return Cluster(str(found.cluster_id), len(found.brokers))

    def describe(self, topics: Sequence[str]) -> DescribedTopics:
        """Describe those of the topics that exist and that we are authorised to see.

        Raises:
            KafkaFailed: when Kafka does not answer or rejects our credentials.
        """
        listed = fetch_metadata(self._admin, self._client_errors, self._timeout_seconds)
        if listed.controller_id not in listed.brokers:
            # The embedded broker has no controller and no admin calls: the client would wait for one until the timeout.
            there = {topic: _state(one.partitions.values()) for topic, one in listed.topics.items() if topic in topics}
            return DescribedTopics(there, frozenset(), reports_settings=False)
        # By name: in the list of all topics, a hidden topic looks as if it were missing.
        futures = self._admin.describe_topics(TopicCollection(list(topics)), include_authorized_operations=True)
        described: dict[str, Any] = {}
        hidden_topics = set()
        for topic, future in futures.items():
            try:
                described[topic] = self._await(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    hidden_topics.add(topic)
                elif error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaFailed(f"{topic} cannot be described: {error.args[0].str()}") from None
        configs = self._configs(list(described))
        present = {
            topic: _state(one.partitions, (configs or {}).get(topic), one.authorized_operations)
            for topic, one in described.items()
        }
        return DescribedTopics(present, frozenset(hidden_topics), reports_settings=configs is not None)

    def create(self, one: TopicToCreate) -> None:
        """Create a topic; one that was created meanwhile stays as it is.

        Raises:
            KafkaFailed: when Kafka does not answer or refuses.
        """
        new = NewTopic(
            one.topic, num_partitions=one.partitions, replication_factor=one.replication_factor, config=dict(one.config)
        )
        try:
            self._repeat(lambda: self._admin.create_topics([new], operation_timeout=self._timeout_seconds)[one.topic])
        except KafkaException as error:
            code = error.args[0].code()
            if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                raise hidden([one.topic], "CREATE") from None
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaFailed(f"{one.topic} was not created: {error.args[0].str()}") from None

    def wait_until_shown(self, topics: Sequence[str], timeout_seconds: float = SHOWN_SECONDS) -> None:
        """Wait until the brokers show new topics: Kafka acknowledges them before all brokers know them.

        Any broker can answer, so the topics count as shown after as many answers in a row as there are brokers.

        Raises:
            KafkaFailed: when they are not shown in time, or Kafka does not answer.
        """
        deadline = time.monotonic() + timeout_seconds
        in_a_row, needed = 0, self.cluster().brokers
        while in_a_row < needed:
            described = self.describe(topics)
            not_shown = [topic for topic in topics if not _is_shown(topic, described)]
            in_a_row = 0 if not_shown else in_a_row + 1
            if not_shown and time.monotonic() > deadline:
                raise KafkaFailed(
                    f"created, but not shown by all brokers after {timeout_seconds:g} s: {', '.join(not_shown)}; "
                    "wait until `connector topics check` shows them"
                )
            if in_a_row < needed:
                time.sleep(_SHOWN_POLL_SECONDS)

    def alter(self, topic: str, config: Mapping[str, str]) -> None:
        """Set some of a topic's settings; the others stay as they are.

        Raises:
            KafkaFailed: when Kafka does not answer or refuses.
        """
        set_ = AlterConfigOpType.SET
        entries = [ConfigEntry(name, value, incremental_operation=set_) for name, value in config.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        try:
            self._repeat(lambda: self._admin.incremental_alter_configs([resource])[resource])
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise hidden([topic], "ALTER_CONFIGS") from None
            raise KafkaFailed(f"{topic} was not changed: {error.args[0].str()}") from None

    def _configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]] | None:
        """Return the settings of the topics whose settings we are authorised to read; None if the broker reports none."""
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        configs = {}
        for resource, future in self._admin.describe_configs(resources).items():
            try:
                found: Any = self._await(future)
            except KafkaException as error:
                code = error.args[0].code()
                if code in _UNSUPPORTED:
                    return None
                # An unknown topic was deleted since it was described, or only just created.
                if code not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                    raise KafkaFailed(f"the settings of {resource.name} cannot be read: {error.args[0].str()}") from None
            else:
                configs[resource.name] = {name: str(entry.value) for name, entry in found.items()}
        return configs

    def _repeat(self, ask: Callable[[], Any]) -> None:
        """Send a request to the controller, again while a new one is being elected."""
        retried(lambda left: result_of(ask(), self._admin, self._client_errors, left), self._timeout_seconds)

    def _await(self, future: Any) -> Any:
        return result_of(future, self._admin, self._client_errors, self._timeout_seconds)


def _is_shown(topic: str, described: DescribedTopics) -> bool:
    """Return whether a new topic has its partitions, each with a replica in sync."""
    state = described.present.get(topic)
    return topic in described.hidden or (state is not None and state.partitions > 0 and state.in_sync > 0)


def _state(
    partitions: Iterable[Any], config: Mapping[str, str] | None = None, operations: Iterable[Any] | None = None
) -> TopicState:
    """Return a topic's state; its partitions are from a description or from the metadata."""
    counts = [(len(one.replicas), len(one.isr if hasattr(one, "isr") else one.isrs)) for one in partitions]
    return TopicState(
        partitions=len(counts),
        replicas=min((replicas for replicas, _ in counts), default=0),
        in_sync=min((in_sync for _, in_sync in counts), default=0),
        config=config,
        operations=None if operations is None else frozenset(operation.name for operation in operations),
    )
