"""What happens often is logged seldom."""

import json
import logging

import pytest

from connector import logs
from connector.logs import Once, RateLimitedEvent
from connector.settings.tables import Logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    written: list[str] = []
    monkeypatch.setattr(logs, "event", lambda name, level, **facts: written.append(json.dumps([name, level, facts])))
    return written


def test_event_is_logged_once_in_a_while_with_how_often_it_happened(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seldom = RateLimitedEvent("callbacks_from_meta", seconds=60.0)

    for _ in range(3):
        seldom.event(advice="x")
    now += 59.9
    seldom.event(advice="x")
    assert [json.loads(line) for line in lines] == [["callbacks_from_meta", "warning", {"times": 1, "advice": "x"}]]

    now += 0.2
    seldom.event(advice="x")
    assert json.loads(lines[1]) == ["callbacks_from_meta", "warning", {"times": 4, "advice": "x"}]


def kafka_line(client: str, broker: str, milliseconds: int) -> logging.LogRecord:
    """A line as librdkafka gives it to a logger."""
    told = f"[thrd:{broker}/1]: {broker}/1: Connect to {broker} failed: refused (after {milliseconds}ms in state X)"
    return logging.LogRecord("connector.produce", logging.ERROR, "", 0, "%s [%s] %s", ("FAIL", client, told), None)


def error_line(error: str) -> logging.LogRecord:
    record = logging.LogRecord("connector.produce", logging.WARNING, "", 0, "kafka_error", None, None)
    record.error = error
    return record


def test_what_kafkas_client_repeats_is_logged_once_a_minute_with_how_much_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    once = Once(seconds=60.0)

    def repeated() -> list[logging.LogRecord]:
        lines = [kafka_line(f"rdkafka#producer-{number % 2}", "kafka:9092", number) for number in range(100)]
        return [line for line in [*lines, *(error_line("_TRANSPORT") for _ in range(100))] if once.filter(line)]

    assert [hasattr(line, "left_out") for line in repeated()] == [False, False]
    assert repeated() == []
    now += 60.1
    assert [getattr(line, "left_out", 0) for line in repeated()] == [199, 199]


def test_every_broker_and_every_error_is_told_at_once() -> None:
    once = Once()
    lines = [
        kafka_line("rdkafka#producer-1", "kafka1:9092", 1),
        kafka_line("rdkafka#producer-1", "kafka2:9092", 1),
        error_line("_TRANSPORT"),
        error_line("_ALL_BROKERS_DOWN"),
    ]
    assert all(once.filter(line) for line in lines)


def test_lines_that_never_repeat_do_not_fill_the_memory() -> None:
    once = Once()
    assert all(once.filter(error_line(f"E{number}x")) for number in range(5000))
    assert len(once._lines) <= Once._MOST_LINES


def test_clients_loggers_repeat_nothing_once_configured() -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        logs.configure(Logs())
        logs.configure(Logs())
        for name in ("connector.produce", "connector.consume", "connector.topics"):
            (only,) = logging.getLogger(name).filters
            assert isinstance(only, Once)
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        for name in ("connector.produce", "connector.consume", "connector.topics"):
            logging.getLogger(name).filters.clear()
