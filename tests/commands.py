"""The command line in this process, where an error that nobody told in words fails the test."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from connector.cli import main

ROOT = Path(__file__).parents[1]

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
