"""The undocumented parts of prometheus_client that `connector.prometheus` uses behave as it expects, in this version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from connector.prometheus import add_to_histogram, merge_files_of

_PACKAGE = Path(__file__).parents[2] / "connector"
_WORKER = """
import sys
from connector.metrics import Metrics
metrics = Metrics()
metrics.acknowledged("orders").count += int(sys.argv[1])
metrics.adjusted["clamped_times"].count += 1
metrics.acknowledgement_seconds.observe(0.02)
metrics.ready.set(1)
metrics.flush()
"""


def ended_worker(folder: Path, records: int) -> int:
    """Let a process count something into the folder; return its pid."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    process = subprocess.Popen([sys.executable, "-c", _WORKER, str(records)], env=environment)
    assert process.wait(30) == 0
    return process.pid


def figures(folder: Path) -> dict[str, float | None]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    names = ("connector_acknowledgement_seconds_count", "connector_acknowledgement_seconds_sum", "connector_ready")
    return {
        "records": registry.get_sample_value("connector_records_total", {"topic": "orders"}),
        "adjusted": registry.get_sample_value("connector_adjusted_values_total", {"kind": "clamped_times"}),
        **{name: registry.get_sample_value(name) for name in names},
    }


def test_counts_fall_into_their_own_buckets() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("seconds", "Seconds.", buckets=(0.1, 1.0), registry=registry)

    add_to_histogram(histogram, [3, 2, 1], 4.5)

    cumulative = [registry.get_sample_value("seconds_bucket", {"le": bound}) for bound in ("0.1", "1.0", "+Inf")]
    assert cumulative == [3, 5, 6]
    assert registry.get_sample_value("seconds_count") == 6
    assert registry.get_sample_value("seconds_sum") == pytest.approx(4.5)


def test_histogram_has_one_bucket_more_than_bounds() -> None:
    histogram = Histogram("seconds", "Seconds.", buckets=(0.1, 1.0), registry=CollectorRegistry())

    with pytest.raises(ValueError, match="shorter"):
        add_to_histogram(histogram, [1, 1], 1.0)


def test_counts_of_ended_workers_stay_and_their_files_and_gauges_go(tmp_path: Path) -> None:
    pids = [ended_worker(tmp_path, records) for records in (3, 4)]
    assert figures(tmp_path)["connector_ready"] == 2

    for pid in pids:
        merge_files_of(pid, tmp_path)

    assert figures(tmp_path) == {
        "records": 7,
        "adjusted": 2,
        "connector_acknowledgement_seconds_count": 2,
        "connector_acknowledgement_seconds_sum": pytest.approx(0.04),
        "connector_ready": None,
    }
    assert not [file.name for file in tmp_path.iterdir() for pid in pids if str(pid) in file.name]


def test_no_other_module_uses_undocumented_parts() -> None:
    users = [
        path.relative_to(_PACKAGE).as_posix()
        for path in _PACKAGE.rglob("*.py")
        if any(
            part in path.read_text(encoding="utf-8") for part in ("mmap_dict", "mark_process_dead", "histogram._", "counter._")
        )
    ]
    assert users == ["prometheus.py"]
