"""Every deviation of a topic from what is wanted: how severe it is, and what fixes it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from connector.catalogue import Catalogue
from connector.mapping import conversions
from connector.pipeline import encode
from connector.settings.load import load_settings
from connector.settings.producer import max_message_bytes
from connector.topics.deviations import AHEAD_MS, OLDEST_MS, DescribedTopics, Deviation, TopicState, deviations, worst
from connector.topics.wanted import Wanted
from tests.support.callbacks import catalogue, whole_catalogue

CATALOGUE: Final[Catalogue] = catalogue()
SETTINGS: Final = load_settings(None, {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true"})
WANTED: Final = Wanted.of(SETTINGS)
DAY_MS: Final = 24 * 3600 * 1000
REPLAYED_MS: Final = str(OLDEST_MS + 14 * DAY_MS)
"""The oldest timestamp: of an event as late as accepted, replayed at the end of the window."""
# The defaults of a topic in Kafka 4.1.
KAFKA_DEFAULTS: Final = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
}


def as_created(name: str) -> TopicState:
    record_type = CATALOGUE.record_types[name]
    config = {**KAFKA_DEFAULTS, **WANTED.config_of(record_type, 3)}
    return TopicState(partitions=6, replicas=3, in_sync=3, config=config, operations=frozenset({"WRITE"}))


def all_as_created() -> dict[str, TopicState]:
    return {record_type.topic: as_created(record_type.name) for record_type in CATALOGUE}


def topic(name: str) -> str:
    return CATALOGUE.record_types[name].topic


def found(name: str, state: TopicState | None, wanted: Wanted = WANTED, hidden: bool = False) -> list[Deviation]:
    """Return the deviations if one topic has this state and all others are as created."""
    present = {key: value for key, value in all_as_created().items() if key != topic(name)}
    if state:
        present[topic(name)] = state
    result = deviations(CATALOGUE, wanted, DescribedTopics(present, frozenset({topic(name)} if hidden else ())))
    assert {deviation.topic for deviation in result} <= {topic(name)}
    return result


def with_config(name: str, config: Mapping[str, str]) -> TopicState:
    state = as_created(name)
    assert state.config is not None
    return replace(state, config={**state.config, **config})


def test_topics_as_created_have_no_deviations() -> None:
    assert deviations(CATALOGUE, WANTED, DescribedTopics(all_as_created(), frozenset())) == []
    assert worst([]) == "ok"


def test_topic_that_does_not_exist_is_missing() -> None:
    (deviation,) = found("order", None)
    assert (deviation.state, deviation.advice) == ("missing", "`connector topics create` creates it")


def test_hidden_topic_is_an_error_and_not_missing() -> None:
    (deviation,) = found("order", None, hidden=True)
    assert deviation.state == "error"
    assert "authorised" in deviation.found
    assert "kafka-acls" in deviation.advice
    assert "topics create" not in deviation.advice


@pytest.mark.parametrize(
    ("name", "config", "state", "fixed"),
    [
        ("order", {"cleanup.policy": "compact"}, "error", ("cleanup.policy", "delete")),
        ("order", {"cleanup.policy": "compact,delete"}, "error", ("cleanup.policy", "delete")),
        ("contact", {"cleanup.policy": "delete"}, "error", ("cleanup.policy", "compact")),
        ("contact", {"cleanup.policy": "compact,delete"}, "warning", ("cleanup.policy", "compact")),
        ("other", {"max.message.bytes": "1048588"}, "error", ("max.message.bytes", "4259840")),
        ("dead_letter", {"retention.ms": "604800000"}, "warning", ("retention.ms", str(14 * DAY_MS))),
        ("order", {"min.insync.replicas": "1"}, "warning", ("min.insync.replicas", "2")),
        ("order", {"min.insync.replicas": "4"}, "error", ("min.insync.replicas", "2")),
        ("text", {"message.timestamp.before.max.ms": "3600000"}, "error", ("message.timestamp.before.max.ms", REPLAYED_MS)),
        (
            "text",
            {"message.timestamp.before.max.ms": str(OLDEST_MS)},
            "warning",
            ("message.timestamp.before.max.ms", REPLAYED_MS),
        ),
        ("text", {"message.timestamp.after.max.ms": "60000"}, "error", ("message.timestamp.after.max.ms", str(AHEAD_MS))),
        (
            "text",
            {"message.timestamp.difference.max.ms": "3600000"},
            "error",
            ("message.timestamp.difference.max.ms", REPLAYED_MS),
        ),
        ("text", {"message.timestamp.type": "LogAppendTime"}, "warning", ("message.timestamp.type", "CreateTime")),
    ],
)
def test_wrong_setting_is_reported_with_the_command_that_fixes_it(
    name: str, config: Mapping[str, str], state: str, fixed: tuple[str, str]
) -> None:
    (deviation,) = found(name, with_config(name, config))
    assert (deviation.state, deviation.config) == (state, fixed)
    assert f"--topic {topic(name)} --add-config {fixed[0]}={fixed[1]}" in deviation.advice
    assert deviation.advice.startswith(f"kafka-configs --bootstrap-server {SETTINGS.kafka.client['bootstrap.servers']} --alter")
    assert found(name, with_config(name, {**config, fixed[0]: fixed[1]})) == []


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("dead_letter", {"retention.ms": str(100 * DAY_MS)}),
        ("dead_letter", {"retention.ms": "-1"}),
        ("other", {"max.message.bytes": "10000000"}),
        ("order", {"retention.ms": "3600000"}),
        ("order", {"min.insync.replicas": "3"}),
        ("text", {"message.timestamp.before.max.ms": REPLAYED_MS, "message.timestamp.after.max.ms": str(AHEAD_MS)}),
        ("order", {"segment.bytes": "1048576"}),
    ],
)
def test_larger_or_unrelated_setting_is_no_deviation(name: str, config: Mapping[str, str]) -> None:
    assert found(name, with_config(name, config)) == []


def test_all_deviations_of_a_topic_are_reported() -> None:
    state = replace(
        with_config(
            "dead_letter",
            {"cleanup.policy": "compact", "max.message.bytes": "1", "retention.ms": "1", "min.insync.replicas": "9"},
        ),
        replicas=1,
        in_sync=0,
    )
    result = found("dead_letter", state)
    assert [deviation.rule for deviation in result] == [
        "replication_factor",
        "min.insync.replicas",
        "cleanup.policy",
        "max.message.bytes",
        "retention.ms",
        "in_sync",
    ]
    assert worst(result) == "error"


def test_fewer_partitions_than_topics_with_the_same_key_warns() -> None:
    (deviation,) = found("order", replace(as_created("order"), partitions=3))
    assert (deviation.state, deviation.rule, deviation.config) == ("warning", "partitions", None)
    assert f"--topic {topic('order')} --partitions 6" in deviation.advice
    assert "order" in deviation.advice


def test_partitions_of_topics_with_another_key_are_ignored() -> None:
    assert found("dead_letter", replace(as_created("dead_letter"), partitions=1)) == []


def test_missing_replicas_are_reported_but_not_altered() -> None:
    state = replace(with_config("order", {"min.insync.replicas": "1"}), replicas=1, in_sync=1)
    (deviation,) = found("order", state)
    assert (deviation.state, deviation.rule, deviation.config) == ("warning", "replication_factor", None)


def test_too_few_in_sync_replicas_are_an_error() -> None:
    assert found("order", replace(as_created("order"), in_sync=2)) == []
    (deviation,) = found("order", replace(as_created("order"), in_sync=1))
    assert (deviation.state, deviation.rule) == ("error", "in_sync")


def test_unreadable_settings_are_a_warning() -> None:
    (deviation,) = found("order", replace(as_created("order"), config=None))
    assert (deviation.state, deviation.rule) == ("warning", "unread")
    assert "DESCRIBE_CONFIGS" in deviation.advice


def test_replay_window_sets_the_retention_of_dead_letters() -> None:
    wanted = replace(WANTED, replay_window_ms=30 * DAY_MS)
    (deviation,) = found("dead_letter", as_created("dead_letter"), wanted)
    assert deviation.config == ("retention.ms", str(30 * DAY_MS))
    assert wanted.config_of(CATALOGUE.dead_letter, 3)["retention.ms"] == str(30 * DAY_MS)
    assert replace(WANTED, replay_window_ms=DAY_MS).config_of(CATALOGUE.dead_letter, 3)["retention.ms"] == str(14 * DAY_MS)


def test_timestamp_limits_are_those_of_the_encoder() -> None:
    assert (OLDEST_MS, AHEAD_MS) == (encode._OLDEST_MS, conversions.AHEAD_MS)


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "2"), (3, "2"), (5, "2")])
def test_two_in_sync_replicas_are_required_where_there_are_two(replicas: int, in_sync: str) -> None:
    assert WANTED.config_of(CATALOGUE.record_types["order"], replicas) == {"min.insync.replicas": in_sync}


def test_raw_topic_keeps_largest_records_for_the_replay_window() -> None:
    archive = whole_catalogue().raw
    assert archive is not None
    config = WANTED.config_of(archive, 3)
    assert config["retention.ms"] == str(WANTED.replay_window_ms)
    assert config["max.message.bytes"] == str(WANTED.max_message_bytes)


def test_large_topics_accept_the_largest_record() -> None:
    large = {record_type.name for record_type in CATALOGUE if record_type.large}
    assert large == {"reply", "other", "account_event", "dead_letter"}
    for name in large:
        config = WANTED.config_of(CATALOGUE.record_types[name], 3)
        assert config["max.message.bytes"] == str(max_message_bytes(SETTINGS))


def test_new_topic_has_as_many_partitions_as_its_join_partners() -> None:
    order, letter = CATALOGUE.record_types["order"], CATALOGUE.dead_letter
    assert WANTED.partitions_of(order, []) == 6
    assert WANTED.partitions_of(order, [12]) == 12
    assert WANTED.partitions_of(order, [3, 12]) == 12
    assert WANTED.partitions_of(letter, [12]) == 6
    assert WANTED.partitions_of(replace(letter, partitions=1), [12]) == 1


def test_table_of_a_record_type_overrides_topic_settings() -> None:
    order = replace(
        CATALOGUE.record_types["order"],
        replication_factor=2,
        topic_config={"min.insync.replicas": "1", "retention.ms": "-1", "segment.bytes": "1048576"},
    )
    assert WANTED.replicas_of(order) == 2
    assert WANTED.config_of(order, 2) == {"min.insync.replicas": "1", "retention.ms": "-1", "segment.bytes": "1048576"}
    state = TopicState(6, 2, 2, KAFKA_DEFAULTS, None)
    record_types = {"order": order}
    result = deviations(
        replace(CATALOGUE, record_types=record_types), WANTED, DescribedTopics({order.topic: state}, frozenset())
    )
    assert [(deviation.state, deviation.config) for deviation in result] == [
        ("warning", ("retention.ms", "-1")),
        ("warning", ("segment.bytes", "1048576")),
    ]
