"""What Kafka lets a client see, and in words why not: away, not let in, not authorised, or not there.

In go what the clients raise, and the names of the errors that their `error_cb` told meanwhile: a call itself only says that
there was no answer in time. Out come `KafkaFailed`s that say what to do. Used for producers, the admin client and readers.
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
"""A call for metadata hears nothing of a wrong password: it is made three times, in these parts of its time."""
_LOOK_SECONDS: Final = 0.05
_FOR_GOOD: Final = frozenset({"_AUTHENTICATION", "_SSL"})
"""Waiting longer for these is of no use."""

Answer = TypeVar("Answer")


class Told:
    """The names of the errors that a client told of its connections. Give `note` to it as `error_cb`."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def note(self, error: KafkaError) -> None:
        """Take one error; the client calls this from its `poll`."""
        self.names.add(error.name())

    @property
    def for_good(self) -> bool:
        """Whether no answer will come."""
        return not _FOR_GOOD.isdisjoint(self.names)


def unreachable(error: KafkaError, told: Collection[str]) -> KafkaFailed:
    """Return in words why Kafka gave no answer, or refused one."""
    name = error.name()
    if "_AUTHENTICATION" in told or name in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"):
        advice = "check kafka.client sasl.mechanism, sasl.username and sasl.password"
        return KafkaFailed(f"Kafka does not let us in (_AUTHENTICATION); {advice}")
    if "_SSL" in told or name == "_SSL":
        advice = "check kafka.client ssl.ca.location, the certificates, and that bootstrap.servers names a TLS port"
        return KafkaFailed(f"TLS with Kafka fails (_SSL); {advice}")
    if name.endswith("_AUTHORIZATION_FAILED"):
        return KafkaFailed(f"not authorised ({name}); allow it to the user of kafka.client sasl.username")
    if "_RESOLVE" in told and "_TRANSPORT" not in told:
        return KafkaFailed(f"Kafka does not answer ({name}): its name is not known; check kafka.client bootstrap.servers")
    return KafkaAway(f"Kafka does not answer ({name}); check kafka.client bootstrap.servers and security.protocol")


def missing(topics: Iterable[str]) -> KafkaFailed:
    """Return that topics are not there."""
    return KafkaFailed(f"topics are missing: {', '.join(topics)}; `connector topics create` makes them")


def hidden(topics: Iterable[str], right: str) -> KafkaFailed:
    """Return that topics may not be seen for want of a right; they need not be missing."""
    return KafkaFailed(f"not authorised for topics: {', '.join(topics)}; allow {right} on them")


def awaited(future: "Future[Answer]", client: Any, told: Told, seconds: float) -> Answer:
    """Wait for an answer to the admin client, at most so long.

    Raises:
        KafkaFailed: when there is none.
        KafkaException: when the answer is an error of this request; its meaning is the caller's.
    """
    deadline = time.monotonic() + seconds
    while True:
        client.poll(0)
        if told.for_good and not future.done():
            raise unreachable(KafkaError(KafkaError._TIMED_OUT), told.names)  # noqa: SLF001 - the library's own name
        try:
            return future.result(timeout=_LOOK_SECONDS)
        except NotInTime:
            if time.monotonic() > deadline:
                raise unreachable(KafkaError(KafkaError._TIMED_OUT), told.names) from None  # noqa: SLF001
        except KafkaException as error:
            client.poll(0)
            # Negative: the client's own word, so there was no answer.
            if error.args[0].code() < 0:
                raise unreachable(error.args[0], told.names) from None
            raise


def metadata(client: Consumer | AdminClient, told: Told, seconds: float, topic: str | None = None) -> ClusterMetadata:
    """Ask for the metadata of one topic or, without one, of the cluster and all topics that we may see.

    Raises:
        KafkaFailed: when there is no answer.
    """
    for part in _SLICES:
        try:
            asked = {"topic": topic} if topic is not None else {}
            return client.list_topics(**asked, timeout=part * seconds)
        except KafkaException as error:
            last = error.args[0]
            # A reader has nothing assigned yet: this only hears what the connections have to tell.
            client.poll(0)
            if told.for_good:
                break
    raise unreachable(last, told.names)


def readable_partitions(consumer: Consumer, topics: Iterable[str], told: Told, seconds: float) -> dict[str, list[int]]:
    """Return the partitions of topics that are to be read.

    Raises:
        KafkaFailed: when Kafka is away, lacks a topic, or does not let us see one.
    """
    # One by one: in the list of all topics, those that are hidden from us look as if they were missing.
    found = {topic: metadata(consumer, told, seconds, topic).topics[topic] for topic in topics}
    codes = {topic: one.error.code() for topic, one in found.items() if one.error}
    if not_there := [topic for topic, code in codes.items() if code == KafkaError.UNKNOWN_TOPIC_OR_PART]:
        raise missing(not_there)
    if not_seen := [topic for topic, code in codes.items() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED]:
        raise hidden(not_seen, "READ")
    return {topic: sorted(one.partitions) for topic, one in found.items()}
