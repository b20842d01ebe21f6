"""Runs wrk with `load.lua`; in goes an address, out comes what wrk saw."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.callbacks import LoadName, templates

CONNECTIONS: Final = 256
HEADER_NAME: Final = "x-callback-token"
HEADER_VALUE: Final = "a-token-of-the-benchmark"
_SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted in one run. `refused` are answers from 400 on, `broken` errors of connections and time-outs."""

    answers: int
    refused: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def acknowledged(self) -> int:
        """Callbacks answered 2xx."""
        return self.answers - self.refused


def write_templates(file: Path, load: LoadName = "documents") -> None:
    """Write the callbacks of a load to a file for `load.lua`, one a line."""
    file.write_text("".join(f"{template}\n" for template in templates(load)), encoding="utf-8")


def send(url: str, template_file: Path, run: str, seconds: int) -> Load:
    """Load `url` for so many seconds; the ids of the messages hold `run`."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "15s"]
    command += ["--latency", "--script", str(_SCRIPT), url, "--", str(template_file), run, HEADER_NAME, HEADER_VALUE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return Load(**json.loads(done.stdout.splitlines()[-1]))
