"""Disk space that is reserved for a full disk: without it, delivered callbacks could not be deleted.

SQLite writes when it deletes rows, too. Without the reserve a full disk would stay full once Kafka is back, and the waiting
callbacks would be delivered again and again.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARE: Final = 256
_MIN_BYTES: Final = 512 * 1024
"""Deleting all rows of a full spool at once writes about one page in a thousand."""


class Reserve:
    """A file of a fixed size in the spool's folder."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._file = folder / "reserve"
        self._size_bytes = max(max_bytes // _SHARE, _MIN_BYTES)

    def allocate(self) -> None:
        """Allocate the space, unless it is allocated already.

        Raises:
            sqlite3.OperationalError: when the disk does not have enough free space.
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
        """Give the space back to the disk."""
        self._file.unlink(missing_ok=True)
