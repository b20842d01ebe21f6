"""A topic that is deleted and created again on a cluster that has lived: normal service within 30 s, without a restart."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.load import Answered, Load, load, message_ids
from tests.faults.topic_again import create_again
from tests.stack.cluster import KafkaCluster
from tests.support import servers
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import Environment, Served, eventually

SERVICE_SECONDS = 30.0
BUSY_SECONDS = 10.0
"""What a busy machine may add."""
WELL = 100
"""So many answers in a row are normal service."""


@pytest.fixture(scope="module")
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as running:
        yield running


@pytest.fixture(scope="module")
def settings_of_topics_with_a_past(
    kafka_cluster: KafkaCluster, registry: EmbeddedRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Environment]:
    spool = {"SPOOL__FOLDER": str(tmp_path_factory.mktemp("spool"))}
    prepared = {
        name: servers.environment(
            kafka_cluster.bootstrap_servers,
            registry.url,
            delivery_timeout_seconds=10,
            TOPICS__REPLICATION_FACTOR=str(len(kafka_cluster.brokers)),
            **more,
        )
        for name, more in {"without spool": {}, "with spool": spool}.items()
    }
    for settings in prepared.values():
        servers.prepare(settings)
    for broker in kafka_cluster.brokers:
        # Each moves leaders, which raises their epochs: those of a new topic begin at zero, below what the client knows.
        broker.restart()
        kafka_cluster.wait_until_in_sync()
    return prepared


@pytest.mark.parametrize("name", ["without spool", "with spool"])
def test_topic_created_again_is_served_without_a_restart(
    kafka_cluster: KafkaCluster, settings_of_topics_with_a_past: Mapping[str, Environment], tmp_path: Path, name: str
) -> None:
    settings = settings_of_topics_with_a_past[name]
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        topic = f"{server.addresses.prefix}texts"
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
        create_again(kafka_cluster, settings, topic)
        began = time.monotonic()
        with load(server.addresses.callback_url, first=1_000_000) as running:
            eventually(lambda: is_well(running), 2 * SERVICE_SECONDS, server.log)
            assert time.monotonic() < began + SERVICE_SECONDS + BUSY_SECONDS, server.log()
        assert_named_in_the_log(server, topic)
        eventually(lambda: running.ids(200) <= message_ids(server.addresses), 60)
        assert server.stop().exit_code == 0


def is_well(running: Load) -> bool:
    last: list[Answered] = running.answers[-WELL:]
    return len(last) == WELL and all(answer.status == 200 for answer in last)


def assert_named_in_the_log(server: Served, topic: str) -> None:
    """Assert that the log names the topic, and that producers were not replaced in a loop.

    Sometimes the client recovers when the bridge asks it for the topic's leaders: then nothing has to be replaced.
    """
    replaced = server.events("producer_replaced")
    assert all((line["reason"], line["topics"]) == ("stalled", [topic]) for line in replaced), server.log()
    # The main producer, and perhaps that of the spool.
    assert len(replaced) <= 2
    assert replaced or topic in {line["topic"] for line in server.events("delivery_unconfirmed")}
