"""A small disk, so that it can be full: a separate file system if it can be mounted, else a limit on each file."""

import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_COMMAND_SECONDS = 20
_BLOCK_BYTES = 64 * 1024


class SmallDisk:
    """A folder with so little room. `limit` and `fill` need the processes that write there."""

    def __init__(self, folder: Path, size_bytes: int, *, is_mounted: bool) -> None:
        self._filler = folder / "filler"
        self._size_bytes = size_bytes
        self._is_mounted = is_mounted

    def limit(self, processes: Iterable[int]) -> None:
        """Without a mounted disk, let processes and their children write no file larger than the disk."""
        if not self._is_mounted:
            _limit_files(processes, self._size_bytes)

    def fill(self, processes: Iterable[int]) -> None:
        """Leave no room at all."""
        if not self._is_mounted:
            _limit_files(processes, 0)
            return
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(_BLOCK_BYTES))

    def make_room(self) -> None:
        """Undo `fill`, for processes that start from now on."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Make the folder a small disk until the end of the block."""
    folder.mkdir(parents=True)
    is_mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "spool", str(folder))
    try:
        yield SmallDisk(folder, size_bytes, is_mounted=is_mounted)
    finally:
        if is_mounted:
            # Lazily: a process that has a file open there keeps it.
            _run("umount", "--lazy", str(folder))


def _limit_files(processes: Iterable[int], size_bytes: int) -> None:
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=_COMMAND_SECONDS, check=False).returncode == 0
    except OSError:
        return False
