"""The spool, on a real Kafka that goes and comes back: what is answered 200 is in the topics, in the order of its answers."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.load import Load, load
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import Addresses, Environment, Served, TopicsReader, eventually, has_ended, metric, post

DELIVERY_SECONDS = 3.0


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_outage_is_hidden_from_callers(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path, fault: str) -> None:
    broker, settings = spooling(own_kafka, apicurio, tmp_path)
    inject, recover = {"killed": (broker.kill, broker.start), "frozen": (broker.freeze, broker.resume)}[fault]
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            inject()
            began = time.monotonic()
            # Once the outage is known, no callback waits for Kafka.
            eventually(lambda: waiting(server) > 50, 30, server.log)
            assert server.readiness().status == 200
            known = time.monotonic()
            eventually(lambda: running.count(200, known) > 100, 30, server.log)
            recover()
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


def test_circuit_closes_once_the_spool_is_drained(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    broker, settings = spooling(own_kafka, apicurio, tmp_path)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            broker.freeze()
            eventually(lambda: waiting(server) > 20, 30, server.log)
        assert metric(server.addresses.management_url, "connector_circuit_open") == 1
        broker.resume()

        # No callback arrives any more, so only the drain knows that Kafka is back.
        eventually(lambda: waiting(server) == 0, 60, server.log)
        eventually(lambda: metric(server.addresses.management_url, "connector_circuit_open") == 0, 10, server.log)


def test_bridge_killed_in_an_outage_loses_nothing(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    broker, settings = spooling(own_kafka, apicurio, tmp_path)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            broker.kill()
            eventually(lambda: waiting(server) > 50, 30, server.log)
            workers = server.children()
            for pid in (server.pid, *workers):
                os.kill(pid, signal.SIGKILL)
        server.wait()
        eventually(lambda: all(map(has_ended, workers)))
    assert {answer.status for answer in running.answers} <= {200, 0}
    with servers.served(settings, tmp_path) as again:
        # Kafka is still unreachable; the callback is accepted nevertheless.
        again.wait_until_ready()
        assert again.readiness().state["workers"][0]["kafka"]["away"]
        with load(again.addresses.callback_url, first=1_000_000) as more:
            eventually(lambda: more.count(200) > 50, 30, again.log)
            broker.start()
            eventually(lambda: waiting(again) == 0, 60, again.log)
            eventually(lambda: more.count(200, time.monotonic() - 1) > 10, 30)
        assert {answer.status for answer in more.answers} == {200}
        all_in_order(again.addresses, running, more)
        assert again.stop().exit_code == 0


def test_instance_that_has_never_worked_is_not_ready_on_its_spool(tmp_path: Path) -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1", SPOOL__FOLDER=str(tmp_path / "spool"))
    with servers.served(settings, tmp_path) as server:
        eventually(lambda: "schemas" in server.readiness().reasons, 20)
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 503
        assert server.stop().exit_code == 0


def test_second_instance_on_the_same_spool_does_not_start(tmp_path: Path) -> None:
    settings = locked_spool(tmp_path, "0")
    with servers.served(settings, tmp_path) as first:
        eventually(lambda: first.readiness().status == 503, 20)
        with servers.served(settings, tmp_path) as second:
            ended = second.wait()
        assert ended.exit_code == 2
        assert "another instance uses it" in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1


def test_second_instance_gives_up_after_the_timeout(tmp_path: Path) -> None:
    settings = locked_spool(tmp_path, "3")
    with servers.served(settings, tmp_path) as first:
        eventually(lambda: "schemas" in first.readiness().reasons, 20)
        with servers.served(settings, tmp_path) as second:
            reason = second.wait_for_reason("is used by another instance")
            assert settings["CONNECTOR_SPOOL__FOLDER"] in reason
            assert list(second.readiness().reasons) == ["spool_locked"]
            with pytest.raises(httpx.ConnectError):
                post(second.addresses.callback_url, envelope([message()]))
            ended = second.wait()
        assert ended.exit_code == 2
        assert "another instance uses it; give each instance its own folder" in ended.stderr.splitlines()[-1]
        (locked,) = second.events("spool_locked")
        assert (locked["folder"], locked["lock_timeout_seconds"]) == (settings["CONNECTOR_SPOOL__FOLDER"], 3.0)
        assert first.is_running


def test_waiting_instance_stops_on_sigterm(tmp_path: Path) -> None:
    settings = locked_spool(tmp_path, "60")
    with servers.served(settings, tmp_path) as first:
        eventually(lambda: first.readiness().status == 503, 20)
        with servers.served(settings, tmp_path) as second:
            second.wait_for_reason("is used by another instance")
            began = time.monotonic()
            ended = second.stop()
        assert (ended.exit_code, time.monotonic() - began < 5) == (0, True), ended.stderr


def test_workers_of_a_killed_supervisor_keep_the_spool_locked(tmp_path: Path) -> None:
    settings = locked_spool(tmp_path, "60")
    with servers.served(settings, tmp_path) as first:
        eventually(lambda: "schemas" in first.readiness().reasons, 20)
        (worker,) = first.children()
        with servers.served(settings, tmp_path) as second:
            second.wait_for_reason("is used by another instance")
            os.kill(worker, signal.SIGSTOP)
            first.send_signal(signal.SIGKILL)
            first.wait()
            time.sleep(1)
            assert list(second.readiness().reasons) == ["spool_locked"]
            os.kill(worker, signal.SIGCONT)
            eventually(lambda: "schemas" in second.readiness().reasons, 30, second.log)
            assert has_ended(worker)
            assert second.stop().exit_code == 0


def test_rolling_update_on_one_volume_loses_and_reorders_nothing(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    broker, settings = spooling(own_kafka, apicurio, tmp_path)
    with servers.served(settings, tmp_path, workers=2) as old:
        old.wait_until_ready(workers=2)
        with load(old.addresses.callback_url) as first:
            eventually(lambda: first.count(200) > 20)
            broker.freeze()
            eventually(lambda: waiting(old) > 50, 30, old.log)
            with servers.served(settings, tmp_path, workers=2) as new:
                new.wait_for_reason("is used by another instance")
                ended = old.stop()
                assert ended.exit_code == 0, ended.stderr
                first.stopping.set()
                # Kafka is still away: what waits in the file is the new instance's now, and so is what comes.
                new.wait_until_ready(workers=2)
                with load(new.addresses.callback_url, first=1_000_000) as second:
                    eventually(lambda: second.count(200) > 50, 30, new.log)
                    broker.resume()
                    eventually(lambda: waiting(new) == 0, 60, new.log)
                    eventually(lambda: second.count(200, time.monotonic() - 1) > 10, 30)
                assert {answer.status for answer in first.answers} <= {200, 503, 0}
                assert {answer.status for answer in second.answers} == {200}
                eventually(lambda: waiting(new) == 0, 30, new.log)
                all_in_order(new.addresses, first, second)
                assert new.stop().exit_code == 0


def locked_spool(folder: Path, lock_timeout_seconds: str) -> Environment:
    away = "127.0.0.1:1"
    spool = str(folder / "spool")
    return servers.environment(away, f"http://{away}", SPOOL__FOLDER=spool, SPOOL__LOCK_TIMEOUT_SECONDS=lock_timeout_seconds)


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


def all_in_order(addresses: Addresses, *loads: Load) -> None:
    """Check that each callback answered 200 is there, each key's in the order of its answers, and copies have their id."""
    reader = TopicsReader(addresses, [f"{addresses.prefix}texts"])
    try:
        records = reader.rest()
    finally:
        reader.close()
    accepted = set().union(*(one.ids(200) for one in loads))
    assert accepted <= {record.value["message_id"] for record in records}
    ids: dict[str, str] = {}
    for record in records:
        assert ids.setdefault(record.value["message_id"], record.header("ce_id")) == record.header("ce_id")
    firsts: dict[bytes | None, list[str]] = {}
    for record in records:
        of_key = firsts.setdefault(record.key, [])
        if record.value["message_id"] not in of_key:
            of_key.append(record.value["message_id"])
    for found in firsts.values():
        sent = [int(message_id.rpartition(".")[2]) for message_id in found if message_id in accepted]
        assert sent == sorted(sent)
