"""What becomes of the records of a callback, as a `Sink` reports it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from connector.records import KafkaMessage

OPERATORS_FAULTS: Final = frozenset(
    {
        "TOPIC_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
    }
)
"""Per-topic errors that need an operator; spooling these would block every other callback."""


class Failure(NamedTuple):
    """A record that Kafka did not acknowledge, and the name of the error."""

    message: KafkaMessage
    error: str
    for_good: bool


class Outcome(NamedTuple):
    """What became of the records of one callback: `refused` are those that Kafka will never take."""

    refused: list[Failure]
    unconfirmed: list[Failure]

    @property
    def may_pass_later(self) -> bool:
        """Whether Kafka did not confirm, and no operator is needed to fix it."""
        return bool(self.unconfirmed) and all(failure.error not in OPERATORS_FAULTS for failure in self.unconfirmed)

    def acknowledged(self, messages: Sequence[KafkaMessage]) -> Sequence[KafkaMessage]:
        """Return those of the messages sent that Kafka acknowledged."""
        if not (self.refused or self.unconfirmed):
            return messages
        # By identity: a callback may have thousands, and all of them may have failed.
        failed = {id(failure.message) for failure in self.refused + self.unconfirmed}
        return [message for message in messages if id(message) not in failed]


ALL_ACKNOWLEDGED: Final = Outcome([], [])
"""What nearly always becomes of them. Never written to."""
