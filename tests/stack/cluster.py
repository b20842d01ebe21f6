"""Three real Kafka brokers, each in its own process that includes a controller: an acknowledged record is on two of them.

`bootstrap_servers` leads to the brokers themselves, `slow_bootstrap_servers` to the same brokers behind `network`, which can
be made slow and frozen. The last broker has its own `disk`, which can be filled. Times after which a broker counts as
gone are seconds, not the half minute of production.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.stack.errors import ServerFailed
from tests.stack.java import QUICK_START
from tests.stack.kafka import KafkaBroker
from tests.stack.network import Network
from tests.stack.ports import free_ports
from tests.support.small_disk import small_disk

BROKERS: Final = 3
_IN_SYNC_SECONDS: Final = 60.0
_DISK_BYTES: Final = 1024 * 1024 * 1024
"""More than a run of all faults writes; it is taken only when it is filled."""
_PROPERTIES: Final[dict[str, str | int]] = {
    "default.replication.factor": BROKERS,
    "min.insync.replicas": 2,
    "offsets.topic.num.partitions": 1,
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "replica.lag.time.max.ms": 4000,
    "controller.quorum.fetch.timeout.ms": 2000,
}


class ClusterBroker(KafkaBroker):
    """One of the brokers. Its ports: for the brokers themselves and for tests, for controllers, and behind the network."""

    port_count = 3
    java_options = ("-Xms128m", "-Xmx384m", *QUICK_START)

    def __init__(self, folder: Path, number: int, cluster: "KafkaCluster") -> None:
        super().__init__(folder)
        self.number = number
        self._cluster = cluster
        self._cluster_id = cluster.id_of(self._cluster_id)

    @property
    def controller(self) -> str:
        """Itself as a voter."""
        return f"{self.number}@127.0.0.1:{self._ports[1]}"

    @property
    def port_behind_network(self) -> int:
        """Where it listens for clients that come through the network."""
        return self._ports[2]

    def server_properties(self) -> dict[str, str | int]:
        """Return the settings of one node among three, with a second listener that is advertised as the network's."""
        plain = super().server_properties()
        return {
            **plain,
            "node.id": self.number,
            "controller.quorum.voters": ",".join(broker.controller for broker in self._cluster.brokers),
            "listeners": f"{plain['listeners']},SLOW://127.0.0.1:{self.port_behind_network}",
            "advertised.listeners": f"{plain['advertised.listeners']},SLOW://{self._cluster.network.address_of(self.number)}",
            "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},SLOW:PLAINTEXT",
            **_PROPERTIES,
        }

    def _evade(self) -> None:
        time.sleep(1)  # the others know the address


class KafkaCluster:
    """Three brokers in folders below `folder`, and the network before them. As a context manager: started, then stopped."""

    def __init__(self, folder: Path) -> None:
        self._id: str | None = None
        ports = free_ports(BROKERS)
        self.brokers = [ClusterBroker(folder / f"kafka-{number}", number, self) for number in range(1, BROKERS + 1)]
        routes = {port: broker.port_behind_network for port, broker in zip(ports, self.brokers, strict=True)}
        self.network = Network(routes)
        self._open_things = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.disk = self._open_things.enter_context(small_disk(self.brokers[-1].data, _DISK_BYTES))
            self.network.start()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Killed: their data goes with the folder, and brokers that have lost their quorum take long to say goodbye.
        for broker in self.brokers:
            broker.kill()
        self.network.stop()
        self._open_things.close()

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of the brokers."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    @property
    def slow_bootstrap_servers(self) -> str:
        """The addresses behind the network."""
        return ",".join(map(self.network.address_of, range(1, BROKERS + 1)))

    def id_of(self, proposed: str) -> str:
        """Return the id of the cluster: what the first broker proposes."""
        self._id = self._id or proposed
        return self._id

    def start(self) -> None:
        """Start those that do not run, at once: none is ready before two are. Return when all are in sync."""
        in_parallel([broker.start for broker in self.brokers if not broker.is_running])
        self.wait_until_in_sync()

    def wait_until_in_sync(self, timeout_seconds: float = _IN_SYNC_SECONDS) -> None:
        """Return when every partition has all its copies in sync.

        Raises:
            ServerFailed: not in time.
        """
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        deadline = time.monotonic() + timeout_seconds
        while not _is_in_sync(admin):
            if time.monotonic() > deadline:
                raise ServerFailed(f"the brokers are not in sync after {timeout_seconds:g} s: {self.log_files()}")
            time.sleep(0.2)

    def log_files(self) -> str:
        """Return where the brokers' logs are."""
        return ", ".join(str(broker.log_file) for broker in self.brokers)


def in_parallel(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at once, and wait for all of them; the first error is raised."""
    with ThreadPoolExecutor(max(1, len(calls))) as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()


def _is_in_sync(admin: AdminClient) -> bool:
    try:
        found = admin.list_topics(timeout=2)
    except KafkaException:
        return False
    partitions = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
    return len(found.brokers) == BROKERS and all(len(partition.isrs) == len(partition.replicas) for partition in partitions)
