"""SIGHUP: settings, secrets and certificates are reloaded, and the workers replaced one by one; no caller notices."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.load import load, message_ids
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.stack.ports import free_ports
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import Environment, Served, eventually, has_ended, metric, post

OTHER_TOKEN = "another-invented-token-0123456789"


@pytest.fixture
def settings(kafka: KafkaBroker, apicurio: ApicurioRegistry) -> Environment:
    found = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(found)
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path / "connector.toml", "[dead_letters]\nalarm_share = 0.2\n")


def written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def reload(server: Served, event: str, times: int = 1) -> Mapping[str, Any]:
    """Send SIGHUP and return what is logged of it at the end."""
    server.send_signal(signal.SIGHUP)
    eventually(lambda: len(server.events(event)) == times, 60, server.log)
    return server.events(event)[-1]


def status(server: Served, token: str = servers.TOKEN) -> int:
    return post(server.addresses.callback_url.replace(servers.TOKEN, token), envelope([message()])).status_code


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_replacement_refuses_and_aborts_no_callback(
    settings: Environment, config: Path, tmp_path: Path, workers: int
) -> None:
    with servers.served(settings, tmp_path, workers, config) as server:
        server.wait_until_ready(workers=workers)
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 50)
            for times in (1, 2):
                before = server.children()
                assert reload(server, "workers_replaced", times)["workers"] == workers
                assert server.readiness().status == 200
                assert all(has_ended(pid) for pid in before)
                assert len(server.children()) == workers
                count = running.count(200)
                eventually(lambda: running.count(200) > count + 50)  # noqa: B023 - evaluated within the turn
        assert {answer.status for answer in running.answers} == {200}
        assert running.ids(200) == message_ids(server.addresses)
        # What ended workers have counted stays counted.
        url, answered = server.addresses.management_url, len(running.answers)
        eventually(lambda: metric(url, "connector_callbacks_total", status_class="2xx") == answered)
        assert metric(url, "connector_acknowledgement_seconds_count") == answered
        assert metric(url, "connector_ready") == workers
        assert not server.events("worker_died")
        assert server.stop().exit_code == 0


def test_workers_are_replaced_while_the_spool_holds_callbacks(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, config: Path, tmp_path: Path
) -> None:
    broker = own_kafka(**{"broker.session.timeout.ms": 2000})
    # One partition a topic: a killed broker checks all of them at its start.
    spool = {"SPOOL__FOLDER": str(tmp_path / "spool"), "TOPICS__PARTITIONS": "1"}
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=3, **spool)
    servers.prepare(settings)
    with servers.served(settings, tmp_path, 2, config) as server:
        server.wait_until_ready(workers=2)
        url = server.addresses.management_url
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 50)
            broker.kill()
            eventually(lambda: metric(url, "connector_spooled_callbacks_total") > 20, 30)
            reload(server, "workers_replaced")
            spooled = metric(url, "connector_spooled_callbacks_total")
            eventually(lambda: metric(url, "connector_spooled_callbacks_total") > spooled + 20, 30)
            broker.start()
            eventually(lambda: bool(server.events("spool_drained")), 60, server.log)
        assert {answer.status for answer in running.answers} == {200}
        eventually(lambda: running.ids(200) <= message_ids(server.addresses), 30)
        assert server.stop().exit_code == 0


def test_secret_is_reloaded_from_its_file(settings: Environment, config: Path, tmp_path: Path) -> None:
    token = written(tmp_path / "token", servers.TOKEN)
    del settings["CONNECTOR_AUTHENTICATION__URL_TOKEN"]
    settings["CONNECTOR_AUTHENTICATION__URL_TOKEN_FILE"] = str(token)
    with servers.served(settings, tmp_path, 1, config) as server:
        server.wait_until_ready()
        assert (status(server), status(server, OTHER_TOKEN)) == (200, 401)
        written(token, OTHER_TOKEN)
        # Only the signal applies it: a restarted worker does not.
        os.kill(server.children()[0], signal.SIGKILL)
        eventually(lambda: bool(server.events("worker_died")))
        assert (status(server), status(server, OTHER_TOKEN)) == (200, 401)
        reload(server, "workers_replaced")
        assert (status(server), status(server, OTHER_TOKEN)) == (401, 200)
        assert OTHER_TOKEN not in server.log()


def test_all_wrong_settings_are_reported_and_change_nothing(settings: Environment, config: Path, tmp_path: Path) -> None:
    with servers.served(settings, tmp_path, 1, config) as server:
        server.wait_until_ready()
        workers = server.children()
        written(config, '[http]\nprot = 80\n[logs]\nlevel = "loud"\n')
        problems = reload(server, "settings_refused")["problems"]
        assert [problem.partition(":")[0] for problem in problems] == ["http.prot", "logs.level"]
        written(config, f'[kafka.client]\n"security.protocol" = "ssl"\n"ssl.ca.location" = "{tmp_path}/ca.pem"\n')
        refused = reload(server, "settings_refused", 2)
        assert refused["level"] == "error"
        assert any("ssl.ca.location" in problem for problem in refused["problems"])
        assert server.children() == workers
        assert server.readiness().status == status(server) == 200


def test_worker_that_is_not_ready_replaces_no_other(settings: Environment, config: Path, tmp_path: Path) -> None:
    with servers.served(settings, tmp_path, 2, config) as server:
        server.wait_until_ready(workers=2)
        workers = server.children()
        # The broker speaks no TLS.
        written(config, '[kafka.client]\n"security.protocol" = "ssl"\n')
        with load(server.addresses.callback_url) as running:
            logged = reload(server, "worker_not_replaced")
        assert "security.protocol" in logged["reasons"]["topics_and_producer"]
        assert {answer.status for answer in running.answers} == {200}
        assert server.children() == workers
        # A worker restarted later has the settings that work.
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: bool(server.events("worker_died")))
        server.wait_until_ready(workers=2)
        written(config, "")
        reload(server, "workers_replaced")
        assert server.stop().exit_code == 0


def test_settings_that_need_a_restart_are_reported(settings: Environment, config: Path, tmp_path: Path) -> None:
    with servers.served(settings, tmp_path, 1, config) as server:
        server.wait_until_ready()
        written(config, f'[spool]\nfolder = "{tmp_path}/spool"\nmax_bytes = 2000000\n')
        reload(server, "workers_replaced")
        (logged,) = server.events("settings_need_a_restart")
        assert logged["settings"] == ["spool.folder"]
        assert not (tmp_path / "spool").exists()
        assert status(server) == 200


def test_sighup_of_a_closed_terminal_ends_the_process() -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1")
    data, management = free_ports(2)
    ports = {"CONNECTOR_HTTP__PORT": str(data), "CONNECTOR_MANAGEMENT__PORT": str(management)}
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "serve"],
        env={**os.environ, **settings, **ports},
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    try:
        eventually(lambda: servers.readiness(f"http://127.0.0.1:{management}").status == 503, 20)
        os.close(inside)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
