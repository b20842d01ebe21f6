"""`python -m benchmarks`: the bridge beside the baseline, in turns, on the same broker. See README.md in this folder."""

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

from rich.console import Console

from benchmarks import baseline, check, load, servers, stack
from benchmarks.callbacks import LoadName
from benchmarks.report import Figures, report, table
from connector import catalogue as catalogues
from connector.registry import Registry

_WARM_UP_SECONDS = 3
_SETTLE_SECONDS = 0.5
_MESSAGES = ("document", "order", "media", "text")
_Start = Callable[[stack.Stack, int, Path], AbstractContextManager[servers.Server]]


class Contender(NamedTuple):
    """A server to measure and the topics that it writes to."""

    name: str
    start: _Start
    message_topics: tuple[str, ...]
    status_topic: str
    contact_topic: str
    ids_in_clear: bool = True


def main() -> int:
    """Measure and print; return 1 when a run broke the promise."""
    arguments = _arguments()
    catalogue = catalogues.load()
    types = catalogue.record_types
    contenders = [
        Contender(
            "baseline",
            servers.baseline,
            tuple(baseline.TOPICS[kind] for kind in _MESSAGES),
            baseline.TOPICS["status"],
            baseline.TOPICS["contact"],
        ),
        Contender(
            "bridge",
            servers.bridge,
            tuple(types[kind].topic for kind in _MESSAGES),
            types["status"].topic,
            types["contact"].topic,
        ),
    ]
    if arguments.hashed:
        hashing = partial(servers.bridge, hashed=True)
        contenders.append(contenders[-1]._replace(name="hashed", start=hashing, ids_in_clear=False))
    missing = [program for program in ("wrk", "taskset") if shutil.which(program) is None]
    if missing:
        print(f"{' and '.join(missing)} must be installed (Debian: apt install wrk util-linux)", file=sys.stderr)
        return 2
    core, *others = sorted(os.sched_getaffinity(0))
    if not others:
        print("two cores are needed: one for the server, one for load and broker", file=sys.stderr)
        return 2
    # What this process starts inherits it: the broker and the load.
    os.sched_setaffinity(0, others)
    topics = [*baseline.TOPICS.values(), *(record_type.topic for record_type in catalogue)]
    console = Console(stderr=True)
    runs: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    checked = dict.fromkeys(runs, 0)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        stack.started(Path(name), topics, embedded=arguments.embedded) as running,
    ):
        folder = Path(name)
        load.write_templates(folder / "templates", arguments.load)
        registry = Registry(running.registry_url)
        for record_type in catalogue:
            registry.register(record_type)
        for _ in range(arguments.runs):
            for contender in contenders:
                figures, acknowledged, wrong = _measure(contender, running, core, folder, arguments.seconds)
                runs[contender.name].append(figures)
                checked[contender.name] += acknowledged
                rate = f"{figures.callbacks_per_second:,.0f} callbacks/s, {figures.cpu_us_per_callback:.1f} µs"
                console.print(f"{contender.name}: {rate}, {acknowledged:,} answered 2xx, {', '.join(wrong) or 'all found'}")
                if wrong:
                    return 1
        result = report(running.broker, arguments.load, runs, checked)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(table(result))
    return 0


def _measure(
    contender: Contender, running: stack.Stack, core: int, folder: Path, seconds: int
) -> tuple[Figures, int, list[str]]:
    templates = folder / "templates"
    with contender.start(running, core, folder) as server:
        load.send(server.url, templates, secrets.token_hex(4), _WARM_UP_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        topics = check.Topics(
            running.bootstrap_servers, contender.message_topics, contender.status_topic, contender.contact_topic
        )
        run = secrets.token_hex(4)
        before = server.cpu_seconds()
        seen = load.send(server.url, templates, run, seconds)
        cpu_seconds = server.cpu_seconds() - before
        memory = server.peak_memory_mb()
        time.sleep(_SETTLE_SECONDS)
    found = topics.added(run, read=running.keeps_records and contender.ids_in_clear)
    topics.close()
    figures = Figures(
        callbacks_per_second=seen.acknowledged / seen.seconds,
        cpu_us_per_callback=cpu_seconds * 1e6 / max(seen.acknowledged, 1),
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        peak_memory_mb=memory,
    )
    return figures, seen.acknowledged, check.faults(seen, found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of a run (default 10)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each server (default 3)")
    parser.add_argument("--load", choices=get_args(LoadName), default="documents", help="what is sent (default documents)")
    parser.add_argument("--embedded", action="store_true", help="librdkafka's mock broker, also where there is Java")
    parser.add_argument("--hashed", action="store_true", help="a third server: the bridge with phones hashed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
