"""A worker's connection to the spool's file, with its own thread, since SQLite blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from connector.settings.tables import Spool
from connector.spool.file import File
from connector.spool.shared_flags import SharedFlags

Returned = TypeVar("Returned")
Arguments = TypeVarTuple("Arguments")


class SpoolConnection:
    """Use `file` only through `run`; `flags` can be read at any time."""

    def __init__(self, settings: Spool) -> None:
        folder = Path(settings.folder)
        self.flags = SharedFlags(folder)
        self.file = File(folder, settings.max_bytes, self.flags)
        self._thread = ThreadPoolExecutor(1, "spool")

    async def run(self, call: Callable[[*Arguments], Returned], *arguments: *Arguments) -> Returned:
        """Run a method of the file in the thread, and return its result.

        Raises:
            sqlite3.Error: when the disk or the file fails; then nothing was changed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def close(self) -> None:
        """Finish the running call, then close the file."""
        self._thread.shutdown(wait=True)
        self.file.close()
        self.flags.close()


def name_of(error: Exception) -> str:
    """Return SQLite's name of an error, or the type's name of any other error."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
