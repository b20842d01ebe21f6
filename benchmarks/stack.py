"""The broker and the registry that both servers write to: a real Kafka where there is Java, else librdkafka's mock.

The registry is the connector's embedded one: a bridge asks it at start only.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connector.embedded.broker import EmbeddedBroker
from connector.embedded.registry import create_registry
from tests.stack.errors import StackUnavailable
from tests.stack.kafka import KafkaBroker
from tests.stack.ports import free_ports
from tests.stack.versions import KAFKA_VERSION

_PARTITIONS = 6


@dataclass(frozen=True, slots=True)
class Stack:
    """Where broker and registry are. `keeps_records`: whether all records of a run can be read back; `kafka`: the real one."""

    broker: str
    bootstrap_servers: str
    registry_url: str
    keeps_records: bool
    kafka: KafkaBroker | None = None


@contextmanager
def started(folder: Path, topics: Sequence[str], *, embedded: bool) -> Iterator[Stack]:
    """Start both, make the topics, stop both at the end."""
    with _registry() as registry_url:
        if not embedded:
            kafka = KafkaBroker(folder / "kafka")
            try:
                kafka.start()
            except StackUnavailable:
                pass
            else:
                try:
                    _create_topics(kafka.bootstrap_servers, topics)
                    yield Stack(f"Apache Kafka {KAFKA_VERSION}", kafka.bootstrap_servers, registry_url, True, kafka)  # noqa: FBT003
                finally:
                    kafka.stop()
                return
        broker = EmbeddedBroker()
        broker.create_topics(topics)
        yield Stack("librdkafka's mock broker", broker.bootstrap_servers, registry_url, keeps_records=False)


def _create_topics(bootstrap_servers: str, topics: Sequence[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    new = [NewTopic(topic, num_partitions=_PARTITIONS, replication_factor=1) for topic in topics]
    for future in admin.create_topics(new).values():
        future.result()


@contextmanager
def _registry() -> Iterator[str]:
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(create_registry(), port=port, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
