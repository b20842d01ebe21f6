"""Runs of several servers in; medians, spreads, ratios and tables out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, Final

from rich.table import Table

from benchmarks.workloads import Workload


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one server, or one figure of each over several."""

    callbacks_per_second: float
    cpu_us_per_callback: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    peak_memory_mb: float


_NAMES: Final = tuple(field.name for field in fields(Figures))


def summary(runs: Sequence[Figures]) -> dict[str, Any]:
    """Return the median, the least and the most of each figure, and the runs."""

    def of_each(choose: Any) -> dict[str, float]:
        return {name: round(choose([getattr(run, name) for run in runs]), 3) for name in _NAMES}

    return {"median": of_each(median), "least": of_each(min), "most": of_each(max), "runs": [asdict(run) for run in runs]}


def ratio(runs: Sequence[Figures], of: Sequence[Figures]) -> dict[str, float]:
    """Return the ratio of callbacks/s of `runs` to `of`: of the medians, and the spread within the rounds."""
    pairs = [a.callbacks_per_second / b.callbacks_per_second for a, b in zip(runs, of, strict=True)]
    middle, other = (median(run.callbacks_per_second for run in side) for side in (runs, of))
    return {"of_medians": round(middle / other, 3), "least": round(min(pairs), 3), "most": round(max(pairs), 3)}


def report(workload: Workload, runs: Mapping[str, Sequence[Figures]], acknowledged: int) -> dict[str, Any]:
    """Return one workload as JSON. Ratios are to its first contender."""
    first = next(iter(runs.values()))
    return {
        "title": workload.title,
        "connections": workload.connections,
        "events_per_callback": workload.events_per_callback,
        "acknowledged_and_found": acknowledged,
        "contenders": {name: {**summary(own), "ratio": ratio(own, first)} for name, own in runs.items()},
    }


def table(workload: Mapping[str, Any]) -> Table:
    """Return one workload as a table: medians, and the spread of callbacks/s."""
    shown = Table(title=title(workload), caption=_found(workload))
    for heading in ("", *HEADINGS):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows(workload):
        shown.add_row(*row)
    return shown


HEADINGS: Final = ("callbacks/s", "min-max", "CPU µs", "p50 ms", "p99 ms", "peak MB", "ratio", "per round")


def rows(workload: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row of text for each contender, as HEADINGS name them, and one for the statuses of big callbacks."""
    return [_row(name, contender) for name, contender in workload["contenders"].items()]


def _row(name: str, contender: Mapping[str, Any]) -> tuple[str, ...]:
    middle, least, most, times = (contender[key] for key in ("median", "least", "most", "ratio"))
    return (
        name,
        rounded(middle["callbacks_per_second"]),
        f"{rounded(least['callbacks_per_second'])}-{rounded(most['callbacks_per_second'])}",
        rounded(middle["cpu_us_per_callback"]),
        f"{middle['p50_ms']:.1f}",
        f"{middle['p99_ms']:.1f}",
        f"{middle['peak_memory_mb']:.0f}",
        f"{times['of_medians']:.2f}",
        f"{times['least']:.2f}-{times['most']:.2f}",
    )


def title(workload: Mapping[str, Any]) -> str:
    """Return the title of a workload, with its number of connections."""
    connections = workload["connections"]
    return f"{workload['title']}, {connections} connection{'' if connections == 1 else 's'}"


def rounded(figure: float) -> str:
    """Return a figure with three significant digits or more."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"


def _found(workload: Mapping[str, Any]) -> str:
    found = f"{workload['acknowledged_and_found']:,} callbacks answered 2xx, all found in the topics"
    each = workload["events_per_callback"]
    if each == 1:
        return found
    rates = [f"{name} {of['median']['callbacks_per_second'] * each:,.0f}" for name, of in workload["contenders"].items()]
    return f"{found}; statuses/s: {', '.join(rates)}"
