"""A finding of the doctor, one line each, and the exit code of all findings."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from connector.errors import ConfigurationInvalid, OtherSideFailed

State = Literal["ok", "warning", "error", "unknown"]
"""`unknown`: it could not be checked, because something before it failed or the information is not available."""


class Finding(NamedTuple):
    """The name of a check, the state of what it checked, what was found, and what to do about it."""

    check: str
    state: State
    found: str
    advice: str = ""


CONFIGURATION: Final = "configuration"
SCHEMA_FILES: Final = "schema files"
"""Checks whose errors are in the user's own files."""


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 2 if the configuration has errors, 1 if anything else has, else 0; warnings do not count."""
    wrong = {finding.check for finding in findings if finding.state == "error"}
    if wrong & {CONFIGURATION, SCHEMA_FILES}:
        return 2
    return 1 if wrong else 0


def not_checked(check: str, why: str) -> Finding:
    """Return the finding for something that was not checked."""
    return Finding(check, "unknown", f"not checked: {why}")


def of_failure(check: str, failed: OtherSideFailed | ConfigurationInvalid) -> Finding:
    """Return an error as a finding; the advice is the part of the message after the semicolon."""
    found, _, advice = str(failed).partition("; ")
    return Finding(check, "error", found, advice)
