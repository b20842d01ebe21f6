"""`connector doctor`: every dependency tried, with what to do about each finding."""

import logging
from pathlib import Path

from connector.commands import show
from connector.doctor.examine import examine
from connector.doctor.findings import exit_code


def run(file: Path | None, *, as_json: bool) -> int:
    """Show what the doctor finds; return the exit code."""
    # What the clients log of it is told by the findings.
    logging.getLogger("connector").addHandler(logging.NullHandler())
    findings = examine(file)
    if as_json:
        show.as_json([finding._asdict() for finding in findings])
    else:
        show.table("Doctor", ("what", "state", "found"), [finding[:3] for finding in findings])
        show.what_to_do(f"{finding.what}: {finding.advice}" for finding in findings if finding.advice)
    return exit_code(findings)
