"""The examples in deploy/ are valid, and their ports, paths, times and sizes are those of the settings that they set."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import httpx
import pytest
import yaml

from connector.http.token_endpoint import LONGEST_BODY
from connector.instance.supervisor import longest_stop_seconds
from connector.settings.load import load_settings
from connector.settings.tables import Settings
from tests.contract.test_deployment import arguments_of, is_a_setting, missing_command, stages
from tests.stack.ports import free_ports
from tests.support.certificates import Authority
from tests.support.servers import eventually

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy"
UNITS: Final = {"Mi": 2**20, "Gi": 2**30}
TOKEN: Final = "an-invented-token-0123456789"
SECONDS: Final = 15.0


def settings_of(environment: dict[str, str], folder: Path) -> Settings:
    """Load what an example sets, with our own token in place of its file."""
    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    ours = {name: str(token) if name.endswith("_FILE") else value for name, value in environment.items()}
    return load_settings(ROOT / "config" / "connector.toml", ours)


# Kubernetes


@cache
def objects() -> dict[str, list[dict[str, Any]]]:
    """The objects of all files, by their kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((FOLDER / "kubernetes").glob("*.yaml")):
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            found.setdefault(one["kind"], []).append(one)
    return found


def only(kind: str) -> dict[str, Any]:
    (found,) = objects()[kind]
    return found


def pod(kind: str = "StatefulSet") -> dict[str, Any]:
    found: dict[str, Any] = only(kind)["spec"]["template"]["spec"]
    return found


def container(kind: str = "StatefulSet") -> dict[str, Any]:
    (found,) = pod(kind)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def in_kubernetes(tmp_path: Path) -> Settings:
    return settings_of(only("ConfigMap")["data"], tmp_path)


def problems_of(one: dict[str, Any]) -> list[str]:
    # Imported late: it takes seconds, which other tests of this process need not wait for.
    import jsonschema  # noqa: PLC0415

    schemas = json.loads((ROOT / "tests" / "data" / "kubernetes-1.37.json").read_text(encoding="utf-8"))
    schema = {"$schema": schemas["$schema"], "$defs": schemas["$defs"], **schemas["kinds"][one["kind"]]}
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(one)]


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_every_object_is_valid_by_the_schemas_of_kubernetes() -> None:
    every = [one for same in objects().values() for one in same]
    assert len(every) == 6
    assert [problem for one in every for problem in problems_of(one)] == []


