"""examples/revenue as its users start it, by its `run`, with its virtual environment outside the tree.

In go the addresses of a running bridge; out come the sums on the topic of results.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from tests.stack.artifacts import cache_folder, fetched
from tests.stack.errors import StackUnavailable
from tests.support.servers import Environment, eventually

_FOLDER: Final = Path(__file__).parents[3] / "examples" / "revenue"
_RUN: Final = _FOLDER / "run"
_TIED: Final = Path(__file__).parents[2] / "stack" / "die_with_parent.py"
_INSTALL_TIMEOUT_SECONDS: Final = 600
_STOP_SECONDS: Final = 30.0


class Total(NamedTuple):
    """What a currency had in an hour: the exact text of the amount, and of how many orders."""

    revenue: str
    orders: int


Totals = dict[tuple[str, str], Total]
"""By currency and hour."""


class Job(NamedTuple):
    """A separate job on the servers of a bridge: its options, and where its virtual environment is."""

    environment: Environment
    venv: Path
    name: str

    @property
    def bootstrap_servers(self) -> str:
        """The broker that it reads from."""
        return self.environment["CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS"]

    def command(self, state: Path, *more: str) -> list[str]:
        """Return what starts it; `state` holds its local state."""
        names = ["--results", self.name, "--group", self.name, "--state", str(state)]
        return [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), "/bin/sh", str(_RUN), *names, *more]

    def variables(self) -> Environment:
        """Return its environment: that of the bridge, and where it finds its packages."""
        return {**os.environ, **self.environment, "VENV": str(self.venv)}

    @contextmanager
    def running(self, state: Path, log_file: Path) -> Iterator[None]:
        """Run it; at the end it is stopped by SIGTERM and must end well."""
        with log_file.open("ab") as log:
            process = subprocess.Popen(self.command(state), env=self.variables(), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
            assert process.poll() is None, f"ended by itself:\n{log_file.read_text(encoding='utf-8')}"
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(_STOP_SECONDS)
            assert exit_code == 0, log_file.read_text(encoding="utf-8")
        finally:
            process.kill()
            process.wait()

    def run_until_idle(self, state: Path, seconds: float) -> str:
        """Run it until no order comes, and return what it printed."""
        command = self.command(state, "--until-idle", str(seconds))
        done = subprocess.run(command, env=self.variables(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def totals(self) -> Totals:
        """Return the last record of each key of the topic of results."""
        client = {"bootstrap.servers": self.bootstrap_servers, "group.id": f"totals-{self.name}", "log_level": 0}
        consumer = Consumer({**client, "enable.auto.commit": False, "enable.partition.eof": True})
        try:
            partitions = consumer.list_topics(self.name, timeout=10).topics[self.name].partitions
            consumer.assign([TopicPartition(self.name, number, OFFSET_BEGINNING) for number in partitions])
            return _last_of_each_key(consumer, len(partitions))
        finally:
            consumer.close()

    def wait_for(self, expected: Totals, timeout_seconds: float) -> None:
        """Return when the results are these; an error when they are not in time."""
        eventually(lambda: self.totals() == expected, timeout_seconds, lambda: f"{self.totals()}, not {expected}")


def venv() -> Path:
    """Return the virtual environment of the example, made first if need be (150 MB).

    Raises:
        StackUnavailable: its packages could not be had.
    """
    lock = (_FOLDER / "requirements.lock").read_bytes() + sys.version.encode()
    return fetched(cache_folder() / f"revenue-{hashlib.sha256(lock).hexdigest()[:16]}", _install)


def _install(folder: Path) -> None:
    environment = {**os.environ, "VENV": str(folder), "PYTHON": sys.executable}
    command = ["/bin/sh", str(_RUN), "--help"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise StackUnavailable(f"pip did not end within {_INSTALL_TIMEOUT_SECONDS} s: is the network slow?") from None
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines() or ["no reason given"]
        raise StackUnavailable(f"examples/revenue could not be installed, is the network there? {lines[-1][:300]}")


def _last_of_each_key(consumer: Consumer, partitions: int) -> Totals:
    found: Totals = {}
    while partitions:
        message = consumer.poll(10)
        assert message is not None, "the topic of results could not be read to its end"
        error = message.error()
        if error is None:
            value, key = json.loads(message.value() or b""), message.key() or b""
            assert key.decode() == f"{value['currency']} {value['hour']}"
            assert not message.headers()
            found[value["currency"], value["hour"]] = Total(value["revenue"], value["orders"])
        else:
            assert error.code() == KafkaError._PARTITION_EOF, error
            partitions -= 1
    return found
