"""An instance takes the spool at its start: it waits for the lock while another instance has it, then checks the file.

In a rolling update the new instance starts while the old one drains. The lock of the folder decides when it is its turn.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from connector.instance.readiness import Readiness
from connector.logs import event
from connector.settings.tables import Spool
from connector.spool.lock import SpoolLock
from connector.spool.recovery import check_or_salvage

_POLL_SECONDS: Final = 0.2


async def take_spool(spool: Spool, lock: SpoolLock, readiness: Readiness, is_stopping: Callable[[], bool]) -> None:
    """Wait for the lock, and make the spool ready; return at once if the instance stops meanwhile.

    Raises:
        ConfigurationInvalid: if another instance still has the lock after the timeout, or the spool cannot be used.
    """
    if not lock.acquire():
        await _wait(spool.lock_timeout_seconds, lock, readiness, is_stopping)
    if not is_stopping():
        # In a thread: to salvage a damaged file can take long, and probes ask meanwhile.
        await asyncio.to_thread(check_or_salvage, spool)


async def _wait(timeout_seconds: float, lock: SpoolLock, readiness: Readiness, is_stopping: Callable[[], bool]) -> None:
    if timeout_seconds:
        text = f"{lock.folder} is used by another instance; waiting up to {timeout_seconds:g} s until that one stops"
        readiness.update({"starting": "", "spool_locked": text})
        event("spool_locked", "warning", folder=str(lock.folder), lock_timeout_seconds=timeout_seconds)
    now = asyncio.get_running_loop().time
    deadline = now() + timeout_seconds
    while not (is_stopping() or lock.acquire()):
        if now() >= deadline:
            raise lock.in_use()
        await readiness.changes.until(is_stopping, min(_POLL_SECONDS, deadline - now()))
    readiness.update({"spool_locked": ""})
