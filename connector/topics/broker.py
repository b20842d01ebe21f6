"""The topics on the broker, through an admin client: seen, made, and their settings altered. All calls block."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.diagnosis import ClientErrors, fetch_metadata, hidden, result_of
from connector.kafka.producers import reason_of
from connector.topics.deviations import Seen, TopicState

SECONDS: Final = 10.0
_LOG = logging.getLogger("connector.topics")


class Cluster(NamedTuple):
    """A Kafka that answered."""

    cluster_id: str
    brokers: int


class NewOne(NamedTuple):
    """A topic that is to be made."""

    topic: str
    partitions: int
    copies: int
    config: Mapping[str, str]


class Broker:
    """An admin client; `client` are its properties, as for every client. Each call takes at most `seconds`."""

    def __init__(self, client: Mapping[str, Any], seconds: float = SECONDS) -> None:
        self._client_errors = ClientErrors()
        self._seconds = seconds
        ours: dict[str, Any] = {"socket.timeout.ms": int(seconds * 1000), "error_cb": self._client_errors.record}
        try:
            self._admin = AdminClient({**client, **ours}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client: {reason_of(error)}"]) from None

    def cluster(self) -> Cluster:
        """Return which Kafka this is.

        Raises:
            KafkaFailed: when it does not answer or does not let us in.
        """
        found = fetch_metadata(self._admin, self._client_errors, self._seconds)
        return Cluster(str(found.cluster_id), len(found.brokers))

    def see(self, topics: Sequence[str]) -> Seen:
        """Return what is there of these topics, and of that what we may see.

        Raises:
            KafkaFailed: when Kafka does not answer or does not let us in.
        """
        listed = fetch_metadata(self._admin, self._client_errors, self._seconds)
        if listed.controller_id not in listed.brokers:
            # The embedded broker has none, and knows no admin calls: the client would wait for one until its time is over.
            there = {topic: _state(one.partitions.values()) for topic, one in listed.topics.items() if topic in topics}
            return Seen(there, frozenset())
        # By name: in the list of all topics, those that are hidden from us look as if they were missing.
        futures = self._admin.describe_topics(TopicCollection(list(topics)), include_authorized_operations=True)
        described: dict[str, Any] = {}
        not_seen = set()
        for topic, future in futures.items():
            try:
                described[topic] = self._await(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    not_seen.add(topic)
                elif error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaFailed(f"{topic} cannot be described: {error.args[0].str()}") from None
        configs = self._configs(list(described))
        present = {
            topic: _state(one.partitions, configs.get(topic), one.authorized_operations) for topic, one in described.items()
        }
        return Seen(present, frozenset(not_seen))

    def create(self, one: NewOne) -> None:
        """Make a topic; one that somebody else has made meanwhile is left as it is.

        Raises:
            KafkaFailed: when Kafka does not answer or refuses.
        """
        new = NewTopic(one.topic, num_partitions=one.partitions, replication_factor=one.copies, config=dict(one.config))
        try:
            self._await(self._admin.create_topics([new], operation_timeout=self._seconds)[one.topic])
        except KafkaException as error:
            code = error.args[0].code()
            if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                raise hidden([one.topic], "CREATE") from None
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaFailed(f"{one.topic} was not made: {error.args[0].str()}") from None

    def alter(self, topic: str, config: Mapping[str, str]) -> None:
        """Set a topic's settings; those that are not named stay as they are.

        Raises:
            KafkaFailed: when Kafka does not answer or refuses.
        """
        set_ = AlterConfigOpType.SET
        entries = [ConfigEntry(name, value, incremental_operation=set_) for name, value in config.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        try:
            self._await(self._admin.incremental_alter_configs([resource])[resource])
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise hidden([topic], "ALTER_CONFIGS") from None
            raise KafkaFailed(f"{topic} was not changed: {error.args[0].str()}") from None

    def _configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the settings of those topics whose settings we may read."""
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        configs = {}
        for resource, future in self._admin.describe_configs(resources).items():
            try:
                found: Any = self._await(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    # Deleted since it was described.
                    continue
                if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise KafkaFailed(f"the settings of {resource.name} cannot be read: {error.args[0].str()}") from None
            else:
                configs[resource.name] = {name: str(entry.value) for name, entry in found.items()}
        return configs

    def _await(self, future: Any) -> Any:
        return result_of(future, self._admin, self._client_errors, self._seconds)


def _state(
    partitions: Iterable[Any], config: Mapping[str, str] | None = None, operations: Iterable[Any] | None = None
) -> TopicState:
    """Put together what was told of a topic; its partitions are those of a description or of the metadata."""
    copies = [(len(one.replicas), len(one.isr if hasattr(one, "isr") else one.isrs)) for one in partitions]
    return TopicState(
        partitions=len(copies),
        copies=min((replicas for replicas, _ in copies), default=0),
        in_sync=min((in_sync for _, in_sync in copies), default=0),
        config=config,
        operations=None if operations is None else frozenset(operation.name for operation in operations),
    )
