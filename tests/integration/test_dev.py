"""`connector dev`: what a newcomer runs first, and what everything else here is tried against. No Java, no Docker."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

from connector.dev.invented.callbacks import TYPES
from tests.support.callbacks import catalogue, envelope, message
from tests.support.commands import Done, run_here

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30
STOP_SECONDS = 20
KEYS = ["callback_url", "bootstrap_servers", "registry_url", "management_url"]
SHOWN = {record_type.topic.removeprefix("kaleyra.whatsapp.") for record_type in catalogue()} - {"dead-letters"}


def environment(settings: dict[str, str] | None = None) -> dict[str, str]:
    without_ours = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    return {**without_ours, "PYTHONFAULTHANDLER": "1", **(settings or {})}


def started(arguments: Iterable[str], stdout: IO[bytes], stderr: IO[bytes], settings: dict[str, str] | None = None) -> Any:
    """Start a command in its own process group, which a test can signal as a terminal does."""
    # Tests that run in the background ignore Ctrl-C, and so would all that they start.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "connector", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


class Command:
    """A running command; its output goes to files."""

    def __init__(self, folder: Path, *arguments: str, settings: dict[str, str] | None = None) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = started(arguments, out, err, settings)

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def documents(self) -> list[dict[str, Any]]:
        """The JSON lines that it has printed, whole ones only."""
        return [json.loads(line) for line in self.stdout.splitlines(keepends=True) if line.endswith("\n")]

    def interrupt(self) -> int:
        """Press Ctrl-C: every process of the group gets it. Returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            code: int = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Let it say where it hangs: see `environment`.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"it hangs:\n{self.stderr}") from None
        return code

    def is_group_empty(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Dev(Command):
    """`connector dev`, ready."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        ready_file = folder / "ready.json"
        super().__init__(folder, "dev", "--port", "0", "--ready-file", str(ready_file), *arguments)
        try:
            until(lambda: ready_file.exists() or self.process.poll() is not None, READY_SECONDS)
            assert self.process.poll() is None, self.stderr
            self.addresses: dict[str, str] = json.loads(ready_file.read_text(encoding="utf-8"))
        except BaseException:
            self.end()
            raise

    def settings(self) -> dict[str, str]:
        """What another command needs to find this one."""
        return {
            "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": self.addresses["bootstrap_servers"],
            "CONNECTOR_REGISTRY__URL": self.addresses["registry_url"],
        }

    def run(self, *arguments: str) -> Done:
        """Run another command against this one, in this process."""
        return run_here(self.settings(), *arguments)

    def records(self) -> list[dict[str, Any]]:
        return [document for document in self.documents() if "topic" in document]


def until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def short(records: Iterable[dict[str, Any]]) -> set[str]:
    return {record["topic"].removeprefix("kaleyra.whatsapp.") for record in records}


@contextmanager
def request(url: str, body: bytes | None = None) -> Iterator[HTTPResponse]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=20)
    try:
        # What `curl --data @file` sends.
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        connection.request("GET" if body is None else "POST", parts.path, body, headers)
        yield connection.getresponse()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    running = Dev(tmp_path_factory.mktemp("dev"), "--demo", "--json")
    yield running
    running.end()


def test_ready_file_has_every_address(dev: Dev) -> None:
    assert list(dev.addresses) == KEYS
    assert dev.documents()[0] == dev.addresses, "the same is printed first"
    for name in ("callback_url", "registry_url", "management_url"):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+(/callbacks/kaleyra)?", dev.addresses[name])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", dev.addresses["bootstrap_servers"])


def test_demo_shows_a_record_of_every_type(dev: Dev) -> None:
    until(lambda: short(dev.records()) >= SHOWN)
    for record in dev.records():
        assert record["value"].get("record_key", record["key"]) == record["key"]
        assert record["headers"]["ce_id"]


def test_posted_callback_is_answered_200_and_shown(dev: Dev) -> None:
    body = envelope([message(id="wamid.POSTED")])
    with request(dev.addresses["callback_url"], body) as answer:
        assert (answer.status, answer.read()) == (200, b"")
    until(lambda: any(record["value"].get("message_id") == "wamid.POSTED" for record in dev.records()))


def test_unreadable_body_is_shown_as_a_dead_letter(dev: Dev) -> None:
    with request(dev.addresses["callback_url"], b"not a callback") as answer:
        assert answer.status == 200
    until(lambda: any(record["value"].get("reason") == "unknown_shape" for record in dev.records()))


def test_bridge_reports_that_it_is_ready(dev: Dev) -> None:
    with request(f"{dev.addresses['management_url']}/readyz") as answer:
        assert (answer.status, json.load(answer)["ready"]) == (200, True)
    with request(f"{dev.addresses['management_url']}/healthz") as answer:
        assert answer.status == 200
    with request(f"{dev.addresses['management_url']}/metrics") as answer:
        assert b"connector_records_total" in answer.read()


def test_send_sends_every_type(dev: Dev) -> None:
    done = dev.run("send", "--all", "--url", dev.addresses["callback_url"], "--json")
    assert done.exit_code == 0, done.stderr
    sent = json.loads(done.stdout)
    assert (sent["sent"], sent["answers"]) == (len(TYPES), {"200": len(TYPES)})
    assert dev.run("send", "text", "--count", "20", "--rate", "100", "--url", dev.addresses["callback_url"]).exit_code == 0


def test_send_mixes_in_bad_callbacks_by_its_seed(dev: Dev) -> None:
    mixed = ["--malformed", "--duplicates", "--shuffle", "--seed", "1900"]
    done = dev.run("send", "text", "--count", "50", *mixed, "--url", dev.addresses["callback_url"], "--json")
    assert json.loads(done.stdout) == {"sent": 72, "seed": 1900, "answers": {"200": 72}}
    until(lambda: len(sent_of_seed(dev, 1900)) == 60, 30)
    ids = [record["value"]["message_id"] for record in sent_of_seed(dev, 1900)]
    assert len({*ids}) == 50


def sent_of_seed(dev: Dev, seed: int) -> list[dict[str, Any]]:
    """The texts that were invented with a seed."""
    start = f"wamid.INVENTED{seed:04X}"
    return [record for record in dev.records() if str(record["value"].get("message_id")).startswith(start)]


def test_tail_ends_after_count_records(dev: Dev) -> None:
    done = dev.run("tail", "--from-beginning", "--count", "3", "--json")
    assert done.exit_code == 0, done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 3
    done = dev.run("tail", "orders", "--from-beginning", "--count", "1", "--json")
    (record,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert record["topic"] == "kaleyra.whatsapp.orders"
    assert record["value"]["product_items"]
    assert list(record) == ["topic", "partition", "offset", "key", "value", "headers"]
    assert "orders" in dev.run("tail", "orders", "--from-beginning", "--count", "1").stdout


def test_tail_ends_by_ctrl_c(dev: Dev, tmp_path: Path) -> None:
    tail = Command(tmp_path, "tail", "--from-beginning", "--json", settings=dev.settings())
    try:
        until(tail.documents)
        assert tail.interrupt() == 130
    finally:
        tail.end()
    assert not tail.stderr


def test_schemas_are_registered(dev: Dev) -> None:
    done = dev.run("schemas", "list", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["record_type"] for row in rows} == {record_type.name for record_type in catalogue()}
    assert {row["state"] for row in rows} == {"registered"}
    assert {row["state"] for row in json.loads(dev.run("schemas", "register", "--json").stdout)} == {"unchanged"}
    assert "kaleyra.whatsapp.orders-value" in dev.run("schemas", "list").stdout


def test_topics_are_created(dev: Dev) -> None:
    done = dev.run("topics", "create", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} == {"unchanged"}


def test_doctor_finds_no_error(dev: Dev) -> None:
    done = dev.run("doctor", "--json")
    # No authentication is configured: only `serve` needs it. What the embedded broker does not report is unknown.
    assert done.exit_code == 2, done.stderr
    findings = json.loads(done.stdout)
    assert {finding["check"] for finding in findings if finding["state"] == "error"} == {"configuration"}
    assert {"rights", "topics", "clock"} <= {finding["check"] for finding in findings if finding["state"] == "unknown"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_dev(number: signal.Signals, tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    try:
        # For people: the addresses in a table, and what to type next.
        until(lambda: "tail orders" in dev.stdout)
        assert all(address in dev.stdout for address in dev.addresses.values())
        os.killpg(dev.process.pid, number)
        assert dev.process.wait(STOP_SECONDS) == 0
        assert dev.is_group_empty()
        assert not dev.stderr
        with pytest.raises(ConnectionRefusedError), request(dev.addresses["callback_url"], b"{}"):
            pass
    finally:
        dev.end()


def test_addresses_are_printed_below_the_demo_and_can_be_pasted(tmp_path: Path) -> None:
    dev = Dev(tmp_path, "--demo")
    try:
        until(lambda: dev.stdout.count("tail orders") == 2, 60)
        above, _, below = dev.stdout.rpartition("The bridge is ready")
        assert "kaleyra.whatsapp.orders" in above
        assert "kaleyra.whatsapp." not in below
        assert above.endswith("\n"), "the title is a line"
        assert " (no authentication, nothing is stored; Ctrl-C ends it)\n" in below
        *exports, tail = [line.strip() for line in below.splitlines() if "export " in line or "tail orders" in line]
        typed = "\n".join([*exports, f"{tail} --count 1 --json"])
        done = subprocess.run(["sh", "-c", typed], cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False)
        assert json.loads(done.stdout)["topic"] == "kaleyra.whatsapp.orders", done.stderr
    finally:
        dev.end()


def test_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = Command(tmp_path, "dev", "--port", str(port), "--ready-file", str(tmp_path / "ready.json"))
        try:
            assert dev.process.wait(STOP_SECONDS) == 2
        finally:
            dev.end()
    (line,) = dev.stderr.splitlines()
    assert line.startswith(f"connector: 127.0.0.1:{port} cannot be listened on")
    assert line.endswith("by --port")
    assert not (tmp_path / "ready.json").exists()


# What is shown never delays a callback


@contextmanager
def developing(stdout: int, folder: Path) -> Iterator[tuple[Any, str]]:
    """Run `dev` with this output; yield the process and its callback URL."""
    ready_file, log_file = folder / "ready.json", folder / "stderr"
    with log_file.open("wb") as log, os.fdopen(stdout, "wb") as out:
        process = started(["dev", "--port", "0", "--ready-file", str(ready_file)], out, log)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ready_file.exists():
            assert process.poll() is None, log_file.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, json.loads(ready_file.read_text(encoding="utf-8"))["callback_url"]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_SECONDS)
    assert "Traceback" not in log_file.read_text(encoding="utf-8")


def slowest_answer(callback_url: str, bodies: Iterable[bytes]) -> float:
    slowest = 0.0
    parts = urlsplit(callback_url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    for body in bodies:
        began = time.monotonic()
        connection.request("POST", parts.path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        slowest = max(slowest, time.monotonic() - began)
    connection.close()
    return slowest


def test_body_of_4_mb_and_a_burst_are_answered_at_once_and_shown_shortened(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    large = envelope([message(text={"body": "x" * 3_900_000})])
    burst = (envelope([message(id=f"wamid.{number}", text={"body": f"number {number}"})]) for number in range(500))
    with developing(os.open(shown, os.O_WRONLY | os.O_CREAT), tmp_path) as (process, url):
        assert slowest_answer(url, [large, *burst]) < 5
        deadline = time.monotonic() + 60
        while "number 499" not in shown.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, shown.read_text(encoding="utf-8")[-500:]
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    text = shown.read_text(encoding="utf-8").replace("\n", "")
    assert "3,899,500 more characters" in text
    assert len(text) < 1_000_000


def test_reader_that_does_not_read_delays_no_callback_and_no_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    bodies = (envelope([message(id=f"wamid.{number}")]) for number in range(500))
    with developing(writing, tmp_path) as (process, url):
        # Far more than a pipe holds.
        assert slowest_answer(url, bodies) < 5
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 1
    os.close(reading)


def test_dev_ends_when_the_reader_of_its_output_has(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with developing(writing, tmp_path) as (process, url):
        os.close(reading)
        slowest_answer(url, [envelope([message()])])
        assert process.wait(STOP_SECONDS) == 1
