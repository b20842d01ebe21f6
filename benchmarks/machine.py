"""The machine, date and versions of a measurement. Nothing that names a person, a host or a folder."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka

from connector import __version__
from tests.stack.versions import KAFKA_VERSION

_LIBRARIES = ("starlette", "uvicorn", "uvloop", "httptools", "msgspec", "confluent-kafka")


def described() -> dict[str, Any]:
    """Return the description as JSON, for the files of docs/performance."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "connector": __version__,
        "commit": _commit(),
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        **{library: version(library) for library in _LIBRARIES},
        # Other work on the machine makes every figure worse.
        "load_before": round(os.getloadavg()[0], 2),
    }


def in_one_line(machine: dict[str, Any]) -> str:
    """Return the description as the text of a caption."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['date']}; connector {machine['connector']} "
        f"({machine['commit']}), Python {machine['python']}, Kafka {machine['kafka']}, librdkafka {machine['librdkafka']}; "
        f"load of the machine before: {machine['load_before']}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"
