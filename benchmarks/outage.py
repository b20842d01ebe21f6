"""`python -m benchmarks.outage`: the bridge with its spool, before, in and after an outage of Kafka.

The broker is frozen under load, and goes on later. Measured are callbacks/s while Kafka is there, callbacks/s into the spool
while it is not, callbacks/s out of it afterwards, and the worker's memory all along. Every 2xx is looked up in the topics.
"""

import argparse
import json
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
from benchmarks.callbacks import templates
from benchmarks.contenders import BRIDGE, written_by
from benchmarks.cores import Cores, keep_to, share_out
from connector.catalogue import read_catalogue

_WARM_UP_SECONDS: Final = 3
_UNTIL_KNOWN_SECONDS: Final = 12
"""Longer than the delivery timeout."""
_DRAINED_SECONDS: Final = 300
MEMORY_SECONDS: Final = 0.5
"""Between two samples."""


def main() -> int:
    """Measure and print; return 1 when a 2xx is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="length of the load before the outage (default 10)")
    parser.add_argument("--outage-seconds", type=int, default=30, help="length of the load in the outage (default 30)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    cores = share_out()
    if cores is None:
        print("two cores are needed: one for the server, one for load and broker", file=sys.stderr)
        return 2
    keep_to(cores)
    topics = [record_type.topic for record_type in read_catalogue()]
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        stack.started(Path(name), topics) as running,
    ):
        if running.kafka is None:
            print("the real Kafka is needed (Java and Maven)", file=sys.stderr)
            return 2
        stack.registered(running.registry_url)
        result = measured(running, cores, Path(name), arguments.seconds, arguments.outage_seconds)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(table(result))
    return 1 if result["missing"] else 0


def measured(running: stack.Stack, cores: Cores, folder: Path, seconds: int, outage_seconds: int) -> dict[str, Any]:
    """Freeze and resume the stack's broker under load; return the figures. The broker must be the real one."""
    assert running.kafka is not None
    caller = load.Caller(load.write_templates(folder / "outage.templates", templates()), cores.load)
    run = secrets.token_hex(4)
    with servers.bridge(running, cores.server, folder) as server:
        caller.send(server.url, secrets.token_hex(4), _WARM_UP_SECONDS)
        topics = check.Topics(running.bootstrap_servers, written_by(BRIDGE, read_catalogue()))
        direct = caller.send(server.url, f"{run}a", seconds)
        running.kafka.freeze()
        # Until the outage is known: then no callback waits for Kafka, and only the spool is measured.
        unsettled = caller.send(server.url, f"{run}b", _UNTIL_KNOWN_SECONDS)
        memory: list[float] = []
        with sampled(server, memory):
            spooling = caller.send(server.url, f"{run}c", outage_seconds)
            waiting = _figure(server, "connector_spool_waiting_callbacks")
            waiting_bytes = _figure(server, "connector_spool_waiting_bytes")
            running.kafka.resume()
            drained = _drained(server)
        peak = server.peak_memory_mb()
    found = topics.added(f"{run}[abc]", read=True)
    topics.close()
    answered = direct.acknowledged + unsettled.acknowledged + spooling.acknowledged
    tenth = max(1, len(memory) // 10)
    return {
        "direct": direct.acknowledged / direct.seconds,
        "into_spool": spooling.acknowledged / spooling.seconds,
        "out_of_spool": waiting / drained,
        "p50_ms": {"direct": direct.p50_ms, "into_spool": spooling.p50_ms},
        "p99_ms": {"direct": direct.p99_ms, "into_spool": spooling.p99_ms},
        "waiting": waiting,
        "bytes_per_callback": waiting_bytes / max(waiting, 1),
        "refused": unsettled.refused + spooling.refused,
        "memory_mb": [round(value) for value in memory[::tenth]],
        "peak_memory_mb": peak,
        "answered": answered,
        "missing": max(0, answered - (found.event_ids or 0)),
    }


@contextmanager
def sampled(server: servers.Server, into: list[float]) -> Iterator[None]:
    """Add the server's memory in MB to a list, twice a second, while this is entered."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(MEMORY_SECONDS):
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


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
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
