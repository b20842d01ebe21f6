"""The two ledgers: what the senders sent and were answered, and what is in the topics."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

NO_ANSWER: Final = 0
"""As a status: the connection was refused or cut, or no answer came in time."""


class Answer(NamedTuple):
    """What came back for one sending of a callback; times are seconds of one monotonic clock."""

    status: int
    began: float
    ended: float


@dataclass(slots=True)
class Sent:
    """A callback: its `mark` is in each of its records, `topics` are where those belong, `key` is the person."""

    mark: str
    key: str
    topics: frozenset[str]
    answers: list[Answer] = field(default_factory=list)

    def accepted_at(self) -> float | None:
        """Return when it was first answered 200; None when it never was."""
        return next((answer.ended for answer in self.answers if answer.status == 200), None)


class Found(NamedTuple):
    """A record. `content` is its value without the time of receipt, in milliseconds, which is a separate field."""

    topic: str
    partition: int
    offset: int
    key: str | None
    mark: str
    ce_id: str
    content: str
    received_at: int
