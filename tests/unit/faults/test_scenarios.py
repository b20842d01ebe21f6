"""The comparison of ledgers: invented ledgers that break the delivery guarantee, each in one way, and the reported breach."""

from dataclasses import replace

import pytest

from tests.faults.scenarios.compare_ledgers import Verdict, judge
from tests.faults.scenarios.invented import MARK, Person
from tests.faults.scenarios.ledger import NO_ANSWER, Answer, Found, Sent
from tests.support.callbacks import messages_of


def sent(number: int, *statuses: int, topics: tuple[str, ...] = ("texts",), key: str = "k") -> Sent:
    """A callback sent once per status, each a second after the one before; callbacks a minute apart."""
    answers = [Answer(status, 60.0 * number + again, 60.0 * number + again + 0.5) for again, status in enumerate(statuses)]
    return Sent(f"m{number}", key, frozenset(topics), answers)


def found(number: int, offset: int, topic: str = "texts", **more: object) -> Found:
    record = Found(topic, 0, offset, "k", f"m{number}", f"ce-{number}", f"content of m{number}", 1000 + number)
    return record._replace(**more)  # type: ignore[arg-type]


SENT = [sent(0, 200), sent(1, 200), sent(2, 503, 200), sent(3, 503), sent(4, NO_ANSWER)]
FOUND = [found(0, 0), found(1, 1), found(2, 2)]


def breaches(sent: list[Sent], found: list[Found]) -> dict[str, tuple[str, ...]]:
    return judge(sent, found).breaches()


def test_kept_guarantee_has_no_breach() -> None:
    verdict = judge(SENT, FOUND)
    assert verdict.breaches() == {}
    assert verdict == Verdict(
        callbacks=5,
        answered_200=3,
        answered_503=2,
        answered_else=1,
        records=3,
        duplicates=0,
        longest_wait_seconds=0.5,
        missing=(),
        out_of_order=(),
        wrong_copies=(),
        unknown_records=(),
    )


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_record_of_a_200_that_is_not_there_is_missing(lost: int) -> None:
    assert breaches(SENT, FOUND[:lost] + FOUND[lost + 1 :]) == {"missing": (f"m{lost} on texts",)}


def test_one_of_two_records_of_a_callback_is_missing() -> None:
    callback = sent(0, 200, topics=("contacts", "texts"))
    assert breaches([callback], [found(0, 0)]) == {"missing": ("m0 on contacts",)}
    assert breaches([callback], [found(0, 0), found(0, 0, "contacts")]) == {}


def test_record_on_another_topic_is_missing_and_strange() -> None:
    assert breaches([sent(0, 200)], [found(0, 0, "dead-letters")]) == {
        "missing": ("m0 on texts",),
        "unknown_records": ("m0 on dead-letters",),
    }


def test_callback_not_answered_200_can_be_missing() -> None:
    assert breaches(SENT, [*FOUND, found(3, 3), found(4, 4)]) == {}


def test_record_before_an_earlier_accepted_one_is_out_of_order() -> None:
    swapped = [found(0, 0), found(1, 2), found(2, 1)]
    assert breaches(SENT, swapped) == {"out_of_order": ("m2 on texts, against m1",)}


def test_order_is_that_of_answers_instead_of_first_attempts() -> None:
    late = [sent(0, 503, *[503] * 90, 200), sent(1, 200)]
    assert late[0].answers[-1].ended > late[1].answers[-1].ended
    assert breaches(late, [found(1, 0), found(0, 1)]) == {}
    assert "out_of_order" in breaches(late, [found(0, 0), found(1, 1)])


def test_key_on_two_partitions_has_no_order() -> None:
    assert "out_of_order" in breaches(SENT, [found(0, 0), found(1, 1, partition=1), found(2, 2)])


def test_keys_and_topics_have_an_order_each() -> None:
    others = [sent(0, 200), sent(1, 200, key="other"), sent(2, 200, topics=("orders",))]
    records = [found(0, 5), found(1, 3, key="other"), found(2, 0, "orders")]
    assert breaches(others, records) == {}


def test_second_copy_counts_as_duplicate_at_any_position() -> None:
    verdict = judge(SENT, [*FOUND, found(1, 3), found(0, 4)])
    assert (verdict.breaches(), verdict.duplicates, verdict.records) == ({}, 2, 5)


def test_only_the_first_copy_has_a_place_in_the_order() -> None:
    assert breaches(SENT, [found(0, 0), found(1, 1), found(2, 2), found(1, 3)]) == {}
    assert "out_of_order" in breaches(SENT, [found(0, 0), found(2, 2), found(1, 3)])


@pytest.mark.parametrize("more", [{"ce_id": "another"}, {"content": "another"}, {"key": "another"}], ids=str)
def test_copy_that_is_not_the_same_is_wrong(more: dict[str, str]) -> None:
    assert breaches(SENT, [*FOUND, found(1, 3, **more)])["wrong_copies"] == ("m1 on texts: not the same",)


def test_copy_with_another_time_is_valid_only_after_a_retry() -> None:
    twice = [found(2, 3, received_at=9), *FOUND]
    assert breaches(SENT, twice) == {}
    once = [found(1, 3, received_at=9), *FOUND]
    assert breaches(SENT, once) == {"wrong_copies": ("m1 on texts: received twice, sent once",)}


def test_two_records_with_one_id_are_an_error() -> None:
    records = [found(0, 0), found(1, 1, ce_id="ce-0"), found(2, 2)]
    assert breaches(SENT, records) == {"wrong_copies": ("m1 on texts: has the id of m0",)}


def test_record_without_a_sender_is_reported() -> None:
    assert breaches(SENT, [*FOUND, found(9, 9)]) == {"unknown_records": ("m9 on texts",)}


def test_longest_wait_is_that_of_any_answer() -> None:
    slow = replace(SENT[3], answers=[Answer(503, 0.0, 12.5)])
    assert judge([*SENT, slow], FOUND).longest_wait_seconds == 12.5


def test_callback_becomes_the_records_that_its_ledger_expects() -> None:
    person = Person(7, 2)
    for callback in [person.next() for _ in range(100)]:
        records = messages_of(callback.body)
        assert sorted(record.topic.removeprefix("kaleyra.whatsapp.") for record in records) == sorted(callback.topics)
        assert {record.key for record in records} <= {callback.key.encode(), None}


def test_callbacks_of_a_person_have_unique_marks_and_every_kind() -> None:
    person = Person(7, 1)
    callbacks = [person.next() for _ in range(300)]
    assert len({callback.mark for callback in callbacks}) == 300
    assert all(set(MARK.findall(callback.body.decode())) == {callback.mark} for callback in callbacks)
    ways = set().union(*(callback.topics for callback in callbacks))
    assert ways == {"texts", "documents", "orders", "statuses", "contacts", "dead-letters"}
