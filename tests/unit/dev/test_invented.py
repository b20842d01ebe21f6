"""Invented callbacks: every type of the catalogue and every shape, reproducible by seed."""

from collections import Counter
from itertools import count, islice
from urllib.parse import parse_qs

import pytest

from connector.catalogue import ANY_TYPE
from connector.dev.invented.callbacks import BROKEN, TYPES, callback, callbacks, shuffled, with_duplicates, with_malformed
from connector.dev.invented.dialects import DIALECTS
from connector.dev.invented.event import Invented
from connector.dev.invented.messages import MESSAGES
from connector.dev.invented.statuses import STATUSES
from connector.records import KafkaMessage
from tests.support.callbacks import catalogue, messages_of, on, outcome


def records_of(invented: Invented) -> list[KafkaMessage]:
    return list(messages_of(invented.body, method=invented.method, query=invented.query))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("number", range(5))
def test_invented_callback_becomes_records(kind: str, number: int) -> None:
    results = outcome(records_of(callback(kind, number)))

    assert results
    assert not any(result.startswith("dead-letters/") for result in results)


def test_every_message_type_of_the_catalogue_is_invented() -> None:
    values = [one for kind in MESSAGES for record_type in catalogue() for one in _on(record_type.topic, kind)]
    invented = {value["message_type"] for value in values if "message_type" in value}

    known = {kind for record_type in catalogue() for kind in record_type.message_types if kind != ANY_TYPE}
    assert invented == known | {"unsupported", "unknown", "edit", "revoke", "media_placeholder", "hologram"}


def _on(topic: str, kind: str) -> list[dict[str, object]]:
    return on(topic.removeprefix("kaleyra.whatsapp."), records_of(callback(kind, 0)))


def test_every_status_is_invented() -> None:
    statuses = [value["status"] for kind in STATUSES for value in _on("kaleyra.whatsapp.statuses", kind)]

    assert {*statuses} == {"sent", "delivered", "read", "played", "failed", "NOT-SENT", "captured"}


def test_kinds_are_distinct() -> None:
    assert len({*TYPES}) == len(TYPES) == len(MESSAGES) + len(STATUSES) + len(DIALECTS)


@pytest.mark.parametrize("kind", TYPES)
def test_get_has_a_query_and_post_has_a_body(kind: str) -> None:
    one = callback(kind, 3)

    assert (one.method, bool(one.query), bool(one.body)) in {("GET", True, False), ("POST", False, True)}


def test_v1_message_by_get_equals_the_posted_one() -> None:
    asked = parse_qs(callback("v1_message_by_get", 0).query, keep_blank_values=True)

    assert {"body", "from", "name", "type", "created_at", "wanumber"} <= set(asked)
    assert asked["type"] == ["text"]


@pytest.mark.parametrize("kind", TYPES)
def test_same_type_number_and_seed_are_the_same_callback(kind: str) -> None:
    assert callback(kind, 7, seed=1) == callback(kind, 7, seed=1)
    assert callback(kind, 7, seed=1) != callback(kind, 8, seed=1) or kind == "quality_notice"


def test_ids_are_distinct() -> None:
    bodies = [one.body for one in callbacks(["text", "order", "status_read"], 300, seed=3)]

    assert len({*bodies}) == 300


def test_types_alternate() -> None:
    assert [*callbacks(["text", "order"], 3)] == [callback("text", 0), callback("order", 1), callback("text", 2)]


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_body_is_a_dead_letter(fault: str) -> None:
    (letter,) = outcome(messages_of(BROKEN[fault](callback("text", 0).body)))

    assert letter.startswith("dead-letters/")


def test_malformed_callbacks_are_added() -> None:
    good = [*callbacks(["text"], 100)]
    mixed = [*with_malformed(good)]

    assert [one for one in mixed if one in good] == good
    assert len(mixed) == 120
    assert len({one.body for one in mixed if one not in good}) >= len(BROKEN)


def test_duplicates_are_the_same_bytes_again() -> None:
    good = [*callbacks(["text"], 100)]
    counts = Counter(with_duplicates(good))

    assert sorted(counts.values()) == [1] * 80 + [2] * 20


def test_shuffling_keeps_all_callbacks_and_depends_on_seed() -> None:
    good = [*callbacks(["text"], 250)]

    assert sorted(shuffled(good, 1)) == sorted(good)
    assert [*shuffled(good, 1)] != good
    assert [*shuffled(good, 1)] == [*shuffled(good, 1)]
    assert [*shuffled(good, 1)] != [*shuffled(good, 2)]


def test_endless_callbacks_can_be_shuffled() -> None:
    endless = (callback("text", number) for number in count())

    assert len([*islice(shuffled(endless), 150)]) == 150
