"""`connector doctor` against the real Kafka and registry: healthy, each fault in turn, access denied, and unreachable."""

import json
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin._acl import AclOperation

from connector.catalogue import data_folder
from tests.contract.test_topics import Topics
from tests.stack.acl_broker import PASSWORDS, WRONG_PASSWORD, Guarded, credentials
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.stack.ports import free_ports
from tests.support import servers
from tests.support.commands import Done
from tests.support.servers import Environment

ALL = (
    "configuration",
    "schema files",
    "kafka",
    "brokers",
    "producer id",
    "rights",
    "topics",
    "registry",
    "schemas",
    "clock",
    "privacy",
    "disk",
    "spool",
    "open files",
    "refused requests",
)


class Bridge(Topics):
    """A bridge's settings, topics and schemas on the real servers."""

    def __init__(self, kafka: KafkaBroker, registry_url: str) -> None:
        super().__init__(kafka)
        self.environment["CONNECTOR_REGISTRY__URL"] = registry_url


def doctor(environment: Environment, **more: str) -> tuple[int, list[dict[str, Any]]]:
    """Ask the doctor; return the exit code and the findings."""
    done = ask(environment, "--json", **more)
    return done.exit_code, done.json()


def ask(environment: Environment, *arguments: str, **more: str) -> Done:
    settings = {**environment, **{f"CONNECTOR_{name}": value for name, value in more.items()}}
    return servers.done(settings, "doctor", *arguments)


def states(findings: list[dict[str, Any]]) -> dict[str, str]:
    """Return the findings that are not ok, the worst of each; and check that everything was checked, in order."""
    assert tuple(dict.fromkeys(finding["check"] for finding in findings)) == ALL
    wrong: dict[str, str] = {}
    for finding in findings:
        if finding["check"] == "refused requests":
            # No bridge runs here.
            assert finding["state"] == "unknown"
        elif finding["state"] != "ok" and wrong.get(finding["check"]) != "error":
            wrong[finding["check"]] = finding["state"]
    return wrong


def of(findings: list[dict[str, Any]], what: str) -> dict[str, Any]:
    (finding,) = [finding for finding in findings if finding["check"] == what]
    return finding


@pytest.fixture
def bridge(kafka: KafkaBroker, apicurio: ApicurioRegistry) -> Bridge:
    found = Bridge(kafka, apicurio.url)
    servers.prepare(found.environment)
    return found


def test_healthy_bridge_has_no_findings(bridge: Bridge) -> None:
    code, findings = doctor(bridge.environment)
    assert states(findings) == {}
    assert code == 0
    assert {finding["advice"] for finding in findings} == {""}
    table = ask(bridge.environment)
    assert all(finding["check"] in table.stdout for finding in findings)
    assert "→" not in table.stdout


def test_missing_parts_are_reported_with_the_commands_to_make_them(kafka: KafkaBroker, apicurio: ApicurioRegistry) -> None:
    new = Bridge(kafka, apicurio.url).environment
    code, findings = doctor(new)
    assert code == 1
    assert states(findings) == {"rights": "unknown", "topics": "error", "schemas": "error"}
    assert "`connector topics create`" in of(findings, "topics")["advice"]
    assert "`connector schemas register`" in of(findings, "schemas")["advice"]
    servers.prepare(new)
    assert doctor(new)[0] == 0


def test_deviating_topic_is_reported_as_by_topics_check(bridge: Bridge) -> None:
    bridge.set("contacts", {"cleanup.policy": "delete"})
    bridge.set("dead-letters", {"retention.ms": "3600000"})
    code, findings = doctor(bridge.environment)
    about_topics = [finding for finding in findings if finding["check"] == "topics"]
    assert (code, [finding["state"] for finding in about_topics]) == (1, ["error", "warning"])
    assert [finding["advice"] for finding in about_topics] == bridge.advice()
    bridge.connector("create", "--alter")
    bridge.wait_until_well()
    assert doctor(bridge.environment)[0] == 0


def test_unequal_partition_counts_are_an_error(bridge: Bridge) -> None:
    bridge.raise_partitions("orders", 7)
    assert bridge.connector("check").exit_code == 0
    code, findings = doctor(bridge.environment)
    assert (code, states(findings)) == (1, {"topics": "error"})


def test_warnings_do_not_fail_the_command(bridge: Bridge) -> None:
    more = {
        "AUTHENTICATION__ALLOW_ANYONE": "true",
        "MANAGEMENT__HOST": "0.0.0.0",
        "TOPICS__REPLICATION_FACTOR": "3",
        "HTTP__MAX_CONNECTIONS": "100000000",
    }
    code, findings = doctor(bridge.environment, **more)
    assert code == 0
    assert states(findings) == {"kafka": "warning", "topics": "warning", "privacy": "warning", "open files": "warning"}


