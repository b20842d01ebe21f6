"""The spool, on a real Kafka that goes and comes back: what is answered 200 is in the topics, in the order of its answers."""

import time
from pathlib import Path

import pytest

from tests import servers
from tests.faults.load import Load, load
from tests.servers import Addresses, Environment, Served, TopicsReader, eventually, metric
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker, OwnKafka

DELIVERY_SECONDS = 3.0


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_outage_is_not_the_callers(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path, fault: str) -> None:
    broker, settings = spooling(own_kafka, apicurio, tmp_path)
    hurt, heal = {"killed": (broker.kill, broker.start), "frozen": (broker.freeze, broker.resume)}[fault]
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            hurt()
            began = time.monotonic()
            # Known to be away: then nobody waits for Kafka any more.
            eventually(lambda: waiting(server) > 50, 30, server.log)
            assert server.readiness().status == 200
            known = time.monotonic()
            eventually(lambda: running.count(200, known) > 100, 30, server.log)
            heal()
            healed = time.monotonic()
            eventually(
                lambda: (
                    waiting(server) == 0
                    and metric(server.addresses.management_url, "connector_spool_delivered_callbacks_total") > 50
                ),
                60,
                server.log,
            )
            eventually(lambda: running.count(200, healed) > 50, 30)
        assert {answer.status for answer in running.answers} == {200}
        assert max(answer.seconds for answer in running.answers if known < answer.began < healed) < 1
        assert max(answer.seconds for answer in running.answers if answer.began > began) < DELIVERY_SECONDS + 2
        eventually(lambda: waiting(server) == 0, 30, server.log)
        all_in_order(server.addresses, running)
        ended = server.stop()
    assert ended.exit_code == 0, ended.stderr


def waiting(server: Served) -> float:
    return metric(server.addresses.management_url, "connector_spool_waiting_callbacks")


def spooling(own_kafka: OwnKafka, apicurio: ApicurioRegistry, folder: Path) -> tuple[KafkaBroker, Environment]:
    # The controller takes a killed broker for alive, and its successor for an impostor, until its session is over.
    broker = own_kafka(**{"broker.session.timeout.ms": 2000})
    settings = servers.environment(
        broker.bootstrap_servers,
        apicurio.url,
        delivery_timeout_seconds=DELIVERY_SECONDS,
        SPOOL__FOLDER=str(folder / "spool"),
    )
    servers.prepare(settings)
    return broker, settings


def all_in_order(addresses: Addresses, running: Load) -> None:
    """Hold that each callback answered 200 is there, each key's in the order of its answers, and copies have their id."""
    reader = TopicsReader(addresses, [f"{addresses.prefix}texts"])
    try:
        records = reader.rest()
    finally:
        reader.close()
    assert running.ids(200) <= {record.value["message_id"] for record in records}
    ids: dict[str, str] = {}
    for record in records:
        assert ids.setdefault(record.value["message_id"], record.header("ce_id")) == record.header("ce_id")
    firsts: dict[bytes | None, list[str]] = {}
    for record in records:
        of_key = firsts.setdefault(record.key, [])
        if record.value["message_id"] not in of_key:
            of_key.append(record.value["message_id"])
    accepted = running.ids(200)
    for found in firsts.values():
        sent = [int(message_id.rpartition(".")[2]) for message_id in found if message_id in accepted]
        assert sent == sorted(sent)
