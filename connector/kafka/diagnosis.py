"""Errors of Kafka's clients in, `KafkaFailed`s out that name the problem and what to do.

A call itself only reports a timeout. So in go also the errors that the client has reported to its `error_cb` meanwhile: they
say whether Kafka is away, rejects the credentials, or denies access. For producers, the admin client and consumers.
"""

import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from connector.errors import KafkaAway, KafkaFailed

_SLICES: Final = (0.1, 0.3, 0.6)
"""A metadata call does not report a wrong password: it is made three times, each with this share of the timeout."""
_POLL_SECONDS: Final = 0.05
_PERMANENT: Final = frozenset({"_AUTHENTICATION", "_SSL"})
"""Errors that waiting does not end."""

Answer = TypeVar("Answer")


class ClientErrors:
    """The names of the errors that a client has reported. Pass `record` to the client as its `error_cb`."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def record(self, error: KafkaError) -> None:
        """Record one error; the client calls this from its `poll`."""
        self.names.add(error.name())

    @property
    def is_permanent(self) -> bool:
        """Whether waiting for an answer is of no use."""
        return not _PERMANENT.isdisjoint(self.names)


def unreachable(error: KafkaError, reported: Collection[str]) -> KafkaFailed:
    """Return why Kafka did not answer, or refused; `reported` are the names of errors that the client has reported."""
    name = error.name()
    if "_AUTHENTICATION" in reported or name in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"):
        advice = "check kafka.client sasl.mechanism, sasl.username and sasl.password"
        return KafkaFailed(f"Kafka rejects our credentials (_AUTHENTICATION); {advice}")
    if "_SSL" in reported or name == "_SSL":
        advice = "check kafka.client ssl.ca.location, the certificates, and that bootstrap.servers names a TLS port"
        return KafkaFailed(f"the TLS handshake with Kafka fails (_SSL); {advice}")
    if name.endswith("_AUTHORIZATION_FAILED"):
        return KafkaFailed(f"not authorised ({name}); allow it for the user in kafka.client sasl.username")
    if "_RESOLVE" in reported and "_TRANSPORT" not in reported:
        found = f"Kafka does not answer ({name}): its host name cannot be resolved"
        return KafkaFailed(f"{found}; check kafka.client bootstrap.servers")
    return KafkaAway(f"Kafka does not answer ({name}); check kafka.client bootstrap.servers and security.protocol")


def missing(topics: Iterable[str]) -> KafkaFailed:
    """Return the error for topics that do not exist."""
    return KafkaFailed(f"topics are missing: {', '.join(topics)}; `connector topics create` creates them")


def hidden(topics: Iterable[str], right: str) -> KafkaFailed:
    """Return the error for topics that the operation `right` is missing for; the topics themselves may exist."""
    return KafkaFailed(f"not authorised for topics: {', '.join(topics)}; allow {right} on them")


def result_of(future: "Future[Answer]", client: Any, errors: ClientErrors, timeout_seconds: float) -> Answer:
    """Wait for an answer to the admin client.

    Raises:
        KafkaFailed: when there is none within the timeout.
        KafkaException: when the answer is an error of this request, which the caller must interpret.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        client.poll(0)
        if errors.is_permanent and not future.done():
            raise unreachable(KafkaError(KafkaError._TIMED_OUT), errors.names)  # noqa: SLF001 - the library's own name
        try:
            return future.result(timeout=_POLL_SECONDS)
        except NotInTime:
            if time.monotonic() > deadline:
                raise unreachable(KafkaError(KafkaError._TIMED_OUT), errors.names) from None  # noqa: SLF001
        except KafkaException as error:
            client.poll(0)
            # Negative: an error of the client itself, so Kafka did not answer, unless its broker does not know the request.
            if error.args[0].code() < 0 and error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001
                raise unreachable(error.args[0], errors.names) from None
            raise


def fetch_metadata(
    client: Consumer | AdminClient, errors: ClientErrors, timeout_seconds: float, topic: str | None = None
) -> ClusterMetadata:
    """Fetch the metadata of one topic or, without one, of the cluster and all topics that we are authorised to see.

    Raises:
        KafkaFailed: when there is no answer.
    """
    for part in _SLICES:
        try:
            asked = {"topic": topic} if topic is not None else {}
            return client.list_topics(**asked, timeout=part * timeout_seconds)
        except KafkaException as error:
            last = error.args[0]
            # This only collects the errors of the connections: a consumer has no partition assigned yet.
            client.poll(0)
            if errors.is_permanent:
                break
    raise unreachable(last, errors.names)


def readable_partitions(
    consumer: Consumer, topics: Iterable[str], errors: ClientErrors, timeout_seconds: float
) -> dict[str, list[int]]:
    """Return the partitions of topics.

    Raises:
        KafkaFailed: when Kafka is away, a topic does not exist, or we are not authorised for one.
    """
    # One by one: in the list of all topics, a hidden topic looks as if it were missing.
    found = {topic: fetch_metadata(consumer, errors, timeout_seconds, topic).topics[topic] for topic in topics}
    codes = {topic: one.error.code() for topic, one in found.items() if one.error}
    if not_there := [topic for topic, code in codes.items() if code == KafkaError.UNKNOWN_TOPIC_OR_PART]:
        raise missing(not_there)
    if not_seen := [topic for topic, code in codes.items() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED]:
        raise hidden(not_seen, "READ")
    return {topic: sorted(one.partitions) for topic, one in found.items()}
