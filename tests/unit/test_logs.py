"""Frequent events and lines are rate-limited."""

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from connector import logs
from connector.logs import RateLimitedEvent, RepeatFilter
from connector.settings.tables import Logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    written: list[str] = []
    monkeypatch.setattr(logs, "event", lambda name, level, **facts: written.append(json.dumps([name, level, facts])))
    return written


def test_repeated_event_is_logged_once_a_minute_with_its_count(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limited = RateLimitedEvent("callbacks_from_meta", seconds=60.0)

    for _ in range(3):
        limited.event(advice="x")
    now += 59.9
    limited.event(advice="x")
    assert [json.loads(line) for line in lines] == [["callbacks_from_meta", "warning", {"times": 1, "advice": "x"}]]

    now += 0.2
    limited.event(advice="x")
    assert json.loads(lines[1]) == ["callbacks_from_meta", "warning", {"times": 4, "advice": "x"}]


def kafka_line(client: str, broker: str, milliseconds: int) -> logging.LogRecord:
    """A line as librdkafka gives it to a logger."""
    text = f"[thrd:{broker}/1]: {broker}/1: Connect to {broker} failed: refused (after {milliseconds}ms in state X)"
    return logging.LogRecord("connector.produce", logging.ERROR, "", 0, "%s [%s] %s", ("FAIL", client, text), None)


def error_line(error: str) -> logging.LogRecord:
    record = logging.LogRecord("connector.produce", logging.WARNING, "", 0, "kafka_error", None, None)
    record.error = error
    return record


def test_repeated_client_line_is_logged_once_a_minute_with_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    repeats = RepeatFilter(seconds=60.0)

    def repeated() -> list[logging.LogRecord]:
        lines = [kafka_line(f"rdkafka#producer-{number % 2}", "kafka:9092", number) for number in range(100)]
        return [line for line in [*lines, *(error_line("_TRANSPORT") for _ in range(100))] if repeats.filter(line)]

    assert [hasattr(line, "suppressed") for line in repeated()] == [False, False]
    assert repeated() == []
    now += 60.1
    assert [getattr(line, "suppressed", 0) for line in repeated()] == [199, 199]


def test_each_broker_and_each_error_is_logged_at_once() -> None:
    repeats = RepeatFilter()
    lines = [
        kafka_line("rdkafka#producer-1", "kafka1:9092", 1),
        kafka_line("rdkafka#producer-1", "kafka2:9092", 1),
        error_line("_TRANSPORT"),
        error_line("_ALL_BROKERS_DOWN"),
    ]
    assert all(repeats.filter(line) for line in lines)


def test_lines_that_never_repeat_do_not_fill_the_memory() -> None:
    repeats = RepeatFilter()
    assert all(repeats.filter(error_line(f"E{number}x")) for number in range(5000))
    assert len(repeats._lines) <= RepeatFilter._MOST_LINES


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logs as JSON in a buffer, and everything as before afterwards."""
    root, clients = logging.getLogger(), [logging.getLogger(name) for name in logs._CLIENTS]
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(Logs(format="json", level="debug"))
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for client in clients:
        client.filters.clear()


def test_line_of_the_kafka_client_is_an_event_with_its_parts(configured: io.StringIO) -> None:
    logging.getLogger("connector.produce").handle(kafka_line("rdkafka#producer-1", "kafka:9092", 5))
    entry = json.loads(configured.getvalue())
    assert (entry["event"], entry["level"], entry["logger"]) == ("kafka_client", "error", "connector.produce")
    assert (entry["facility"], entry["client"]) == ("FAIL", "rdkafka#producer-1")
    assert entry["text"].startswith("[thrd:kafka:9092/1]: kafka:9092/1: Connect to kafka:9092 failed")


def test_lines_of_the_kafka_client_contain_no_secret(configured: io.StringIO) -> None:
    secrets = {"sasl.password": "s3cret-password", "ssl.key.password": "s3cret-of-the-key"}
    client = {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
    # Every line that the client can write, its whole configuration among them.
    producer = Producer(
        {**client, "sasl.username": "bridge", **secrets, "debug": "all"}, logger=logging.getLogger("connector.produce")
    )
    deadline = time.monotonic() + 10
    while "failed" not in configured.getvalue() and time.monotonic() < deadline:
        producer.poll(0.1)
    entries = [json.loads(line) for line in configured.getvalue().splitlines()]
    assert {entry["event"] for entry in entries} == {"kafka_client"}
    assert {"CONF", "FAIL"} <= {entry["facility"] for entry in entries}
    assert not [secret for secret in secrets.values() if secret in configured.getvalue()]


def test_configured_client_loggers_filter_repetitions() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        logs.configure(Logs())
        logs.configure(Logs())
        for name in ("connector.produce", "connector.consume", "connector.topics"):
            repeats, _ = logging.getLogger(name).filters
            assert isinstance(repeats, RepeatFilter)
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        for name in ("connector.produce", "connector.consume", "connector.topics"):
            logging.getLogger(name).filters.clear()
