"""The bridge as a process, as its users run it, and a plain consumer that reads back what it produced.

In go the addresses of a broker and a registry; out come URLs. All settings travel by the environment. The processes listen
on 127.0.0.1 alone and end with the test run.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_CREATE_TIME, Consumer, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connector.catalogue import Catalogue, read_catalogue
from tests.stack.ports import free_ports
from tests.support.commands import Done, run_here

TOKEN: Final = "invented-token-0123456789"
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 40.0
# No proxy, and no certificates: reading those takes longer than a callback.
_PLAIN: Final[dict[str, Any]] = {"trust_env": False, "verify": False}
NO_CERTIFICATES: Final[dict[str, Any]] = {"ssl.ca.location": False}
"""The same for the registry's client."""
_ROOT: Final = Path(__file__).parents[2]
_TIED: Final = _ROOT / "tests" / "stack" / "die_with_parent.py"

Environment = dict[str, str]


class Ended(NamedTuple):
    """How a process ended: its exit code (negative: the signal) and what it wrote to stderr."""

    exit_code: int
    stderr: str


class Readiness(NamedTuple):
    """What `/readyz` answered; status 0: nothing listens yet."""

    status: int
    reasons: Mapping[str, str]
    state: Mapping[str, Any]


class Addresses(NamedTuple):
    """Where a running bridge and its servers are. `prefix` is that of its topics."""

    callback_url: str
    management_url: str
    bootstrap_servers: str
    registry_url: str
    prefix: str

    def catalogue(self) -> Catalogue:
        """Return the catalogue with the topics of this bridge."""
        return read_catalogue(None, self.prefix)


class Process:
    """`connector`, or another `module`, with arguments, from its start to its end; its stderr goes to a file."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log_file: Path, module: str = "connector"
    ) -> None:
        self.log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), sys.executable, "-m", module, *arguments],
                env=_whole(environment),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process' id; that of the supervisor for `serve`."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def children(self) -> list[int]:
        """Return the process ids of the workers of `serve`."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in listed.split()]

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float = STOP_SECONDS) -> Ended:
        """Return how it ended; it is killed, and that is an error, when it does not end in time."""
        try:
            exit_code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"did not end within {timeout_seconds:g} s:\n{self.log()}") from None
        return Ended(exit_code, self.log())

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it has logged of this name."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    def stop(self) -> Ended:
        """End it by SIGTERM."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def log(self) -> str:
        """Return what it has written so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


