"""`connector health` as container engines run it: exit code and line for each state of a bridge, and a fast start."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from connector.errors import ConfigurationInvalid
from connector.health import ask, management_address, quick
from connector.settings.load import load_settings_for_tools
from tests.stack.ports import free_ports
from tests.support import servers
from tests.support.commands import Runner
from tests.support.servers import eventually

READY: Final = {"ready": True, "reasons": {}, "workers": []}
DRAINING: Final = {"ready": False, "reasons": {"draining": "the bridge is stopping"}, "workers": []}


@pytest.fixture
def run() -> Runner:
    return Runner()


@contextmanager
def answering(answer: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    """Run a server that gives each connection this answer; yield its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:

        def answer_all() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(status: int, state: Any) -> bytes:
    return f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n\r\n{json.dumps(state)}".encode()


# Against a bridge


def test_health_follows_a_bridge_that_is_not_ready(tmp_path: Path) -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1")
    with servers.served(settings, tmp_path) as server:
        eventually(lambda: "schemas" in server.readiness().reasons, 20)
        port = server.addresses.management_url.rpartition(":")[2]
        settings["CONNECTOR_MANAGEMENT__PORT"] = port
        ready = servers.done_as_process(settings, "health")
        alive = servers.done_as_process(settings, "health", "--live")
        as_json = servers.done_as_process(settings, "health", "--json")
    assert (ready.exit_code, ready.stdout) == (1, "")
    assert ready.stderr.startswith("connector: not ready: schemas: the registry at http://127.0.0.1:1 does not answer")
    assert len(ready.stderr.splitlines()) == 1
    assert (alive.exit_code, alive.stdout, alive.stderr) == (0, "alive\n", "")
    assert (as_json.exit_code, as_json.stderr) == (1, "")
    assert as_json.json()["healthy"] is False
    assert list(as_json.json()["reasons"]) == ["schemas"]
    gone = servers.done_as_process(settings, "health", "--live")
    assert gone.exit_code == 1
    assert "Connection refused" in gone.stderr


# What can answer


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (http(200, READY), 0, "ready"),
        (http(503, DRAINING), 1, "not ready: draining: the bridge is stopping"),
        (http(503, {**READY, "ready": False}), 1, "not ready: starting: no worker is ready yet"),
        (http(200, {"status": "UP"}), 1, "is not a bridge's management port"),
        (http(404, "Not Found"), 1, "is not a bridge's management port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 1, "is not a bridge's management port"),
        (b"", 1, "is not a bridge's management port"),
    ],
    ids=["ready", "draining", "starting", "other JSON", "other page", "no HTTP", "nothing"],
)
def test_answer_decides_the_exit_code_and_the_line(answer: bytes, code: int, said: str, run: Runner) -> None:
    with answering(answer) as port:
        done = run("health", settings={"MANAGEMENT__PORT": str(port)})
    assert done.exit_code == code
    assert said in (done.stderr if code else done.stdout)
    assert len((done.stderr + done.stdout).splitlines()) == 1


def test_terminal_control_characters_of_a_stranger_are_not_printed(run: Runner) -> None:
    with answering(http(503, {"ready": False, "reasons": {"x": "\x1b[2Jgone"}})) as port:
        assert "\x1b" not in run("health", settings={"MANAGEMENT__PORT": str(port)}).stderr


def test_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.health.LONGEST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        health = ask("127.0.0.1", listening.getsockname()[1], "/readyz")
    assert not health.is_healthy
    assert "does not answer within 0.2 s" in health.reasons["no_answer"]


@pytest.mark.parametrize(
    ("host", "listens_on", "asked"),
    [
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("::", "::1", "[::1]"),
        ("::1", "::1", "[::1]"),
        ("localhost", "127.0.0.1", "localhost"),
    ],
)
def test_bridge_is_asked_where_it_can_be_reached(host: str, listens_on: str, asked: str) -> None:
    with answering(http(200, READY), listens_on) as port:
        health = ask(host, port, "/readyz")
    assert (health.is_healthy, health.url) == (True, f"http://{asked}:{port}/readyz")


# The settings


@pytest.mark.parametrize(
    ("toml", "variables"),
    [
        (None, {}),
        (None, {"CONNECTOR_MANAGEMENT__HOST": "::", "CONNECTOR_MANAGEMENT__PORT": "9000"}),
        ('[management]\nhost = "0.0.0.0"\nport = 9001\n', {}),
        ('[management]\nhost = "0.0.0.0"\nport = 9001\n', {"CONNECTOR_MANAGEMENT__PORT": "9002"}),
        ("[http]\nport = 8081\n", {"CONNECTOR_HTTP__PORT": "8082"}),
        (None, {"CONNECTOR_MANAGEMENT__PORT_FILE": "{folder}/port"}),
        (None, {"CONNECTOR_MANAGEMENT_PORT": "tcp://10.0.0.1:80"}),
    ],
    ids=["defaults", "variables", "file", "both", "other settings", "value from a file", "Kubernetes' variable"],
)
def test_address_is_the_one_that_serve_reads(
    toml: str | None, variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "port").write_text("9003\n", encoding="utf-8")
    file = None
    if toml is not None:
        file = tmp_path / "connector.toml"
        file.write_text(toml, encoding="utf-8")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path))
    read = load_settings_for_tools(file).management
    assert management_address(file, os.environ) == (read.host, read.port)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[management]\nport = 70000\n", "management.port"),
        ('[management]\nport = "soon"\n', "management.port"),
        ("[management]\nprot = 1\n", "management.prot: there is no such setting"),
        ("management = 1\n", "management"),
        ("[management]\nport = 0\n", "takes a free port"),
        ("[management\n", "is not TOML"),
    ],
)
def test_wrong_address_is_exit_code_2_with_the_loaders_words(toml: str, words: str, tmp_path: Path, run: Runner) -> None:
    file = tmp_path / "connector.toml"
    file.write_text(toml, encoding="utf-8")
    done = run("health", "--config", str(file))
    assert done.exit_code == 2
    assert any(words in problem for problem in done.problems())
    with pytest.raises(ConfigurationInvalid):
        management_address(file, {})


# The start


def test_start_imports_neither_the_settings_nor_the_command_line() -> None:
    (port,) = free_ports(1)
    script = (
        "import sys; sys.argv = ['connector', 'health', '--json']\n"
        "from connector.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code, *sys.modules)"
    )
    environment = {**os.environ, "CONNECTOR_MANAGEMENT__PORT": str(port)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    answer, modules = done.stdout.splitlines()
    assert json.loads(answer)["healthy"] is False
    code, *loaded = modules.split()
    assert code == "1"
    slow = {
        "pydantic",
        "typer",
        "click",
        "rich",
        "ssl",
        "http.client",
        "asyncio",
        "email",
        "connector.cli",
        "connector.settings",
    }
    assert not slow & set(loaded)


@pytest.mark.parametrize("arguments", [["--help"], ["--nonsense"], ["--config"], ["--config", "--json"], ["more"]])
def test_unusual_arguments_are_left_to_the_command_line(arguments: list[str]) -> None:
    assert quick(arguments) is None


@pytest.mark.parametrize("arguments", [[], ["--live"], ["--json"], ["--json", "--live"]])
def test_both_starts_say_the_same(arguments: list[str], run: Runner) -> None:
    with answering(http(503, DRAINING)) as port:
        settings = {"MANAGEMENT__PORT": str(port)}
        here = run("health", *arguments, settings=settings)
        environment = {f"CONNECTOR_{name}": value for name, value in settings.items()}
        started = servers.done_as_process(environment, "health", *arguments)
    assert started == here
