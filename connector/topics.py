"""The topics on the broker: what there is, what the catalogue wants, and making what is missing.

Nothing here changes an existing topic, and the bridge itself makes none: topics are a deployment step.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from connector.catalogue import Catalogue, RecordType
from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.pipeline.producers import reason_of

_SECONDS = 10
_LOG = logging.getLogger("connector.topics")


class Finding(NamedTuple):
    """What is to be said of one topic. `state` is ok, missing, warning or error; `advice` says what mends it."""

    topic: str
    partitions: int | None
    state: str
    advice: str


class Topics:
    """An admin client over the catalogue's topics. All methods block."""

    def __init__(self, client: dict[str, Any], catalogue: Catalogue, max_message_bytes: int) -> None:
        try:
            self._admin = AdminClient({"socket.timeout.ms": _SECONDS * 1000, **client}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationInvalid([f"kafka.client: {reason_of(error)}"]) from None
        self._catalogue = catalogue
        self._max_message_bytes = max_message_bytes

    def partitions(self) -> dict[str, int]:
        """Return the partition count of every topic that the broker has.

        Raises:
            KafkaFailed: when Kafka does not answer.
        """
        try:
            metadata = self._admin.list_topics(timeout=_SECONDS)
        except KafkaException as error:
            raise _failed(error) from None
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def create(self, partitions: int, replication_factor: int) -> list[str]:
        """Make the topics that are missing; return their names.

        Raises:
            KafkaFailed: when Kafka does not answer or refuses one; those made before stay.
        """
        existing = self.partitions()
        missing = [record_type for record_type in self._catalogue if record_type.topic not in existing]
        wanted = [
            NewTopic(
                record_type.topic,
                num_partitions=partitions,
                replication_factor=replication_factor,
                config=self.wanted_config(record_type),
            )
            for record_type in missing
        ]
        if wanted:
            for name, future in self._admin.create_topics(wanted, operation_timeout=_SECONDS).items():
                try:
                    future.result()
                except KafkaException as error:
                    raise KafkaFailed(f"{name} was not made: {error.args[0].str()}") from None
        return [record_type.topic for record_type in missing]

    def check(self) -> list[Finding]:
        """Compare the broker's topics with the catalogue.

        Raises:
            KafkaFailed: when Kafka does not answer.
        """
        existing = self.partitions()
        present = [record_type for record_type in self._catalogue if record_type.topic in existing]
        configs = self._configs([record_type.topic for record_type in present])
        keyed = {existing[record_type.topic] for record_type in present if record_type.keyed_by_wa_id}
        return [self._find(record_type, existing.get(record_type.topic), configs, keyed) for record_type in self._catalogue]

    def wanted_config(self, record_type: RecordType) -> dict[str, str]:
        """Return the settings that a record type's topic should have."""
        large = {"max.message.bytes": str(self._max_message_bytes)} if record_type.large else {}
        return {**large, **record_type.topic_config}

    def _find(
        self, record_type: RecordType, partitions: int | None, configs: dict[str, dict[str, str]], keyed: set[int]
    ) -> Finding:
        topic = record_type.topic
        if partitions is None:
            return Finding(topic, None, "missing", "`connector topics create` makes it")
        for name, value in self.wanted_config(record_type).items():
            there = configs.get(topic, {}).get(name, "")
            if name == "max.message.bytes" and there.isdigit() and int(there) >= int(value):
                continue
            if there != value:
                state = "error" if name in ("max.message.bytes", "cleanup.policy") else "warning"
                command = f"kafka-configs --alter --topic {topic} --add-config {name}={value}"
                advice = f"{name} is {there}, should be {value}: {command}"
                return Finding(topic, partitions, state, advice)
        if record_type.keyed_by_wa_id and len(keyed) > 1:
            return Finding(
                topic,
                partitions,
                "warning",
                "topics keyed by wa_id have unequal partition counts: joins need equal ones",
            )
        return Finding(topic, partitions, "ok", "")

    def _configs(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        configs = {}
        try:
            for resource, future in self._admin.describe_configs(resources).items():
                configs[resource.name] = {name: str(entry.value) for name, entry in future.result().items()}
        except KafkaException as error:
            raise _failed(error) from None
        return configs


def _failed(error: KafkaException) -> KafkaFailed:
    return KafkaFailed(f"Kafka does not answer ({error.args[0].name()}); check kafka.client bootstrap.servers")
