"""Replay in memory: what dead letters and raw callbacks become, what is skipped, which offsets are committed."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from connector.errors import ConfigurationInvalid, KafkaFailed, NoRoom
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import encoders
from connector.pipeline.outcome import Failure, Outcome
from connector.pipeline.ports import Sink
from connector.pipeline.translate import Translator
from connector.records import EMPTY, KafkaMessage, RawCallback
from connector.replay import replay as replay_module
from connector.replay.replay import CountingSink, Replay, Report
from connector.replay.selection import MAX_ATTEMPTS, BacklogRecord, Selection, require_reasons, time_of
from tests.support.callbacks import (
    MAX_MESSAGE_BYTES,
    RECEIVED_AT,
    REGISTRY_URL,
    MemorySink,
    answer_to,
    body_of,
    by_multipart,
    by_xml,
    catalogue,
    contact,
    decoded,
    envelope,
    flow,
    header,
    message,
    messages_of,
    on,
    order,
    outcome,
    raw,
    schema_ids,
    topics,
    translator,
    whole_catalogue,
)

REPLAYED_AT = RECEIVED_AT + 86_400_000
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN_KEYS = {"sender": "from", "words": "body"}
OWN_PARTS, OWN_XML = (carry({"sender": "393335550142", "type": "text", "words": "Ciao"}) for carry in (by_multipart, by_xml))
LETTERS = Selection("dead-letters", None, None, (), MAX_ATTEMPTS, contacts=False)
RAW = Selection("raw", RECEIVED_AT, RECEIVED_AT + 1000, (), MAX_ATTEMPTS, contacts=False)


def own_keys(number: int) -> bytes:
    """Return a callback that is a text if the settings have its keys, else a dead letter."""
    return body_of({"sender": "393335550142", "type": "text", "words": "Ciao", "id": f"wamid.{number}"})


class Topic:
    """Records in memory, in order, over two partitions."""

    def __init__(self, records: Sequence[KafkaMessage], first: int = 0) -> None:
        self._records = [backlog_record(one, offset) for offset, one in enumerate(records)]
        self._next = first
        self.committed: dict[int, int] = {}
        self.reads: list[int] = []

    @property
    def is_read(self) -> bool:
        return self._next >= len(self._records)

    def read(self, count: int, timeout_seconds: float) -> list[BacklogRecord]:  # noqa: ARG002 - the protocol's
        self.reads.append(count)
        found = self._records[self._next : self._next + count]
        self._next += len(found)
        return found

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.committed |= offsets


def backlog_record(record: KafkaMessage, offset: int = 0) -> BacklogRecord:
    trace = header(record, "traceparent"), header(record, "tracestate")
    return BacklogRecord(offset % 2, offset, decoded(record, whole_catalogue()), *trace)


def letters_of(*bodies: bytes, **more: Any) -> list[KafkaMessage]:
    return [one for body in bodies for one in messages_of(body, **more) if topics([one]) == ["dead-letters"]]


def copies_of(*bodies: bytes, **more: Any) -> list[KafkaMessage]:
    carrier = translator(of=whole_catalogue())
    return [one for body in bodies for one in carrier.translate(raw(body, **more)) if topics([one]) == ["raw"]]


class Run:
    """One replay and its result."""

    def __init__(
        self,
        records: Sequence[KafkaMessage] | Topic,
        selection: Selection = LETTERS,
        sink: Sink | None = None,
        *,
        renamed_keys: Mapping[str, str] = EMPTY,
        rate: float = 0,
        dry_run: bool = False,
    ) -> None:
        self.topic = records if isinstance(records, Topic) else Topic(records)
        self.sink = sink or MemorySink()
        self.report = Report()
        self.advanced = 0
        metrics = Metrics()
        more = [("replayed_at", b"2025-11-22T10:30:00.000Z")]
        by_name = encoders(catalogue(), schema_ids(catalogue()), REGISTRY_URL, MAX_MESSAGE_BYTES, metrics, more)
        steps = Translator(catalogue(), by_name, metrics, renamed_keys, leave_out=selection.omitted_sources())
        counting = CountingSink(self.sink, self.report, catalogue().dead_letter.topic)
        deliverer = None if dry_run else Deliverer(steps, counting, metrics)
        self._replay = Replay(self.topic, selection, steps, deliverer, self.report, rate)

    def carry(self) -> "Run":
        asyncio.run(self._replay.run(REPLAYED_AT, self._advance))
        return self

    @property
    def messages(self) -> list[KafkaMessage]:
        assert isinstance(self.sink, MemorySink)
        return self.sink.messages

    def _advance(self, count: int) -> None:
        self.advanced += count


# What callbacks become


def test_fixed_dead_letter_becomes_the_expected_record() -> None:
    letters = letters_of(own_keys(1), traceparent=TRACEPARENT, tracestate="a=b")

    run = Run(letters, renamed_keys=OWN_KEYS).carry()

    (expected,) = translator(renamed_keys=OWN_KEYS).translate(raw(own_keys(1)))
    (record,) = run.messages
    assert decoded(record) == decoded(expected)
    assert header(record, "ce_id") == header(expected, "ce_id")
    assert (record.key, record.timestamp_ms) == (expected.key, expected.timestamp_ms)
    assert header(record, "traceparent") == TRACEPARENT
    assert header(record, "tracestate") == "a=b"
    assert header(record, "replayed_at") == "2025-11-22T10:30:00.000Z"
    assert header(expected, "replayed_at") is None


def test_record_that_kafka_refused_is_replayed_alone_with_its_id() -> None:
    refusing = MemorySink(refuse=lambda one: topics([one]) == ["texts"])
    answer_to(envelope([message(), message(message_type="document", id="wamid.D")], [contact()]), flow(refusing))
    (letter,) = [one for one in refusing.messages if topics([one]) == ["dead-letters"]]

    run = Run([letter]).carry()

    (expected,) = [one for one in messages_of(envelope([message()])) if topics([one]) == ["texts"]]
    (record,) = run.messages
    assert header(record, "ce_id") == header(expected, "ce_id")
    assert run.report.as_json() == {
        "read": 1,
        "replayed": 1,
        "without_records": 0,
        "records": {"kaleyra.whatsapp.texts": 1},
        "dead_letters": {},
        "skipped": {},
    }


@pytest.mark.parametrize(
    "request_of",
    [
        {"method": "GET", "query": "sender=393335550142&type=text&words=Ciao", "content_type": ""},
        {"method": "DELETE", "query": "sender=393335550142&type=text&words=Ciao", "content_type": ""},
        {"body": b"sender=393335550142&type=text&words=Ciao", "content_type": "application/x-www-form-urlencoded"},
        {"body": OWN_PARTS.body, "content_type": OWN_PARTS.content_type, "method": "PUT"},
        {"body": OWN_XML.body, "content_type": OWN_XML.content_type},
        {"body": b"sender=393335550142&kind=text&words=Ciao", "content_type": "text/plain"},
    ],
    ids=["query", "query of a DELETE", "form", "form in parts", "XML", "text"],
)
def test_query_and_every_type_of_body_are_replayed_as_received(request_of: dict[str, Any]) -> None:
    body = request_of.pop("body", b"")

    run = Run(letters_of(body, **request_of), renamed_keys={**OWN_KEYS, "kind": "type"}).carry()

    assert topics(run.messages) == ["texts"]


def test_dead_letter_that_fails_again_keeps_id_and_counts_attempt() -> None:
    letters = letters_of(b"no JSON")
    value = decoded(letters[0])
    for attempts in (2, 3):
        run = Run(letters).carry()
        (again,) = letters = run.messages
        found = decoded(again)
        assert found.pop("attempts") == attempts
        assert found.pop("replayed_at").timestamp() * 1000 == REPLAYED_AT
        assert found == {name: part for name, part in value.items() if name not in ("attempts", "replayed_at")}
        assert header(again, "replayed_at")
        assert run.report.dead_letters == {"not_json": 1}


def test_dead_letter_with_too_many_attempts_is_skipped() -> None:
    topic = letters_of(b"no JSON")
    for _ in range(20):
        topic += Run(topic[-1:]).carry().messages

    assert max(decoded(one)["attempts"] for one in topic) == MAX_ATTEMPTS
    assert Run(topic[-1:]).carry().report.skipped == {"too_many_attempts": 1}
    patient = Selection("dead-letters", None, None, (), MAX_ATTEMPTS + 1, contacts=False)
    assert Run(topic[-1:], patient).carry().report.replayed == 1


def test_contacts_are_omitted_unless_requested() -> None:
    refusing = MemorySink(refuse=lambda one: topics([one]) == ["texts"])
    answer_to(envelope([message()], [contact()]), flow(refusing))
    unfit = [message(id="wamid.B"), message()], [contact(parent_user_id=[1])]
    letters = [one for one in refusing.messages if topics([one]) == ["dead-letters"]] + letters_of(envelope(*unfit))

    run = Run(letters).carry()
    asked = Run(letters, Selection("dead-letters", None, None, (), MAX_ATTEMPTS, contacts=True)).carry()

    # Neither the contact's record nor its dead letter is created again.
    assert outcome(run.messages) == ["texts"]
    assert run.report.without_records == 1
    assert sorted(outcome(asked.messages)) == ["contacts", "dead-letters/does_not_fit", "texts"]
    assert on("texts", run.messages)[0]["profile_name"] == "Giulia"


def test_raw_callbacks_become_their_records_and_no_new_copies() -> None:
    bodies = [envelope([message()], [contact()]), envelope([order({"quantity": "x"})]), b"no JSON"]

    run = Run(copies_of(*bodies), RAW).carry()

    live = [one for body in bodies for one in messages_of(body) if topics([one]) != ["contacts"]]
    assert outcome(run.messages) == ["texts", "dead-letters/does_not_fit", "dead-letters/not_json"]
    assert [header(one, "ce_id") for one in run.messages] == [header(one, "ce_id") for one in live]
    assert [one["attempts"] for one in on("dead-letters", run.messages)] == [2, 2]


# What is skipped


def test_only_requested_reasons_are_replayed() -> None:
    letters = letters_of(b"no JSON", b"\xff", b"[]")
    some = Selection("dead-letters", None, None, ("not_json", "not_utf8"), MAX_ATTEMPTS, contacts=False)

    run = Run(letters, some).carry()

    assert outcome(run.messages) == ["dead-letters/not_json", "dead-letters/not_utf8"]
    assert (run.report.read, run.report.skipped) == (3, {"other_reason": 1})


@pytest.mark.parametrize(("received_at", "taken"), [(-1, False), (0, True), (999, True), (1000, False)])
def test_time_range_is_of_first_receipt_and_half_open(received_at: int, taken: bool) -> None:
    run = Run(copies_of(b"x", received_at=RECEIVED_AT + received_at), RAW).carry()

    assert run.report.replayed == taken
    assert run.report.skipped == ({} if taken else {"outside_time_range": 1})


@pytest.mark.parametrize("value", [None, {}, {"received_at": "soon", "body": b""}])
def test_unreadable_record_is_counted_and_skipped(value: Any) -> None:
    topic = Topic(letters_of(b"no JSON"))
    topic._records.insert(0, BacklogRecord(0, 0, value, None, None))

    run = Run(topic).carry()

    assert run.report.skipped == {"unreadable": 1}
    assert run.report.replayed == 1


# What is committed


def test_offsets_of_all_read_records_are_committed() -> None:
    run = Run(letters_of(*[b"no JSON %d" % number for number in range(1001)])).carry()

    assert run.topic.committed == {0: 1001, 1: 1000}
    assert (run.report.read, run.report.replayed, run.advanced) == (1001, 1001, 1001)


class FailingFrom(MemorySink):
    """From the n-th callback on, acknowledges only every third."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self._first = first

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        self.sends += 1
        if self.sends <= self._first or self.sends % 3 == 0:
            self.messages += messages
            return Outcome([], [])
        await asyncio.sleep(0.01)
        return Outcome([], [Failure(one, "_MSG_TIMED_OUT", for_good=False) for one in messages])


