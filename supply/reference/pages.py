"""Which function makes which page of docs/reference."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from typer.testing import CliRunner

from connector.cli import app
from connector.settings.tables import PREFIX
from supply.reference import commands, http_answers, log_events, metrics, settings
from supply.reference.markdown import ROOT

FOLDER: Final = ROOT / "docs" / "reference"


def topics() -> str:
    """Return the page that `connector schemas docs` prints with the default settings."""
    done = CliRunner().invoke(app, ["schemas", "docs"], env={name: None for name in os.environ if name.startswith(PREFIX)})
    assert done.exit_code == 0, done.output
    return done.stdout


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings.page,
    "commands.md": commands.page,
    "metrics.md": metrics.page,
    "log-events.md": log_events.page,
    "http.md": http_answers.page,
    "topics.md": topics,
}
