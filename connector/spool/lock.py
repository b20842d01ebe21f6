"""The lock on a spool's folder: one instance at a time uses it, from before the file is checked until its last worker ended."""

import fcntl
import os
from pathlib import Path

from connector.errors import ConfigurationInvalid


class SpoolLock:
    """Opens the lock of a folder, which is created if missing; `acquire` takes it, for the life of the process or `release`.

    `number` is the file descriptor. A process that inherits it holds the lock too: the workers do, so that no other instance
    starts while workers of a killed supervisor still write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.number = os.open(folder / "instance.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise refused(folder, f"{error.strerror}; name a folder that the connector's user can write") from None

    def acquire(self) -> bool:
        """Take the lock, and return whether that was possible: another instance may have it."""
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def in_use(self) -> ConfigurationInvalid:
        """Return the error for a folder that another instance uses."""
        return refused(self.folder, "another instance uses it; give each instance its own folder")

    def release(self) -> None:
        """Let another instance use the folder, once no worker holds the lock either."""
        os.close(self.number)


def refused(folder: Path, what: str) -> ConfigurationInvalid:
    """Return the error for a folder that cannot be used."""
    return ConfigurationInvalid([f"spool.folder: {folder}: {what}"])