def test_commit_stops_at_first_failure_and_next_run_continues() -> None:
    letters = letters_of(*map(own_keys, range(40)))
    failing = Run(letters, sink=FailingFrom(10), renamed_keys=OWN_KEYS)

    with pytest.raises(KafkaFailed, match=r"not acknowledged \(_MSG_TIMED_OUT\)"):
        failing.carry()

    # The eleventh, in partition 0, failed first; the twelfth was acknowledged.
    assert failing.topic.committed == {0: 9, 1: 12}
    again = Run(Topic(letters, first=10), renamed_keys=OWN_KEYS).carry()
    ids = [one["message_id"] for one in on("texts", failing.messages + again.messages)]
    assert set(ids) == {f"wamid.{number}" for number in range(40)}


def test_dead_letter_that_kafka_refuses_too_ends_the_run() -> None:
    run = Run(letters_of(b"no JSON"), sink=MemorySink(refuse=lambda _: True))

    with pytest.raises(KafkaFailed, match="MSG_SIZE_TOO_LARGE"):
        run.carry()

    assert run.topic.committed == {}


class Cramped(MemorySink):
    """Has room for two callbacks at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._in_flight = 0
        self.refusals = 0

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        if self._in_flight >= 2:
            self.refusals += 1
            raise NoRoom("full")
        self._in_flight += 1
        # Enqueued in this order, whenever they are acknowledged.
        self.messages += messages
        await asyncio.sleep(0.005)
        self._in_flight -= 1
        return Outcome([], [])


def test_callbacks_wait_for_queue_room_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "_QUEUE_POLL_SECONDS", 0.001)
    cramped = Cramped()

    run = Run(letters_of(*map(own_keys, range(20))), sink=cramped, renamed_keys=OWN_KEYS).carry()

    assert cramped.refusals
    assert [one["message_id"] for one in on("texts", run.messages)] == [f"wamid.{number}" for number in range(20)]
    assert run.report.replayed == 20


def test_full_queue_ends_the_run_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "_NO_ROOM_SECONDS", 0.05)
    run = Run(letters_of(b"no JSON", b"[]"), sink=MemorySink(room=False))

    with pytest.raises(KafkaFailed, match="no room"):
        run.carry()

    assert run.topic.committed == {}


def test_dry_run_has_the_same_report_and_changes_nothing() -> None:
    letters = letters_of(b"no JSON", own_keys(1), envelope([message(), order({"quantity": "x"})], [contact()]))
    real = Run(letters, renamed_keys=OWN_KEYS).carry()

    dry = Run(letters, renamed_keys=OWN_KEYS, dry_run=True).carry()

    assert dry.report.as_json() == real.report.as_json()
    assert dry.report.records == {"kaleyra.whatsapp.texts": 1, "kaleyra.whatsapp.dead-letters": 2}
    assert dry.topic.committed == {}


def test_rate_is_respected_and_commits_are_once_a_second() -> None:
    started = time.monotonic()

    run = Run(letters_of(*[b"no JSON %d" % number for number in range(21)]), rate=100).carry()

    assert 0.2 <= time.monotonic() - started < 2
    assert set(run.topic.reads) == {100}
    assert Run([], rate=0.5)._replay._window == 1


# Options


def test_each_selection_has_its_own_consumer_group() -> None:
    def named(**differing: Any) -> str:
        given: dict[str, Any] = {"since": None, "until": None, "reasons": (), "max_attempts": MAX_ATTEMPTS}
        return Selection("dead-letters", **{**given, "contacts": False, **differing}).group()

    others: list[dict[str, Any]] = [
        {"since": 1},
        {"reasons": ("not_json",)},
        {"reasons": ("not_json", "missing")},
        {"max_attempts": 6},
        {"contacts": True},
    ]
    names = {named(), RAW.group(), *(named(**one) for one in others)}
    assert named() == "connector-replay-dead-letters"
    assert len(names) == len(others) + 2
    assert all(name.startswith("connector-replay-") for name in names)
    assert named(since=1) == named(since=1)


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("2025-11-21T10:30:00Z", RECEIVED_AT),
        ("2025-11-21T11:30:00.250+01:00", RECEIVED_AT + 250),
        ("1969-12-31T23:59:59Z", -1000),
    ],
)
def test_time_with_zone_is_parsed(text: str, millis: int) -> None:
    assert time_of(text, "--since") == millis


@pytest.mark.parametrize("text", ["", "yesterday", "2025-11-21", "2025-11-21T10:30:00", "1763721000", "2025-13-01T00:00:00Z"])
def test_invalid_time_or_time_without_zone_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^--since needs a time with a time zone, as "):
        time_of(text, "--since")


def test_unknown_reason_is_refused_and_known_ones_listed() -> None:
    assert require_reasons(["not_utf8", "not_json", "not_utf8"]) == ("not_json", "not_utf8")
    with pytest.raises(ConfigurationInvalid, match=r"unknown reason nonsense; known are .*not_json"):
        require_reasons(["not_json", "nonsense"])


def test_repr_of_replayed_callback_shows_no_content() -> None:
    (letter,) = letters_of(own_keys(1))
    callback = LETTERS.callback_of(backlog_record(letter), REPLAYED_AT)

    assert isinstance(callback, RawCallback)
    assert (callback.attempts, callback.replayed_at) == (2, REPLAYED_AT)
    assert "393335550142" not in repr(callback)
