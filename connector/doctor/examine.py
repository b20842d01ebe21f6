"""Settings in, the findings of all checks out. The checks run concurrently, with a timeout: a failing check stops no other."""

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
from connector.doctor.refusals import WHAT as REFUSED_REQUESTS
from connector.doctor.refusals import check_refusals
from connector.doctor.registry import check_clock, check_registry
from connector.doctor.spool import check_spool
from connector.settings.tables import Settings

SECONDS: Final = 30.0
"""Timeout of all checks together; the timeouts of single requests are much shorter."""

Check = Callable[[], Iterable[Finding]]


def examine(file: Path | None) -> list[Finding]:
    """Check everything; errors are findings and are never raised."""
    read = configuration.read(file)
    settings = read.settings
    if settings is None:
        why = "the settings cannot be read"
        unknown = (
            not_checked(what, why)
            for what in (SCHEMA_FILES, "kafka", "registry", "clock", "spool", "open files", "privacy", REFUSED_REQUESTS)
        )
        return [*read.findings, *unknown, machine.check_temporary_folder()]
    checks: dict[str, Check] = {
        SCHEMA_FILES: lambda: configuration.check_schema_files(settings),
        "kafka": lambda: check_kafka(settings, read.catalogue),
        "registry": lambda: check_registry(settings, read.catalogue),
        "clock": lambda: [check_clock(settings)],
        "machine": lambda: _machine(settings, read.catalogue),
        REFUSED_REQUESTS: lambda: check_refusals(settings.management),
    }
    return [*read.findings, *run_concurrently(checks, SECONDS)]


def run_concurrently(checks: Mapping[str, Check], timeout_seconds: float) -> list[Finding]:
    """Run checks concurrently; return their findings in order. After the timeout, add an error for each unfinished check."""
    running = [_Running(name, check) for name, check in checks.items()]
    deadline = time.monotonic() + timeout_seconds
    for one in running:
        one.start()
    findings: list[Finding] = []
    for one in running:
        one.join(max(0.0, deadline - time.monotonic()))
        findings += one.found
        if one.is_alive():
            found = f"did not finish within {timeout_seconds:g} s"
            findings.append(Finding(one.name, "error", found, "check whether it hangs, then try again"))
        elif not one.is_done:
            # A bug of ours, whose traceback the thread has printed: it must not look healthy.
            findings.append(Finding(one.name, "error", "the check itself failed", "report the traceback above"))
    return findings


class _Running(threading.Thread):
    """A running check, with its findings so far."""

    def __init__(self, name: str, check: Check) -> None:
        # A daemon: a check that hangs must not keep the command from ending.
        super().__init__(name=name, daemon=True)
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
        machine.check_temporary_folder(settings.registry.cache_folder),
        *machine.check_cache_folder(settings.registry.cache_folder),
        *check_spool(settings.spool),
        machine.check_open_files(settings.http),
    ]
