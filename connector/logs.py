"""Logs: an event name and key-value pairs, JSON or, on a terminal, coloured lines. Never a body, a number, an id, a URL.

The loggers of the libraries come out the same way, and only what this package names of them.
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

_CLIENTS: Final = ("connector.produce", "connector.consume", "connector.replay", "connector.topics")
"""The loggers that librdkafka's own lines come by."""

_REPEATED: Final = ("%s [%s] %s", "kafka_error", "read_failed")
"""Its lines (facility, client, text), and ours that come as often."""

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
        logging.getLogger(name).filters[:] = [Once()]
    # URLs hold the token; these would write them at info and debug.
    for name in ("httpx2", "httpcore2", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def event(name: str, level: str = "error", **facts: Any) -> None:
    """Log an event. `facts` must be safe: names, counts, times."""
    getattr(_logger, level)(name, **facts)


class RateLimitedEvent:
    """Logs an event, with the same facts, at most once in `seconds`; `times` says how often it was since the last line."""

    _MOST_LINES = 1000

    def __init__(self, name: str, level: str = "warning", seconds: float = 60.0) -> None:
        self._name = name
        self._level = level
        self._seconds = seconds
        self._lines: dict[tuple[Any, ...], tuple[float, int]] = {}

    def event(self, **facts: Any) -> None:
        """Count the event, and log it if it is due. `facts` must be safe."""
        line = tuple(facts.values())
        now = time.monotonic()
        due, times = self._lines.get(line, (0.0, 0))
        if now < due:
            self._lines[line] = (due, times + 1)
            return
        if len(self._lines) >= self._MOST_LINES:
            self._lines.clear()
        self._lines[line] = (now + self._seconds, 0)
        event(self._name, self._level, times=times + 1, **facts)


class Once(logging.Filter):
    """Lets the same line pass once in `seconds`; `left_out` says how many were kept back since.

    While Kafka is away librdkafka repeats itself many times a second. Lines are the same when they differ only in its
    client's name, in plain numbers and in what stands in brackets, which are times and counts.
    """

    _MOST_LINES = 1000

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._lines: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is new, or due again."""
        if record.msg not in _REPEATED:
            return True
        line = (record.levelname, _same(record), str(getattr(record, "error", "")))
        now = time.monotonic()
        due, left_out = self._lines.get(line, (0.0, 0))
        if now < due:
            self._lines[line] = (due, left_out + 1)
            return False
        if len(self._lines) >= self._MOST_LINES:
            self._lines.clear()
        self._lines[line] = (now + self._seconds, 0)
        if left_out:
            record.left_out = left_out
        return True


def _same(record: logging.LogRecord) -> str:
    """Return what a line has in common with its repetitions."""
    text = re.sub(r" \(.*\)|\[\w+#\w+-\d+\]", "", record.getMessage())
    return re.sub(r"(?<= )\d+(?=[\s,]|$)", "0", text)


def fault_location(error: BaseException) -> str:
    """Return file and line of the innermost frame of an error: safe, unlike its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "unknown"


class _Handler(logging.StreamHandler[TextIO]):
    """Keeps to itself what it cannot write: logging's own report quotes messages and the errors being handled."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        # A full disk or a pipe that nobody reads: there is nowhere to tell it.
        with suppress(OSError, ValueError):
            self.stream.write(f"not_logged {record.name} {record.levelname}{self.terminator}")


def _without_traceback(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put an error's type and place where its traceback and message would stand: those may quote what was received."""
    info = entry.pop("exc_info", None)
    if isinstance(info, tuple) and info[1] is not None:
        entry["error"] = type(info[1]).__name__
        entry["where"] = fault_location(info[1])
        entry["event"] = str(entry.get("event", "")).partition("\n")[0]
    entry.pop("exc_text", None)
    return entry
