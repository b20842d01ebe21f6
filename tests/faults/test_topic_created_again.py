"""A topic that is deleted and created again on a cluster that has lived: normal service within 30 s, without a restart."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.load import load, message_ids
from tests.stack.cluster import KafkaCluster
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import eventually, post

SERVICE_SECONDS = 30.0
PARTITIONS = 6


@pytest.mark.parametrize("has_spool", [False, True], ids=["without spool", "with spool"])
def test_topic_created_again_is_served_within_30_seconds(kafka_cluster: KafkaCluster, tmp_path: Path, has_spool: bool) -> None:
    with EmbeddedRegistry() as registry:
        settings = servers.environment(
            kafka_cluster.bootstrap_servers,
            registry.url,
            delivery_timeout_seconds=10,
            TOPICS__REPLICATION_FACTOR=str(len(kafka_cluster.brokers)),
            TOPICS__PARTITIONS=str(PARTITIONS),
            **({"SPOOL__FOLDER": str(tmp_path / "spool")} if has_spool else {}),
        )
        servers.prepare(settings)
        for broker in kafka_cluster.brokers:
            # Each moves leaders, which raises their epochs: those of the new topic begin at zero, below what the client knows.
            broker.restart()
            kafka_cluster.wait_until_in_sync()
        with servers.served(settings, tmp_path) as server:
            server.wait_until_ready()
            topic = f"{server.addresses.prefix}texts"
            with load(server.addresses.callback_url) as running:
                eventually(lambda: running.count(200) > 20)
            create_again(kafka_cluster, settings, topic)
            began = time.monotonic()
            with load(server.addresses.callback_url, first=1_000_000) as running:
                eventually(lambda: last_are_200(running.answers, 200), 2 * SERVICE_SECONDS, server.log)
                assert time.monotonic() < began + SERVICE_SECONDS + 5, server.log()
            replaced = server.events("producer_replaced")
            assert [(line["reason"], line["topics"]) for line in replaced[:1]] == [("stalled", [topic])]
            assert len(replaced) <= 2, "no loop"
            assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
            eventually(lambda: running.ids(200) <= message_ids(server.addresses), 60)
            assert server.stop().exit_code == 0


def create_again(cluster: KafkaCluster, settings: Mapping[str, str], topic: str) -> None:
    """Delete a topic, and create it until other brokers than before lead most of its partitions."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    before = leaders(admin, topic)
    assert before
    while sum(now != then for now, then in zip(leaders(admin, topic) or before, before, strict=True)) < PARTITIONS - 3:
        admin.delete_topics([topic], operation_timeout=10)[topic].result(timeout=20)
        eventually(lambda: topic not in admin.list_topics(timeout=5).topics, 20)
        servers.run(settings, "topics", "create")
        eventually(lambda: leaders(admin, topic) is not None, 20)


def leaders(admin: AdminClient, topic: str) -> Sequence[int] | None:
    found = admin.list_topics(timeout=5).topics.get(topic)
    ids = [partition.leader for _, partition in sorted(found.partitions.items())] if found else []
    return ids if len(ids) == PARTITIONS and min(ids) >= 0 else None


def last_are_200(answers: Sequence[object], count: int) -> bool:
    last = list(answers)[-count:]
    return len(last) == count and all(getattr(answer, "status", 0) == 200 for answer in last)
