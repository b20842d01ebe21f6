"""A small disk, so that it can be full: a file system of its own where that may be mounted, else a limit on each file."""

import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_COMMAND_SECONDS = 20


class SmallDisk:
    """A folder with so little room. `limit` must be told the processes that write there."""

    def __init__(self, size_bytes: int, *, is_mounted: bool) -> None:
        self._size_bytes = size_bytes
        self._is_mounted = is_mounted

    def limit(self, processes: Iterable[int]) -> None:
        """Let processes, and those that they start, write no file larger than the disk, where that is what stands in for it."""
        if not self._is_mounted:
            for pid in processes:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._size_bytes, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Make the folder a small disk until the end of the block."""
    folder.mkdir(parents=True)
    is_mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "spool", str(folder))
    try:
        yield SmallDisk(size_bytes, is_mounted=is_mounted)
    finally:
        if is_mounted:
            # Lazily: whoever still has a file open there, keeps it.
            _run("umount", "--lazy", str(folder))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=_COMMAND_SECONDS, check=False).returncode == 0
    except OSError:
        return False
