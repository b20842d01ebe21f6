"""`connector topics` against the real Kafka: every deviation is made, found, and fixed by the printed commands."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions

from connector.catalogue import data_folder
from tests.stack.artifacts import kafka_jars
from tests.stack.java import QUICK_START, find_java
from tests.stack.kafka import KafkaBroker
from tests.stack.versions import KAFKA_JAVA
from tests.support import servers
from tests.support.commands import Done

WRONG: Final = {
    "dead-letters": {
        "cleanup.policy": "compact",
        "max.message.bytes": "1048588",
        "message.timestamp.after.max.ms": "60000",
        "message.timestamp.before.max.ms": "3600000",
        "min.insync.replicas": "2",
        "retention.ms": "3600000",
    },
    "contacts": {"cleanup.policy": "delete"},
    "orders": {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "compact,delete"},
}
"""Topics, and settings that deviate: every deviation that a topic with one copy can have."""


class Topics:
    """The topics of a bridge on a broker: the command, and an administrator beside it."""

    def __init__(self, kafka: KafkaBroker) -> None:
        self.environment: servers.Environment = servers.environment(kafka.bootstrap_servers, "http://127.0.0.1:1")
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        self._prefix = self.environment["CONNECTOR_TOPICS__PREFIX"]

    def connector(self, *arguments: str, **more: str) -> Done:
        """Run `connector topics …`."""
        settings = {**self.environment, **{f"CONNECTOR_{name}": value for name, value in more.items()}}
        return servers.done(settings, "topics", *arguments)

    def topic(self, name: str) -> str:
        """Return a topic by its name without the prefix."""
        return f"{self._prefix}{name}"

    def check(self) -> dict[str, Any]:
        """Return what `check` says of each topic, by the name without the prefix."""
        report = self.connector("check", "--json").json()
        return {one["topic"].removeprefix(self._prefix): one for one in report}

    def rules(self) -> dict[str, list[str]]:
        """Return the rules that topics deviate from; those without deviations are omitted."""
        report = {name: [deviation["rule"] for deviation in one["deviations"]] for name, one in self.check().items()}
        return {name: rules for name, rules in report.items() if rules}

    def advice(self) -> list[str]:
        """Return all that is to be done."""
        return [deviation["advice"] for one in self.check().values() for deviation in one["deviations"]]

    def set(self, name: str, config: Mapping[str, str]) -> None:
        """Set settings of a topic, as an operator does."""
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic(name), incremental_configs=entries)
        for done in self._admin.incremental_alter_configs([resource]).values():
            done.result(timeout=10)
        servers.eventually(lambda: config.items() <= self.config(name).items())

    def config(self, name: str) -> dict[str, str]:
        """Return the settings of a topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic(name))
        (done,) = self._admin.describe_configs([resource]).values()
        return {key: entry.value for key, entry in done.result(timeout=10).items()}

    def partitions(self, name: str) -> int:
        """Return how many partitions a topic has."""
        return len(self._admin.list_topics(self.topic(name), timeout=10).topics[self.topic(name)].partitions)

    def delete(self, name: str) -> None:
        """Delete a topic."""
        self._admin.delete_topics([self.topic(name)])[self.topic(name)].result(timeout=10)
        servers.eventually(lambda: self.topic(name) not in self._admin.list_topics(timeout=10).topics)

    def wait_until_well(self) -> None:
        """Wait until `check` finds nothing wrong: Kafka acknowledges a change a moment before it shows it."""
        servers.eventually(lambda: {one["state"] for one in self.check().values()} == {"ok"}, 30, self.rules)

    def raise_partitions(self, name: str, count: int) -> None:
        """Give a topic more partitions."""
        self._admin.create_partitions([NewPartitions(self.topic(name), count)])[self.topic(name)].result(timeout=10)
        servers.eventually(lambda: self.partitions(name) == count)