def test_schemas_of_kubernetes_refuse_a_misspelt_key() -> None:
    changed = json.loads(json.dumps(only("StatefulSet")))
    changed["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert problems_of(changed)


def test_every_variable_of_the_config_map_is_a_setting(in_kubernetes: Settings) -> None:
    assert [name for name in only("ConfigMap")["data"] if not is_a_setting(name)] == []
    assert in_kubernetes.authentication.url_token.get_secret_value() == TOKEN
    for kind in ("StatefulSet", "Job"):
        assert container(kind)["envFrom"] == [{"configMapRef": {"name": only("ConfigMap")["metadata"]["name"]}}]


def test_ports_and_probes_are_those_of_the_settings(in_kubernetes: Settings) -> None:
    ports = {one["name"]: one["containerPort"] for one in container()["ports"]}
    assert ports == {"callbacks": in_kubernetes.http.port, "management": in_kubernetes.management.port}
    assert in_kubernetes.management.host == "0.0.0.0"
    probes = {name: container()[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {
        "livenessProbe": {"path": "/healthz", "port": "management"},
        "readinessProbe": {"path": "/readyz", "port": "management"},
    }
    services = {one["metadata"]["name"]: one["spec"] for one in objects()["Service"]}
    published = {name: [(port["port"], port["targetPort"]) for port in spec["ports"]] for name, spec in services.items()}
    assert published == {
        "connector": [(in_kubernetes.http.port, "callbacks")],
        "connector-pods": [(in_kubernetes.management.port, "management")],
    }
    labels = only("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert all(spec["selector"] == labels for spec in services.values())
    assert services[only("StatefulSet")["spec"]["serviceName"]]["clusterIP"] == "None"


def test_pod_has_time_to_drain_after_it_left_the_load_balancer(in_kubernetes: Settings) -> None:
    assert pod()["terminationGracePeriodSeconds"] > longest_stop_seconds(in_kubernetes.shutdown)
    readiness = container()["readinessProbe"]
    noticed_seconds = readiness["failureThreshold"] * readiness["periodSeconds"] + readiness["timeoutSeconds"]
    assert in_kubernetes.shutdown.delay_seconds >= noticed_seconds


def test_volumes_are_those_of_the_image_and_the_settings(in_kubernetes: Settings) -> None:
    mounts = {one["name"]: one["mountPath"] for one in container()["volumeMounts"]}
    (claim,) = only("StatefulSet")["spec"]["volumeClaimTemplates"]
    state = mounts[claim["metadata"]["name"]]
    made = [shlex.split(line)[-1] for line in arguments_of(stages()[-1], "RUN") if line.startswith("install ")]
    assert made == [state]
    assert in_kubernetes.registry.cache_folder == state
    assert in_kubernetes.spool.folder.startswith(f"{state}/")
    assert bytes_of(claim["spec"]["resources"]["requests"]["storage"]) >= in_kubernetes.spool.max_bytes * 3 / 2
    assert only("ConfigMap")["data"]["CONNECTOR_AUTHENTICATION__URL_TOKEN_FILE"].startswith(f"{mounts['secrets']}/")


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_pod_has_no_rights_that_it_does_not_need(kind: str) -> None:
    (user,) = arguments_of(stages()[-1], "USER")
    context = pod(kind)["securityContext"]
    assert (context["runAsNonRoot"], f"{context['runAsUser']}:{context['runAsGroup']}") == (True, user)
    assert pod(kind)["automountServiceAccountToken"] is False
    assert container(kind)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_commands_of_the_pods_exist() -> None:
    assert missing_command(container()["args"][:1]) is None
    (script,) = container("Job")["args"]
    words = [shlex.split(line) for line in script.splitlines()]
    assert words == [["connector", "schemas", "register"], ["connector", "topics", "create"]]
    assert [missing_command(one[1:]) for one in words] == [None, None]


# systemd


@cache
def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (FOLDER / "systemd" / "connector.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def on_a_host(tmp_path: Path) -> Settings:
    return settings_of(dict(one.split("=", 1) for one in unit()["Environment"] if one.startswith("CONNECTOR_")), tmp_path)


def test_unit_starts_reloads_and_stops_as_the_bridge_expects(on_a_host: Settings) -> None:
    (start,) = unit()["ExecStart"]
    assert missing_command(shlex.split(start)[1:2]) is None
    assert unit()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    # To the supervisor alone: it drains the workers.
    assert (unit()["KillSignal"], unit()["KillMode"]) == (["SIGTERM"], ["mixed"])
    assert float(unit()["TimeoutStopSec"][0]) > longest_stop_seconds(on_a_host.shutdown)
    assert int(unit()["LimitNOFILE"][0]) > on_a_host.http.max_connections + 100
    assert unit()["RestartPreventExitStatus"] == ["2"]


def test_unit_gives_a_folder_for_ids_and_spool_and_no_rights(on_a_host: Settings) -> None:
    state = f"/var/lib/{unit()['StateDirectory'][0]}"
    assert on_a_host.registry.cache_folder == state
    assert on_a_host.spool.folder.startswith(f"{state}/")
    assert unit()["StateDirectoryMode"] == ["0700"]
    for name, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
    }.items():
        assert unit()[name] == [value]


def test_unit_is_valid_by_systemd(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("no systemd on this machine")
    file = tmp_path / "connector.service"
    text = (FOLDER / "systemd" / "connector.service").read_text(encoding="utf-8")
    file.write_text(text.replace("/opt/connector/bin/connector", "/bin/true"), encoding="utf-8")
    done = subprocess.run([analyse, "verify", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert "connector.service" not in done.stderr, done.stderr


# nginx

NGINX: Final = (FOLDER / "nginx" / "connector.conf").read_text(encoding="utf-8")


def directive(name: str) -> str:
    """The value of a directive that the file has once, or always with the same value."""
    (value,) = set(re.findall(rf"^\s*{name} (.*);$", NGINX, re.MULTILINE))
    assert isinstance(value, str)
    return value


def test_limits_of_nginx_are_those_of_the_settings() -> None:
    defaults = load_settings(None, {"CONNECTOR_AUTHENTICATION__URL_TOKEN": TOKEN})
    sizes = re.findall(r"^\s*client_max_body_size (\d+)([mk]);$", NGINX, re.MULTILINE)
    assert [int(number) * {"m": 2**20, "k": 2**10}[unit] for number, unit in sizes] == [
        defaults.http.max_body_bytes,
        LONGEST_BODY,
    ]
    assert directive("client_body_buffer_size") == "4m"
    assert directive("client_header_timeout") == f"{defaults.http.header_timeout_seconds:g}s"
    assert directive("client_body_timeout") == f"{defaults.http.body_timeout_seconds:g}s"
    assert float(directive("keepalive_timeout").removesuffix("s")) < defaults.http.idle_timeout_seconds
    # Callers wait up to 10 s for a restarted worker, and then for Kafka.
    assert float(directive("proxy_read_timeout").removesuffix("s")) > defaults.kafka.delivery_timeout_seconds + 1.5 + 10
    assert f"location {defaults.http.path} {{" in NGINX
    assert f"location = {defaults.oauth.path} {{" in NGINX


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent, in the bridge's place."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echo() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """nginx with this file, its ports and paths replaced: its URL, and the folder of its logs."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        assert not os.environ.get("CI"), "apt-get install nginx-light"
        pytest.skip("nginx is not installed")
    own = Authority(tmp_path).sign("localhost")
    (port,) = free_ports(1)
    with echo() as upstream:
        text = NGINX.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}").replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("/etc/nginx/tls/chain.pem", str(own.certificate)).replace("/etc/nginx/tls/key.pem", str(own.key))
        text = text.replace("/var/log/nginx", str(tmp_path))
        (tmp_path / "connector.conf").write_text(text, encoding="utf-8")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
        main = tmp_path / "nginx.conf"
        main.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/main.log;\n"
            f"events {{}}\nhttp {{ {folders} include {tmp_path}/connector.conf; }}\n",
            encoding="utf-8",
        )
        tested = subprocess.run(
            [program, "-t", "-p", str(tmp_path), "-c", str(main)], capture_output=True, text=True, check=False
        )
        assert tested.returncode == 0, tested.stderr
        with subprocess.Popen([program, "-p", str(tmp_path), "-c", str(main)]) as running:
            yield f"https://127.0.0.1:{port}", tmp_path
            running.terminate()
            running.wait(SECONDS)


def posted(url: str, path: str, content: bytes = b"{}", headers: Mapping[str, str] | None = None) -> httpx.Response:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return httpx.post(f"{url}{path}", content=content, headers=headers, verify=False, trust_env=False, timeout=SECONDS)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_nginx_passes_callbacks_on_and_logs_no_token(nginx: tuple[str, Path]) -> None:
    url, folder = nginx
    path = f"/callbacks/kaleyra/{TOKEN}"
    answer = posted(url, path, headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["path"], seen["x-forwarded-for"], seen["host"]) == (
        path,
        "192.0.2.1, 127.0.0.1",
        url.removeprefix("https://").partition(":")[0],
    )
    assert posted(url, f"/elsewhere/{TOKEN}").status_code == 404
    assert posted(url, path, b"x" * (4 * 2**20 + 1)).status_code == 413
    # nginx writes a line after it has sent the answer.
    eventually(lambda: len((folder / "connector.log").read_text(encoding="utf-8").splitlines()) == 3)
    logged = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.log")}
    assert [name for name, text in logged.items() if TOKEN in text] == []
