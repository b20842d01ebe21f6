"""What holds for every callback, however odd: nothing is lost or invented, and none causes an internal error."""

import dataclasses
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.catalogue import RecordType
from connector.mapping.avro_writer import text
from connector.mapping.compiler import EACH_ROOTS, ROOTS, compile_schema
from connector.mapping.conversions import EARLIEST_MS, LATEST_MS
from connector.metrics import Metrics
from connector.pipeline.people import text_of
from connector.records import EMPTY, REASONS, Item, Json, KafkaMessage
from tests.support.callbacks import (
    body_of,
    catalogue,
    counted,
    decoded,
    envelope,
    header,
    items_of,
    messages_of,
    on,
    outcome,
    raw,
    translator,
    whole_catalogue,
)
from tests.support.examples import examples

# Without the store: what an earlier shape of a strategy drew is no finding.
modest = settings(max_examples=examples(80), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

# Lone surrogates too: json escapes them, and the callbacks' senders cut names in the middle of an emoji.
texts = st.text(max_size=8) | st.text(alphabet="\ud83d\ude02a+ 0", max_size=4)
numbers = st.integers() | st.integers(10**17, 10**40) | st.decimals(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
people = st.sampled_from(["393335550142", "+39 3335550142", "393335550143", "IT.100", "", 393335550142])


def often(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw what is likely on the wire, seldom anything at all."""
    return st.integers(0, 9).flatmap(lambda dice: anything if dice == 9 else likely)


def objects(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Draw objects with any of these keys."""
    return st.fixed_dictionaries({}, optional={name.rstrip("_"): often(values) for name, values in keys.items()})


times = st.sampled_from(["1763720001", 1763720002, "172XXXXXXX", "", "2025-11-21T10:13:20Z"])
ids = st.sampled_from(["wamid.A", "wamid.B", ""])
prices = st.sampled_from([1600, Decimal("7.99"), "7.99", "sette", Decimal("1e400"), 0])
product_items = objects(product_retailer_id=texts, quantity=st.integers(0, 9), item_price=prices, currency=texts)
cards_phones = st.lists(objects(phone=texts, wa_id=people), max_size=2) | objects(phone=texts)
messages = objects(
    from_=people,
    from_user_id=people,
    id=ids,
    timestamp=times,
    type=st.sampled_from(
        ["text", "image", "document", "location", "contacts", "interactive", "order", "reaction", "system", "hologram"]
    ),
    text=objects(body=texts),
    image=objects(id=texts, caption=texts),
    document=objects(id=texts, filename=texts),
    location=objects(latitude=st.sampled_from([45, Decimal("45.4641"), "45.4641", "nord"]), name=texts),
    contacts=st.lists(objects(name=objects(formatted_name=texts), phones=cards_phones), max_size=2),
    interactive=objects(type=texts, list_reply=objects(id=texts), nfm_reply=objects(response_json=texts)),
    order=objects(catalog_id=texts, product_items=st.lists(product_items, max_size=2) | product_items),
    reaction=objects(message_id=ids, emoji=texts),
    system=objects(wa_id=people, user_id=people),
    context=objects(id=ids, forwarded=st.booleans()),
)
statuses = objects(
    id=ids,
    status=st.sampled_from(["sent", "delivered", "read"]),
    timestamp=times,
    recipient_id=people,
    recipient_user_id=people,
    recipient_type=st.just("group"),
    recipient_participant_id=people,
    errors=st.lists(objects(code=st.integers(), title=texts), max_size=2),
)
contacts = objects(wa_id=people, user_id=people, profile=objects(name=texts, username=texts), username=texts)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The lists of one callback."""

    messages: list[Any]
    contacts: list[Any]
    statuses: list[Any]

    def body(self) -> bytes:
        return envelope(self.messages, self.contacts, self.statuses)

    def count(self) -> int:
        return len(self.messages) + len(self.contacts) + len(self.statuses)


callbacks = st.builds(
    Parts,
    st.lists(often(messages), max_size=4),
    st.lists(often(contacts), max_size=3),
    st.lists(often(statuses), max_size=3),
).filter(Parts.count)


def is_dead_letter(record: KafkaMessage) -> bool:
    return record.topic == catalogue().dead_letter.topic


@modest
@given(st.binary(max_size=60) | anything.map(lambda value: body_of({"meta_object": value})))
def test_any_body_becomes_records_or_named_dead_letters(body: bytes) -> None:
    for record in messages_of(body):
        value = decoded(record)
        if is_dead_letter(record):
            assert value["reason"] in REASONS
            assert value["reason"] != "internal_error"


@modest
@given(anything, anything, anything, anything, anything)
def test_anything_in_place_of_a_list_is_records_or_dead_letters(
    messages: Any, contacts: Any, statuses: Any, extra: Any, metadata: Any
) -> None:
    results = outcome(messages_of(envelope(messages, contacts, statuses, extra, metadata)))

    assert "dead-letters/internal_error" not in results


@modest
@given(callbacks)
def test_every_input_is_output_or_counted(parts: Parts) -> None:
    metrics = Metrics()

    records = translator(metrics=metrics).translate(raw(parts.body()))

    left_out = sum(
        counted(metrics, "connector_adjusted_values", kind=what)
        for what in ("contacts_without_profile", "contacts_without_key")
    )
    assert len(records) + left_out == parts.count()
    rejections = Counter(decoded(record)["reason"] for record in records if is_dead_letter(record))
    assert "internal_error" not in rejections
    for reason, count in rejections.items():
        assert counted(metrics, "connector_dead_letters", reason=reason) == count


def value_of_rule(item: Item, rule: str) -> Any:
    if rule == "wa_id":
        return item.contact.get(rule)
    if rule == "user_id":
        # Of the contact, or what came in the place of a number.
        places = (item.message.get("from_user_id"), item.status.get("recipient_user_id"))
        return item.contact.get(rule) or next(filter(None, (*places, item.status.get("recipient_participant_user_id"))), None)
    if rule.startswith("system."):
        return item.message["system"].get(rule.removeprefix("system."))
    if rule == "recipient_participant_id":
        return item.status.get(rule) or item.status.get("participant_recipient_id")
    found = item.message or item.status
    # The ids of a group are no ids of a person.
    return found.get(rule) or found.get(rule.replace("recipient_", "recipient_group_"))


@modest
@given(callbacks)
def test_key_is_the_value_its_rule_names_unchanged(parts: Parts) -> None:
    items = items_of(parts.body())
    for record in messages_of(parts.body()):
        if not is_dead_letter(record):
            value = decoded(record)
            assert record.place is not None
            assert record.key == value["record_key"].encode()
            assert value["record_key"] == text_of(value_of_rule(items[record.place], value["key_source"]))


@modest
@given(callbacks)
def test_second_delivery_has_the_same_ids(parts: Parts) -> None:
    first = messages_of(parts.body())
    second = messages_of(parts.body(), received_at=1_763_799_999_999)

    assert [header(record, "ce_id") for record in second] == [header(record, "ce_id") for record in first]


@modest
@given(callbacks.flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts.messages))))
def test_order_of_messages_changes_none_of_their_ids(drawn: tuple[Parts, list[Any]]) -> None:
    def ids(parts: Parts) -> list[str]:
        records = messages_of(parts.body())
        return sorted(
            str(header(record, "ce_id")) for record in records if record.place is not None and record.place.source == "messages"
        )

    parts, shuffled = drawn
    assert ids(dataclasses.replace(parts, messages=shuffled)) == ids(parts)


@modest
@given(callbacks)
def test_replay_of_any_dead_letter_ends_in_the_same_fault_alone(parts: Parts) -> None:
    for letter in on("dead-letters", messages_of(parts.body())):
        again = messages_of(letter["body"])

        # The event is followed by its contact, for which a replay makes no record.
        first, *behind = again
        assert is_dead_letter(first)
        assert decoded(first)["reason"] == letter["reason"]
        assert len(behind) <= len(parts.contacts)
        for record in behind:
            assert record.place is None or record.place.source == "contacts"


def wire_values(field: Json) -> st.SearchStrategy[tuple[Any, Any]]:
    """Draw a value as the wire may have it, and the one that a consumer reads."""
    match field["type"]:
        case ["null", branch]:
            nothing = st.just((None, None)) | (st.just(("", None)) if branch != "bytes" else st.nothing())
            return nothing | wire_values({**field, "type": branch})
        case {"logicalType": "timestamp-millis"}:
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            return st.integers(EARLIEST_MS, LATEST_MS - 1).map(lambda ms: (ms, epoch + timedelta(milliseconds=ms)))
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            limit = Decimal(10 ** (precision - scale)) - Decimal(1).scaleb(-scale)
            return st.decimals(-limit, limit, places=scale).map(lambda number: (number, number))
        case {"type": "array", "items": element}:
            pairs = st.lists(views(element["fields"]), max_size=3)
            return pairs.map(lambda drawn: ([view for view, _ in drawn], [record for _, record in drawn]))
        case "string" if field.get("raw"):
            values = st.dictionaries(st.sampled_from("abc"), st.booleans() | st.integers(0, 9), min_size=1)
            return values.map(lambda value: (value, json.dumps(value, separators=(",", ":"))))
        case str(plain):
            # A number of the wire is a Decimal, a consumer's is a float.
            return PLAIN[plain].map(lambda value: (Decimal(repr(value)) if plain == "double" else value, value))
    raise AssertionError(f"{field['name']} has a type that no schema had before")


PLAIN: dict[str, st.SearchStrategy[Any]] = {
    # decode has replaced lone surrogates.
    "string": st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.integers(1, 2000).map("è".__mul__),
    "bytes": st.binary(max_size=12),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(-1e307, 1e307),
}


@st.composite
def views(draw: st.DrawFn, fields: list[Json]) -> tuple[Json, Json]:
    """Draw a view in which the first source of each field has a value, and the record that it becomes."""
    view: Json = {}
    record: Json = {}
    for field in sorted(fields, key=lambda field: bool(field.get("raw"))):
        sources = [field["source"]] if isinstance(field["source"], str) else field["source"]
        *inner, leaf = sources[0].split(".")
        value, record[field["name"]] = draw(wire_values(field))
        place = view
        for name in inner[1:] if inner[:1] == ["item"] else inner:
            place = place.setdefault(name, {})
        place[leaf] = value
    return view, record


def first_sources_only(schema: Json, *, is_of_record: bool = True) -> Json:
    """Return a schema in which every field has a separate place in the view: its first source, or one by its name.

    What a field takes instead of an unfit value, or by a table, is not tried here.
    """
    fields: list[Json] = []
    taken: set[str] = set()
    for field in schema["fields"]:
        sources = [field["source"]] if isinstance(field["source"], str) else field["source"]
        path = sources[0]
        if is_of_record and path.partition(".")[0] in EACH_ROOTS:
            # What a record made of an element takes from it.
            path = f"message.{path.replace('.', '_')}"
        if path in taken or field.get("raw"):
            path = f"{path.split('.')[0]}.its_{field['name']}"
        taken.add(path)
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "array":
            kind = {**kind, "items": first_sources_only(kind["items"], is_of_record=False)}
        plain = {name: part for name, part in field.items() if name not in ("unfit", "values", "raw")}
        fields.append({**plain, "source": path, "type": kind, "raw": bool(field.get("raw"))})
    return {**{name: part for name, part in schema.items() if name != "requires"}, "fields": fields}


@pytest.mark.parametrize("record_type", list(whole_catalogue()), ids=lambda record_type: record_type.name)
@settings(modest, max_examples=examples(60))
@given(data=st.data())
def test_encoding_round_trips_and_equals_fastavro(record_type: RecordType, data: st.DataObject) -> None:
    schema = first_sources_only(record_type.schema)
    view, record = data.draw(views(schema["fields"]))

    event_id = text(record["event_id"].encode())
    content, _ = compile_schema(schema).write(*(view.get(root, EMPTY) for root in ROOTS), event_id, [])

    stream = io.BytesIO(content)
    assert fastavro.schemaless_reader(stream, record_type.parsed, None) == record
    assert not stream.read()
    oracle = io.BytesIO()
    fastavro.schemaless_writer(oracle, record_type.parsed, record)
    assert content == oracle.getvalue()
