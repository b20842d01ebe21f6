"""Logs: an event name and key-value pairs, as JSON or, on a terminal, coloured lines. Never a body, a number, an id, a URL.

The libraries log through the same handler; those that would log URLs or requests are limited by level.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final, TextIO

import structlog

from connector.settings.tables import Logs

_CLIENTS: Final = (
    "connector.produce",
    "connector.consume",
    "connector.replay",
    "connector.topics",
    "connector.embedded.broker",
)
"""The loggers that librdkafka's own lines use."""

_LIBRDKAFKA: Final = "%s [%s] %s"
"""The message of librdkafka's own lines: facility, client, text."""
CLIENT_EVENT: Final = "kafka_client"
CLIENT_FIELDS: Final = ("facility", "client", "text")
_REPEATED: Final = (_LIBRDKAFKA, "kafka_error", "read_failed")
"""Messages that `RepeatFilter` limits: librdkafka's lines, and ours that are as frequent."""

_logger: Final = structlog.stdlib.get_logger("connector")


def configure(settings: Logs) -> None:
    """Send all logs to stderr in the chosen format."""
    terminal = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[_without_traceback, structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _CLIENTS:
        logging.getLogger(name).filters[:] = [RepeatFilter(), _as_event]
    # URLs hold the token; these would write them at info and debug.
    for name in ("httpx2", "httpcore2", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def hide_client_lines() -> None:
    """Drop librdkafka's own lines, for commands: they report why Kafka does not answer, and what to do, in their own words."""
    for name in _CLIENTS:
        logging.getLogger(name).addFilter(_is_ours)


def event(name: str, level: str = "error", **facts: Any) -> None:
    """Log an event. `facts` must be safe: names, counts, times."""
    getattr(_logger, level)(name, **facts)


class RateLimitedEvent:
    """Logs an event with the same facts at most once in `seconds`; `times` counts occurrences since the last line.

    With `by`, at most `most` lines in `seconds` have the same value of that fact, whatever their other facts: for facts that a
    stranger can vary at will. Its values must be few.
    """

    _MOST_LINES = 1000

    def __init__(self, name: str, level: str = "warning", seconds: float = 60.0, by: str = "", most: int = 0) -> None:
        self._name = name
        self._level = level
        self._seconds = seconds
        self._by = by
        self._most = most
        self._lines: dict[tuple[Any, ...], tuple[float, int]] = {}
        self._windows: dict[Any, tuple[float, int]] = {}

    def event(self, **facts: Any) -> None:
        """Count the event, and log it if it is due. `facts` must be safe."""
        line = tuple(facts.values())
        now = time.monotonic()
        due, times = self._lines.get(line, (0.0, 0))
        if line not in self._lines and len(self._lines) >= self._MOST_LINES:
            self._lines.clear()
        if now < due or (self._by and not self._take_line(facts[self._by], now)):
            self._lines[line] = (due, times + 1)
            return
        self._lines[line] = (now + self._seconds, 0)
        event(self._name, self._level, times=times + 1, **facts)

    def _take_line(self, value: Any, now: float) -> bool:
        """Take one of the lines that a value of the fact `by` has in this span of time; return False if none is left."""
        ends, left = self._windows.get(value, (0.0, 0))
        if now >= ends:
            ends, left = now + self._seconds, self._most
        self._windows[value] = (ends, max(left - 1, 0))
        return left > 0


class RepeatFilter(logging.Filter):
    """Passes the same line at most once in `seconds`; `suppressed` counts the lines dropped since the last one.

    While Kafka is away librdkafka repeats itself many times a second. Two lines are the same if they differ only in the
    client's name, in plain numbers, and in text in brackets, which holds times and counts.
    """

    _MOST_LINES = 1000

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._lines: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is new or due again."""
        if record.msg not in _REPEATED:
            return True
        line = (record.levelname, _same(record), str(getattr(record, "error", "")))
        now = time.monotonic()
        due, suppressed = self._lines.get(line, (0.0, 0))
        if now < due:
            self._lines[line] = (due, suppressed + 1)
            return False
        if len(self._lines) >= self._MOST_LINES:
            self._lines.clear()
        self._lines[line] = (now + self._seconds, 0)
        if suppressed:
            record.suppressed = suppressed
        return True


def _as_event(record: logging.LogRecord) -> bool:
    """Turn a line of librdkafka into the event `kafka_client`, with its parts as fields."""
    if record.msg == _LIBRDKAFKA and isinstance(record.args, tuple) and len(record.args) == len(CLIENT_FIELDS):
        record.__dict__.update(zip(CLIENT_FIELDS, record.args, strict=True))
        record.msg, record.args = CLIENT_EVENT, None
    return True


def _is_ours(record: logging.LogRecord) -> bool:
    return record.msg not in (_LIBRDKAFKA, CLIENT_EVENT)


def _same(record: logging.LogRecord) -> str:
    """Return the part of a line that its repetitions share."""
    text = re.sub(r" \(.*\)|\[\w+#\w+-\d+\]", "", record.getMessage())
    return re.sub(r"(?<= )\d+(?=[\s,]|$)", "0", text)


def fault_location(error: BaseException) -> str:
    """Return the file and line of an error's innermost frame: safe to log, unlike its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "unknown"


class _Handler(logging.StreamHandler[TextIO]):
    """Hides lines that it cannot write: the report of `logging` itself quotes messages and the errors being handled."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        # A full disk or a pipe without a reader: there is no other place to report it.
        with suppress(OSError, ValueError):
            self.stream.write(f"not_logged {record.name} {record.levelname}{self.terminator}")


def _without_traceback(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an error's traceback and message by its type and place: they may quote what was received."""
    info = entry.pop("exc_info", None)
    if isinstance(info, tuple) and info[1] is not None:
        entry["error"] = type(info[1]).__name__
        entry["where"] = fault_location(info[1])
        entry["event"] = str(entry.get("event", "")).partition("\n")[0]
    entry.pop("exc_text", None)
    return entry
