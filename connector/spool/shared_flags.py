"""Two bytes that all workers of an instance share: whether callbacks wait on disk, and whether new ones are refused.

They are read for each callback, so they are mapped memory. The first flag changes only under the file's write lock, so a
worker that reads 0 is ordered before the first spooled callback.
"""

import mmap
import os
from pathlib import Path
from typing import Final

_EMPTY: Final = 0
_WAITING: Final = 1
_HELD: Final = 2

ROOM: Final = 0
TOO_OLD: Final = 1
NO_ROOM: Final = 2


class SharedFlags:
    """The flags of the spool in a folder. They are in a file there, and are valid once `recover` has reset them."""

    def __init__(self, folder: Path) -> None:
        number = os.open(folder / "shared", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(number, 2)
            self._bytes = mmap.mmap(number, 2)
        finally:
            os.close(number)

    @property
    def is_waiting(self) -> bool:
        """Whether any callback waits on disk."""
        return self._bytes[0] != _EMPTY

    @property
    def is_held(self) -> bool:
        """Whether the last callbacks are being delivered: new ones wait for that, or the queue might never become empty."""
        return self._bytes[0] == _HELD

    def set_waiting(self) -> None:
        """Record that a callback waits; call it under the write lock."""
        if self._bytes[0] == _EMPTY:
            self._bytes[0] = _WAITING

    def hold(self) -> None:
        """Make new callbacks wait for the last ones; call it under the write lock, while any wait."""
        self._bytes[0] = _HELD

    def end_hold(self) -> None:
        """Let new callbacks queue again; call it under the write lock."""
        self._bytes[0] = _WAITING

    def set_empty(self) -> None:
        """Record that no callback waits; call it under the write lock."""
        self._bytes[0] = _EMPTY

    @property
    def refusal(self) -> int:
        """Why new callbacks are refused: `TOO_OLD` or `NO_ROOM`; `ROOM` when they are not."""
        return self._bytes[1]

    @refusal.setter
    def refusal(self, why: int) -> None:
        self._bytes[1] = why

    def close(self) -> None:
        """Unmap the memory."""
        self._bytes.close()
