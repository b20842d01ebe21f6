"""The broker's topics and what is wanted in, every deviation out: what was found, how severe it is, the command that fixes it.

Pure. There is one function for each rule.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from connector.catalogue import Catalogue, RecordType
from connector.topics.wanted import REPLAYED, Wanted, is_less

OLDEST_MS: Final = 7 * 24 * 3600 * 1000
AHEAD_MS: Final = 5 * 60 * 1000
"""How far a record's timestamp can be before and after its receipt; a replay keeps the timestamp."""

_BEFORE: Final = ("message.timestamp.before.max.ms", "message.timestamp.difference.max.ms")
"""The second is of Kafka before 3.6, which has one limit for both directions."""
_AFTER: Final = "message.timestamp.after.max.ms"
_AT_LEAST: Final = ("max.message.bytes", "retention.ms", "retention.bytes")
"""Settings that can be larger than wanted; -1 is no limit."""
_OF_RULES: Final = ("min.insync.replicas", "cleanup.policy", "retention.ms")
"""Settings that have their own rule."""
_NO_LIMIT: Final = "-1"

_UNREAD: Final = {
    True: (
        "settings are not checked: we are not authorised to read them",
        "allow DESCRIBE_CONFIGS for the user that runs this command; the bridge itself does not need it",
    ),
    False: (
        "settings are not checked: this broker does not report them",
        "check them with the broker's own tools; the development broker has none",
    ),
}
"""What was found and what to do where settings cannot be read, by whether the broker reports them at all."""

