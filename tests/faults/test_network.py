"""The network between us and a healthy Kafka: frozen, cut, or without answers. 503 in time, and recovery without a restart."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.load import load
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import OwnKafka
from tests.stack.proxy import Proxy
from tests.support import servers
from tests.support.servers import ReadRecord, Served, TopicsReader, eventually

DELIVERY_SECONDS = 3.0
LONGEST_ANSWER_SECONDS = DELIVERY_SECONDS + 1.5 + 1.0
"""The delivery timeout, what librdkafka and the bridge add, and a busy machine."""
HEALED_SECONDS = 15.0

Fault = Callable[[Proxy], None]


@pytest.mark.parametrize("fault", [Proxy.freeze, Proxy.lose_answers, Proxy.cut], ids=["frozen", "answers_lost", "cut"])
def test_network_failure_is_503_in_time_and_recovers(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path, fault: Fault
) -> None:
    with Proxy() as network:
        broker = own_kafka(**{"advertised.listeners": f"CLIENT://127.0.0.1:{network.port}"})
        network.target = int(broker.bootstrap_servers.rpartition(":")[2])
        settings = servers.environment(f"127.0.0.1:{network.port}", apicurio.url, delivery_timeout_seconds=DELIVERY_SECONDS)
        servers.prepare(settings)
        with servers.served(settings, tmp_path) as server:
            server.wait_until_ready()
            with load(server.addresses.callback_url) as running:
                eventually(lambda: running.count(200) > 20)
                fault(network)
                began = time.monotonic()
                eventually(lambda: running.count(503, began) >= 8, 30)
                assert server.readiness().status == 200
                network.resume()
                healed = time.monotonic()
                eventually(lambda: running.count(200, healed) > 20, HEALED_SECONDS, server.log)
            later = [answer for answer in running.answers if answer.status != 200]
            assert {answer.status for answer in later} == {503}
            assert all(answer.has_retry_after for answer in later)
            assert max(answer.seconds for answer in later) < LONGEST_ANSWER_SECONDS
            written = records(server)
            there = {record.value["message_id"]: record.header("ce_id") for record in written}
            assert running.ids(200) <= set(there)
            # Duplicates have the same id.
            assert all(record.header("ce_id") == there[record.value["message_id"]] for record in written)
            assert server.stop().exit_code == 0


def records(server: Served) -> list[ReadRecord]:
    reader = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    found = reader.rest()
    reader.close()
    return found
