"""Every error this package raises, grouped by what the caller should do.

    ConnectorError
    ├── ConfigurationInvalid       fix the settings, a schema or messages.toml; exit code 2
    ├── OtherSideFailed            Kafka, the registry or a bridge failed; exit code 1
    │   ├── KafkaFailed
    │   │   └── KafkaAway          does not answer: a temporary outage
    │   └── RegistryFailed
    │       ├── NotRegistered      answers, but does not know our schemas
    │       └── RegistryRefused    rejects this subject or schema; others may still work
    ├── NotAvro                    a text that is not an Avro schema
    ├── NotDecodable               a callback that becomes one dead letter
    ├── Misfit                     a value of a callback that does not fit its field: a dead letter
    │   └── Missing                a required value that is absent
    ├── NotOpened                  a sealed callback that our keys do not open
    └── NoRoom                     the producer's queue has no room for the whole callback: 503

Every message is safe to log: names and paths, never a value from a callback, never a secret.
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
    """A server that we depend on is down, refuses, or lacks what we need; the message says which command helps."""


class KafkaFailed(OtherSideFailed):
    """Kafka is down, refuses, or lacks a topic."""


class KafkaAway(KafkaFailed):
    """Kafka does not answer: a temporary outage."""


class BrokersUnreachable(KafkaAway):
    """Kafka answers at bootstrap.servers, and some of its brokers do not at the addresses that they advertise."""


class RegistryFailed(OtherSideFailed):
    """The schema registry is down, refuses, or does not know our schema. `wait_seconds` is what its `Retry-After` asks for."""

    wait_seconds = 0.0


class NotRegistered(RegistryFailed):
    """The schema registry answers, but does not know our schema: not a temporary outage."""


class RegistryRefused(RegistryFailed):
    """The schema registry answers, but rejects one subject or schema; others may still work."""


class NotAvro(ConnectorError):
    """A text that is not an Avro schema, or cannot be compared with another."""


class NotDecodable(ConnectorError):
    """A callback that matches no dialect. `reason` is one of the dead-letter reasons.

    `metadata` and `extra` are the parts that could be read, for the dead letter's key and ids.
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
        """Return the same fault with its path relative to the view, see `path_within`."""
        return type(self)(path_within(self.path, array_path, index), self.fault)


def path_within(path: str, array_path: str, index: int) -> str:
    """Return an element's path (`item.price`) relative to the view (`order.items[2].price`); other paths as they are."""
    return f"{array_path}[{index}]{path.removeprefix('item')}" if path.partition(".")[0] == "item" else path


class Missing(Misfit):
    """A value that a record requires, but the callback does not have."""

    reason: Reason = "missing"

    def __init__(self, path: str, fault: str = "is required but missing") -> None:
        super().__init__(path, fault)


class NotOpened(ConnectorError):
    """A sealed callback that our keys do not open; the message names the key's id."""


class NoRoom(ConnectorError):
    """The producer's queue has no room for the whole callback; none of its records was enqueued."""
