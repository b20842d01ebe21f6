"""Invented callbacks: every type of the catalogue and every shape, reproducible by seed."""

from collections import Counter
from itertools import count, islice, product
from urllib.parse import parse_qs

from connector.dev.invented.callbacks import BROKEN, TYPES, callback, callbacks, shuffled, with_duplicates, with_malformed
from connector.dev.invented.dialects import DIALECTS
from connector.dev.invented.event import Invented
from connector.dev.invented.messages import MESSAGES
from connector.dev.invented.statuses import STATUSES
from connector.record_tables import ANY_TYPE
from connector.records import KafkaMessage
from tests.support.callbacks import catalogue, messages_of, on, outcome


def records_of(invented: Invented) -> list[KafkaMessage]:
    return list(messages_of(invented.body, method=invented.method, query=invented.query))


def test_invented_callback_becomes_records() -> None:
    for kind, number in product(TYPES, range(5)):
        results = outcome(records_of(callback(kind, number)))
        assert results, (kind, number)
        assert not any(result.startswith("dead-letters/") for result in results), (kind, number, results)


def test_every_message_type_is_invented_and_some_unknown_ones() -> None:
    values = [one for kind in MESSAGES for record_type in catalogue() for one in _on(record_type.topic, kind)]
    invented = {value["message_type"] for value in values if "message_type" in value}

    known = {kind for record_type in catalogue() for kind in record_type.message_types if kind != ANY_TYPE}
    assert invented == known | {"unsupported", "unknown", "edit", "revoke", "media_placeholder", "hologram"}


def _on(topic: str, kind: str) -> list[dict[str, object]]:
    return on(topic.removeprefix("kaleyra.whatsapp."), records_of(callback(kind, 0)))


def test_every_status_is_invented() -> None:
    statuses = [value["status"] for kind in STATUSES for value in _on("kaleyra.whatsapp.statuses", kind)]

    assert {*statuses} == {"sent", "delivered", "read", "played", "failed", "NOT-SENT", "captured"}


def test_names_of_types_are_distinct() -> None:
    assert len({*TYPES}) == len(TYPES) == len(MESSAGES) + len(STATUSES) + len(DIALECTS)


def test_get_has_a_query_and_post_has_a_body() -> None:
    made = {kind: callback(kind, 3) for kind in TYPES}

    shapes = {kind: (one.method, bool(one.query), bool(one.body)) for kind, one in made.items()}
    assert {kind for kind, shape in shapes.items() if shape not in {("GET", True, False), ("POST", False, True)}} == set()


def test_v1_message_by_get_has_the_keys_of_a_posted_one() -> None:
    asked = parse_qs(callback("v1_message_by_get", 0).query, keep_blank_values=True)

    assert {"body", "from", "name", "type", "created_at", "wanumber"} <= set(asked)
    assert asked["type"] == ["text"]


def test_same_type_number_and_seed_are_the_same_callback() -> None:
    assert [kind for kind in TYPES if callback(kind, 7, seed=1) != callback(kind, 7, seed=1)] == []
    # A notice about quality has no id: nothing in it differs from one to the next.
    assert [kind for kind in TYPES if callback(kind, 7, seed=1) == callback(kind, 8, seed=1)] in ([], ["quality_notice"])


def test_ids_are_distinct() -> None:
    bodies = [one.body for one in callbacks(["text", "order", "status_read"], 300, seed=3)]

    assert len({*bodies}) == 300


def test_types_alternate() -> None:
    assert [*callbacks(["text", "order"], 3)] == [callback("text", 0), callback("order", 1), callback("text", 2)]


def test_broken_body_is_a_dead_letter() -> None:
    for fault, broken in BROKEN.items():
        results = outcome(messages_of(broken(callback("text", 0).body)))
        assert len(results) == 1, fault
        assert results[0].startswith("dead-letters/"), (fault, results)


def test_malformed_callbacks_are_added_to_the_good_ones() -> None:
    good = [*callbacks(["text"], 100)]
    mixed = [*with_malformed(good)]

    assert [one for one in mixed if one in good] == good
    assert len(mixed) == 120
    assert len({one.body for one in mixed if one not in good}) >= len(BROKEN)


def test_duplicates_are_the_same_bytes_again() -> None:
    good = [*callbacks(["text"], 100)]
    counts = Counter(with_duplicates(good))

    assert sorted(counts.values()) == [1] * 80 + [2] * 20


def test_seed_decides_the_order_of_shuffled_callbacks() -> None:
    good = [*callbacks(["text"], 250)]

    assert sorted(shuffled(good, 1)) == sorted(good)
    assert [*shuffled(good, 1)] != good
    assert [*shuffled(good, 1)] == [*shuffled(good, 1)]
    assert [*shuffled(good, 1)] != [*shuffled(good, 2)]


def test_endless_callbacks_can_be_shuffled() -> None:
    endless = (callback("text", number) for number in count())

    assert len([*islice(shuffled(endless), 150)]) == 150
