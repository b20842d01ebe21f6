"""The command line in this process, where an unexpected exception fails the test."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from connector.cli import main

ROOT = Path(__file__).parents[2]

Settings = dict[str, str]


class Done(NamedTuple):
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)

    def problems(self) -> list[str]:
        """What it says on stderr, a problem a line."""
        return [line.removeprefix("connector: ") for line in self.stderr.splitlines() if line.startswith("connector: ")]


class Runner:
    """Runs the command line here. Settings are variables without `CONNECTOR_`; those of one call apply to the next as well."""

    def __init__(self) -> None:
        self._environment: dict[str, str] = {}

    def __call__(self, *arguments: str, settings: Settings | None = None) -> Done:
        self._environment |= {f"CONNECTOR_{name}": value for name, value in (settings or {}).items()}
        return run_here(self._environment, *arguments)


def run_here(environment: Mapping[str, str], *arguments: str) -> Done:
    """Run the command line to its end in this process, which saves the second that a new one takes to import.

    `environment` holds whole variables; those of the test run that a bridge would read do not apply. Logs are part of stderr,
    as they are for users. What librdkafka's C code writes to stderr itself is not: see `servers.done_as_process`.
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, _logging_restored(), redirect_stdout(stdout), redirect_stderr(stderr):
        for name in [name for name in os.environ if name.startswith(("CONNECTOR_", "PROMETHEUS_"))]:
            patched.delenv(name)
        for name, value in environment.items():
            patched.setenv(name, value)
        patched.chdir(ROOT)
        patched.setattr(sys, "argv", ["connector", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code is None or isinstance(ended.value.code, int)
    return Done(ended.value.code or 0, stdout.getvalue(), stderr.getvalue())


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Undo what a command configures: the loggers belong to pytest."""
    structured = structlog.get_config()
    before = {logger: (logger.level, logger.handlers[:], logger.filters[:]) for logger in _loggers()}
    try:
        yield
    finally:
        structlog.configure(**structured)
        for logger in _loggers():
            level, handlers, filters = before.get(logger, (logging.NOTSET, [], []))
            logger.setLevel(level)
            logger.handlers[:], logger.filters[:] = handlers, filters


def _loggers() -> list[logging.Logger]:
    known = logging.Logger.manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in known if isinstance(logger, logging.Logger))]
