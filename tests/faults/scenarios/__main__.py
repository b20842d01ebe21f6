"""`python -m tests.faults.scenarios`."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from connector.commands import show
from tests.faults.scenarios.faults import FAULTS, Fault
from tests.faults.scenarios.suite import Row, suite
from tests.stack.cluster import KafkaCluster
from tests.stack.errors import StackError

_WIDTH = 140
_COLUMNS = ("fault", "callbacks", "200s", "503s", "other", "records", "duplicates", "missing", "out of order", "longest wait s")


def main() -> int:
    """Run the faults and print the table; return the exit code: 1 when anything was missing or not as it must be."""
    given = _arguments()
    chosen = [fault for fault in FAULTS if not given.only or any(part.lower() in fault.name.lower() for part in given.only)]
    if not chosen:
        show.problem(f"no such fault; there are: {', '.join(fault.name for fault in FAULTS)}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="outages-"))
    try:
        rows = _run_all(chosen * given.runs, folder, given.rate, given.seconds)
    except StackError as missing:
        show.problem(str(missing))
        return 1
    except KeyboardInterrupt:
        return 130
    if given.json:
        show.as_json([_as_json(row) for row in rows])
    else:
        _print(rows)
    if any(row.problems for row in rows):
        # The folder is kept: its logs are needed to find the cause.
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(
        prog="python -m tests.faults.scenarios", description="What was answered 200 is in the topics, whatever breaks."
    )
    arguments.add_argument("--only", action="append", metavar="FAULT", help="only faults whose name has this in it; repeatable")
    arguments.add_argument("--seconds", type=float, default=6.0, help="how long a fault lasts (6)")
    arguments.add_argument("--rate", type=float, default=100.0, help="callbacks a second (100)")
    arguments.add_argument("--runs", type=int, default=1, help="how often each fault happens (1)")
    arguments.add_argument("--json", action="store_true", help="the table for scripts")
    return arguments.parse_args()


def _run_all(faults: Sequence[Fault], folder: Path, rate: float, seconds: float) -> list[Row]:
    rows = []
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    err.print(f"logs: {folder}")
    with (
        err.status("starting three brokers (the first time fetches 43 MB)") as status,
        KafkaCluster(folder) as cluster,
        suite(cluster, folder, rate, seconds) as running,
    ):
        for number, fault in enumerate(faults, 1):
            status.update(f"{number} of {len(faults)}: {fault.name}")
            began = time.monotonic()
            row = running.run(fault)
            rows.append(row)
            outcome = "; ".join(row.problems) or "nothing missing"
            err.print(f"{number} of {len(faults)}: {fault.name}: {outcome} ({time.monotonic() - began:.0f} s)", markup=False)
    return rows


def _print(rows: Sequence[Row]) -> None:
    table = Table(*_COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        verdict = row.verdict
        cells = (
            verdict.callbacks,
            verdict.answered_200,
            verdict.answered_503,
            verdict.answered_else,
            verdict.records,
            verdict.duplicates,
            len(verdict.missing),
            len(verdict.out_of_order),
            f"{verdict.longest_wait_seconds:.1f}",
        )
        table.add_row(row.fault, *map(str, cells), style="red" if row.problems else None)
    # Output to a file has no narrow columns.
    (show.out if show.out.is_terminal else Console(width=_WIDTH)).print(table)
    for row in rows:
        for problem in row.problems:
            show.line(f"{row.fault}: {problem}")
        if row.problems:
            show.line(f"  see {row.folder}")


def _as_json(row: Row) -> dict[str, Any]:
    verdict = {name: len(value) if isinstance(value, tuple) else value for name, value in asdict(row.verdict).items()}
    return {"fault": row.fault, **verdict, "problems": list(row.problems), "folder": str(row.folder)}


if __name__ == "__main__":
    sys.exit(main())
