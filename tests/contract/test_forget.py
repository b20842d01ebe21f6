"""`connector forget`: tombstones go where the profile is, by today's key and older ones; remaining copies are listed."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from connector.privacy.keyed import Keyed
from tests.contract.test_topics import Topics
from tests.integration.test_end_to_end import murmur2
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.stack.ports import free_ports
from tests.support import servers
from tests.support.callbacks import contact, envelope, message
from tests.support.commands import Runner
from tests.support.servers import Environment, post

NUMBER = "393339998877"
USER_ID = "IT.99988877766655"
KEY, OLD_KEY = "an invented key of 32 characters", "an older invented key of 38 characters"
HASHED = {
    "CONNECTOR_PRIVACY__PHONE": "hash",
    "CONNECTOR_PRIVACY__HASH_KEY": KEY,
    "CONNECTOR_PRIVACY__HASH_KEY_ID": "k1",
}
WEEK_SECONDS = 7 * 24 * 3600


class StoredProfile(NamedTuple):
    """A record of the topic of contacts; a tombstone has no value."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@contextmanager
def contacts(bootstrap_servers: str, topic: str) -> Iterator[tuple[int, Callable[[int], list[StoredProfile]]]]:
    """Give the topic's partition count, and what reads so many records of it from the beginning."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "forget", "fetch.wait.max.ms": 20, "log_level": 0})
    partitions = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)

    def read(count: int) -> list[StoredProfile]:
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
        found: list[StoredProfile] = []
        deadline = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count}"
            for one in consumer.consume(count - len(found), 0.2):
                assert one.error() is None
                headers: Any = dict(one.headers() or [])
                key, value = one.key(), one.value()
                assert not isinstance(key, str)
                assert not isinstance(value, str)
                found.append(StoredProfile(one.partition() or 0, key, value, headers))
        assert not consumer.consume(1, 0.5), "more than was expected"
        return found

    try:
        yield partitions, read
    finally:
        consumer.close()


def profile(number: str = NUMBER, **more: Any) -> bytes:
    return envelope([message(number)], [contact("Markolfo Geheim", number, **more)])


@pytest.fixture
def run() -> Runner:
    return Runner()


# With the embedded broker


@pytest.mark.parametrize("privacy", [{}, HASHED], ids=["in clear", "hashed"])
def test_tombstone_has_the_key_and_partition_of_the_profile(privacy: dict[str, str], tmp_path: Path) -> None:
    settings = {**servers.environment("unused:1", "http://unused", prefix="kaleyra.whatsapp."), **privacy}
    with servers.developing(settings, tmp_path) as (_, addresses):
        ours: Environment = {**settings, "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": addresses.bootstrap_servers}
        assert post(addresses.callback_url, profile()).status_code == 200
        with contacts(addresses.bootstrap_servers, "kaleyra.whatsapp.contacts") as (_, read):
            (stood,) = read(1)
            dry = servers.done(ours, "forget", NUMBER, "--dry-run", "--json")
            assert (dry.exit_code, dry.json()["tombstones"], dry.json()["written"]) == (0, 1, False)
            assert len(read(1)) == 1
            # As a person would type it; callbacks write it without the plus sign.
            done = servers.done(ours, "forget", f"+{NUMBER[:2]} {NUMBER[2:]}", "--json")
            assert (done.exit_code, done.json()["tombstones"], done.json()["written"]) == (0, 2, True)
            found = [one for one in read(3) if one.value is None]
        log = (tmp_path / "dev.log").read_text(encoding="utf-8")
    (tombstone,) = [one for one in found if one.key == stood.key]
    assert tombstone.partition == stood.partition
    assert tombstone.headers["ce_type"] == b"kaleyra.whatsapp.contact"
    assert stood.key is not None
    assert (NUMBER.encode() in stood.key) == (not privacy)
    shown = "".join((dry.stdout, dry.stderr, done.stdout, done.stderr))
    assert NUMBER not in shown
    assert NUMBER[2:] not in shown
    assert NUMBER not in b"".join(value for one in found for value in one.headers.values()).decode()
    assert "Traceback" not in log, "what shows records shows tombstones too"


def test_older_keys_and_the_plain_id_get_tombstones_too(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = tmp_path / "old_key"
    key_file.write_text(f"{OLD_KEY}\n", encoding="utf-8")
    settings = {**servers.environment("unused:1", "http://unused", prefix="kaleyra.whatsapp."), **HASHED}
    with servers.developing(settings, tmp_path) as (_, addresses):
        ours = {**settings, "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": addresses.bootstrap_servers}
        typed = tmp_path / "typed"
        typed.write_text(f"{USER_ID}\n", encoding="utf-8")
        with typed.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            done = run(
                "forget",
                "-",
                "--old-key",
                f"k0={key_file}",
                "--also-plain",
                settings={name.removeprefix("CONNECTOR_"): value for name, value in ours.items()},
            )
        assert done.exit_code == 0, done.stderr
        with contacts(addresses.bootstrap_servers, "kaleyra.whatsapp.contacts") as (_, read):
            keys = {one.key for one in read(3)}
    assert keys == {Keyed(KEY, "k1").hash(USER_ID), Keyed(OLD_KEY, "k0").hash(USER_ID), USER_ID.encode()}
    assert "3 tombstones written to kaleyra.whatsapp.contacts" in done.stdout
    assert USER_ID not in done.stdout + done.stderr
    assert OLD_KEY not in done.stdout + done.stderr


# Without a server


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ([""], ["no person given"]),
        (["+"], ["no person given"]),
        ([NUMBER, "--old-key", "k0"], ["--old-key k0: pass the key's id and a file"]),
        ([NUMBER, "--old-key", "k0=/no/such/file"], ["--old-key k0=/no/such/file: the file cannot be read"]),
        (["", "--old-key", "=x", "--old-key", "y="], ["no person given", "--old-key =x: pass", "--old-key y=: pass"]),
    ],
)
def test_wrong_usage_is_reported_before_any_request(run: Runner, arguments: list[str], problems: list[str]) -> None:
    done = run("forget", *arguments)
    assert done.exit_code == 2
    for problem, begin in zip(done.problems(), problems, strict=True):
        assert problem.startswith(begin)
    assert NUMBER not in done.stdout + done.stderr


def test_missing_key_is_reported_before_a_tombstone_is_written(run: Runner) -> None:
    done = run("forget", NUMBER, settings={"PRIVACY__PHONE": "hash"})
    assert done.exit_code == 2
    assert done.problems()[0].startswith("privacy.hash_key: is not set")


def test_unreachable_kafka_is_a_server_error(run: Runner) -> None:
    (port,) = free_ports(1)
    done = run("forget", NUMBER, settings={"KAFKA__CLIENT__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"})
    assert done.exit_code == 1
    assert "Kafka does not answer" in done.problems()[0]
    assert NUMBER not in done.stdout + done.stderr


# With the real Kafka


def test_tombstone_is_in_the_partition_that_java_chooses(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    topics = Topics(kafka)
    settings = {**topics.environment, "CONNECTOR_REGISTRY__URL": apicurio.url, **HASHED}
    servers.prepare(settings)
    numbers = [f"3933399988{number}" for number in range(10, 16)]
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        for number in numbers:
            assert post(server.addresses.callback_url, profile(number)).status_code == 200
    began = time.time()
    reports = []
    for number in numbers:
        done = servers.done(settings, "forget", number, "--json")
        assert done.exit_code == 0, done.stderr
        reports.append(done.json())
        assert number not in done.stdout + done.stderr
    with contacts(kafka.bootstrap_servers, topics.topic("contacts")) as (partitions, read):
        records = read(2 * len(numbers))
    profiles = {one.key: one for one in records if one.value is not None}
    tombstones = {one.key: one for one in records if one.value is None}
    assert profiles.keys() == tombstones.keys() == {Keyed(KEY, "k1").hash(number) for number in numbers}
    for key, tombstone in tombstones.items():
        assert key is not None
        assert tombstone.partition == profiles[key].partition == (murmur2(key) & 0x7FFFFFFF) % partitions
    assert len({one.partition for one in tombstones.values()}) > 1

    by_topic = {one["topic"].removeprefix(topics.topic("")): one for one in reports[0]["topics"]}
    until = datetime.fromisoformat(by_topic["dead-letters"]["until"]).astimezone(UTC).timestamp()
    # 14 days by the catalogue, and Kafka's own week for a segment.
    assert until == pytest.approx(began + 3 * WEEK_SECONDS, abs=120)
    assert by_topic["dead-letters"]["holds"] == "whole callbacks, not keyed by person"
    assert by_topic["texts"]["holds"] == "records under the person's key"
    assert by_topic["contacts"]["until"] is None
    assert "max.compaction.lag.ms" in by_topic["contacts"]["reason"]
    topics.set("contacts", {"max.compaction.lag.ms": "3600000"})
    topics.set("texts", {"retention.ms": "-1"})
    again = {one["topic"].removeprefix(topics.topic("")): one for one in forget(settings, "--dry-run")["topics"]}
    until = datetime.fromisoformat(again["contacts"]["until"]).astimezone(UTC).timestamp()
    assert until == pytest.approx(time.time() + 3600 + 24 * 3600, abs=120)
    assert (again["texts"]["until"], "for ever" in again["texts"]["reason"]) == (None, True)
    assert any("changelogs" in line for line in reports[0]["further_copies"])
    assert any(
        "skip records without a value" in line and "docs/how-to/read.md" in line for line in reports[0]["further_copies"]
    )


def test_missing_topic_is_reported(kafka: KafkaBroker) -> None:
    done = servers.done(Topics(kafka).environment, "forget", NUMBER)
    assert done.exit_code == 1
    assert "topics are missing" in done.stderr
    assert NUMBER not in done.stdout + done.stderr


def forget(settings: Environment, *arguments: str) -> dict[str, Any]:
    done: dict[str, Any] = json.loads(servers.run(settings, "forget", NUMBER, "--json", *arguments))
    return done