def kafka_configs(command: str) -> None:
    """Run a printed command with Kafka's own tool."""
    name, *arguments = shlex.split(command)
    assert name == "kafka-configs"
    java = [str(find_java(KAFKA_JAVA)), "-Xmx128m", *QUICK_START, "-cp", f"{kafka_jars()}/*", "kafka.admin.ConfigCommand"]
    done = subprocess.run([*java, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed updating config" in done.stdout


@pytest.fixture
def empty(kafka: KafkaBroker) -> Topics:
    return Topics(kafka)


@pytest.fixture
def made(empty: Topics) -> Topics:
    assert empty.connector("create").exit_code == 0
    empty.wait_until_well()
    return empty


def test_missing_topics_are_created_once(empty: Topics) -> None:
    done = empty.connector("check", "--json")
    assert done.exit_code == 1
    assert {one["state"] for one in done.json()} == {"missing"}
    assert {one["state"] for one in empty.connector("create", "--dry-run", "--json").json()} == {"would be created"}
    assert {one["state"] for one in empty.check().values()} == {"missing"}
    assert {one["state"] for one in empty.connector("create", "--json").json()} == {"created"}
    # At once: `create` waits until the brokers show what they have acknowledged.
    assert empty.connector("check").exit_code == 0
    assert {one["state"] for one in empty.connector("create", "--json").json()} == {"unchanged"}


def test_list_shows_wanted_and_actual_values(made: Topics) -> None:
    made.delete("orders")
    done = made.connector("list", "--json", TOPICS__REPLAY_WINDOW_DAYS="30")
    assert done.exit_code == 0
    report = {one["topic"]: one for one in done.json()}
    assert report[made.topic("orders")]["found"] is None
    letters = report[made.topic("dead-letters")]
    assert letters["record_type"] == "dead_letter"
    assert (letters["wanted"]["partitions"], letters["found"]["partitions"]) == (6, 6)
    assert letters["wanted"]["config"]["retention.ms"] == "2592000000"
    assert letters["found"]["config"]["retention.ms"] == "1209600000"
    table = made.connector("list").stdout
    assert all(one["topic"] in table for one in done.json())


def test_every_deviation_is_found_and_altered_only_on_request(made: Topics) -> None:
    made.set("dead-letters", {"segment.bytes": "1048576"})
    for name, config in WRONG.items():
        made.set(name, config)
    found = {name: sorted(config) for name, config in WRONG.items()}
    assert {name: sorted(rules) for name, rules in made.rules().items()} == found
    done = made.connector("check")
    assert done.exit_code == 1
    assert "3 topics are missing or wrong" in done.stderr
    # On one line each, so that it can be copied.
    assert all(f"→ {advice}\n" in done.stdout for advice in made.advice())

    assert {one["state"] for one in made.connector("create", "--json").json()} == {"unchanged"}
    dry = {one["topic"]: one for one in made.connector("create", "--alter", "--dry-run", "--json").json()}
    assert {topic for topic, one in dry.items() if one["state"] == "would be altered"} == {made.topic(name) for name in WRONG}
    assert {name: sorted(rules) for name, rules in made.rules().items()} == found

    altered = {one["topic"]: one for one in made.connector("create", "--alter", "--json").json()}
    for name, config in WRONG.items():
        assert altered[made.topic(name)]["state"] == "altered"
        assert set(altered[made.topic(name)]["config"]) == set(config)
    made.wait_until_well()
    assert made.rules() == {}
    assert made.config("dead-letters")["segment.bytes"] == "1048576", "what an operator has set stays"
    assert {one["state"] for one in made.connector("create", "--alter", "--json").json()} == {"unchanged"}


def test_printed_kafka_command_fixes_a_setting(made: Topics) -> None:
    made.set("contacts", {"cleanup.policy": "delete"})
    made.set("others", {"max.message.bytes": "1048588"})
    for advice in made.advice():
        kafka_configs(advice)
    servers.eventually(lambda: made.rules() == {})


def test_partition_counts_are_never_changed_by_create(made: Topics) -> None:
    made.raise_partitions("orders", 7)
    report = made.check()
    assert report["orders"]["state"] == "ok"
    (deviation,) = report["documents"]["deviations"]
    assert (deviation["state"], deviation["rule"], deviation["config"]) == ("warning", "partitions", {})
    # A warning does not change the exit code.
    assert made.connector("check").exit_code == 0
    steps = {one["topic"]: one for one in made.connector("create", "--alter", "--json").json()}
    assert steps[made.topic("documents")]["state"] == "unchanged"
    assert "7" in steps[made.topic("documents")]["unresolved"][0]
    assert made.partitions("documents") == 6
    # No warning for topics of another key, and none after what the commands say.
    assert "dead-letters" not in made.rules()
    for name in made.rules():
        made.raise_partitions(name, 7)
    assert made.rules() == {}


def test_new_topic_has_as_many_partitions_as_its_join_partners(made: Topics) -> None:
    for name in ("orders", "dead-letters"):
        made.delete(name)
    steps = {one["topic"]: one for one in made.connector("create", "--json", TOPICS__PARTITIONS="2").json()}
    made.wait_until_well()
    assert steps[made.topic("orders")]["partitions"] == made.partitions("orders") == 6
    assert steps[made.topic("dead-letters")]["partitions"] == made.partitions("dead-letters") == 2
    assert made.rules() == {}


def test_more_copies_than_brokers_are_reported_for_each_topic(empty: Topics) -> None:
    done = empty.connector("create", "--json", TOPICS__REPLICATION_FACTOR="3")
    assert done.exit_code == 1
    assert {one["state"] for one in done.json()} == {"error"}
    problems = [line for line in done.stderr.splitlines() if "was not created" in line]
    assert len(problems) == len(done.json())
    assert "only 1 broker(s)" in problems[0]
    assert empty.connector("create").exit_code == 0
    empty.wait_until_well()
    report = empty.connector("check", "--json", TOPICS__REPLICATION_FACTOR="3")
    assert report.exit_code == 0
    assert {deviation["rule"] for one in report.json() for deviation in one["deviations"]} == {"replication_factor"}


def test_setting_that_kafka_does_not_know_is_reported(empty: Topics, tmp_path: Path) -> None:
    for name in ("avro", "config"):
        shutil.copytree(data_folder() / name, tmp_path / name)
    file = tmp_path / "config" / "messages.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"cleanup.policy" = "compact"', '"cleanup.policies" = "compact"'), encoding="utf-8")
    done = empty.connector("create", "--json", CATALOGUE__FOLDER=str(tmp_path))
    assert done.exit_code == 1
    assert f"{empty.topic('contacts')} was not created: Unknown topic config name: cleanup.policies" in done.stderr
    states = {one["topic"]: one["state"] for one in done.json()}
    assert states.pop(empty.topic("contacts")) == "error"
    assert set(states.values()) == {"created"}
