"""Deletes a topic of a cluster and creates it again."""

from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AdminClient

from tests.stack.cluster import KafkaCluster
from tests.support import servers
from tests.support.servers import eventually

_SECONDS = 20.0


def create_again(cluster: KafkaCluster, settings: Mapping[str, str], topic: str) -> None:
    """Delete a topic, and create it by the settings, until other brokers than before lead half of its partitions."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    before = _leaders(admin, topic)
    count = len(before)
    now = before
    while sum(leader != former for leader, former in zip(now, before, strict=True)) < count / 2:
        admin.delete_topics([topic], operation_timeout=_SECONDS)[topic].result(timeout=_SECONDS)
        eventually(lambda: not _leaders(admin, topic), _SECONDS)
        servers.run(settings, "topics", "create")
        eventually(lambda: len(_leaders(admin, topic)) == count, _SECONDS)
        now = _leaders(admin, topic)


def _leaders(admin: AdminClient, topic: str) -> Sequence[int]:
    """Return the broker that leads each partition; nothing if there is no such topic, or one has no leader."""
    found = admin.list_topics(timeout=_SECONDS).topics.get(topic)
    leaders = [partition.leader for _, partition in sorted(found.partitions.items())] if found else []
    return leaders if min(leaders, default=-1) >= 0 else []
