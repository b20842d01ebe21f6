"""Errors of Kafka's clients in, `KafkaFailed`s out that name the problem and what to do.

A call itself only reports a timeout. So in go also the errors that the client has reported to its `error_cb` meanwhile: they
say whether Kafka is away, rejects the credentials, or denies access. For producers, the admin client and consumers.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

from connector.errors import BrokersUnreachable, KafkaAway, KafkaFailed
from connector.kafka.statistics import Statistics, read_statistics

_SLICES: Final = (0.1, 0.3, 0.6)
"""A metadata call does not report a wrong password: it is made three times, each with this share of the timeout."""
_POLL_SECONDS: Final = 0.05
_PERMANENT: Final = frozenset({"_AUTHENTICATION", "_SSL"})
"""Errors that waiting does not end."""
_TEMPORARY: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - the library's own name
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
    }
)
"""Errors of a cluster that has just started or lost a broker: coordinators and leaders are elected within seconds."""
_AGAIN_SECONDS: Final = 0.2

Answer = TypeVar("Answer")


_STATISTICS_MS: Final = 500
_DEFAULT_PORT: Final = 9092


class ClientErrors:
    """What a client reports of its connections: the names of errors, and statistics. Pass `callbacks` to the client."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self.names: set[str] = set()
        self.statistics = Statistics()
        self._bootstrap = {_address(server) for server in str(client.get("bootstrap.servers", "")).split(",")}

    def callbacks(self) -> dict[str, Any]:
        """Return the properties that make a client report."""
        return {"error_cb": self.record, "stats_cb": self.read, "statistics.interval.ms": _STATISTICS_MS}

    def down_at_other_addresses(self) -> list[str]:
        """Return the advertised addresses that do not answer; none if bootstrap.servers has one of them: Kafka is away."""
        down = self.statistics.advertised_down()
        return [] if self._bootstrap.intersection(down) else down

    def record(self, error: KafkaError) -> None:
        """Record one error; the client calls this from its `poll`."""
        self.names.add(error.name())

    def read(self, statistics: str) -> None:
        """Read statistics; the client calls this from its `poll`."""
        self.statistics = read_statistics(statistics)

    @property
    def is_permanent(self) -> bool:
        """Whether waiting for an answer is of no use."""
        return not _PERMANENT.isdisjoint(self.names)


def is_temporary(error: KafkaError | None) -> bool:
    """Return whether the same request is to be made again: a coordinator, leader or controller is being elected."""
    return error is not None and error.code() in _TEMPORARY


def retried(call: Callable[[float], Answer], timeout_seconds: float) -> Answer:
    """Return what `call` returns; it is called again after a temporary error, within the timeout. It gets the seconds left.

    The client repeats some requests by itself, but not those that a coordinator or leader refuses because it is a new one.

    Raises:
        KafkaException: any other error, or the last temporary one.
    """
    deadline = time.monotonic() + timeout_seconds
    left = timeout_seconds
    while True:
        try:
            return call(left)
        except KafkaException as error:
            left = deadline - time.monotonic() - _AGAIN_SECONDS
            if left <= 0 or not is_temporary(error.args[0]):
                raise
        time.sleep(_AGAIN_SECONDS)


def unreachable(error: KafkaError, errors: ClientErrors) -> KafkaFailed:
    """Return why Kafka did not answer, or refused; `errors` are those that the client has reported meanwhile."""
    name, reported = error.name(), errors.names
    if refused := _refused(name, reported):
        return refused
    # An error of the client itself is negative: then no broker has said that it elects one.
    if is_temporary(error) and error.code() > 0:
        advice = "run the command again; if this lasts, check that all brokers are up"
        return KafkaAway(f"Kafka is not ready ({name}): it is electing a coordinator or a leader; {advice}")
    if down := errors.down_at_other_addresses():
        return brokers_unreachable(down, errors)
    if "_RESOLVE" in reported and "_TRANSPORT" not in reported:
        found = f"Kafka does not answer ({name}): its host name cannot be resolved"
        return KafkaFailed(f"{found}; check kafka.client bootstrap.servers")
    return KafkaAway(f"Kafka does not answer ({name}); check kafka.client bootstrap.servers and security.protocol")


