"""Compares the ledgers: pure, so that its own tests can show what it detects.

Checked is: a callback answered 200 is on every topic where it belongs; per key and topic the records are in the order of
the answers; duplicates have one `ce_id` and one content, and no other record has that id. For callbacks never answered 200
only the ids and contents are checked.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.faults.scenarios.ledger import NO_ANSWER, Found, Sent

_Place = tuple[str, str]
"""A topic and a mark."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts, and each breach by the marks that it is about. `duplicates` are records beyond the first; they may be."""

    callbacks: int
    answered_200: int
    answered_503: int
    answered_else: int
    records: int
    duplicates: int
    longest_wait_seconds: float
    missing: tuple[str, ...]
    out_of_order: tuple[str, ...]
    wrong_copies: tuple[str, ...]
    unknown_records: tuple[str, ...]

    def breaches(self) -> dict[str, tuple[str, ...]]:
        """Return what must not be, by its name; empty when the delivery guarantee was kept."""
        named = asdict(self)
        return {name: named[name] for name in ("missing", "out_of_order", "wrong_copies", "unknown_records") if named[name]}


def judge(sent: Sequence[Sent], found: Iterable[Found]) -> Verdict:
    """Compare what was sent with what was found."""
    records = sorted(found, key=lambda record: (record.topic, record.partition, record.offset))
    copies: dict[_Place, list[Found]] = defaultdict(list)
    for record in records:
        copies[record.topic, record.mark].append(record)
    statuses = Counter(answer.status for one in sent for answer in one.answers)
    return Verdict(
        callbacks=len(sent),
        answered_200=statuses[200],
        answered_503=statuses[503],
        answered_else=statuses.total() - statuses[200] - statuses[503],
        records=len(records),
        duplicates=len(records) - len(copies),
        longest_wait_seconds=max((answer.ended - answer.began for one in sent for answer in one.answers), default=0.0),
        missing=tuple(_missing(sent, copies)),
        out_of_order=tuple(_out_of_order(sent, copies)),
        wrong_copies=tuple(_wrong_copies(sent, copies)),
        unknown_records=tuple(_unknown_records(sent, copies)),
    )


def other_answers(sent: Iterable[Sent]) -> Mapping[int, int]:
    """Return how many answers there were of each status but 200; `NO_ANSWER` is one."""
    return Counter(answer.status for one in sent for answer in one.answers if answer.status != 200)


def name_of(status: int) -> str:
    """Return a status in words."""
    return "no answer" if status == NO_ANSWER else str(status)


def _missing(sent: Iterable[Sent], copies: Mapping[_Place, object]) -> Iterable[str]:
    for one in sent:
        if one.accepted_at() is not None:
            yield from (f"{one.mark} on {topic}" for topic in sorted(one.topics) if (topic, one.mark) not in copies)


def _out_of_order(sent: Iterable[Sent], copies: Mapping[_Place, Sequence[Found]]) -> Iterable[str]:
    """Yield records that precede an earlier accepted one of their key and topic, or are on another partition."""
    accepted = [(at, one) for one in sent if (at := one.accepted_at()) is not None]
    accepted.sort(key=lambda pair: pair[0])
    last: dict[_Place, Found] = {}
    for _, one in accepted:
        for topic in sorted(one.topics):
            for first in copies.get((topic, one.mark), ())[:1]:
                # A whole callback that could not be read has no person's key.
                if first.key is None:
                    continue
                before = last.get((topic, first.key), first)
                if (before.partition, before.offset) > (first.partition, first.offset) or before.partition != first.partition:
                    yield f"{one.mark} on {topic}, against {before.mark}"
                last[topic, first.key] = first


def _wrong_copies(sent: Iterable[Sent], copies: Mapping[_Place, Sequence[Found]]) -> Iterable[str]:
    times_sent = {one.mark: len(one.answers) for one in sent}
    place_of: dict[tuple[str, str], _Place] = {}
    for place, records in copies.items():
        topic, mark = place
        if len({(record.ce_id, record.content, record.key) for record in records}) > 1:
            yield f"{mark} on {topic}: not the same"
        if times_sent.get(mark) == 1 and len({record.received_at for record in records}) > 1:
            yield f"{mark} on {topic}: received twice, sent once"
        for record in records:
            if place_of.setdefault((topic, record.ce_id), place) != place:
                yield f"{mark} on {topic}: has the id of {place_of[topic, record.ce_id][1]}"


def _unknown_records(sent: Iterable[Sent], copies: Iterable[_Place]) -> Iterable[str]:
    belong = {(topic, one.mark) for one in sent for topic in one.topics}
    yield from (f"{mark} on {topic}" for topic, mark in copies if (topic, mark) not in belong)