State = Literal["ok", "warning", "error", "missing"]


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic on the broker: `replicas` and `in_sync` of its worst partition; `config` is None if it cannot be read.

    `operations` are those that we are authorised for, None if the broker does not report them.
    """

    partitions: int
    replicas: int
    in_sync: int
    config: Mapping[str, str] | None
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class DescribedTopics:
    """The requested topics: those that exist, and those that we are not authorised to see; the rest is missing.

    `reports_settings` is whether the broker answers requests for settings at all, to any user.
    """

    present: Mapping[str, TopicState]
    hidden: frozenset[str]
    reports_settings: bool = True

    def keyed_partitions(self, catalogue: Catalogue) -> set[int]:
        """Return the partition counts of the topics keyed by wa_id."""
        return {
            self.present[record_type.topic].partitions
            for record_type in catalogue
            if record_type.keyed_by_wa_id and record_type.topic in self.present
        }


class Deviation(NamedTuple):
    """One deviation. `config` is the setting that fixes it with `topics create --alter`, None if no setting does."""

    topic: str
    state: State
    rule: str
    found: str
    advice: str
    config: tuple[str, str] | None = None


def deviations(catalogue: Catalogue, wanted: Wanted, described: DescribedTopics) -> list[Deviation]:
    """Return every deviation of every topic, in the order of the catalogue."""
    keyed = described.keyed_partitions(catalogue)
    found: list[Deviation] = []
    for record_type in catalogue:
        topic = record_type.topic
        state = described.present.get(topic)
        if state:
            found += _of_topic(record_type, state, wanted, keyed, reports_settings=described.reports_settings)
        elif topic in described.hidden:
            command = f"{_tool(wanted, 'kafka-acls')} --add --allow-principal User:NAME --operation Write --topic {topic}"
            advice = f"{command} (WRITE includes DESCRIBE; NAME is kafka.client sasl.username)"
            found.append(Deviation(topic, "error", "hidden", "it does not exist, or we are not authorised to see it", advice))
        else:
            found.append(Deviation(topic, "missing", "missing", "missing", "`connector topics create` creates it"))
    return found


def worst(found: Iterable[Deviation]) -> State:
    """Return the state of a topic with these deviations."""
    states = {deviation.state for deviation in found}
    order: tuple[State, ...] = ("missing", "error", "warning")
    return next((state for state in order if state in states), "ok")


def _of_topic(
    record_type: RecordType, state: TopicState, wanted: Wanted, keyed: set[int], *, reports_settings: bool
) -> Iterator[Deviation]:
    topic = record_type.topic
    yield from _partitions(record_type, state, wanted, keyed)
    yield from _replicas(record_type, state, wanted)
    if state.config is None:
        yield Deviation(topic, "warning", "unread", *_UNREAD[reports_settings])
        return
    for name, value, level, found in (
        *_in_sync(state, state.config, wanted.config_of(record_type, state.replicas)["min.insync.replicas"]),
        *_cleanup(record_type, state.config),
        *_sizes(record_type, state.config, wanted),
        *_retention(record_type, state.config, wanted),
        *_times(state.config, wanted),
        *_others(record_type, state.config),
    ):
        yield Deviation(topic, level, name, found, _set(wanted, topic, name, value), (name, value))
    yield from _lost_replicas(topic, state, state.config)


def _partitions(record_type: RecordType, state: TopicState, wanted: Wanted, keyed: set[int]) -> Iterator[Deviation]:
    most = max(keyed, default=0)
    if record_type.keyed_by_wa_id and state.partitions < most:
        command = f"{_tool(wanted, 'kafka-topics')} --alter --topic {record_type.topic} --partitions {most}"
        yield Deviation(
            record_type.topic,
            "warning",
            "partitions",
            f"{state.partitions} partitions where other topics keyed by wa_id have {most}: joins need equal counts",
            f"{command} (from then on keys are in other partitions: their order is not kept across the change)",
        )


def _replicas(record_type: RecordType, state: TopicState, wanted: Wanted) -> Iterator[Deviation]:
    replicas = wanted.replicas_of(record_type)
    if state.replicas < replicas:
        command = f"{_tool(wanted, 'kafka-reassign-partitions')} --execute --reassignment-json-file FILE"
        yield Deviation(
            record_type.topic,
            "warning",
            "replication_factor",
            f"{state.replicas} of {replicas} replicas: the loss of fewer brokers is tolerated",
            f"{command} (FILE names {replicas} brokers for each partition)",
        )


_WrongSetting = tuple[str, str, State, str]
"""A setting, the value that fixes it, how severe it is, and what was found."""


def _in_sync(state: TopicState, config: Mapping[str, str], wanted: str) -> Iterator[_WrongSetting]:
    name = "min.insync.replicas"
    there = int(config.get(name, "1"))
    if there > state.replicas:
        yield name, wanted, "error", f"{name} is {there} with {state.replicas} replicas: Kafka refuses every record"
    elif there < int(wanted):
        yield (
            name,
            wanted,
            "warning",
            f"{name} is {there} with {state.replicas} replicas: records are acknowledged by too few brokers",
        )


def _cleanup(record_type: RecordType, config: Mapping[str, str]) -> Iterator[_WrongSetting]:
    name = "cleanup.policy"
    there = {part.strip() for part in config.get(name, "delete").split(",")}
    wanted = record_type.topic_config.get(name, "delete")
    if record_type.compacted and "compact" not in there:
        yield (
            name,
            wanted,
            "error",
            f"{name} is {config.get(name)}, should be {wanted}: the last record of a key is deleted in time",
        )
    elif "compact" in there and not record_type.compacted:
        yield (
            name,
            wanted,
            "error",
            f"{name} is {config.get(name)}, should be {wanted}: all but the last record of a key are deleted",
        )
    elif there != {part.strip() for part in wanted.split(",")}:
        yield name, wanted, "warning", f"{name} is {config.get(name)}, should be {wanted}"


def _sizes(record_type: RecordType, config: Mapping[str, str], wanted: Wanted) -> Iterator[_WrongSetting]:
    name = "max.message.bytes"
    least = wanted.max_message_bytes
    if record_type.large and is_less(config.get(name, ""), least):
        found = f"{name} is {config[name]}, should be at least {least}: Kafka refuses the largest records"
        yield name, str(least), "error", found


def _retention(record_type: RecordType, config: Mapping[str, str], wanted: Wanted) -> Iterator[_WrongSetting]:
    name = "retention.ms"
    least = wanted.config_of(record_type, 1).get(name)
    if least is None or not is_less(config.get(name, ""), int(least) if least != _NO_LIMIT else 1 << 63):
        return
    why = "before topics.replay_window_days" if record_type.source in REPLAYED else "too early"
    yield name, least, "warning", f"{name} is {config[name]}, should be at least {least}: records are deleted {why}"


def _times(config: Mapping[str, str], wanted: Wanted) -> Iterator[_WrongSetting]:
    if config.get("message.timestamp.type") == "LogAppendTime":
        found = "message.timestamp.type is LogAppendTime: records get the broker's time instead of the event's"
        yield "message.timestamp.type", "CreateTime", "warning", found
        return
    oldest_replayed_ms = OLDEST_MS + wanted.replay_window_ms
    for name, least, needed in (*((name, oldest_replayed_ms, OLDEST_MS) for name in _BEFORE), (_AFTER, AHEAD_MS, AHEAD_MS)):
        if is_less(config.get(name, ""), needed):
            found = f"{name} is {config[name]}, should be at least {least}: Kafka refuses whole batches of valid records"
            yield name, str(least), "error", found
        elif is_less(config.get(name, ""), least):
            why = "Kafka refuses records replayed late in topics.replay_window_days"
            yield name, str(least), "warning", f"{name} is {config[name]}, should be at least {least}: {why}"


def _others(record_type: RecordType, config: Mapping[str, str]) -> Iterator[_WrongSetting]:
    """Yield the other settings of the record type's own table that differ."""
    for name, value in record_type.topic_config.items():
        there = config.get(name)
        if name in _OF_RULES or there == value:
            continue
        if name in _AT_LEAST and there is not None and value.isdigit() and not is_less(there, int(value)):
            continue
        yield name, value, "warning", f"{name} is {there or 'not set'}, should be {value}"


def _lost_replicas(topic: str, state: TopicState, config: Mapping[str, str]) -> Iterator[Deviation]:
    least = min(int(config.get("min.insync.replicas", "1")), state.replicas)
    if state.in_sync < least:
        found = f"a partition has {state.in_sync} in-sync replicas and needs {least}: Kafka refuses its records"
        yield Deviation(topic, "error", "in_sync", found, "bring the missing brokers back")


def _set(wanted: Wanted, topic: str, name: str, value: str) -> str:
    # Brackets keep a list together.
    shown = f"[{value}]" if "," in value else value
    return f"{_tool(wanted, 'kafka-configs')} --alter --topic {topic} --add-config {name}={shown}"


def _tool(wanted: Wanted, name: str) -> str:
    return f"{name} --bootstrap-server {wanted.bootstrap_servers}"