def test_missing_authentication_stops_no_other_check(bridge: Bridge) -> None:
    without = {name: value for name, value in bridge.environment.items() if "URL_TOKEN" not in name}
    code, findings = doctor(without)
    assert (code, states(findings)) == (2, {"configuration": "error"})


def test_all_wrong_settings_are_reported(bridge: Bridge) -> None:
    code, findings = doctor(bridge.environment, HTTP__PROT="1", LOGS__LEVEL="loud")
    assert code == 2
    faults = [finding["found"] for finding in findings if finding["check"] == "configuration"]
    assert [text.partition(":")[0] for text in faults] == ["CONNECTOR_HTTP__PROT", "logs.level"]
    assert {finding["state"] for finding in findings if finding["check"] not in ("configuration", "disk")} == {"unknown"}


def test_wrong_client_properties_stop_no_other_check(bridge: Bridge) -> None:
    more = {"KAFKA__PRODUCER__LINGER_NS": "s3cret", "REGISTRY__CLIENT__NO_SUCH_NAME": "s3cret"}
    code, findings = doctor(bridge.environment, **more)
    assert code == 2
    assert (states(findings)["brokers"], states(findings)["producer id"]) == ("unknown", "unknown")
    assert "kafka" not in states(findings)
    faults = [finding["found"] for finding in findings if finding["check"] == "configuration"]
    assert len(faults) == 2
    assert "s3cret" not in str(findings)


def test_schema_that_breaks_a_rule_is_the_users_own(bridge: Bridge, tmp_path: Path) -> None:
    for name in ("avro", "config"):
        shutil.copytree(data_folder() / name, tmp_path / name)
    file = tmp_path / "avro" / "order.avsc"
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["fields"][-1].pop("doc")
    file.write_text(json.dumps(schema), encoding="utf-8")
    code, findings = doctor(bridge.environment, CATALOGUE__FOLDER=str(tmp_path))
    assert code == 2
    assert of(findings, "schema files")["state"] == "error"
    assert "avro/order.avsc" in of(findings, "schema files")["found"]
    assert of(findings, "configuration")["state"] == "ok"


def test_servers_are_checked_even_if_the_catalogue_is_unreadable(bridge: Bridge, tmp_path: Path) -> None:
    code, findings = doctor(bridge.environment, CATALOGUE__FOLDER=str(tmp_path))
    assert code == 2
    unknown = dict.fromkeys(("rights", "topics", "registry", "schemas"), "unknown")
    assert states(findings) == {"configuration": "error", **unknown}


def test_other_compatibility_level_is_a_warning(bridge: Bridge) -> None:
    subject = f"{bridge.topic('orders')}-value"
    url = f"{bridge.environment['CONNECTOR_REGISTRY__URL']}/config/{subject}"
    assert httpx.put(url, json={"compatibility": "NONE"}, timeout=10, trust_env=False).status_code == 200
    code, findings = doctor(bridge.environment)
    assert (code, states(findings)) == (0, {"schemas": "warning"})
    assert subject in of(findings, "schemas")["found"]
    servers.run(bridge.environment, "schemas", "register")
    assert states(doctor(bridge.environment)[1]) == {}


def test_unreachable_servers_are_reported_in_time() -> None:
    kafka, registry = free_ports(2)
    environment = servers.environment(f"127.0.0.1:{kafka}", f"http://127.0.0.1:{registry}")
    began = time.monotonic()
    code, findings = doctor(environment)
    assert time.monotonic() - began < 15
    assert code == 1
    away = {"kafka": "error", "registry": "error"}
    unknown = dict.fromkeys(("brokers", "producer id", "rights", "topics", "schemas", "clock"), "unknown")
    assert states(findings) == {**away, **unknown}
    assert "bootstrap.servers" in of(findings, "kafka")["advice"]
    assert "registry.url" in of(findings, "registry")["advice"]
    # The clients' own log lines would only clutter the output.
    assert not ask(environment).stderr


