"""What the flow knows of the spool: where callbacks go that Kafka does not take now. The disk is in `connector.spool`."""

from typing import Protocol

from connector.errors import NoRoom
from connector.records import RawCallback


class Spool(Protocol):
    """Where callbacks wait on disk while Kafka is away."""

    @property
    def is_waiting(self) -> bool:
        """Whether any callback of this instance waits."""
        ...

    async def is_ahead(self) -> bool:
        """Whether a new callback must queue behind what waits, or it would overtake; waits while the last are delivered."""
        ...

    async def keep(self, raw: RawCallback, credential: str) -> None:
        """Return once the callback is on disk for good; `NoRoom` when it is not."""
        ...


class NoSpool:
    """What stands in for the spool while none is set: it has room for nothing."""

    is_waiting = False

    async def is_ahead(self) -> bool:
        """Say no."""
        return False

    async def keep(self, raw: RawCallback, credential: str) -> None:  # noqa: ARG002 - the protocol's
        """Refuse."""
        raise NoRoom("there is no spool")
