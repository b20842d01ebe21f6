"""Connections to brokers: the bridge is not ready without them and names them; a forgotten one costs no callback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.cluster import KafkaCluster
from tests.stack.network import Network
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import Environment, done, post


@pytest.fixture
def settings(kafka_cluster: KafkaCluster) -> Iterator[Environment]:
    """Yield settings whose bootstrap address leads to a broker itself, and which meet the network at advertised addresses."""
    with EmbeddedRegistry() as registry:
        reachable = f"127.0.0.1:{kafka_cluster.brokers[1].port_behind_network}"
        made = servers.environment(
            reachable, registry.url, TOPICS__REPLICATION_FACTOR=str(len(kafka_cluster.brokers)), TOPICS__PARTITIONS="3"
        )
        servers.prepare(made)
        try:
            yield made
        finally:
            kafka_cluster.network.thaw()
            kafka_cluster.network.open()


@pytest.mark.parametrize(
    ("happen", "broken"),
    [(Network.freeze, (1, 2, 3)), (lambda network: network.close(1), (1,))],
    ids=["none answers", "one of three refuses"],
)
def test_unreachable_advertised_address_is_not_ready_and_named(
    kafka_cluster: KafkaCluster,
    settings: Environment,
    tmp_path: Path,
    happen: Callable[[Network], None],
    broken: tuple[int, ...],
) -> None:
    network = kafka_cluster.network
    addresses = [network.address_of(number) for number in (1, 2, 3)]
    happen(network)
    with servers.served(settings, tmp_path) as server:
        reason = server.wait_for_reason("advertised.listeners")
        assert [address for address in addresses if address in reason] == [addresses[number - 1] for number in broken]
        assert server.readiness().status == 503
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 503

        checked = done(settings, "doctor")
        assert checked.exit_code == 1
        printed = "".join(checked.stdout.split())
        assert "advertised.listeners" in printed
        assert addresses[broken[0] - 1] in printed
        assert "checkkafka.clientbootstrap.servers" not in printed

        network.thaw()
        network.open()
        server.wait_until_ready()
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200


def test_connections_that_a_load_balancer_has_forgotten_cost_no_callback(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    with EmbeddedRegistry() as registry:
        settings = servers.environment(
            kafka_cluster.slow_bootstrap_servers,
            registry.url,
            # As by default.
            delivery_timeout_seconds=10,
            TOPICS__REPLICATION_FACTOR=str(len(kafka_cluster.brokers)),
        )
        servers.prepare(settings)
        with servers.served(settings, tmp_path) as server:
            server.wait_until_ready()
            assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
            kafka_cluster.network.forget()
            answer = post(server.addresses.callback_url, envelope([message()]))
            assert answer.status_code == 200, server.log()