def test_servers_that_never_answer_are_reported_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as kafka, socket.create_server(("127.0.0.1", 0)) as registry:
        ports = [silent.getsockname()[1] for silent in (kafka, registry)]
        environment = servers.environment(f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
        began = time.monotonic()
        code, findings = doctor(environment)
    assert time.monotonic() - began < 20
    assert code == 1
    assert {what for what, state in states(findings).items() if state == "error"} == {"kafka", "registry"}
    assert "does not answer" in of(findings, "kafka")["found"]


# Credentials and rights


@pytest.fixture
def guarded(guarded_kafka: KafkaBroker, apicurio: ApicurioRegistry) -> Iterator[Guarded]:
    found = Guarded(guarded_kafka, apicurio.url)
    yield found
    # The right to write to any topic gives a producer id for all.
    found.forget(found.topics())


def test_missing_rights_are_reported_until_writing_is_allowed(guarded: Guarded) -> None:
    ours = guarded.settings(credentials("bridge"))
    code, findings = doctor(ours)
    assert code == 1
    assert states(findings)["rights"] == "error"
    assert all(topic in of(findings, "rights")["found"] for topic in guarded.topics())
    assert "--operation Write" in of(findings, "rights")["advice"]
    assert not [finding for finding in findings if "topics create" in finding["advice"]]

    guarded.allow(AclOperation.DESCRIBE, guarded.topics())
    servers.eventually(lambda: "not authorised to write" in of(doctor(ours)[1], "rights")["found"])
    assert of(doctor(ours)[1], "producer id")["state"] == "error"

    # WRITE is all that the bridge needs; it cannot read the settings of topics then.
    guarded.forget(guarded.topics())
    guarded.allow(AclOperation.WRITE, guarded.topics())
    servers.eventually(lambda: doctor(ours)[0] == 0)
    findings = doctor(ours)[1]
    assert states(findings) == {"topics": "unknown"}
    assert "DESCRIBE_CONFIGS" in of(findings, "topics")["advice"]
    guarded.allow(AclOperation.DESCRIBE_CONFIGS, guarded.topics())
    servers.eventually(lambda: states(doctor(ours)[1]) == {})


def test_every_command_reports_a_wrong_password_at_once(guarded: Guarded, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = guarded.settings(credentials("bridge", WRONG_PASSWORD))
    for arguments in (["topics", "list"], ["topics", "check"], ["topics", "create"], ["tail"]):
        began = time.monotonic()
        done = servers.done(wrong, *arguments)
        assert time.monotonic() - began < 6
        assert done.exit_code == 1
        assert "rejects our credentials" in done.stderr
        assert "sasl.password" in done.stderr
        assert not shown(done)
    done = ask(wrong, "--json")
    kafka = of(done.json(), "kafka")
    assert (kafka["state"], kafka["found"]) == ("error", "Kafka rejects our credentials (_AUTHENTICATION)")
    assert not shown(done)
    # librdkafka's C code does not write to Python's stderr.
    assert not shown(Done(0, *capfd.readouterr()))


def test_rights_that_commands_need_are_reported(guarded: Guarded) -> None:
    ours = guarded.settings(credentials("bridge"))
    hidden = servers.done(ours, "topics", "check", "--json")
    assert {one["state"] for one in hidden.json()} == {"error"}
    assert {one["deviations"][0]["rule"] for one in hidden.json()} == {"hidden"}
    made = servers.done(ours, "topics", "create")
    assert made.exit_code == 1
    assert "allow DESCRIBE and CREATE on them" in made.stderr

    guarded.allow(AclOperation.DESCRIBE, guarded.topics())
    orders = guarded.topic("orders")
    servers.eventually(lambda: servers.done(ours, "topics", "create").exit_code == 0)
    unread = servers.done(ours, "topics", "check", "--json")
    assert unread.exit_code == 0
    assert {one["deviations"][0]["rule"] for one in unread.json()} == {"unread"}
    assert "DESCRIBE_CONFIGS" in servers.done(ours, "topics", "check").stdout

    reading = ["tail", orders, "--from-beginning", "--count", "1"]
    done = servers.done(ours, *reading)
    assert done.exit_code == 1
    assert f"not authorised for topics: {orders}; allow READ on them" in done.stderr

    guarded.allow(AclOperation.DESCRIBE_CONFIGS, [orders])
    guarded.alter(orders, {"cleanup.policy": "compact"})
    altered = servers.done(ours, "topics", "create", "--alter", "--json")
    assert altered.exit_code == 1
    assert f"not authorised for topics: {orders}; allow ALTER_CONFIGS on them" in altered.stderr
    guarded.allow(AclOperation.ALTER_CONFIGS, [orders])
    servers.eventually(lambda: servers.done(ours, "topics", "create", "--alter").exit_code == 0)


def test_reader_needs_to_read_the_topics_and_nothing_else(guarded: Guarded) -> None:
    ours = guarded.settings(credentials("bridge"))
    done = servers.done(ours, "tail", "--count", "1")
    assert done.exit_code == 1
    assert "not authorised for topics" in done.stderr
    guarded.allow(AclOperation.READ, guarded.topics())
    guarded.allow(AclOperation.WRITE, [guarded.topic("orders")])
    guarded.produce(guarded.topic("orders"), credentials("bridge"))
    done = servers.done(ours, "tail", "--from-beginning", "--count", "1", "--json")
    assert (done.exit_code, done.json()["topic"]) == (0, guarded.topic("orders"))


def shown(done: Done) -> Mapping[str, str]:
    """Return the secrets that a command has printed."""
    secrets = {"wrong": WRONG_PASSWORD, **PASSWORDS}
    return {name: secret for name, secret in secrets.items() if secret in done.stdout + done.stderr}
