"""Processes that are stopped and killed: no 200 without its record, nothing left running."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.faults.load import SENDERS, load, message_ids
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import eventually, has_ended, metric, post


def test_sigterm_under_load_ends_with_every_200_in_the_topics(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 50)
            ended = server.stop()
    assert ended.exit_code == 0, ended.stderr
    assert {answer.status for answer in running.answers} <= {200, 503, 0}
    assert running.ids(200) <= message_ids(server.addresses)


def test_killed_worker_is_restarted(kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        (worker,) = server.children()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: server.readiness().status == 503)
        server.wait_until_ready()
        assert server.children() != [worker]
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
        assert server.stop().exit_code == 0


def test_killed_worker_of_two_loses_nothing_and_causes_no_503(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        with load(server.addresses.callback_url) as running:
            for times in (1, 2):
                count = running.count(200)
                eventually(lambda: running.count(200) > count + 50)  # noqa: B023 - evaluated within the turn
                os.kill(server.children()[0], signal.SIGKILL)
                eventually(lambda: len(server.events("worker_died")) == times)  # noqa: B023
                server.wait_until_ready(workers=2)
        # Cut off with their connections, which the sender notices; no callback reaches a worker that is not ready.
        assert {answer.status for answer in running.answers} <= {200, 0}
        assert running.count(0) <= 2 * SENDERS
        assert running.ids(200) <= message_ids(server.addresses)
        assert server.stop().exit_code == 0


def test_callback_waits_while_the_only_worker_restarts(kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        for times in (1, 2, 3):
            os.kill(server.children()[0], signal.SIGKILL)
            eventually(lambda: len(server.events("worker_died")) == times)  # noqa: B023 - evaluated within the turn
            assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
        restarts = [(line["in_a_row"], line["restart_in_seconds"]) for line in server.events("worker_died")]
        assert restarts == [(1, 0.25), (2, 0.5), (3, 1.0)]


def test_restarted_worker_that_is_not_ready_answers_503(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = servers.environment(broker.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        broker.stop()
        os.kill(server.children()[0], signal.SIGKILL)
        eventually(lambda: bool(server.events("worker_died")))
        answer = post(server.addresses.callback_url, envelope([message()]))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_after_sigterm_not_ready_but_serving_until_the_delay_ends(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    delay_seconds = 3.0
    settings = servers.environment(
        kafka.bootstrap_servers, apicurio.url, SHUTDOWN__DELAY_SECONDS=str(delay_seconds), LOGS__LEVEL="debug"
    )
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 50)
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            eventually(lambda: server.readiness().status == 503, 1)
            assert server.readiness().reasons == {"draining": "the bridge is stopping"}
            ended = server.wait()
            took_seconds = time.monotonic() - began
        assert ended.exit_code == 0, ended.stderr
        assert delay_seconds < took_seconds < delay_seconds + 5
        late = [answer for answer in running.answers if began + 0.5 < answer.began < began + delay_seconds]
        assert len(late) > 50
        assert {answer.status for answer in late} == {200}
        # Afterwards no callback is accepted and left without an answer: a connection is refused, or each callback answered.
        assert {answer.status for answer in running.answers} <= {200, 0}
        assert running.ids(200) == message_ids(server.addresses)


def test_after_sigterm_load_balancers_see_503_on_the_data_port_while_callbacks_are_taken(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, SHUTDOWN__DELAY_SECONDS="600")
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        health_url = server.addresses.callback_url.partition("/callbacks/")[0] + "/readyz"

        def health() -> set[int]:
            # A connection each: either worker may accept it.
            return {httpx.get(health_url, trust_env=False).status_code for _ in range(20)}

        assert health() == {200}
        server.send_signal(signal.SIGTERM)
        eventually(lambda: health() == {503})
        # A worker that starts during the delay knows it too.
        os.kill(server.children()[0], signal.SIGKILL)
        eventually(lambda: len(server.events("worker_died")) == 1)
        eventually(lambda: len(server.children()) == 2)
        for _ in range(20):
            assert health() == {503}
            assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(10).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_cuts_the_delay_short(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path, number: signal.Signals
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, SHUTDOWN__DELAY_SECONDS="600")
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        server.send_signal(signal.SIGTERM)
        eventually(lambda: server.readiness().status == 503)
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
        server.send_signal(number)
        assert server.wait(10).exit_code == 0


def test_unacknowledged_records_are_counted_and_exit_code_is_1(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    broker = own_kafka()
    short = {"SHUTDOWN__DRAIN_TIMEOUT_SECONDS": "1"}
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=60, **short)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server, ThreadPoolExecutor(1) as thread:
        server.wait_until_ready()
        url = server.addresses.management_url
        broker.freeze()
        under_way = thread.submit(post, server.addresses.callback_url, envelope([message()]))
        eventually(lambda: metric(url, "connector_outstanding_records") == 1)
        ended = server.stop()
        assert ended.exit_code == 1
        (left,) = server.events("records_unacknowledged")
        assert (left["records"], left["callbacks_cut_off"]) == (1, 1)
        # The outcome is unknown, so it is not acknowledged.
        answer = under_way.result()
        assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (503, b"", "5")
        broker.resume()


def test_workers_end_with_a_killed_supervisor(kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        workers = server.children()
        server.send_signal(signal.SIGKILL)
        assert server.wait().exit_code == -signal.SIGKILL
        eventually(lambda: all(has_ended(pid) for pid in workers), 20)


def test_sigterm_right_after_the_start_ends_with_0(tmp_path: Path) -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1")
    with servers.served(settings, tmp_path) as server:
        eventually(lambda: server.readiness().status == 503, 20)
        ended = server.stop()
    assert ended.exit_code == 0, ended.stderr
