"""The runs of both servers in, medians, a ratio and a table out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one server, or the medians of several."""

    callbacks_per_second: float
    cpu_us_per_callback: float
    p50_ms: float
    p99_ms: float
    peak_memory_mb: float


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    return Figures(*(median(getattr(run, field.name) for run in runs) for field in fields(Figures)))


def report(broker: str, load: str, runs: Mapping[str, Sequence[Figures]], checked: Mapping[str, int]) -> dict[str, Any]:
    """Return everything as JSON: medians, ratio, each run, and how many 2xx were found in the topics."""
    middle = {name: medians(of_name) for name, of_name in runs.items()}
    return {
        "broker": broker,
        "load": load,
        "ratio": middle["bridge"].callbacks_per_second / middle["baseline"].callbacks_per_second,
        "medians": {name: asdict(figures) for name, figures in middle.items()},
        "runs": {name: [asdict(figures) for figures in of_name] for name, of_name in runs.items()},
        "acknowledged_and_found": dict(checked),
    }


def table(result: Mapping[str, Any]) -> Table:
    """Return the medians as a table."""
    shown = Table(title=f"{result['broker']}, load {result['load']}, one core, median of {len(result['runs']['bridge'])} runs")
    for heading in ("", "callbacks/s", "CPU µs per callback", "p50 ms", "p99 ms", "peak memory MB", "ratio"):
        shown.add_column(heading, justify="right" if heading else "left")
    slowest = result["medians"]["baseline"]["callbacks_per_second"]
    for name, figures in result["medians"].items():
        shown.add_row(
            name,
            f"{figures['callbacks_per_second']:,.0f}",
            f"{figures['cpu_us_per_callback']:.1f}",
            f"{figures['p50_ms']:.1f}",
            f"{figures['p99_ms']:.1f}",
            f"{figures['peak_memory_mb']:.0f}",
            f"{figures['callbacks_per_second'] / slowest:.2f}",
        )
    return shown
