"""All checks, side by side and each within its time: what one finds is told whatever becomes of the others."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from connector.catalogue import Catalogue
from connector.doctor import configuration, machine
from connector.doctor.certificate import check_certificate
from connector.doctor.findings import SCHEMA_FILES, Finding, not_checked
from connector.doctor.kafka import check_kafka
from connector.doctor.personal import check_personal
from connector.doctor.registry import check_clock, check_registry
from connector.doctor.spool import check_spool
from connector.settings.tables import Settings

SECONDS: Final = 30.0
"""So long all checks may take; no single question may take nearly as long."""

Check = Callable[[], Iterable[Finding]]


def examine(file: Path | None) -> list[Finding]:
    """Check everything; never raises for what it finds."""
    read = configuration.read(file)
    settings = read.settings
    if settings is None:
        why = "the settings cannot be read"
        there = (
            not_checked(what, why) for what in (SCHEMA_FILES, "kafka", "registry", "clock", "spool", "open files", "privacy")
        )
        return [*read.findings, *there, machine.check_temporary_folder()]
    checks: dict[str, Check] = {
        SCHEMA_FILES: lambda: configuration.check_schema_files(settings),
        "kafka": lambda: check_kafka(settings, read.catalogue),
        "registry": lambda: check_registry(settings, read.catalogue),
        "clock": lambda: [check_clock(settings)],
        "machine": lambda: _machine(settings, read.catalogue),
    }
    return [*read.findings, *side_by_side(checks, SECONDS)]


def side_by_side(checks: Mapping[str, Check], seconds: float) -> list[Finding]:
    """Run checks at once; return their findings in order. One that is late has what it found so far, and an error."""
    running = [_Running(what, check) for what, check in checks.items()]
    deadline = time.monotonic() + seconds
    for one in running:
        one.start()
    told: list[Finding] = []
    for one in running:
        one.join(max(0.0, deadline - time.monotonic()))
        told += one.found
        if one.is_alive():
            told.append(
                Finding(one.what, "error", f"gave no answer within {seconds:g} s", "see whether it hangs, then try again")
            )
        elif not one.is_done:
            # A defect of ours, shown by the thread itself: it must not look like health.
            told.append(Finding(one.what, "error", "the check itself failed", "report what stands above"))
    return told


class _Running(threading.Thread):
    """A check under way, with what it has found so far."""

    def __init__(self, what: str, check: Check) -> None:
        # A daemon: a check that hangs must not keep the command from ending.
        super().__init__(daemon=True)
        self.what = what
        self.found: list[Finding] = []
        self.is_done = False
        self._check = check

    def run(self) -> None:
        for finding in self._check():
            self.found.append(finding)
        self.is_done = True


def _machine(settings: Settings, catalogue: Catalogue | None) -> list[Finding]:
    return [
        *check_certificate(settings.tls),
        *machine.check_privacy(settings),
        *check_personal(settings, catalogue),
        machine.check_temporary_folder(),
        *machine.check_cache_folder(settings.registry.cache_folder),
        *check_spool(settings.spool),
        machine.check_open_files(settings.http),
    ]
