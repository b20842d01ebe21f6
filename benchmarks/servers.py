"""Starts the baseline and the bridge on the cores of the server, and reads what they cost from /proc."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.load import HEADER_NAME, HEADER_VALUE
from benchmarks.stack import Stack
from tests.stack.ports import free_ports

PATH: Final = "/callbacks/kaleyra"
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

    def carriers(self) -> list[int]:
        """Return the processes that carry callbacks: its workers, else itself."""
        return _tree(self.pid)[1:] or [self.pid]

    def freeze(self) -> None:
        """Freeze it: it costs nothing while another is measured on the same core."""
        for pid in _tree(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Resume it, and count its peak memory from here."""
        for pid in reversed(_tree(self.pid)):
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
            os.kill(pid, signal.SIGCONT)

    def peak_memory_mb(self) -> float:
        """Peak resident memory of its largest process: the one that carries callbacks."""
        return max(_kib(pid, "VmHWM") for pid in _tree(self.pid)) / 1024

    def memory_mb(self) -> float:
        """Resident memory of its largest process now."""
        return max(_kib(pid, "VmRSS") for pid in _tree(self.pid)) / 1024


@contextmanager
def baseline(stack: Stack, cores: Sequence[int], folder: Path) -> Iterator[Server]:
    """Run the baseline."""
    (port,) = free_ports(1)
    command = ["-m", "benchmarks.baseline", str(port), stack.bootstrap_servers, stack.registry_url]
    with _running(command, cores, folder / "baseline.log", f"http://127.0.0.1:{port}/readyz") as pid:
        yield Server(f"http://127.0.0.1:{port}{PATH}", pid)


@contextmanager
def bridge(
    stack: Stack,
    cores: Sequence[int],
    folder: Path,
    *,
    workers: int = 1,
    has_spool: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run `connector serve` with all that production has: headers, metrics, authentication, bounds, a spool.

    `settings` are further ones, by their names in the environment.
    """
    port, management_port = free_ports(2)
    file, spool = folder / f"connector-{port}.toml", folder / f"spool-{port}"
    file.write_text(
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
folder = "{spool if has_spool else ""}"
""",
        encoding="utf-8",
    )
    command = ["-m", "connector", "serve", "--config", str(file), "--workers", str(workers)]
    ready_url = f"http://127.0.0.1:{management_port}/readyz"
    with _running(command, cores, folder / f"bridge-{port}.log", ready_url, settings, workers) as pid:
        yield Server(f"http://127.0.0.1:{port}{PATH}", pid, f"http://127.0.0.1:{management_port}/metrics")


@contextmanager
def _running(
    command: list[str],
    cores: Sequence[int],
    log: Path,
    ready_url: str,
    settings: Mapping[str, str] | None = None,
    processes: int = 1,
) -> Iterator[int]:
    # One core for each process, where there are enough: the client's threads must not have an extra one.
    # The caller's own CONNECTOR_ variables are not passed on.
    own = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores[:processes])), sys.executable, *command],
            stdout=out,
            stderr=out,
            env=own | dict(settings or {}),
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
