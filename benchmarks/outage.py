"""`python -m benchmarks.outage`: the bridge with its spool, before, in and after an outage of Kafka.

The broker is frozen under load, and goes on later. Measured are callbacks/s while Kafka is there, callbacks/s into the spool
while it is not, callbacks/s out of it afterwards, and the worker's memory all along. Every 2xx is looked up in the topics.
"""

import argparse
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import check, load, servers, stack
from connector import catalogue as catalogues
from connector.registry import Registry
from tests.stack.kafka import KafkaBroker

_WARM_UP_SECONDS: Final = 3
_KNOWN_SECONDS: Final = 30
_DRAINED_SECONDS: Final = 300
_MEMORY_SECONDS: Final = 0.5


def main() -> int:
    """Measure and print; return 1 when a 2xx is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of the load before the outage (default 10)")
    parser.add_argument("--outage-seconds", type=int, default=30, help="length of the load in the outage (default 30)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    core, *others = sorted(os.sched_getaffinity(0))
    if not others:
        print("two cores are needed: one for the server, one for load and broker", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, others)
    catalogue = catalogues.load()
    topics = [record_type.topic for record_type in catalogue]
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        stack.started(Path(name), topics, embedded=False) as running,
    ):
        if running.kafka is None:
            print("the real Kafka is needed (Java and Maven)", file=sys.stderr)
            return 2
        registry = Registry(running.registry_url)
        for record_type in catalogue:
            registry.register(record_type)
        load.write_templates(Path(name) / "templates")
        result = _measure(running, running.kafka, core, Path(name), arguments.seconds, arguments.outage_seconds)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(_table(result))
    return 1 if result["missing"] else 0


def _measure(
    running: stack.Stack, kafka: KafkaBroker, core: int, folder: Path, seconds: int, outage_seconds: int
) -> dict[str, Any]:
    templates = folder / "templates"
    run = secrets.token_hex(4)
    types = catalogues.load().record_types
    with servers.bridge(running, core, folder, spool=folder / "spool") as server:
        load.send(server.url, templates, secrets.token_hex(4), _WARM_UP_SECONDS)
        topics = check.Topics(
            running.bootstrap_servers,
            [types[kind].topic for kind in ("document", "order")],
            types["status"].topic,
            types["contact"].topic,
        )
        direct = load.send(server.url, templates, f"{run}a", seconds)
        kafka.freeze()
        load.send(server.url, templates, f"{run}b", _until_waiting(server))
        memory: list[float] = []
        with _sampled(server, memory):
            spooling = load.send(server.url, templates, f"{run}c", outage_seconds)
            waiting = _figure(server, "connector_spool_waiting_callbacks")
            kafka.resume()
            drained = _drained(server)
        peak = server.peak_memory_mb()
    found = topics.added(f"{run}[abc]", read=True)
    topics.close()
    answered = direct.acknowledged + spooling.acknowledged
    tenth = max(1, len(memory) // 10)
    return {
        "direct": direct.acknowledged / direct.seconds,
        "into_spool": spooling.acknowledged / spooling.seconds,
        "out_of_spool": waiting / drained,
        "waiting": waiting,
        "refused": spooling.refused,
        "memory_mb": [round(value) for value in memory[::tenth]],
        "peak_memory_mb": peak,
        "answered": answered,
        "missing": max(0, answered - (found.event_ids or 0)),
    }


def _until_waiting(_server: servers.Server) -> int:
    # Longer than the delivery timeout: afterwards the outage is known, and nothing waits for Kafka any more.
    return 12


@contextmanager
def _sampled(server: servers.Server, into: list[float]) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_MEMORY_SECONDS):
            into.append(server.memory_mb())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _drained(server: servers.Server) -> float:
    """Return the seconds until nothing waits any more."""
    began = time.monotonic()
    first: float | None = None
    while time.monotonic() - began < _DRAINED_SECONDS:
        waiting = _figure(server, "connector_spool_waiting_callbacks")
        if first is None and _figure(server, "connector_spool_delivered_callbacks_total") > 0:
            first = time.monotonic()
        if not waiting:
            return time.monotonic() - (first or began)
        time.sleep(0.2)
    raise RuntimeError(f"the spool is not empty after {_DRAINED_SECONDS} s")


def _figure(server: servers.Server, name: str) -> float:
    text = httpx.get(server.metrics_url, trust_env=False).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _table(result: dict[str, Any]) -> Table:
    shown = Table(title="An outage of Kafka, one worker on one core", show_header=True)
    for heading in ("", "callbacks/s", "ratio"):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, what in (("direct", "Kafka is there"), ("into_spool", "into the spool"), ("out_of_spool", "out of the spool")):
        shown.add_row(what, f"{result[name]:,.0f}", f"{result[name] / result['direct']:.2f}")
    shown.caption = (
        f"{result['answered']:,} answered 2xx, {result['missing']} missing; memory in MB over the outage and the drain: "
        f"{', '.join(map(str, result['memory_mb']))}; peak {result['peak_memory_mb']:.0f}"
    )
    return shown


if __name__ == "__main__":
    sys.exit(main())
