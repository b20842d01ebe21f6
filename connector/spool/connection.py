"""The spool's file as a worker has it: its own connection, and a thread of its own, since SQLite blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from connector.settings.tables import Spool
from connector.spool.file import File
from connector.spool.shared_flags import Shared

Returned = TypeVar("Returned")
Given = TypeVarTuple("Given")


class Opened:
    """`file` is used by `run` alone; `shared` may be looked at any time."""

    def __init__(self, settings: Spool) -> None:
        folder = Path(settings.folder)
        self.shared = Shared(folder)
        self.file = File(folder, settings.max_bytes, self.shared)
        self._thread = ThreadPoolExecutor(1, "spool")

    async def run(self, call: Callable[[*Given], Returned], *arguments: *Given) -> Returned:
        """Return what a method of the file does, done in the thread.

        Raises:
            sqlite3.Error: when the disk or the file fails; then nothing was changed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def close(self) -> None:
        """Finish what is under way, and let go."""
        self._thread.shutdown(wait=True)
        self.file.close()
        self.shared.close()


def name_of(error: Exception) -> str:
    """Return SQLite's name of an error, or the kind of another one."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))
