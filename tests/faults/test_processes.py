"""Processes that are stopped and killed: no 200 without its record, nothing left running."""

import os
import signal
from pathlib import Path

from tests import servers
from tests.callbacks import envelope, message
from tests.faults.load import load
from tests.servers import TopicsReader, eventually, has_ended, post
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker


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
    reader = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    there = {record.value["message_id"] for record in reader.rest()}
    reader.close()
    assert running.ids(200) <= there


def test_killed_worker_is_started_anew(kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
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
