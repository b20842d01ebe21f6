"""Room on the disk that is kept for the day on which the disk is full: then what is delivered could not be taken out.

To take rows out, SQLite writes, too. Without that room a full disk would stay full when Kafka is back, and what waits there
would be delivered again and again.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARE: Final = 256
_LEAST_BYTES: Final = 512 * 1024
"""To take out all rows of a full spool at once, about a page in a thousand is written."""


class Reserve:
    """A file of a size, in the spool's folder."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._file = folder / "reserve"
        self._size_bytes = max(max_bytes // _SHARE, _LEAST_BYTES)

    def keep(self) -> None:
        """Take the room, unless it is taken.

        Raises:
            sqlite3.OperationalError: when the disk has not so much.
        """
        try:
            number = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(number).st_size != self._size_bytes:
                    os.ftruncate(number, 0)
                    os.posix_fallocate(number, 0, self._size_bytes)
            finally:
                os.close(number)
        except OSError as error:
            with suppress(OSError):
                self.release()
            raise sqlite3.OperationalError(f"no room for the reserve of {self._size_bytes} bytes: {error.strerror}") from None

    def release(self) -> None:
        """Give the room back to the disk."""
        self._file.unlink(missing_ok=True)
