"""What the pipeline needs from outside: a `Sink` that takes records, and a `Spool` for callbacks that Kafka does not take now.

`connector.kafka.sink` and `connector.spool.intake` implement them.
"""

from collections.abc import Sequence
from typing import Protocol

from connector.errors import NoRoom
from connector.pipeline.outcome import Outcome
from connector.records import KafkaMessage, RawCallback


class Sink(Protocol):
    """Where the records of a callback go: Kafka, or a list in memory."""

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send all records of a callback and await every acknowledgement; `NoRoom` when nothing was enqueued."""
        ...


class Spool(Protocol):
    """Where callbacks wait on disk while Kafka is away."""

    @property
    def is_waiting(self) -> bool:
        """Whether any callback of this instance waits."""
        ...

    async def is_ahead(self) -> bool:
        """Whether a new callback must queue behind what waits, or it would overtake; waits while the last are delivered."""
        ...

    async def store(self, raw: RawCallback, credential: str) -> None:
        """Return once the callback is on disk for good; `NoRoom` when it is not."""
        ...


class NoSpool:
    """The spool of an instance without one: it stores nothing."""

    is_waiting = False

    async def is_ahead(self) -> bool:
        """Say no."""
        return False

    async def store(self, raw: RawCallback, credential: str) -> None:  # noqa: ARG002 - the protocol's
        """Refuse."""
        raise NoRoom("there is no spool")
