"""Starts the baseline and the bridge, each alone on one core, and reads what they cost from /proc."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.load import HEADER_NAME, HEADER_VALUE
from benchmarks.stack import Stack
from tests.stack.ports import free_ports

PATH: Final = "/callbacks/kaleyra"
HASHED: Final = """[privacy]
phone = "hash"
hash_key = "an invented key of 32 characters"
hash_key_id = "bench"
"""
_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load: where it is called, and its processes."""

    url: str
    pid: int
    metrics_url: str = ""

    def cpu_seconds(self) -> float:
        """CPU time of all its processes and threads until now."""
        ticks = 0
        for pid in _tree(self.pid):
            after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / _TICKS_PER_SECOND

    def peak_memory_mb(self) -> float:
        """Peak resident memory of its largest process: the one that carries callbacks."""
        return max(_kib(pid, "VmHWM") for pid in _tree(self.pid)) / 1024

    def memory_mb(self) -> float:
        """Resident memory of its largest process now."""
        return max(_kib(pid, "VmRSS") for pid in _tree(self.pid)) / 1024


@contextmanager
def baseline(stack: Stack, core: int, folder: Path) -> Iterator[Server]:
    """Run the baseline."""
    (port,) = free_ports(1)
    command = ["-m", "benchmarks.baseline", str(port), stack.bootstrap_servers, stack.registry_url]
    with _running(command, core, folder / "baseline.log", f"http://127.0.0.1:{port}/readyz") as pid:
        yield Server(f"http://127.0.0.1:{port}{PATH}", pid)


@contextmanager
def bridge(stack: Stack, core: int, folder: Path, spool: Path | None = None, *, hashed: bool = False) -> Iterator[Server]:
    """Run `connector serve` with one worker, and all that belongs to it: headers, metrics, authentication.

    By wish with a spool, or with phones `hashed`.
    """
    port, management_port = free_ports(2)
    settings = folder / "connector.toml"
    settings.write_text(
        f"""
[http]
host = "127.0.0.1"
port = {port}
path = "{PATH}"
[management]
port = {management_port}
[authentication]
header_name = "{HEADER_NAME}"
header_value = "{HEADER_VALUE}"
[kafka.client]
"bootstrap.servers" = "{stack.bootstrap_servers}"
[registry]
url = "{stack.registry_url}"
[spool]
folder = "{spool or ""}"
{HASHED if hashed else ""}""",
        encoding="utf-8",
    )
    command = ["-m", "connector", "serve", "--config", str(settings), "--workers", "1"]
    with _running(command, core, folder / "bridge.log", f"http://127.0.0.1:{management_port}/readyz") as pid:
        yield Server(f"http://127.0.0.1:{port}{PATH}", pid, f"http://127.0.0.1:{management_port}/metrics")


@contextmanager
def _running(command: list[str], core: int, log: Path, ready_url: str) -> Iterator[int]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), sys.executable, *command],
            stdout=out,
            stderr=out,
        )
    try:
        _wait_until_ready(process, ready_url, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"the server is not ready; {log.name} ends:\n{end}")


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").iterdir():
            pids += [int(child) for child in (task / "children").read_text(encoding="utf-8").split()]
    return pids


def _kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
