"""`python -m benchmarks.growth`: what a callback costs as things grow, as JSON and plots in docs/performance.

Grown are a callback's size, connections, partitions, workers, and the rate at which callbacks arrive, whether answers come or
not; and the worker's memory is followed over a longer load. Every run is looked up in the topics.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import baseline, cores, load, machine, servers, stack
from benchmarks.callbacks import statuses, templates
from benchmarks.contenders import BASELINE, BRIDGE, STARTS, Run, Running, Start, running, written_by
from benchmarks.cores import Cores
from benchmarks.outage import MEMORY_SECONDS, sampled
from connector.catalogue import Catalogue, read_catalogue

FOLDER: Final = Path(__file__).parents[1] / "docs" / "performance"
FILE: Final = "growth.json"
LIMIT_MS: Final = 50
"""The p99 up to which the rate of arrival grows."""
_SIZES: Final = (1, 3, 10, 30, 100, 300, 1000)
_MOST_OUTSTANDING: Final = 8000
"""Records on their way to Kafka; the bridge turns callbacks away from 20,000 on."""
_CONNECTIONS: Final = (1, 4, 16, 64, 256, 512)
_PARTITIONS: Final = (4, 8, 16, 32, 64)
_NEW_TOPICS_SECONDS: Final = 5
_WORKERS: Final = (1, 2, 3, 4)
_SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
"""Rates of arrival, as shares of the contender's maximum throughput."""
_ARRIVAL_RUNS: Final = 3
"""Runs at each rate, of which the one in the middle counts: a pause of the broker alone can decide a p99."""
_GROWN: Final = ("document", "order", "contact")
_console: Final = Console(stderr=True)
Point = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setup:
    """What all measurements need."""

    broker: stack.Stack
    cores: Cores
    folder: Path
    seconds: int
    soak_seconds: int

    def caller(self, name: str, bodies: list[str], connections: int = load.CONNECTIONS) -> load.Caller:
        """Return a sender of these callbacks."""
        return load.Caller(load.write_templates(self.folder / f"{name}.templates", bodies), self.cores.load, connections)

    @contextmanager
    def started(self, name: str, start: Start | None = None, catalogue: Catalogue | None = None) -> Iterator[Running]:
        """Start a contender."""
        written = written_by(name, catalogue or read_catalogue())
        keeps = self.broker.keeps_records
        with running(start or STARTS[name], written, self.broker, self.cores, self.folder, keeps_records=keeps) as one:
            yield one


def main() -> int:
    """Measure and draw; return 1 when a run broke the delivery guarantee."""
    arguments = _arguments()
    file = arguments.folder / FILE
    wanted = cores.share_out(max(_WORKERS))
    if wanted is None:
        print("two cores are needed: one for the server, one for load and broker", file=sys.stderr)
        return 2
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"dimensions": {}}
    results |= {"machine": machine.described(), "cores": wanted.described(), "seconds": arguments.seconds}
    cores.keep_to(wanted)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    topics = [*baseline.TOPICS.values(), *(record_type.topic for record_type in read_catalogue())]
    with tempfile.TemporaryDirectory(prefix="growth-") as name, stack.started(Path(name), topics) as broker:
        results["broker"] = broker.broker
        stack.registered(broker.registry_url)
        setup = Setup(broker, wanted, Path(name), arguments.seconds, arguments.soak_seconds)
        for dimension in arguments.dimensions:
            results["dimensions"][dimension] = list(DIMENSIONS[dimension](setup))
            # At once, so that an interrupted run keeps its results.
            file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    wrong = [point["wrong"] for points in results["dimensions"].values() for point in points if point["wrong"]]
    for faults in wrong:
        print(", ".join(faults), file=sys.stderr)
    return 1 if wrong else 0


def _point(x: float, contender: str, run: Run, **more: Any) -> Point:
    figures = run.figures
    _console.print(
        f"{contender}, {x:,g}: {figures.callbacks_per_second:,.0f} callbacks/s, {figures.cpu_us_per_callback:,.1f} µs, "
        f"p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms{', '.join(['', *run.wrong])}",
        highlight=False,
    )
    return {"x": x, "contender": contender, "wrong": run.wrong, **asdict(figures), **more}


