"""Loads a server, by wrk with `load.lua` or at a fixed rate by `open.c`; in goes an address, out comes what the caller saw."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CONNECTIONS: Final = 256
HEADER_NAME: Final = "x-callback-token"
HEADER_VALUE: Final = "a-token-of-the-benchmark"
_SCRIPT: Final = Path(__file__).with_name("load.lua")
_OPEN: Final = Path(__file__).with_name("open.c")
_LONGEST_SECONDS: Final = 30
"""How much longer than its length a run can take: for the last answers."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was counted in one run. `refused` are answers from 400 on, `broken` errors of connections and time-outs."""

    answers: int
    refused: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def acknowledged(self) -> int:
        """Callbacks answered 2xx."""
        return self.answers - self.refused


class Caller:
    """Sends the callbacks of `template_file` from `cores` over so many connections, each with one callback under way."""

    def __init__(self, template_file: Path, cores: Sequence[int], connections: int = CONNECTIONS) -> None:
        self.connections = connections
        self._templates = template_file
        self._pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))]

    def send(self, url: str, run: str, seconds: int) -> Load:
        """Load `url` as fast as it answers; the ids of the messages hold `run`, eight characters and one more."""
        command = [*self._pinned, "wrk", "--threads", "1", "--connections", str(self.connections)]
        command += ["--duration", f"{seconds}s", "--timeout", "15s", "--latency", "--script", str(_SCRIPT), url, "--"]
        return _run([*command, str(self._templates), run, HEADER_NAME, HEADER_VALUE], seconds)

    def send_at(self, program: Path, url: str, run: str, seconds: int, rate: float) -> Load:
        """Send `rate` callbacks/s, whether answers come or not; latency counts from when each should have been sent.

        `program` is what `compiled` returned.
        """
        address = urlsplit(url)
        command = [*self._pinned, str(program), str(address.port), address.path, str(self._templates), run]
        command += [HEADER_NAME, HEADER_VALUE, str(self.connections), f"{rate:.3f}", str(seconds)]
        return _run(command, seconds)


def write_templates(file: Path, templates: Sequence[str]) -> Path:
    """Write the callbacks of a load to a file for the senders, one a line; return the file."""
    file.write_text("".join(f"{template}\n" for template in templates), encoding="utf-8")
    return file


def compiled(folder: Path) -> Path:
    """Compile the sender of `send_at` into a folder; needs a C compiler named cc."""
    program = folder / "open"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(_OPEN)], check=True)
    return program


def _run(command: Sequence[str], seconds: int) -> Load:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _LONGEST_SECONDS, check=True)
    return Load(**json.loads(done.stdout.splitlines()[-1]))
