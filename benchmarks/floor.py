"""`python -m benchmarks.floor`: what the same work costs without Python, and the bridge beside it, in CPU time per callback.

Measured apart and added up: nginx that answers the callbacks with 200, parsing and writing Avro in C++ (simdjson), and
librdkafka that produces the records which the bridge makes of them (floor.cpp). Needs g++, nginx, libsimdjson-dev and
librdkafka-dev. Not in it: authentication, bounds, the choice of fields and their conversions, ids, metrics, dead letters, the
spool, and what it takes to bring the parts together.
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import cores, load, machine, servers, stack
from benchmarks.callbacks import ID, NUMBER, TIME, templates
from benchmarks.contenders import BRIDGE, STARTS, running, written_by
from benchmarks.cores import Cores
from benchmarks.stack import Stack
from connector.catalogue import read_catalogue
from tests.stack.ports import free_ports
from tests.support.callbacks import messages_of

FILE: Final = "floor.json"
_SOURCE: Final = Path(__file__).with_name("floor.cpp")
_FILLED: Final = {ID: f"wamid.HBgM{'1234567890' * 5}", NUMBER: "393335550142", TIME: "1763720001"}
_READY_SECONDS: Final = 10.0
PARTS: Final = {
    "http": "nginx answers 200",
    "json": "JSON parsed, Avro written (simdjson, C++)",
    "kafka": "records produced (librdkafka, C++)",
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="length of a run (default 5)")
    parser.add_argument("--save", metavar="FILE", help="write the figures as JSON, for example to docs/performance/floor.json")
    arguments = parser.parse_args()
    missing = [program for program in ("wrk", "taskset", "nginx", "g++") if shutil.which(program) is None]
    given = cores.share_out()
    if missing or given is None:
        needed = "apt install wrk util-linux nginx-light g++ libsimdjson-dev librdkafka-dev"
        print(f"missing: {', '.join(missing) or 'a second core'} (Debian: {needed})", file=sys.stderr)
        return 2
    report: dict[str, Any] = {"machine": machine.described(), "cores": given.described()}
    cores.keep_to(given)
    topics = [record_type.topic for record_type in read_catalogue()]
    with tempfile.TemporaryDirectory(prefix="floor-") as name, stack.started(Path(name), topics) as broker:
        if broker.kafka is None:
            print("the real Kafka is needed (Java and Maven)", file=sys.stderr)
            return 2
        stack.registered(broker.registry_url)
        report["cpu_us_per_callback"] = _measured(broker, given, Path(name), arguments.seconds)
    if arguments.save:
        Path(arguments.save).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    Console().print(table(report))
    return 0


def _measured(broker: Stack, given: Cores, folder: Path, seconds: int) -> dict[str, float]:
    caller = load.Caller(load.write_templates(folder / "templates", templates()), given.load)
    with running(
        STARTS[BRIDGE],
        written_by(BRIDGE, read_catalogue()),
        broker,
        given,
        folder,
        keeps_records=True,
    ) as bridge:
        ours = bridge.run(caller, seconds, warm_up_seconds=2)
    if ours.wrong:
        raise RuntimeError(", ".join(ours.wrong))
    program = folder / "floor"
    build = ["g++", "-std=c++17", "-O2", "-o", str(program), str(_SOURCE), "-lsimdjson", "-lrdkafka"]
    subprocess.run(build, check=True)
    bodies = [filled(template) for template in templates()]
    (folder / "bodies").write_text("".join(f"{body}\n" for body in bodies), encoding="utf-8")
    (folder / "records").write_bytes(_records(bodies))
    with _nginx(given, folder) as server:
        caller.send(server.url, "warmedup", 1)
        before = server.cpu_seconds()
        answered = caller.send(server.url, "measured", seconds).acknowledged
        http = (server.cpu_seconds() - before) * 1e6 / answered
    parts = {
        "http": http,
        "json": _run(given, program, "json", str(folder / "bodies"), str(seconds)),
        "kafka": _run(given, program, "kafka", broker.bootstrap_servers, str(folder / "records"), str(seconds)),
    }
    return {**parts, "floor": sum(parts.values()), "bridge": ours.figures.cpu_us_per_callback}


def _run(given: Cores, program: Path, *arguments: str) -> float:
    command = ["taskset", "--cpu-list", str(given.server[0]), str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["cpu_us_per_callback"])


def filled(template: str) -> str:
    """Return a callback with values in place of the placeholders for ids and times."""
    for placeholder, text in _FILLED.items():
        template = template.replace(placeholder, text)
    return template


def _records(bodies: Sequence[str]) -> bytes:
    """Return what the bridge makes of the callbacks, as floor.cpp reads it: every number and length before what it counts."""

    def sized(data: bytes) -> bytes:
        return struct.pack("I", len(data)) + data

    parts = [struct.pack("I", len(bodies))]
    for body in bodies:
        messages = messages_of(body.encode())
        parts.append(struct.pack("I", len(messages)))
        for message in messages:
            parts += [sized(message.topic.encode()), sized(message.key or b""), sized(message.value)]
            parts.append(struct.pack("I", len(message.headers)))
            parts += [sized(name.encode()) + sized(value) for name, value in message.headers]
    return b"".join(parts)


@contextmanager
def _nginx(given: Cores, folder: Path) -> Iterator[servers.Server]:
    (port,) = free_ports(1)
    file = folder / "nginx.conf"
    file.write_text(
        f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200; }}
  }}
}}
""",
        encoding="utf-8",
    )
    command = ["taskset", "--cpu-list", str(given.server[0]), "nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(url):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("nginx does not answer")
            time.sleep(0.1)
        yield servers.Server(url, process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def table(report: dict[str, Any]) -> Table:
    """Return the parts, their sum and the bridge."""
    figures = report["cpu_us_per_callback"]
    shown = Table(title="CPU µs per callback (documents and orders), all threads", caption=report["cores"])
    shown.add_column("")
    shown.add_column("µs", justify="right")
    for part, what in PARTS.items():
        shown.add_row(what, f"{figures[part]:.1f}")
    shown.add_row("together: the floor", f"{figures['floor']:.1f}")
    shown.add_row("the bridge, with all that it does", f"{figures['bridge']:.1f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
