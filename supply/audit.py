"""`python -m supply.audit`: is anything known against the locked packages? By pip-audit, from PyPI's data, else from OSV's.

Exit codes: 0 nothing is known, 1 something is, 2 no service answered. pip-audit alone ends with 0 when the index knows none
of the packages, as a mirror without PyPI's advisories does.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
_SERVICES: Final = ("pypi", "osv")
_SECONDS: Final = 300


class Verdict(NamedTuple):
    """The exit code, and what is to be said, a line each."""

    exit_code: int
    lines: tuple[str, ...]


def judge(report: dict[str, Any]) -> Verdict:
    """Judge a report of pip-audit's (`--format json`)."""
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    known = [
        f"{package['name']} {package['version']}: {found['id']}"
        + (f", fixed in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for package in packages
        for found in package.get("vulns", ())
    ]
    if known:
        return Verdict(1, tuple(known))
    if skipped or not packages:
        return Verdict(2, (f"{len(skipped)} of {len(packages)} packages could not be looked up",))
    return Verdict(0, (f"nothing is known against {len(packages)} packages",))


def main() -> int:
    """Ask one service after the other; the first that knows the packages is believed."""
    lock_file = ROOT / "requirements.lock"
    for service in _SERVICES:
        arguments = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json", "--timeout", "20"]
        asked = subprocess.run(
            [sys.executable, "-m", "pip_audit", *arguments, "--vulnerability-service", service, "--requirement", lock_file],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        try:
            verdict = judge(json.loads(asked.stdout))
        except (ValueError, KeyError):
            verdict = Verdict(2, ("it gave no answer",))
        for line in verdict.lines:
            print(f"{service}: {line}", file=sys.stderr if verdict.exit_code else sys.stdout)
        if verdict.exit_code != 2:
            return verdict.exit_code
    print("nothing is said about the packages: run it where pypi.org or api.osv.dev can be reached", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