def size(setup: Setup) -> Iterator[Point]:
    """Grow the statuses in a callback."""
    with setup.started(BASELINE) as usual, setup.started(BRIDGE) as bridge:
        for count in _SIZES:
            connections = max(1, min(load.CONNECTIONS, _MOST_OUTSTANDING // count))
            caller = setup.caller("size", statuses(count), connections)
            for name, one in ((BASELINE, usual), (BRIDGE, bridge)):
                yield _point(count, name, one.run(caller, setup.seconds, events_per_callback=count), connections=connections)


def connections(setup: Setup) -> Iterator[Point]:
    """Grow the callbacks that are under way at once."""
    with setup.started(BASELINE) as usual, setup.started(BRIDGE) as bridge:
        for count in _CONNECTIONS:
            caller = setup.caller("connections", templates(), count)
            for name, one in ((BASELINE, usual), (BRIDGE, bridge)):
                yield _point(count, name, one.run(caller, setup.seconds))


def partitions(setup: Setup) -> Iterator[Point]:
    """Grow the partitions of each topic that is written to."""
    caller = setup.caller("partitions", templates())
    catalogues_of = {}
    for count in _PARTITIONS:
        prefix = f"partitions-{count}."
        catalogue = catalogues_of[prefix] = stack.registered(setup.broker.registry_url, prefix)
        setup.broker.create_topics([catalogue.record_types[name].topic for name in _GROWN], count)
        setup.broker.create_topics([other.topic for other in catalogue if other.name not in _GROWN], 1)
    # Hundreds of new partitions keep a broker busy for a while.
    time.sleep(_NEW_TOPICS_SECONDS)
    for count, (prefix, catalogue) in zip(_PARTITIONS, catalogues_of.items(), strict=True):
        start = partial(servers.bridge, settings={"CONNECTOR_TOPICS__PREFIX": prefix})
        with setup.started(BRIDGE, start, catalogue) as one:
            # The first records of each partition are slow: the broker makes its files.
            yield _point(count, BRIDGE, one.run(caller, setup.seconds, warm_up_seconds=5))


def workers(setup: Setup) -> Iterator[Point]:
    """Grow the workers, each on its own core where there are enough."""
    caller = setup.caller("workers", templates())
    for count in _WORKERS:
        with setup.started(BRIDGE, partial(servers.bridge, workers=count)) as one:
            on = min(count, len(setup.cores.server))
            yield _point(count, BRIDGE, one.run(caller, setup.seconds, warm_up_seconds=2), cores=on)


def arrival(setup: Setup) -> Iterator[Point]:
    """Grow the rate at which callbacks arrive, until the p99 leaves the limit."""
    program = load.compiled(setup.folder)
    caller = setup.caller("arrival", templates())
    for name in (BASELINE, BRIDGE):
        with setup.started(name) as one:
            most = one.run(caller, setup.seconds).figures.callbacks_per_second
            for share in _SHARES:
                rate = float(round(most * share))
                send = partial(caller.send_at, program, rate=rate)
                runs = [one.run(caller, setup.seconds, send=send) for _ in range(_ARRIVAL_RUNS)]
                middle = sorted(runs, key=lambda run: run.figures.p99_ms)[_ARRIVAL_RUNS // 2]
                wrong = [fault for run in runs for fault in run.wrong]
                yield _point(rate, name, replace(middle, wrong=wrong))
                if middle.figures.p99_ms > LIMIT_MS:
                    break


def memory(setup: Setup) -> Iterator[Point]:
    """Follow the worker's memory over a load of documents and orders."""
    caller = setup.caller("memory", templates())
    samples: list[float] = []
    keeps_nothing = running(
        STARTS[BRIDGE],
        written_by(BRIDGE, read_catalogue()),
        setup.broker,
        setup.cores,
        setup.folder,
        keeps_records=False,
    )
    with keeps_nothing as one:
        with sampled(one.server, samples):
            run = one.run(caller, setup.soak_seconds)
        every = max(1, len(samples) // 300)
        shown = [[round(index * MEMORY_SECONDS, 1), round(samples[index], 1)] for index in range(0, len(samples), every)]
        yield _point(setup.soak_seconds, BRIDGE, run, memory_mb=shown)


DIMENSIONS: Final[dict[str, Callable[[Setup], Iterator[Point]]]] = {
    "size": size,
    "connections": connections,
    "partitions": partitions,
    "workers": workers,
    "arrival": arrival,
    "memory": memory,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="length of a run (default 4)")
    parser.add_argument("--soak-seconds", type=int, default=60, help="length of the load whose memory is followed (default 60)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where growth.json is written (default docs/performance)")
    parser.add_argument("dimensions", nargs="*", metavar="DIMENSION", help=f"of {', '.join(DIMENSIONS)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.dimensions) - set(DIMENSIONS)
    if unknown:
        parser.error(f"no such dimension: {', '.join(sorted(unknown))}; there are {', '.join(DIMENSIONS)}")
    arguments.dimensions = arguments.dimensions or list(DIMENSIONS)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
