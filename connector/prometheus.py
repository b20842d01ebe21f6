"""The one module that uses undocumented parts of prometheus_client; tests/unit/test_prometheus.py fails when they change.

The library's histogram takes one duration at a time, and its files of values grow with every worker that has ended.
"""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Histogram
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead


def add_to_histogram(histogram: Histogram, counts: Sequence[int], sum_seconds: float) -> None:
    """Add many durations at once: how many fell into each bucket, the last one without a bound, and their sum."""
    histogram._sum.inc(sum_seconds)  # noqa: SLF001 - see the module
    for bucket, count in zip(histogram._buckets, counts, strict=True):  # noqa: SLF001 - see the module
        if count:
            bucket.inc(count)


def merge_files_of(pid: int, folder: Path) -> None:
    """Add the counts of a worker that has ended to one file for all that have ended; delete its files and its gauges."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    for kind in ("counter", "histogram"):
        of_worker = folder / f"{kind}_{pid}.db"
        if not of_worker.exists():
            continue
        of_ended = MmapedDict(str(folder / f"{kind}_ended.db"))  # type: ignore[no-untyped-call]
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(of_worker)):  # type: ignore[no-untyped-call]
            before, _ = of_ended.read_value(key)  # type: ignore[no-untyped-call]
            of_ended.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
        of_ended.close()  # type: ignore[no-untyped-call]
        of_worker.unlink()
