"""What the doctor says: a finding a line, and the exit code of them all."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from connector.errors import ConfigurationInvalid, OtherSideFailed

State = Literal["ok", "warning", "error", "unknown"]
"""`unknown` is what could not be checked, because something before it failed or nobody tells it."""


class Finding(NamedTuple):
    """What was looked at, how it is, what was found, and what to do about it."""

    what: str
    state: State
    found: str
    advice: str = ""


CONFIGURATION: Final = "configuration"
SCHEMA_FILES: Final = "schema files"
"""The checks whose errors are the user's own."""


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 2 where the configuration is wrong, else 1 where anything else is, else 0: warnings stop nothing."""
    wrong = {finding.what for finding in findings if finding.state == "error"}
    if wrong & {CONFIGURATION, SCHEMA_FILES}:
        return 2
    return 1 if wrong else 0


def not_checked(what: str, why: str) -> Finding:
    """Return that something was not checked."""
    return Finding(what, "unknown", f"not checked: {why}")


def of_failure(what: str, failed: OtherSideFailed | ConfigurationInvalid) -> Finding:
    """Return an error in its own words, which say what to do behind a semicolon."""
    found, _, advice = str(failed).partition("; ")
    return Finding(what, "error", found, advice)
