"""`python -m benchmarks.where`: where a worker's CPU time goes, by the library whose code ran, sampled by `perf`.

Needs `perf` (Debian: linux-perf) and the right to sample (root, or kernel.perf_event_paranoid at most 1).
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import cores, load, machine, stack
from benchmarks.callbacks import LoadName, templates
from benchmarks.contenders import BRIDGE, STARTS
from benchmarks.cores import Cores
from benchmarks.load import Load
from benchmarks.servers import Server
from benchmarks.stack import Stack
from connector.catalogue import read_catalogue

FILE: Final = "where.json"
_SAMPLES_PER_SECOND: Final = 499
_SAMPLE: Final = re.compile(r"^(?P<thread>.+?)\s+[0-9a-f]+ .*\((?P<file>[^()]+)\)$")
GROUPS: Final[tuple[tuple[str, str], ...]] = (
    ("kernel: network, timers, wake-ups", r"kernel|\[vdso\]|\.ko\b"),
    ("uvloop", r"uvloop"),
    ("httptools", r"httptools"),
    ("msgspec", r"msgspec"),
    ("librdkafka", r"librdkafka|libssl|libsasl|liblz4|libzstd"),
    ("confluent-kafka: between Python and librdkafka", r"confluent_kafka|cimpl"),
    ("hashing", r"_hashlib|_sha|_blake|libcrypto"),
    ("other libraries in C", r"site-packages|lib-dynload"),
    ("Python itself: the project's code, Starlette", r"python"),
    ("libc: memory, threads", r"libc[.-]|libpthread|ld-linux|libstdc|libm[.-]"),
)
"""What ran, by a pattern of the file that its code lies in; the first that fits."""


def main() -> int:
    """Sample and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="length of the load (default 5)")
    parser.add_argument("--load", choices=("documents", "mix", "bad"), default="documents")
    parser.add_argument("--save", metavar="FILE", help="write the shares as JSON, for example to docs/performance/where.json")
    arguments = parser.parse_args()
    missing = [program for program in ("wrk", "taskset", "perf") if shutil.which(program) is None]
    given = cores.share_out()
    if missing or given is None:
        print(f"missing: {', '.join(missing) or 'a second core'} (Debian: wrk, util-linux, linux-perf)", file=sys.stderr)
        return 2
    report: dict[str, Any] = {"machine": machine.described(), "cores": given.described(), "load": arguments.load}
    cores.keep_to(given)
    topics = [record_type.topic for record_type in read_catalogue()]
    with tempfile.TemporaryDirectory(prefix="where-") as name, stack.started(Path(name), topics) as broker:
        report["broker"] = broker.broker
        stack.registered(broker.registry_url)
        report |= _measured(broker, given, Path(name), arguments.load, arguments.seconds)
    if arguments.save:
        Path(arguments.save).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    Console().print(table(report))
    return 0


def _measured(broker: Stack, given: Cores, folder: Path, name: LoadName, seconds: int) -> dict[str, Any]:
    caller = load.Caller(load.write_templates(folder / "templates", templates(name)), given.load)
    with STARTS[BRIDGE](broker, given.server, folder) as server:
        caller.send(server.url, "warmedup", 2)
        before = server.cpu_seconds()
        seen, samples = _sampled(server, caller, folder / "perf.data", seconds)
        cpu_seconds = server.cpu_seconds() - before
    return {
        "cpu_us_per_callback": cpu_seconds * 1e6 / max(seen.acknowledged, 1),
        "shares": _shares(samples),
        "samples": len(samples),
    }


def _sampled(server: Server, caller: load.Caller, file: Path, seconds: int) -> tuple[Load, list[str]]:
    (worker, *_) = server.carriers()
    command = ["perf", "record", "--quiet", "--freq", str(_SAMPLES_PER_SECOND), "--pid", str(worker), "--output", str(file)]
    recording = subprocess.Popen([*command, "--", "sleep", str(seconds)], stderr=subprocess.PIPE)
    seen = caller.send(server.url, "sampled0", seconds)
    _, complaint = recording.communicate()
    if recording.returncode != 0:
        raise RuntimeError(f"perf record failed: {complaint.decode(errors='replace')[-500:]}")
    command = ["perf", "script", "--input", str(file), "--fields", "comm,ip,sym,dso"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return seen, [line for line in done.stdout.splitlines() if line.strip()]


def _shares(samples: Iterable[str]) -> dict[str, float]:
    counts = Counter(group_of(sample) for sample in samples)
    total = sum(counts.values())
    return {group: round(count / total, 4) for group, count in counts.most_common()}


def group_of(sample: str) -> str:
    """Return the group that a line of `perf script` belongs to."""
    found = _SAMPLE.match(sample.strip())
    file = found["file"] if found else ""
    return next((group for group, pattern in GROUPS if re.search(pattern, file)), "not known")


def table(report: Mapping[str, Any]) -> Table:
    """Return the groups, the largest first."""
    shown = Table(title=f"Where a worker's CPU time goes ({report['load']}), {report['samples']:,} samples")
    for heading in ("", "share", "µs per callback"):
        shown.add_column(heading, justify="right" if heading else "left")
    for group, share in report["shares"].items():
        shown.add_row(group, f"{share:.1%}", f"{share * report['cpu_us_per_callback']:.1f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
