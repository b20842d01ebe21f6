"""Two bytes that all workers of an instance see at once: whether callbacks wait on disk, and whether more are refused.

They are read for each callback, so they lie in mapped memory. Whether any wait changes only under the file's write lock, so
that nothing is overtaken: who reads 0 before that came before it.
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


class Shared:
    """The state of the spool in a folder. It lies in a file there, and says something from the start of an instance on."""

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
        """Whether the last ones are being delivered, and new ones should wait for that, and not queue behind them for ever."""
        return self._bytes[0] == _HELD

    def wait(self) -> None:
        """Note that a callback waits; under the write lock."""
        if self._bytes[0] == _EMPTY:
            self._bytes[0] = _WAITING

    def hold(self) -> None:
        """Let new callbacks wait for the last ones; under the write lock, while any wait."""
        self._bytes[0] = _HELD

    def let_go(self) -> None:
        """Let them queue again; under the write lock."""
        self._bytes[0] = _WAITING

    def empty(self) -> None:
        """Note that none waits; under the write lock."""
        self._bytes[0] = _EMPTY

    @property
    def refusal(self) -> int:
        """Why new callbacks are refused: `TOO_OLD`, `NO_ROOM`, or not at all: `ROOM`."""
        return self._bytes[1]

    @refusal.setter
    def refusal(self, why: int) -> None:
        self._bytes[1] = why

    def close(self) -> None:
        """Let go of the memory."""
        self._bytes.close()