def _address(server: str) -> str:
    """Return an entry of bootstrap.servers as host:port, like the addresses in statistics."""
    address = server.rpartition("://")[2].strip()
    return address if re.search(r":\d+$", address) else f"{address}:{_DEFAULT_PORT}"


def _refused(name: str, reported: Collection[str]) -> KafkaFailed | None:
    if "_AUTHENTICATION" in reported or name in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"):
        advice = "check kafka.client sasl.mechanism, sasl.username and sasl.password"
        return KafkaFailed(f"Kafka rejects our credentials (_AUTHENTICATION); {advice}")
    if "_SSL" in reported or name == "_SSL":
        advice = "check kafka.client ssl.ca.location, the certificates, and that bootstrap.servers names a TLS port"
        return KafkaFailed(f"the TLS handshake with Kafka fails (_SSL); {advice}")
    if name.endswith("_AUTHORIZATION_FAILED"):
        return KafkaFailed(f"not authorised ({name}); allow it for the user in kafka.client sasl.username")
    return None


def brokers_unreachable(addresses: Iterable[str], errors: ClientErrors) -> BrokersUnreachable:
    """Return the error for brokers that bootstrap.servers leads to, and that cannot be reached themselves."""
    cannot = "be resolved" if "_RESOLVE" in errors.names and "_TRANSPORT" not in errors.names else "be reached"
    found = f"Kafka answers at bootstrap.servers, but brokers cannot {cannot} at the addresses that they advertise"
    advice = "check advertised.listeners of these brokers, and name resolution and firewalls between here and there"
    return BrokersUnreachable(f"{found}: {', '.join(addresses)}; {advice}")


def without_leader(topics: Iterable[str]) -> KafkaAway:
    """Return the error for topics that have partitions without a leader."""
    return KafkaAway(f"partitions have no leader: topics {', '.join(topics)}; check that all brokers of the cluster are up")


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
            raise unreachable(KafkaError(KafkaError._TIMED_OUT), errors)  # noqa: SLF001 - the library's own name
        try:
            return future.result(timeout=_POLL_SECONDS)
        except NotInTime:
            if time.monotonic() > deadline:
                raise unreachable(KafkaError(KafkaError._TIMED_OUT), errors) from None  # noqa: SLF001
        except KafkaException as error:
            client.poll(0)
            # Negative: an error of the client itself, so Kafka did not answer, unless its broker does not know the request.
            if error.args[0].code() < 0 and error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001
                raise unreachable(error.args[0], errors) from None
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
    raise unreachable(last, errors)


def readable_partitions(
    consumer: Consumer, topics: Iterable[str], errors: ClientErrors, timeout_seconds: float
) -> dict[str, list[int]]:
    """Return the partitions of topics.

    Raises:
        KafkaFailed: when Kafka is away, a topic does not exist, or we are not authorised for one.
    """

    def described(topic: str, seconds: float) -> TopicMetadata:
        found = fetch_metadata(consumer, errors, seconds, topic).topics[topic]
        if is_temporary(found.error):
            # Without a leader, a topic may seem to have no partitions.
            raise KafkaException(found.error)
        return found

    try:
        # One by one: in the list of all topics, a hidden topic looks as if it were missing.
        found = {topic: retried(partial(described, topic), timeout_seconds) for topic in topics}
    except KafkaException as error:
        raise unreachable(error.args[0], errors) from None
    codes = {topic: one.error.code() for topic, one in found.items() if one.error}
    if not_there := [topic for topic, code in codes.items() if code == KafkaError.UNKNOWN_TOPIC_OR_PART]:
        raise missing(not_there)
    if not_seen := [topic for topic, code in codes.items() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED]:
        raise hidden(not_seen, "READ")
    return {topic: sorted(one.partitions) for topic, one in found.items()}
