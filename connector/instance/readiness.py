"""Why a process is not ready: reasons by name, each with a text, and one event for every change.

A worker has one `Readiness` and the supervisor another; `instance_state` combines them into what `/readyz` shows.
To add a reason, add its name and scope to the tables; the code that detects the condition calls `update`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

Reason = Literal["starting", "schemas", "topics_and_producer", "schema_ids", "spool", "spool_locked", "open_files", "draining"]
Scope = Literal["worker", "limited", "instance"]

_SCOPES: Final[Mapping[Reason, Scope]] = {
    "starting": "worker",
    "schemas": "worker",
    "topics_and_producer": "worker",
    "schema_ids": "worker",
    "spool": "limited",
    "spool_locked": "worker",
    "open_files": "limited",
    "draining": "instance",
}
"""What a reason concerns. `worker`: it takes no callbacks. `limited`: it takes them, and cannot store any during an outage, or
accepts no new connections. `instance`: it stops, and takes callbacks until it has drained."""

_HIDDEN_BY: Final[Mapping[Scope, Scope]] = {"worker": "instance", "limited": "worker"}
"""Scopes whose reasons are not shown while there is one of another scope. What the start waits for no longer matters once the
instance stops; a worker that takes no callbacks needs no spool."""

STARTING: Final = "schema ids, topics and producer are not proven yet"
DRAINING: Final = "the bridge is stopping"


class Changes:
    """Wakes all waiters at every change, like a condition variable that needs no lock: all of it is on one event loop."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wake all waiters."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the next change, at most for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._next.wait()
        except TimeoutError:
            pass

    async def until(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until a condition is true, at most for so many seconds; return whether it is. Each change checks it again."""
        try:
            async with asyncio.timeout(seconds):
                # No change is missed: nothing is awaited between the check and the wait.
                while not condition():
                    await self._next.wait()
        except TimeoutError:
            return bool(condition())
        return True


class Readiness:
    """The readiness of one process: ready while it has no reason not to be. `changes` signals every change."""

    def __init__(self, reasons: Mapping[Reason, str] | None = None) -> None:
        self._texts: dict[Reason, str] = {}
        self.changes = Changes()
        self.takes_callbacks = True
        """Whether no reason concerns the worker itself. A plain attribute: it is read for each callback."""
        self.update(reasons or {})

    @property
    def is_ready(self) -> bool:
        """Whether there is no reason of any scope."""
        return not self._texts

    @property
    def reasons(self) -> dict[str, str]:
        """The reasons to show, by name: all but those that another scope hides."""
        scopes = {_SCOPES[name] for name in self._texts}
        return {name: text for name, text in self._texts.items() if _HIDDEN_BY.get(_SCOPES[name]) not in scopes}

    def update(self, reasons: Mapping[Reason, str]) -> None:
        """Set the texts of some reasons; an empty text removes a reason."""
        before = dict(self._texts)
        for name, text in reasons.items():
            if text:
                self._texts[name] = text
            else:
                self._texts.pop(name, None)
        self.takes_callbacks = not any(_SCOPES[name] == "worker" for name in self._texts)
        if self._texts != before:
            self.changes.notify()


def instance_state(instance: Readiness, workers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the readiness of an instance, as `/readyz` shows it: ready while any worker is, unless the instance is not.

    `workers` are the last reports of the workers, each with `ready` and `reasons`.
    """
    of_workers = {name: text for worker in workers for name, text in worker["reasons"].items()}
    return {
        "ready": instance.is_ready and any(worker["ready"] for worker in workers),
        "reasons": instance.reasons or of_workers,
        "workers": list(workers),
    }
