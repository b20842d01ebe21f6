"""docs/reference/headers.md says what headers, key and timestamp the records have that the code writes."""

import json
import re
from pathlib import Path

import pytest

from connector.catalogue import read_catalogue
from connector.commands import replay
from connector.mapping import conversions
from connector.metrics import Metrics
from connector.pipeline import encode
from connector.privacy.policy import Policy
from connector.records import KafkaMessage, Place, Source
from connector.settings.tables import Privacy
from tests.support.callbacks import (
    ABSENT,
    NUMBER,
    OTHER_NUMBER,
    REJECTED,
    SAMPLES,
    USER_ID,
    contact,
    envelope,
    header,
    items_of,
    message,
    messages_of,
    raw,
    status,
    translator,
    whole_catalogue,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "headers.md").read_text(encoding="utf-8")
TRACED = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=b"}
ON_TRACED = "of a callback with a valid"


def rows(title: str) -> dict[str, str]:
    """The first two columns of the table below a title."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {first.strip("`"): second for first, second, *_ in cells[2:]}


def names(record: KafkaMessage) -> set[str]:
    return {name for name, _ in record.headers}


def headers_on(*kinds: str) -> set[str]:
    return {name for name, on in rows("Headers").items() if any(on.startswith(kind) for kind in kinds) and ON_TRACED not in on}


GROUP = {"recipient_participant_id": NUMBER, "recipient_participant_user_id": USER_ID}

UNFIT = headers_on("records in which a side field")

EVERY = headers_on("every record", "records with a value") - {"replayed_at"}


def test_headers_of_events_are_those_of_the_page() -> None:
    for sample in SAMPLES:
        records = [one for one in messages_of(sample.read_bytes()) if not one.topic.endswith("dead-letters")]
        assert records
        assert all(names(record) - UNFIT == EVERY for record in records), sample


def test_header_of_side_fields_that_do_not_fit_is_on_the_page() -> None:
    with_it, without_it = messages_of(envelope([message(timestamp="172XXXXXXX")])), messages_of(envelope([message()]))

    assert names(with_it[0]) == EVERY | UNFIT
    assert names(without_it[0]) == EVERY


def test_headers_of_dead_letters_are_those_of_the_page() -> None:
    for sample in REJECTED:
        records = [one for one in messages_of(sample.read_bytes()) if one.topic.endswith("dead-letters")]
        assert all(names(record) == EVERY | headers_on("dead letters") for record in records), sample


def test_trace_ids_are_those_of_the_page() -> None:
    traced = {name for name, on in rows("Headers").items() if ON_TRACED in on}
    assert traced == set(TRACED)
    for record in messages_of(envelope([message()]), **TRACED):
        assert names(record) == EVERY | traced


def test_tombstones_have_the_headers_that_every_record_has() -> None:
    on = read_catalogue(policy=Policy.of(Privacy(forget_changed_numbers=True)))
    system = {"type": "user_changed_number", "wa_id": OTHER_NUMBER, "body": "changed"}
    records = translator(of=on).translate(raw(envelope([message(message_type="system", system=system)]), **TRACED))
    (tombstone,) = [record for record in records if not record.value]
    assert names(tombstone) == headers_on("every record")


def test_header_of_a_replay_is_on_the_page() -> None:
    assert replay.HEADER in rows("Headers")


def test_example_values_are_those_of_the_code() -> None:
    (record,) = messages_of(envelope([message()]))
    for name in ("ce_specversion", "content-type"):
        assert f"| `{header(record, name)}` |" in PAGE
    assert header(record, "ce_source") is not None
    assert str(header(record, "ce_source")).startswith("/kaleyra/whatsapp/")
    assert re.fullmatch(r"[0-9a-f]{32}", str(header(record, "ce_id")))


def test_bounds_of_timestamps_are_those_of_the_code() -> None:
    assert f"{encode._OLDEST_MS // 86_400_000} days before and {conversions.AHEAD_MS // 60_000} minutes after receipt" in PAGE
    assert "clamped_times" in Metrics().adjusted


def test_ids_of_keys_are_those_that_the_schemas_name() -> None:
    named = {kind: set(re.findall(r"`([a-z_.]+)`", ids)) for kind, ids in rows("Key").items()}
    people = named["messages"] | named["system messages"] | named["statuses"]
    for name, ids in (("status", people), ("text", people), ("account_event", named["account events"])):
        schema = json.loads((ROOT / "avro" / f"{name}.avsc").read_text(encoding="utf-8"))
        (doc,) = (field["doc"] for field in schema["fields"] if field["name"] == "key_source")
        assert set(re.findall(r"[a-z][a-z_.]*[a-z]", doc.partition(": ")[2])) == ids
    assert named["contacts"] <= people


ALL_IDS: dict[str, list[tuple[Source, bytes]]] = {
    # Each callback lacks the ids of those before it.
    "messages": [
        ("messages", envelope([message(from_user_id=USER_ID)], [contact(user_id=USER_ID)])),
        ("messages", envelope([message(from_user_id=USER_ID)], [contact(wa_id=ABSENT, user_id=USER_ID)])),
        ("messages", envelope([message(ABSENT, from_user_id=USER_ID)], [contact(wa_id=ABSENT, user_id=USER_ID)])),
        ("messages", envelope([message(ABSENT, from_user_id=USER_ID)])),
    ],
    "statuses": [
        ("statuses", envelope([], [contact(user_id=USER_ID)], [status(recipient_user_id=USER_ID, **GROUP)])),
        ("statuses", envelope([], [], [status(recipient_user_id=USER_ID, **GROUP)])),
        ("statuses", envelope([], [], [status(recipient_user_id=USER_ID, **{**GROUP, "recipient_participant_id": ABSENT})])),
        ("statuses", envelope([], [], [status(recipient_user_id=USER_ID)])),
        ("statuses", envelope([], [], [status(ABSENT, recipient_user_id=USER_ID)])),
    ],
    "contacts": [
        ("contacts", envelope([], [contact(user_id=USER_ID)])),
        ("contacts", envelope([], [contact(wa_id=ABSENT, user_id=USER_ID)])),
    ],
}


@pytest.mark.parametrize("kind", ALL_IDS)
def test_key_is_the_first_id_of_the_page_in_the_callback(kind: str) -> None:
    sources = [items_of(body)[Place(source, 0)].key["source"] for source, body in ALL_IDS[kind]]
    assert sources == re.findall(r"`([a-z_]+)`", rows("Key")[kind])[: len(sources)]


def test_topics_of_the_page_are_keyed_as_it_says() -> None:
    of = whole_catalogue()
    assert of.raw is not None
    records = translator(of=of).translate(raw(b"not JSON"))
    assert {record.key for record in records} == {None}
    assert {record.topic for record in records} == {of.raw.topic, of.dead_letter.topic}
