"""Every error this package raises, grouped by what the caller should do.

    ConnectorError
    ├── ConfigurationInvalid       fix the settings, a schema or messages.toml; exit code 2
    ├── OtherSideFailed            Kafka, the registry or a bridge did not do its part; exit code 1
    │   ├── KafkaFailed
    │   │   └── KafkaAway          it does not answer: an outage, that passes
    │   └── RegistryFailed
    │       ├── NotRegistered      the registry answers, and does not know our schemas
    │       └── RegistryRefused    rejects this subject or schema; others may still work
    ├── NotAvro                    a text that is no Avro schema
    ├── NotDecodable               a callback that becomes one dead letter
    ├── Misfit                     a value of the wire that does not fit its field: a rejection
    │   └── Missing                a required value that is not there
    ├── NotOpened                  a sealed callback that our keys do not open
    └── NoRoom                     the producer's queue cannot take the whole callback: 503

Every message is safe to log: names and paths, never a value from the wire, never a secret.
"""

from collections.abc import Sequence

from connector.records import EMPTY, Json, Reason


class ConnectorError(Exception):
    """The base of all errors of this package."""


class ConfigurationInvalid(ConnectorError):
    """One or more problems in the settings or the catalogue, all found at once.

    `problems` holds one line each: what, where, and what to do about it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class OtherSideFailed(ConnectorError):
    """A server that we depend on is away, refuses, or lacks what we need; the message says which command helps."""


class KafkaFailed(OtherSideFailed):
    """Kafka is away, refuses, or lacks a topic."""


class KafkaAway(KafkaFailed):
    """Kafka does not answer: an outage, that passes."""


class RegistryFailed(OtherSideFailed):
    """The schema registry is away, refuses, or does not know our schema."""


class NotRegistered(RegistryFailed):
    """The schema registry answers, and does not know our schema: no outage that would pass."""


class RegistryRefused(RegistryFailed):
    """The schema registry answers, and refuses one subject or schema; it may take others."""


class NotAvro(ConnectorError):
    """A text that is no Avro schema, or one that cannot be compared with another."""


class NotDecodable(ConnectorError):
    """A callback whose bytes no dialect explains. `reason` is one of the dead letters' reasons.

    `metadata` and `extra` are what could be read of it all the same, for the dead letter's key and ids.
    """

    def __init__(self, reason: Reason, detail: str, metadata: Json = EMPTY, extra: Json = EMPTY) -> None:
        self.metadata = metadata
        self.extra = extra
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class Misfit(ConnectorError):
    """A value that does not fit its field. `path` is the source path; `fault` names the error, without the value."""

    reason: Reason = "does_not_fit"

    def __init__(self, path: str, fault: str) -> None:
        self.path = path
        self.fault = fault
        super().__init__(f"{path}: {fault}")

    def within(self, array_path: str, index: int) -> "Misfit":
        """Return the same fault with the element's path (`item.price`) seen from outside (`order.items[2].price`)."""
        return type(self)(f"{array_path}[{index}]{self.path.removeprefix('item')}", self.fault)


class Missing(Misfit):
    """A value that a record requires and the callback does not have."""

    reason: Reason = "missing"

    def __init__(self, path: str, fault: str = "is required and not there") -> None:
        super().__init__(path, fault)


class NotOpened(ConnectorError):
    """A sealed callback that our keys do not open; the message names the key's id."""


class NoRoom(ConnectorError):
    """The producer's queue cannot take the whole callback; nothing of it was enqueued."""
