"""The command line in this process, where an error that nobody told in words fails the test."""

import io
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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


class Runner(Protocol):
    """Runs the command line here."""

    def __call__(self, *arguments: str, settings: Settings | None = None) -> Done: ...


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Return what runs commands with no settings but those given."""
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(ROOT)
    # The loggers belong to pytest.
    monkeypatch.setattr("connector.logs.configure", lambda _settings: None)

    def in_this_process(*arguments: str, settings: Settings | None = None) -> Done:
        for name, value in (settings or {}).items():
            monkeypatch.setenv(f"CONNECTOR_{name}", value)
        monkeypatch.setattr(sys, "argv", ["connector", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        return Done(ended.value.code or 0, *capsys.readouterr())

    return in_this_process


def run_here(environment: Mapping[str, str], *arguments: str) -> Done:
    """Run the command line to its end in this process, which saves the second that a new one takes to import.

    `environment` are whole variables; ours from outside do not count. Logs are part of stderr, as they are for its users.
    """
    root, structured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(stdout), redirect_stderr(stderr):
        for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
            patched.delenv(name)
        for name, value in environment.items():
            patched.setenv(name, value)
        patched.chdir(ROOT)
        patched.setattr(sys, "argv", ["connector", *arguments])
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.configure(**structured)
    assert ended.value.code is None or isinstance(ended.value.code, int)
    return Done(ended.value.code or 0, stdout.getvalue(), stderr.getvalue())
