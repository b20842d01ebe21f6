"""The broker and the registry that both servers write to: a real Kafka where there is Java, else librdkafka's mock.

The registry is the connector's embedded one: a bridge asks it at start only.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connector.catalogue import Catalogue, read_catalogue
from connector.dev.embedded.broker import EmbeddedBroker
from connector.dev.embedded.registry import create_registry
from connector.http.listener import PlainServer, bind
from connector.registry.client import RegistryClient
from tests.stack.cluster import KafkaCluster
from tests.stack.errors import StackUnavailable
from tests.stack.kafka import KafkaBroker
from tests.stack.versions import KAFKA_VERSION
from tests.support.threaded_listener import serving

PARTITIONS: Final = 6
_TOPIC_SETTINGS: Final = {"segment.bytes": str(64 * 2**20), "retention.bytes": str(256 * 2**20)}
"""Of each partition. A run's records are read before they are deleted; without this many runs would fill the disk."""
_BROKER_SETTINGS: Final[dict[str, str | int]] = {"log.retention.check.interval.ms": 20_000}


class FastBroker(KafkaBroker):
    """The broker with Java's optimising compiler and default collector, as in production: that of the tests starts fast."""

    java_options = ("-Xms256m", "-Xmx512m")


@dataclass(frozen=True, slots=True)
class Stack:
    """Where broker and registry are. `keeps_records`: whether all records of a run can be read back; `kafka`: the real one."""

    broker: str
    bootstrap_servers: str
    registry_url: str
    keeps_records: bool
    kafka: KafkaBroker | None = None

    def create_topics(self, topics: Sequence[str], partitions: int = PARTITIONS) -> None:
        """Make topics, each with as many copies as there are brokers."""
        copies = self.bootstrap_servers.count(",") + 1
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        new = [NewTopic(topic, partitions, copies, config=_TOPIC_SETTINGS) for topic in topics]
        for future in admin.create_topics(new).values():
            future.result()


@contextmanager
def started(folder: Path, topics: Sequence[str], *, embedded: bool = False) -> Iterator[Stack]:
    """Start both, make the topics, stop both at the end."""
    with _registry() as registry_url:
        if not embedded:
            kafka = FastBroker(folder / "kafka", _BROKER_SETTINGS)
            try:
                kafka.start()
            except StackUnavailable as missing:
                print(f"no real Kafka, so the embedded broker: {missing}", file=sys.stderr)
            else:
                try:
                    stack = Stack(f"Apache Kafka {KAFKA_VERSION}", kafka.bootstrap_servers, registry_url, True, kafka)  # noqa: FBT003
                    stack.create_topics(topics)
                    yield stack
                finally:
                    kafka.stop()
                return
        broker = EmbeddedBroker()
        broker.create_topics(topics)
        yield Stack("librdkafka's mock broker", broker.bootstrap_servers, registry_url, keeps_records=False)


def registered(registry_url: str, prefix: str = "") -> Catalogue:
    """Register the connector's schemas, for topics with a prefix if one is given; return the catalogue."""
    catalogue = read_catalogue(None, prefix) if prefix else read_catalogue()
    registry = RegistryClient(registry_url)
    for record_type in catalogue:
        registry.register(record_type)
    return catalogue


@contextmanager
def _registry() -> Iterator[str]:
    listening = bind("127.0.0.1", 0)
    with serving(PlainServer(create_registry()), listening):
        yield "http://{}:{}".format(*listening.getsockname())


@contextmanager
def cluster(folder: Path, topics: Sequence[str]) -> Iterator[Stack | None]:
    """Start three brokers, each record on two of them before it is acknowledged; None where they cannot be had."""
    with _registry() as registry_url, ExitStack() as open_things:
        try:
            brokers = open_things.enter_context(KafkaCluster(folder))
        except StackUnavailable:
            yield None
            return
        name = f"Apache Kafka {KAFKA_VERSION}, three brokers"
        stack = Stack(name, brokers.bootstrap_servers, registry_url, keeps_records=True)
        stack.create_topics(topics)
        yield stack
