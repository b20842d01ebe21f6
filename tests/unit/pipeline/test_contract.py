"""The contract of the records: no side field costs a record, no unknown sibling changes one, ids and money stay exact."""

import random
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.catalogue import read_catalogue
from connector.mapping.places import fields_within
from connector.records import Json, KafkaMessage
from tests.support.callbacks import (
    EXTRA,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    USER_ID,
    MemorySink,
    answer_to,
    body_of,
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
    status,
    topics,
    translator,
    v1_message,
)
from tests.support.examples import examples

modest = settings(max_examples=examples(200), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

names = st.sampled_from(["a", "b", "id", "wa_id", "from", "user_id", "timestamp", "type", "value", "users", "errors"])
scalars = (
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.sampled_from([NUMBER, OTHER_NUMBER, USER_ID, "", "0", "x", "True"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=8
)

GOOD: dict[str, dict[str, Json]] = {
    # Of each record type: the parts of a callback that becomes its record.
    "document": {"message": message(message_type="document")},
    "order": {"message": order({"item_price": 5})},
    "text": {"message": message()},
    "media": {"message": message(message_type="audio", audio={"id": "1"})},
    "location": {"message": message(message_type="location", location={"latitude": 45})},
    "contact_card": {"message": message(message_type="contacts", contacts=[{"name": {"formatted_name": "Ada"}}])},
    "reply": {"message": message(message_type="interactive", interactive={"type": "list_reply"})},
    "reaction": {"message": message(message_type="reaction", reaction={"message_id": "wamid.A"})},
    "system": {"message": message(message_type="system", system={"type": "user_changed_number"})},
    "other": {"message": message(message_type="hologram")},
    "status": {"status": status()},
    "contact": {"message": message(), "contact": contact()},
}


def side_fields() -> list[tuple[str, str]]:
    """Return every source of a side field, with its record type; elements of a list begin with the path of the list."""
    found = []
    for record_type in catalogue():
        if record_type.name not in GOOD:
            continue
        lists = {path: field["source"] for path, field in fields_within(record_type.schema) if "items" in str(field["type"])}
        for path, field in fields_within(record_type.schema):
            sources = field["source"] if isinstance(field["source"], list) else [field["source"]]
            inside, _, _ = path.rpartition("[].")
            if field.get("unfit") != "null" or inside.count("[]"):
                continue
            for source in sources:
                root, _, rest = source.partition(".")
                found.append((record_type.name, f"{lists[inside]}.{rest}" if root == "item" else source))
    return found


def with_value(parts: dict[str, Json], path: str, value: Any) -> bytes:
    """Return the callback of these parts with a value at a path; a list on the path gets one element."""
    root, *names = path.split(".")
    changed = {**{name: dict(part) for name, part in parts.items()}}
    changed.setdefault("extra", dict(EXTRA))
    changed.setdefault("metadata", dict(METADATA))
    whole = {"message": message(), "status": status(), "contact": contact()}
    place: Any = changed[root] if root in changed else changed.setdefault(root, whole[root])
    for name in names[:-1]:
        inner = place.get(name)
        inner = [{}] if isinstance(inner, list) or name == "errors" else dict(inner or {})
        place[name] = inner
        place = inner[0] if isinstance(inner, list) else inner
    place[names[-1]] = value
    lists: dict[str, Any] = {
        kind: [changed[one]]
        for kind, one in (("messages", "message"), ("statuses", "status"), ("contacts", "contact"))
        if one in changed
    }
    return envelope(**lists, extra=changed["extra"], metadata=changed["metadata"])


def test_side_fields_are_tried_of_every_kind() -> None:
    paths = {path for _, path in side_fields()}

    assert {"status.conversation.expiration_timestamp", "status.errors.code", "message.referral.source_url"} <= paths
    assert {"extra.ref", "metadata.phone_number_id", "message.sticker.animated", "contact.identity_key_hash"} <= paths


@modest
@given(st.sampled_from(side_fields()), anything)
def test_no_side_field_turns_a_good_item_into_a_dead_letter(field: tuple[str, str], value: Any) -> None:
    record_type, path = field
    good = outcome(messages_of(with_value(GOOD[record_type], path, None)))

    records = messages_of(with_value(GOOD[record_type], path, value))

    assert outcome(records) == good
    assert not any(one.startswith("dead-letters") for one in good)


@modest
@given(st.sampled_from(side_fields()))
def test_side_field_that_does_not_fit_is_named(field: tuple[str, str]) -> None:
    record_type, path = field

    records = messages_of(with_value(GOOD[record_type], path, True if "type" in path.rpartition(".")[2] else [[True]]))

    named = ",".join(header(record, "connector_unfit") or "" for record in records)
    assert path.rpartition(".")[2] in named or "errors" in named or ".system.identity" in path


people = st.sampled_from([NUMBER, OTHER_NUMBER, "550055500142"])
messages = st.lists(
    st.builds(message, people, id=st.sampled_from(["wamid.A", "wamid.B"]))
    | st.builds(order, st.just({"item_price": 5}), number=people),
    max_size=2,
)
contacts = st.lists(st.builds(contact, st.just("Giulia"), people), max_size=2)
statuses = st.lists(st.builds(status, people), max_size=2)


def known(records: list[KafkaMessage], count: int) -> list[tuple[Any, ...]]:
    """Return the records of the callback's own messages and statuses, and what of the profiles depends on nothing else."""
    found: list[tuple[Any, ...]] = []
    for record in records:
        if record.place is None:
            continue
        if record.place.source == "contacts":
            value = decoded(record)
            found.append((record.key, value["profile_name"], value["wa_id"]))
        elif record.place.source == "statuses" or (record.place.source == "messages" and record.place.position < count):
            found.append((record.topic, record.key, record.value, record.headers, record.timestamp_ms))
    return found


@modest
@given(messages, contacts, statuses, st.sampled_from(["polls", "votes", "calls", "users"]), anything)
def test_no_unknown_sibling_changes_a_record(
    messages: list[Json], contacts: list[Json], statuses: list[Json], name: str, sibling: Any
) -> None:
    value = {
        "messaging_product": "whatsapp",
        "metadata": METADATA,
        "messages": messages,
        "contacts": contacts,
        "statuses": statuses,
    }
    alone = {"meta_object": {"value": value, "field": "messages"}, "extra_info": EXTRA}
    beside = {**alone, "meta_object": {"value": {**value, name: sibling}, "field": "messages"}}

    count = len(messages)
    assert known(list(messages_of(body_of(beside))), count) == known(list(messages_of(body_of(alone))), count)


def shuffled(value: Any, dice: random.Random) -> Any:
    """Return the value with the keys of all objects in another order."""
    if isinstance(value, dict):
        entries = [(name, shuffled(part, dice)) for name, part in value.items()]
        dice.shuffle(entries)
        return dict(entries)
    return [shuffled(part, dice) for part in value] if isinstance(value, list) else value


fields = st.sampled_from(["messages", "user_preferences", "calls", "account_update", "history"])
many = st.dictionaries(st.integers(0, 60).map("fact_{}".format), st.booleans(), max_size=60)
other_fields = st.builds(
    lambda field, value, facts: {
        "meta_object": {"field": field, "value": {"metadata": METADATA, **facts, "entries": value}},
        "extra_info": EXTRA,
    },
    fields,
    anything,
    many,
)
v1 = st.builds(
    lambda kind, more: v1_message(type=kind, **more), st.sampled_from(["text", "order"]), st.just({"message": {"a": 1, "b": 2}})
)


@modest
@given(other_fields | v1, st.randoms(use_true_random=False))
def test_order_of_keys_changes_no_id(body: Json, dice: random.Random) -> None:
    first, second = messages_of(body_of(body)), messages_of(body_of(shuffled(body, dice)))

    assert sorted(str(header(record, "ce_id")) for record in second) == sorted(str(header(record, "ce_id")) for record in first)
    for record in first:
        assert decoded(record)["event_id"] == header(record, "ce_id")


literals = (
    st.decimals(-(10**14), 10**14, allow_nan=False).map(lambda number: f"{number:f}")
    | st.floats(-1e12, 1e12).map(repr)
    | st.floats(-1e6, 1e6).map("{:.17g}".format)
    | st.builds("{}.{}".format, st.integers(0, 10**13), st.from_regex(r"[0-9]{1,22}", fullmatch=True))
    | st.sampled_from(
        ["123456789012.3456789", "99999999999.99999999", "1e-400", "7.9900000000000002", "7.990000000000000000000"]
    )
)


def is_noise(literal: Decimal, written: Decimal) -> bool:
    """Return whether the difference is the noise of a double, by the documented rule."""

    def digits(number: Decimal) -> int:
        return len("".join(map(str, number.as_tuple().digits)).lstrip("0").rstrip("0"))

    return digits(literal) <= 17 and digits(written) <= 15 and Decimal(repr(float(literal))) == written


@modest
@given(literals, st.booleans())
def test_no_decimal_differs_from_its_literal_by_more_than_the_noise_of_a_double(literal: str, in_quotes: bool) -> None:
    body = envelope([order({"item_price": "PRICE"})]).replace(
        b'"PRICE"', f'"{literal}"'.encode() if in_quotes else literal.encode()
    )

    (record,) = messages_of(body)

    if topics([record]) == ["orders"]:
        written = decoded(record)["product_items"][0]["item_price"]
        assert written == Decimal(literal) or is_noise(Decimal(literal), written)
    else:
        assert decoded(record)["reason"] == "does_not_fit"


# The lines of orders.


def lines_of(body: bytes) -> list[str]:
    return topics(with_lines().translate(raw(body)))


def with_lines() -> Any:
    return translator(of=read_catalogue(optional=["order_lines"]))


LINES: list[Json] = [
    {"product_retailer_id": "maglia-11", "quantity": 1, "item_price": Decimal("7.99"), "currency": "EUR"},
    {"quantity": "2"},
]


def test_each_line_of_an_order_is_a_record() -> None:
    of = read_catalogue(optional=["order_lines"])
    records = translator(of=of).translate(raw(envelope([order(*LINES)], [contact()])))

    assert topics(records) == ["orders", "order-lines", "order-lines", "contacts"]
    whole, first, second = (decoded(record, of) for record in records[:3])
    assert [first["line_number"], second["line_number"]] == [1, 2]
    assert first["order_event_id"] == second["order_event_id"] == whole["event_id"] == header(records[0], "ce_id")
    assert len({whole["event_id"], first["event_id"], second["event_id"]}) == 3
    assert [first["event_id"], second["event_id"]] == [header(record, "ce_id") for record in records[1:3]]
    same = ("record_key", "key_source", "event_at", "wa_id", "user_id", "received_at", "message_id", "catalog_id")
    assert [{name: line[name] for name in same} for line in (first, second)] == [{name: whole[name] for name in same}] * 2
    products = ("product_retailer_id", "quantity", "item_price", "currency")
    assert [{name: line[name] for name in products} for line in (first, second)] == whole["product_items"]
    assert {record.key for record in records} == {NUMBER.encode()}


def test_lines_are_off_by_default() -> None:
    assert outcome(messages_of(envelope([order(*LINES)]))) == ["orders"]


def test_order_without_lines_has_no_records_of_lines() -> None:
    assert lines_of(envelope([order()])) == ["orders"]
    assert lines_of(envelope([message()])) == ["texts"]


def test_order_that_becomes_a_dead_letter_has_no_lines_and_a_replay_makes_both() -> None:
    body = envelope([order(*LINES, {"item_price": "sette"}), order(*LINES, id="wamid.B")])
    assert lines_of(body) == ["dead-letters", "orders", "order-lines", "order-lines"]

    (letter,) = on("dead-letters", messages_of(body))
    assert lines_of(letter["body"].replace(b'"sette"', b"7")) == ["orders", *["order-lines"] * 3]


def test_second_delivery_has_the_same_ids_of_lines() -> None:
    carrier = with_lines()
    first, second = (
        carrier.translate(raw(envelope([order(*LINES)]), received_at=at)) for at in (1_763_721_000_000, 1_763_722_000_000)
    )

    assert [header(record, "ce_id") for record in first] == [header(record, "ce_id") for record in second]


def test_order_with_too_many_lines_is_a_dead_letter() -> None:
    assert lines_of(envelope([order(*[{"quantity": 1}] * 5001)])) == ["dead-letters"]


def test_lines_that_kafka_refuses_are_one_dead_letter_of_their_order() -> None:
    sink = MemorySink(refuse=lambda one: topics([one]) == ["order-lines"])

    answer = answer_to(envelope([order(*LINES)]), flow(sink, of=read_catalogue(optional=["order_lines"])))

    assert answer.status == 200
    assert topics(sink.messages) == ["orders", "dead-letters"]
    again = lines_of(on("dead-letters", sink.messages[1:])[0]["body"])
    assert again == ["orders", "order-lines", "order-lines"]