class Served(Process):
    """`connector serve`, or another `module` that serves, on free ports or those given: of callbacks and of management."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log_file: Path,
        workers: int = 1,
        config: Path | None = None,
        ports: Sequence[int] = (),
        module: str = "connector",
    ) -> None:
        data, management = ports or free_ports(2)
        self.addresses = Addresses(
            callback_url=f"http://127.0.0.1:{data}/callbacks/kaleyra/{TOKEN}",
            management_url=f"http://127.0.0.1:{management}",
            bootstrap_servers=environment["CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS"],
            registry_url=environment["CONNECTOR_REGISTRY__URL"],
            prefix=environment["CONNECTOR_TOPICS__PREFIX"],
        )
        listening = {"CONNECTOR_HTTP__PORT": str(data), "CONNECTOR_MANAGEMENT__PORT": str(management)}
        file = ["--config", str(config)] if config else []
        super().__init__(["serve", "--workers", str(workers), *file], {**environment, **listening}, log_file, module)

    def readiness(self) -> Readiness:
        """Ask `/readyz`."""
        return readiness(self.addresses.management_url)

    def wait_until_ready(self, timeout_seconds: float = READY_SECONDS, workers: int = 1) -> None:
        """Return when `/readyz` is 200 and so many workers are ready; an error when it ends, or not in time."""

        def is_ready() -> bool:
            assert self.is_running, f"ended by itself:\n{self.log()}"
            status, _, state = self.readiness()
            return status == 200 and sum(worker["ready"] for worker in state["workers"]) >= workers

        eventually(is_ready, timeout_seconds, self.log)

    def wait_for_reason(self, text: str, timeout_seconds: float = READY_SECONDS) -> str:
        """Return the reason for not being ready that contains `text`; an error when none does in time."""
        found: list[str] = []

        def is_reported() -> bool:
            assert self.is_running, f"ended by itself:\n{self.log()}"
            status, reasons, _ = self.readiness()
            assert status != 200, "it is ready"
            found[:] = [reason for reason in reasons.values() if text in reason]
            return bool(found)

        eventually(is_reported, timeout_seconds, lambda: f"{self.readiness()}\n{self.log()}")
        return found[0]


class ReadRecord(NamedTuple):
    """A record as a plain consumer has it; `value` is what AvroDeserializer makes of it."""

    topic: str
    partition: int
    key: bytes | None
    value: dict[str, Any]
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    schema_id: int
    offset: int

    def header(self, name: str) -> str:
        """Return the text of a header that occurs once."""
        (content,) = [content for key, content in self.headers if key == name]
        return content.decode()


class TopicsReader:
    """A plain consumer of topics, from their beginning, without a group. A broker may ask for `credentials`."""

    def __init__(self, addresses: Addresses, topics: Iterable[str], credentials: Mapping[str, str] | None = None) -> None:
        # The embedded broker answers a fetch late that finds nothing: half a second a record.
        client = {
            "bootstrap.servers": addresses.bootstrap_servers,
            "log_level": 0,
            "fetch.wait.max.ms": 20,
            **(credentials or {}),
        }
        self._consumer = Consumer({**client, "group.id": f"read-{uuid.uuid4()}", "enable.auto.commit": False})
        self._registry = SchemaRegistryClient({"url": addresses.registry_url, "timeout": 10, **NO_CERTIFICATES})
        self._deserializer = AvroDeserializer(self._registry)
        known = self._consumer.list_topics(timeout=10).topics
        self.partitions = {topic: len(known[topic].partitions) for topic in topics}
        self._consumer.assign(
            [TopicPartition(topic, number, OFFSET_BEGINNING) for topic in self.partitions for number in known[topic].partitions]
        )
        self._seen = 0

    def read(self, count: int, timeout_seconds: float = 30) -> list[ReadRecord]:
        """Return the next `count` records; an error when there are fewer in time."""
        found: list[ReadRecord] = []
        deadline = time.monotonic() + timeout_seconds
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} records within {timeout_seconds:g} s"
            found += self._poll(count - len(found), 0.2)
        return found

    def rest(self) -> list[ReadRecord]:
        """Return all records of the topics that were not read yet."""
        return self.read(self.count() - self._seen, 90)

    def count(self) -> int:
        """Return how many records are in the topics now."""
        return sum(map(self._end, self._consumer.assignment()))

    def leave(self, topic: str) -> None:
        """Read a topic no more, all of whose records were read."""
        places = [place for place in self._consumer.assignment() if place.topic == topic]
        if places:
            self._seen -= sum(map(self._end, places))
            self._consumer.incremental_unassign(places)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
        self._registry.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _end(self, place: TopicPartition) -> int:
        deadline = time.monotonic() + 20
        while True:
            try:
                _, end = self._consumer.get_watermark_offsets(place, timeout=10)
            except KafkaException:
                # A broker that was away has no leaders for a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return end

    def _poll(self, count: int, timeout_seconds: float) -> list[ReadRecord]:
        found = [self._read(message) for message in self._consumer.consume(count, timeout_seconds)]
        self._seen += len(found)
        return found

    def _read(self, message: Any) -> ReadRecord:
        assert message.error() is None, message.error()
        framed = message.value()
        assert framed[0] == 0, "no Confluent header"
        kind, timestamp_ms = message.timestamp()
        assert kind == TIMESTAMP_CREATE_TIME
        headers = message.headers() or []
        value = self._deserializer(framed, SerializationContext(message.topic(), MessageField.VALUE, headers))
        assert isinstance(value, dict)
        schema_id = int.from_bytes(framed[1:5], "big")
        place = message.topic(), message.partition()
        return ReadRecord(*place, message.key(), value, headers, timestamp_ms, schema_id, message.offset())


def environment(
    bootstrap_servers: str, registry_url: str, *, prefix: str | None = None, delivery_timeout_seconds: float = 5, **more: str
) -> Environment:
    """Return the settings of a bridge as variables, with its own topics; `more` are further ones without `CONNECTOR_`."""
    return {
        "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": bootstrap_servers,
        "CONNECTOR_KAFKA__DELIVERY_TIMEOUT_SECONDS": str(delivery_timeout_seconds),
        "CONNECTOR_REGISTRY__URL": registry_url,
        "CONNECTOR_HTTP__HOST": "127.0.0.1",
        "CONNECTOR_TOPICS__PREFIX": new_prefix() if prefix is None else prefix,
        "CONNECTOR_TOPICS__REPLICATION_FACTOR": "1",
        "CONNECTOR_AUTHENTICATION__URL_TOKEN": TOKEN,
        **{f"CONNECTOR_{name}": value for name, value in more.items()},
    }


def new_prefix() -> str:
    """Return a prefix of topics that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}."


