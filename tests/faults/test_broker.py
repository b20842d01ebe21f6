"""Kafka away, gone and frozen: 503 in time, recovery afterwards, and every 200 is in the topics."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.load import load, message_ids
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import OwnKafka
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import eventually, metric, post

DELIVERY_SECONDS = 3.0
AFTER_DELIVERY_SECONDS = 1.5
"""The answer comes at most this long after the delivery timeout."""
BUSY_SECONDS = 1.0
"""What a busy machine may add, sender included."""


def test_unreachable_broker_at_start_is_reported_until_it_answers(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=DELIVERY_SECONDS)
    servers.prepare(settings)
    broker.stop()
    with servers.served(settings, tmp_path) as server:
        reason = server.wait_for_reason("Kafka does not answer")
        assert "bootstrap.servers" in reason
        answer = post(server.addresses.callback_url, envelope([message()]))
        assert (answer.status_code, answer.content) == (503, b"")
        assert "retry-after" in answer.headers
        assert metric(server.addresses.management_url, "connector_ready") == 0
        broker.start()
        server.wait_until_ready()
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200


@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen"])
def test_broker_fault_under_load(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path, fault: str) -> None:
    # The controller takes a killed broker for alive, and its successor for an impostor, until its session is over.
    broker = own_kafka(**{"broker.session.timeout.ms": 2000})
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=DELIVERY_SECONDS)
    servers.prepare(settings)
    inject, recover = {
        "stopped": (broker.stop, broker.start),
        "killed": (broker.kill, broker.start),
        "frozen": (broker.freeze, broker.resume),
    }[fault]
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            inject()
            began = time.monotonic()
            eventually(lambda: running.count(503, began) >= 8, 30)
            # An outage of Kafka must not take every replica out of the load balancer.
            assert server.readiness().status == 200
            recover()
            healed = time.monotonic()
            eventually(lambda: running.count(200, healed) > 20, 60, server.log)
        later = [answer for answer in running.answers if answer.status != 200]
        assert {answer.status for answer in later} == {503}
        assert all(answer.has_retry_after for answer in later)
        assert max(answer.seconds for answer in later) < DELIVERY_SECONDS + AFTER_DELIVERY_SECONDS + BUSY_SECONDS
        eventually(
            lambda: metric(server.addresses.management_url, "connector_callbacks_total", status_class="5xx") == len(later)
        )
        assert running.ids(200) <= message_ids(server.addresses)
        ended = server.stop()
    assert ended.exit_code == 0, ended.stderr


def test_full_queue_takes_nothing_of_a_callback(own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    broker = own_kafka(**{"broker.session.timeout.ms": 2000})
    room = {"KAFKA__PRODUCER__QUEUE_BUFFERING_MAX_MESSAGES": "20"}
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=30, **room)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server, ThreadPoolExecutor(4) as threads:
        server.wait_until_ready()
        url = server.addresses.callback_url
        broker.freeze()
        waiting = [threads.submit(post, url, five_messages(f"kept.{number}")) for number in range(4)]
        eventually(lambda: metric(server.addresses.management_url, "connector_outstanding_records") == 20)
        began = time.monotonic()
        for number in range(10):
            answer = post(url, five_messages(f"refused.{number}"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert time.monotonic() - began < 5
        assert not any(answer.done() for answer in waiting)
        broker.resume()
        assert [answer.result().status_code for answer in waiting] == [200] * 4
        expected = {f"kept.{number}.{part}" for number in range(4) for part in range(5)}
        assert message_ids(server.addresses) == expected


def five_messages(prefix: str) -> bytes:
    return envelope([message(id=f"{prefix}.{part}") for part in range(5)])
