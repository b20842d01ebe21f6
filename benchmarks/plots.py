"""`python -m benchmarks.plots`: growth.json in, one SVG for each dimension out, in the same folder. Needs matplotlib."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.growth import FILE, FOLDER, LIMIT_MS
from benchmarks.machine import in_one_line

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    sys.exit("matplotlib is missing: .venv/bin/pip install matplotlib")

Points = Sequence[Mapping[str, Any]]
_COLOURS: Final = {"baseline": "#8a8a8a", "bridge": "#0b6e4f"}
_TITLES: Final = {
    "size": ("Statuses in a callback", "statuses"),
    "connections": ("Connections, each with one callback under way", "connections"),
    "partitions": ("Partitions of each topic", "partitions"),
    "workers": ("Workers", "workers"),
    "arrival": ("Callbacks that arrive at a fixed rate, whether answers come or not", "callbacks/s"),
    "memory": ("A worker's memory under load", "seconds"),
}
_LINEAR: Final = frozenset({"workers", "arrival", "memory"})


def main() -> int:
    """Draw what is in the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where growth.json is (default docs/performance)")
    folder = parser.parse_args().folder
    results = json.loads((folder / FILE).read_text(encoding="utf-8"))
    # The same data make the same file; text stays text.
    mpl.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 9})
    for dimension, points in results["dimensions"].items():
        _draw(dimension, points, results).savefig(folder / f"{dimension}.svg", metadata={"Date": None})
    return 0


def _draw(dimension: str, points: Points, results: Mapping[str, Any]) -> Figure:
    title, unit = _TITLES[dimension]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    if dimension == "memory":
        _memory(figure.subplots(), points)
    elif dimension == "arrival":
        _arrival(figure.subplots(), points)
    else:
        left, right = figure.subplots(1, 2)
        _lines(left, points, "cpu_us_per_callback", "CPU µs per callback")
        _lines(right, points, "callbacks_per_second", "callbacks/s")
        if dimension == "size":
            _per_status(left, points)
    for axes in figure.axes:
        axes.set_xlabel(unit)
        axes.grid(visible=True, color="#dddddd")
        if dimension not in _LINEAR:
            axes.set_xscale("log")
            axes.set_xticks(sorted({point["x"] for point in points}))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        if axes.get_yscale() == "linear":
            axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    figure.supxlabel(
        f"{results['broker']}; {results['cores']}; runs of {results['seconds']} s\n{in_one_line(results['machine'])}",
        fontsize=6,
        color="#666666",
    )
    return figure


def _of_each(points: Points) -> dict[str, Points]:
    return {name: [one for one in points if one["contender"] == name] for name in _COLOURS}


def _lines(axes: Axes, points: Points, figure: str, label: str) -> None:
    for name, own in _of_each(points).items():
        if own:
            axes.plot([one["x"] for one in own], [one[figure] for one in own], "o-", color=_COLOURS[name], label=name)
    axes.set_ylabel(label)


def _per_status(axes: Axes, points: Points) -> None:
    for name, own in _of_each(points).items():
        each = [one["cpu_us_per_callback"] / one["x"] for one in own]
        axes.plot([one["x"] for one in own], each, "o--", color=_COLOURS[name], label=f"{name}, per status")
    axes.set_yscale("log")


def _arrival(axes: Axes, points: Points) -> None:
    for name, own in _of_each(points).items():
        for figure, style in (("p50_ms", "o--"), ("p99_ms", "o-"), ("p999_ms", "o:")):
            label = f"{name} p{figure[1:-3].replace('999', '99.9')}"
            axes.plot([one["x"] for one in own], [one[figure] for one in own], style, color=_COLOURS[name], label=label)
    axes.axhline(LIMIT_MS, color="#bb4444", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylabel("ms from when it should have been sent")


def _memory(axes: Axes, points: Points) -> None:
    for one in points:
        axes.plot(*zip(*one["memory_mb"], strict=True), color=_COLOURS[one["contender"]], label=one["contender"])
    axes.set_ylabel("resident MB")


if __name__ == "__main__":
    sys.exit(main())
