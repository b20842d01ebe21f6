"""Kafka as the bridge needs it: reachable, with the rights it needs, correct topics, and a producer id.

No record is produced: the producer id is what the first record would wait for.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from connector.catalogue import Catalogue
from connector.doctor.findings import Finding, State, not_checked, of_failure
from connector.errors import BrokersUnreachable, ConfigurationInvalid, KafkaAway, KafkaFailed, OtherSideFailed
from connector.kafka.producers import Producers, check_properties
from connector.settings.producer import producer_properties
from connector.settings.tables import Settings
from connector.topics.broker import Broker, Cluster
from connector.topics.deviations import DescribedTopics, Deviation, deviations
from connector.topics.wanted import Wanted

SECONDS: Final = 5.0
"""Timeout of each request to Kafka."""
_POLL_SECONDS: Final = 0.05
_ALL_REACHED: Final = "all answer at the addresses that they advertise"
_ORDER: Final[tuple[State, ...]] = ("error", "warning", "unknown")


def check_kafka(settings: Settings, catalogue: Catalogue | None) -> Iterator[Finding]:
    """Check Kafka; whatever cannot be checked because something before it failed is reported as not checked."""
    try:
        broker = Broker(settings.kafka.client, SECONDS)
        cluster = broker.cluster()
    except (ConfigurationInvalid, KafkaFailed) as failed:
        yield from _not_reached(settings, failed)
        yield from (not_checked(what, "Kafka was not reached") for what in ("producer id", "rights", "topics"))
        return
    yield reached(cluster, settings.topics.replication_factor)
    connections = list(_check_connections(settings))
    yield from connections
    if connections[0].state == "error":
        yield from (not_checked(what, "not all brokers were reached") for what in ("rights", "topics"))
    elif catalogue is None:
        yield from (not_checked(what, "the catalogue cannot be read") for what in ("rights", "topics"))
    else:
        yield from _check_topics(broker, settings, catalogue)


def _not_reached(settings: Settings, failed: OtherSideFailed | ConfigurationInvalid) -> Iterator[Finding]:
    """Find out whether the address in bootstrap.servers is at fault, or those that brokers advertise."""
    connections = list(_check_connections(settings)) if isinstance(failed, KafkaAway) else []
    if connections and connections[0].state == "error":
        yield Finding("kafka", "ok", "bootstrap.servers leads to a cluster")
        yield connections[0]
    else:
        yield of_failure("kafka", failed)
        yield not_checked("brokers", "Kafka was not reached")


def reached(cluster: Cluster, replicas: int) -> Finding:
    """Check a cluster that answered."""
    brokers = f"{cluster.brokers} broker{'' if cluster.brokers == 1 else 's'}"
    found = f"cluster {cluster.cluster_id}, {brokers}"
    if cluster.brokers < replicas:
        advice = f"start more brokers, or set topics.replication_factor = {cluster.brokers}"
        found += f", too few for replication factor {replicas}: topics cannot be created"
        return Finding("kafka", "warning", found, advice)
    return Finding("kafka", "ok", found)


def rights(described: DescribedTopics, wanted: Wanted, prefix: str) -> Finding:
    """Check our rights on the topics: to write to them, which includes describing them."""
    known = {topic: state.operations for topic, state in described.present.items() if state.operations is not None}
    lacking = [topic for topic, operations in known.items() if not operations & {"WRITE", "ALL"}]
    if lacking or described.hidden:
        found = [f"not authorised to write to {', '.join(lacking)}"] if lacking else []
        found += [f"missing, or not authorised to see them: {', '.join(sorted(described.hidden))}"] if described.hidden else []
        return Finding("rights", "error", "; ".join(found), _grant(wanted, prefix, [*lacking, *sorted(described.hidden)]))
    if not known:
        return not_checked("rights", "Kafka does not report them" if described.present else "there are no topics")
    return Finding("rights", "ok", f"authorised to write to {len(known)} topics")


def topics(catalogue: Catalogue, wanted: Wanted, described: DescribedTopics) -> Iterator[Finding]:
    """Check the topics: one finding for all topics with the same deviation.

    Unequal partition counts, a warning of `topics check`, are an error here.
    """
    groups: dict[tuple[str, str], list[Deviation]] = {}
    for deviation in deviations(catalogue, wanted, described):
        if deviation.rule != "hidden":
            groups.setdefault((deviation.rule, deviation.found), []).append(deviation)
    yield from sorted(
        (_of_topics(group, len(described.present)) for group in groups.values()),
        key=lambda finding: _ORDER.index(finding.state),
    )
    if not groups:
        yield Finding("topics", "ok", f"{len(described.present)} topics are as they should be")


def _of_topics(same: Sequence[Deviation], existing: int) -> Finding:
    """Return the finding for topics with the same deviation; `existing` is the number of all topics that exist."""
    first = same[0]
    names = ", ".join(deviation.topic for deviation in same)
    if first.rule == "missing":
        return Finding("topics", "error", f"missing: {names}", "`connector topics create` creates them")
    if len(same) == 1:
        found = f"{names}: {first.found}"
    elif len(same) == existing:
        found = f"all {existing} topics: {first.found}"
    else:
        found = f"{len(same)} topics: {first.found} ({names})"
    if first.rule == "unread":
        return Finding("topics", "unknown", found, first.advice)
    advice = dict.fromkeys(deviation.advice for deviation in same)
    if len(advice) == 1:
        return Finding("topics", _state(first), found, first.advice)
    how = (
        "`connector topics create --alter` sets it on all of them"
        if first.config
        else "`connector topics check` has a command for each"
    )
    return Finding("topics", _state(first), found, how)


def _check_topics(broker: Broker, settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    wanted = Wanted.of(settings)
    try:
        described = broker.describe([record_type.topic for record_type in catalogue])
    except KafkaFailed as failed:
        yield of_failure("topics", failed)
        yield not_checked("rights", "the topics cannot be described")
        return
    yield rights(described, wanted, settings.topics.prefix)
    yield from topics(catalogue, wanted, described)


def _check_connections(settings: Settings) -> Iterator[Finding]:
    """Check what carries records: connections to all brokers at the addresses that they advertise, then a producer id."""
    properties = {**producer_properties(settings), "statistics.interval.ms": 100}
    if check_properties(properties):
        yield from (not_checked(what, "the producer's properties are invalid") for what in ("brokers", "producer id"))
        return
    try:
        asyncio.run(_connect(Producers(properties)))
    except BrokersUnreachable as unreachable:
        yield of_failure("brokers", unreachable)
        yield not_checked("producer id", "not all brokers were reached")
    except KafkaAway as away:
        yield not_checked("brokers", "Kafka was not reached")
        yield of_failure("producer id", away)
    except KafkaFailed as failed:
        yield Finding("brokers", "ok", _ALL_REACHED)
        yield of_failure("producer id", failed)
    else:
        yield Finding("brokers", "ok", _ALL_REACHED)
        yield Finding("producer id", "ok", "Kafka assigns one")


async def _connect(producers: Producers) -> None:
    producers.start()
    connecting = asyncio.create_task(producers.connect(SECONDS))
    while not connecting.done():
        producers.poll()
        await asyncio.sleep(_POLL_SECONDS)
    await connecting


def _state(deviation: Deviation) -> State:
    return "error" if deviation.state == "error" or deviation.rule == "partitions" else "warning"


def _grant(wanted: Wanted, prefix: str, names: list[str]) -> str:
    which = f"--topic {prefix} --resource-pattern-type prefixed" if prefix else " ".join(f"--topic {name}" for name in names)
    tool = f"kafka-acls --bootstrap-server {wanted.bootstrap_servers}"
    return f"{tool} --add --allow-principal User:NAME --operation Write {which} (NAME is kafka.client sasl.username)"