def done(environment: Mapping[str, str], *arguments: str) -> Done:
    """Run a command to its end in this process, whatever that end is. An error without a message of ours fails the test."""
    return run_here(environment, *arguments)


def done_as_process(environment: Mapping[str, str], *arguments: str) -> Done:
    """Run a command to its end as a process: for tests on the exit code itself, or on every byte that it writes."""
    ended = subprocess.run(
        _command(*arguments), env=_whole(environment), cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stderr
    return Done(ended.returncode, ended.stdout, ended.stderr)


def run(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command to its end and return what it printed; an error when it fails."""
    ended = done(environment, *arguments)
    assert ended.exit_code == 0, f"connector {' '.join(arguments)}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def _topics_are_created(environment: Mapping[str, str]) -> bool:
    ended = done(environment, "topics", "create")
    # A busy broker can miss its heartbeats right after its start: then no topic can be created for a moment.
    if "fenced" in ended.stderr:
        return False
    assert ended.exit_code == 0, ended.stdout + ended.stderr
    return True


def prepare(environment: Mapping[str, str]) -> None:
    """Make topics and register schemas, as a deployment does."""
    eventually(lambda: _topics_are_created(environment), 60)
    run(environment, "schemas", "register")
    # Kafka acknowledges a new topic a moment before its brokers show it.
    eventually(lambda: all(one["found"] for one in json.loads(run(environment, "topics", "list", "--json"))), 20)


@contextmanager
def served(environment: Mapping[str, str], folder: Path, workers: int = 1, config: Path | None = None) -> Iterator[Served]:
    """Run `connector serve`, ready or not; at the end it is stopped, and its log shown if it ended badly."""
    server = Served(environment, folder / f"serve-{uuid.uuid4().hex[:8]}.log", workers, config)
    try:
        yield server
    finally:
        if server.is_running:
            server.stop()


@contextmanager
def developing(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[Process, Addresses]]:
    """Run `connector dev`, ready."""
    ready_file = folder / "ready.json"
    process = Process(["dev", "--port", "0", "--ready-file", str(ready_file)], environment, folder / "dev.log")
    try:
        eventually(lambda: ready_file.exists() or not process.is_running, READY_SECONDS, process.log)
        assert process.is_running, process.log()
        ready = json.loads(ready_file.read_text(encoding="utf-8"))
        yield process, Addresses(**ready, prefix=environment["CONNECTOR_TOPICS__PREFIX"])
    finally:
        if process.is_running:
            process.stop()


def readiness(management_url: str) -> Readiness:
    """Ask `/readyz`."""
    try:
        answer = httpx.get(f"{management_url}/readyz", timeout=5, **_PLAIN)
    except httpx.TransportError:
        return Readiness(0, {}, {})
    state = answer.json()
    return Readiness(answer.status_code, state["reasons"], state)


def metric(management_url: str, name: str, **labels: str) -> float:
    """Return a sample of `/metrics`; 0 where it is not there."""
    text = httpx.get(f"{management_url}/metrics", timeout=5, **_PLAIN).text
    wanted = "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}" if labels else ""
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name}{wanted} ")]
    return float(values[0]) if values else 0.0


def post(callback_url: str, body: bytes, **more: Any) -> httpx.Response:
    """Send one callback over its own connection."""
    headers = {"content-type": "application/json"}
    return httpx.post(callback_url, content=body, headers=headers, timeout=30, **_PLAIN, **more)


def eventually(condition: Callable[[], bool], timeout_seconds: float = 10, explain: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition; `explain` says what was found if it does not become true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s: {explain()}"
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    """Return whether a process, which need not be our child, is gone; a zombie only waits for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "connector", *arguments]


def _whole(environment: Mapping[str, str]) -> Environment:
    """Return the environment of a process: nothing of ours from outside."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONNECTOR_", "PROMETHEUS_"))}
    return {**inherited, **environment}
