"""`connector doctor`: checks every dependency and says what to do about each finding."""

import logging

import typer

from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.doctor.examine import examine
from connector.doctor.findings import exit_code

app = typer.Typer()


@app.command()
def doctor(*, config: Config = None, as_json: AsJson = False) -> None:
    """Check every dependency, and say what to do about each problem."""
    # Silences the clients' logs: the findings report the same.
    logging.getLogger("connector").addHandler(logging.NullHandler())
    findings = examine(config)
    if as_json:
        show.as_json([finding._asdict() for finding in findings])
    else:
        show.table("Doctor", ("check", "state", "found"), [finding[:3] for finding in findings])
        show.what_to_do(f"{finding.check}: {finding.advice}" for finding in findings if finding.advice)
    raise typer.Exit(exit_code(findings))
