"""`python -m benchmarks.pages`: writes the figures of docs/performance/*.json into the pages that show them.

A page contains `<!-- figure: NAME -->…<!-- end -->` or `<!-- table: NAME -->…<!-- end -->`; the text between is
replaced. A figure that was not measured becomes "not measured". Figures are never written by hand: a test compares them.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.callbacks import LoadName, templates
from benchmarks.floor import FILE as FLOOR
from benchmarks.floor import PARTS, filled
from benchmarks.growth import FILE as GROWTH
from benchmarks.growth import FOLDER, LIMIT_MS
from benchmarks.machine import in_one_line
from benchmarks.report import HEADINGS, rounded, rows, title
from benchmarks.where import FILE as WHERE
from tests.support.callbacks import messages_of

BENCH: Final = "bench.json"
PAGES: Final = (
    Path("README.md"),
    Path("docs/explanation/sizing.md"),
    Path("docs/performance/README.md"),
)
_ROOT: Final = Path(__file__).parents[1]
_PLACE: Final = re.compile(r"<!-- (figure|table): ([\w.-]+) -->(.*?)<!-- end -->", re.DOTALL)
_ABSENT: Final = "not measured"
_SECONDS_A_DAY: Final = 86_400
Results = Mapping[str, Any]


def main() -> int:
    """Rewrite every page."""
    figures = Figures(FOLDER)
    for page in PAGES:
        file = _ROOT / page
        file.write_text(figures.filled(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def places(text: str) -> list[str]:
    """Return the names of the figures and tables of a page."""
    return [name for _, name, _ in _PLACE.findall(text)]


class Figures:
    """The measured figures, by the names that pages use."""

    def __init__(self, folder: Path) -> None:
        self._bench, self._growth, self._floor, self._where = (_read(folder / name) for name in (BENCH, GROWTH, FLOOR, WHERE))
        self._tables: Mapping[str, Callable[[], str]] = {
            "bench": self._bench_table,
            "outage": self._outage_table,
            "floor": self._floor_table,
            "where": self._where_table,
            "notes": lambda: "\n".join(f"- {note}" for note in self._bench["notes"]) or "- nothing was left out",
        }
        self._figures: Mapping[str, Callable[[], str]] = {
            "bench.machine": lambda: _taken_on(self._bench),
            "growth.machine": lambda: _taken_on(self._growth),
            "floor.machine": lambda: f"{self._floor['cores']}; {in_one_line(self._floor['machine'])}",
            "documents.per_second": lambda: rounded(self._median("documents", "callbacks_per_second")),
            "documents.cpu_us": lambda: rounded(self._median("documents", "cpu_us_per_callback")),
            "documents.p99_ms": lambda: rounded(self._median("documents", "p99_ms")),
            "documents.ratio": lambda: f"{self._bridge('documents')['ratio']['of_medians']:.2f}",
            "documents.millions_per_day": lambda: self._millions_per_day("documents"),
            "mix.per_second": lambda: rounded(self._median("mix", "callbacks_per_second")),
            "mix.millions_per_day": lambda: self._millions_per_day("mix"),
            "big.statuses_per_second": lambda: rounded(
                self._median("big", "callbacks_per_second") * self._bench["workloads"]["big"]["events_per_callback"]
            ),
            "memory.peak_mb": lambda: f"{self._median('documents', 'peak_memory_mb'):.0f}",
            "memory.soak": self._soak,
            "connections-64.p50_ms": lambda: f"{self._median('connections-64', 'p50_ms'):.1f}",
            "connections-1.p50_ms": lambda: f"{self._median('connections-1', 'p50_ms'):.1f}",
            "brokers-3.per_second": lambda: rounded(self._median("brokers-3", "callbacks_per_second")),
            "workers-2.ratio": self._two_workers,
            "spool.cost_percent": self._spool_cost,
            "spool.into_per_second": lambda: rounded(self._bench["outage"]["into_spool"]),
            "spool.out_per_second": lambda: rounded(self._bench["outage"]["out_of_spool"]),
            "spool.bytes_per_callback": lambda: f"{self._bench['outage']['bytes_per_callback']:,.0f}",
            "spool.hours_per_gib": lambda: f"{2**30 / self._bench['outage']['bytes_per_callback'] / 100 / 3600:.1f}",
            "arrival.most_per_second": lambda: f"{self._most_arrival():,.0f}",
            "records.documents": lambda: _record_bytes("documents"),
            "records.mix": lambda: _record_bytes("mix"),
            "records.gib_per_million": lambda: f"{_bytes_of('mix') * 1e6 / 2**30:.1f}",
        }

    def filled(self, text: str) -> str:
        """Return a page with its figures in their places."""

        def replace(found: re.Match[str]) -> str:
            kind, name, _ = found.groups()
            value = self.of(kind, name)
            edge = "" if kind == "figure" else "\n"
            return f"<!-- {kind}: {name} -->{edge}{value}{edge}<!-- end -->"

        return _PLACE.sub(replace, text)

    def of(self, kind: str, name: str) -> str:
        """Return a figure or table; one that is in no file was not measured."""
        known = self._figures if kind == "figure" else self._tables
        try:
            return known[name]()
        except _NotMeasured:
            return _ABSENT

    def _bridge(self, workload: str) -> Results:
        results: Results = self._bench["workloads"][workload]["contenders"]["bridge"]
        return results

    def _median(self, workload: str, figure: str) -> float:
        return float(self._bridge(workload)["median"][figure])

    def _millions_per_day(self, workload: str) -> str:
        return f"{self._median(workload, 'callbacks_per_second') / 2 * _SECONDS_A_DAY / 1e6:,.0f}"

    def _spool_cost(self) -> str:
        without = self._bench["workloads"]["documents"]["contenders"]["bridge without a spool"]
        cost = without["median"]["callbacks_per_second"] / self._median("documents", "callbacks_per_second") - 1
        return f"{cost * 100:.1f}"

    def _two_workers(self) -> str:
        results = self._bench["workloads"]["workers-2"]["contenders"]["bridge, two workers"]
        return f"{results['ratio']['of_medians']:.2f}"

    def _soak(self) -> str:
        (point,) = self._growth["dimensions"]["memory"]
        samples = [megabytes for _, megabytes in point["memory_mb"]]
        half = samples[len(samples) // 2 :]
        return f"{half[0]:.0f} MB after {point['x'] / 2:,.0f} s, {half[-1]:.0f} MB after {point['x']:,.0f} s"

    def _most_arrival(self) -> float:
        points = self._growth["dimensions"]["arrival"]
        carried = [point["x"] for point in points if point["contender"] == "bridge" and point["p99_ms"] <= LIMIT_MS]
        return float(max(carried, default=0))

    def _bench_table(self) -> str:
        heading = f"| | {' | '.join(HEADINGS)} |"
        lines = [heading, f"|---|{'---:|' * len(HEADINGS)}"]
        for workload in self._bench["workloads"].values():
            lines.append(f"| **{workload['title']}**{title(workload).removeprefix(workload['title'])} |{' |' * len(HEADINGS)}")
            lines += [f"| {' | '.join(row)} |" for row in rows(workload)]
        return "\n".join(lines)

    def _outage_table(self) -> str:
        results = self._bench["outage"]
        of = {"direct": "Kafka is available", "into_spool": "into the spool", "out_of_spool": "out of the spool"}
        lines = ["| | callbacks/s | ratio |", "|---|---:|---:|"]
        return "\n".join(
            [
                *lines,
                *(f"| {what} | {results[key]:,.0f} | {results[key] / results['direct']:.2f} |" for key, what in of.items()),
            ]
        )

    def _floor_table(self) -> str:
        of = self._floor["cpu_us_per_callback"]
        what = {**PARTS, "floor": "**together: the floor**", "bridge": "**the bridge**, with all that it does"}
        return "\n".join(["| | CPU µs per callback |", "|---|---:|", *(f"| {what[key]} | {of[key]:.1f} |" for key in what)])

    def _where_table(self) -> str:
        shares, each = self._where["shares"], self._where["cpu_us_per_callback"]
        lines = ["| | share | CPU µs per callback |", "|---|---:|---:|"]
        return "\n".join([*lines, *(f"| {group} | {share:.1%} | {share * each:.1f} |" for group, share in shares.items())])


class _NotMeasured(Exception):
    """A file, a workload or a figure is missing."""


class _Measured(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise _NotMeasured(key)


def _read(file: Path) -> Results:
    if not file.exists():
        return _Measured()
    return _Measured(json.loads(file.read_text(encoding="utf-8"), object_hook=_Measured))


def _taken_on(results: Results) -> str:
    return f"{results['broker']}; {results['cores']}; runs of {results['seconds']} s; {in_one_line(results['machine'])}"


def _bytes_of(name: LoadName) -> float:
    """Return the average size in bytes of all records of a callback, before Kafka compresses them."""
    return mean(sum(one.size_bytes() for one in messages_of(filled(body).encode())) for body in templates(name))


def _record_bytes(name: LoadName) -> str:
    return f"{mean(one.size_bytes() for body in templates(name) for one in messages_of(filled(body).encode())):,.0f}"


if __name__ == "__main__":
    sys.exit(main())
