"""What a callback should never look like, and the exact outcome of each.

`texts`, `contacts`, … are records on those topics; `dead-letters/<reason>` is a dead letter. All end in 200.
"""

import json
from typing import Any

import pytest

from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    METADATA,
    NUMBER,
    MemorySink,
    answer_to,
    contact,
    decoded,
    envelope,
    flow,
    message,
    on,
    order,
    outcome,
    raw,
    status,
    translator,
)

DOCUMENT_AND_CONTACT = ["documents", "contacts"]


def document(**changes: Any) -> bytes:
    """Return a callback of one document; keywords change its message."""
    return envelope([message(message_type="document", **changes)], [contact()])


def of_contact(entry: Any) -> bytes:
    return envelope([message(message_type="document")], [entry])


def of_text(text: str) -> bytes:
    """Return a callback whose message holds a piece of JSON as written."""
    return envelope([message(message_type="hologram", hologram="HERE")], [contact()]).replace(b'"HERE"', text.encode())


def of_price(text: str) -> bytes:
    return envelope([order({"item_price": "HERE"})]).replace(b'"HERE"', text.encode())


WHOLE: dict[str, tuple[bytes, list[str]]] = {
    "an empty body": (b"", ["dead-letters/not_json"]),
    "blanks": (b" \n ", ["dead-letters/not_json"]),
    "no JSON": (b"from=393335550142&type=text", ["dead-letters/not_json"]),
    "JSON that breaks off": (envelope([message()])[:-1], ["dead-letters/not_json"]),
    "a list": (b"[]", ["dead-letters/not_an_object"]),
    "a number": (b"5", ["dead-letters/not_an_object"]),
    "null": (b"null", ["dead-letters/not_an_object"]),
    "{}": (b"{}", ["dead-letters/unknown_shape"]),
    "an envelope of nothing": (b'{"meta_object": {"value": {}}}', ["dead-letters/nothing_in_it"]),
    "empty lists": (envelope([], [], []), ["dead-letters/nothing_in_it"]),
    "bytes that are not UTF-8": (b'{"meta_object": "\xff"}', ["dead-letters/not_utf8"]),
    "UTF-16": ("{}".encode("utf-16"), ["dead-letters/not_utf8"]),
    "nothing but a byte order mark": (b"\xef\xbb\xbf", ["dead-letters/not_json"]),
    "2,000 nested lists": (of_text("[" * 2000 + "]" * 2000), ["dead-letters/too_deep"]),
    "2,000 nested objects": (of_text('{"a":' * 2000 + "1" + "}" * 2000), ["dead-letters/too_deep"]),
    "100,000 open lists": (b"[" * 100_000, ["dead-letters/too_deep"]),
    "NaN": (of_text("NaN"), ["dead-letters/not_json"]),
    "Infinity": (of_text("-Infinity"), ["dead-letters/not_json"]),
    "an exponent of 20 digits": (of_text("1e99999999999999999999"), ["dead-letters/not_json"]),
    "a message that is text": (envelope(["Ciao"]), ["dead-letters/not_an_object_item"]),
    "a message that is null": (envelope([None]), ["dead-letters/not_an_object_item"]),
    "messages that are text": (envelope("Ciao"), ["dead-letters/unknown_shape"]),
    "metadata that is text": (envelope([message()], metadata="Ciao"), ["dead-letters/unknown_shape"]),
    "an empty object among messages": (envelope([{}]), ["dead-letters/no_key"]),
}

READ_ALL_THE_SAME: dict[str, tuple[bytes, list[str]]] = {
    "a byte order mark": (b"\xef\xbb\xbf" + document(), DOCUMENT_AND_CONTACT),
    "a lone surrogate": (document(document={"filename": "fattura \ud83d"}), DOCUMENT_AND_CONTACT),
    "a lone surrogate in a key": (document(**{"\ud83d": 1}), DOCUMENT_AND_CONTACT),
    "a lone surrogate in the number": (envelope([message("\ud83d")]), ["texts"]),
    "a null character": (document(document={"filename": "a\0b"}), DOCUMENT_AND_CONTACT),
    "1e400": (of_text("1e400"), ["others", "contacts"]),
    "1e3000000": (of_text("1e3000000"), ["others", "contacts"]),
    "an integer of 30 digits": (of_text("9" * 30), ["others", "contacts"]),
    "an integer of 4,200 digits": (of_text("9" * 4200), ["others", "contacts"]),
    "an integer of 5,000 digits": (of_text("9" * 5000), ["others", "contacts"]),
    "the same key twice": (of_text('{"a": 1, "a": 2}'), ["others", "contacts"]),
    "300 nested lists": (of_text("[" * 300 + "]" * 300), ["others", "contacts"]),
    "an envelope without its extra_info": (envelope([message()], extra=ABSENT), ["texts"]),
    "an envelope without metadata": (envelope([message()], metadata=ABSENT), ["texts"]),
    "an unknown type": (envelope([message(message_type="hologram")]), ["others"]),
    "one object for each list": (envelope(message(), contact(), status()), ["texts", "statuses", "contacts"]),
    "an envelope in quotes": (
        json.dumps({"meta_object": json.dumps({"value": {"messages": [message()]}})}).encode(),
        ["texts"],
    ),
}

MISSING: dict[str, tuple[bytes, list[str]]] = {
    "id": (document(id=ABSENT), ["dead-letters/missing", "contacts"]),
    "timestamp": (document(timestamp=ABSENT), DOCUMENT_AND_CONTACT),
    "from": (document(number=ABSENT), DOCUMENT_AND_CONTACT),
    "type": (document(type=ABSENT), ["dead-letters/missing", "contacts"]),
    "document": (document(document=ABSENT), ["dead-letters/missing", "contacts"]),
    "contacts": (envelope([message(message_type="document")]), ["documents"]),
    "from and contacts": (envelope([message(ABSENT)]), ["dead-letters/no_key"]),
    "profile": (of_contact({"wa_id": NUMBER}), ["documents"]),
    "wa_id": (of_contact(contact(wa_id=ABSENT)), ["documents"]),
    "extra_info": (envelope([message()], extra=ABSENT), ["texts"]),
    "status id": (envelope(statuses=[status(id=ABSENT)]), ["dead-letters/missing"]),
    "recipient": (envelope(statuses=[status(ABSENT)]), ["dead-letters/no_key"]),
    "status": (envelope(statuses=[status(status=ABSENT)]), ["statuses"]),
}

EMPTY_TEXT: dict[str, tuple[bytes, list[str]]] = {
    "id": (document(id=""), ["dead-letters/missing", "contacts"]),
    "timestamp": (document(timestamp=""), DOCUMENT_AND_CONTACT),
    "from": (document(number=""), DOCUMENT_AND_CONTACT),
    "type": (document(type=""), ["dead-letters/missing", "contacts"]),
    "document": (document(document=""), ["dead-letters/missing", "contacts"]),
    "context": (document(context=""), DOCUMENT_AND_CONTACT),
    "contacts": (envelope([message(message_type="document")], ""), ["documents"]),
    "from and contacts": (envelope([message("")], ""), ["dead-letters/no_key"]),
    "profile": (of_contact({"wa_id": NUMBER, "profile": ""}), ["documents"]),
    "wa_id": (of_contact(contact(wa_id="")), ["documents"]),
    "name": (of_contact({"wa_id": NUMBER, "profile": {"name": ""}}), ["documents"]),
    "extra_info": (envelope([message()], extra=""), ["texts"]),
    "metadata": (envelope([message()], metadata=""), ["texts"]),
    "messages": (envelope("", [contact()]), ["contacts"]),
    "product_items": (envelope([message(message_type="order", order={"product_items": ""})]), ["orders"]),
    "price": (of_price('""'), ["orders"]),
    "everything": (
        envelope([dict.fromkeys(message(), "")], [{"profile": {"name": ""}, "wa_id": ""}], extra=dict.fromkeys(EXTRA, "")),
        ["dead-letters/no_key"],
    ),
}

LIST_FOR_OBJECT: dict[str, tuple[bytes, list[str]]] = {
    "meta_object": (b'{"meta_object": []}', ["dead-letters/unknown_shape"]),
    "value": (b'{"meta_object": {"value": []}}', ["dead-letters/unknown_shape"]),
    "metadata": (envelope([message()], metadata=[]), ["texts"]),
    "extra_info": (envelope([message()], extra=[]), ["texts"]),
    "message": (envelope([[]]), ["dead-letters/not_an_object_item"]),
    "status": (envelope(statuses=[[]]), ["dead-letters/not_an_object_item"]),
    "contact": (of_contact([]), ["documents", "dead-letters/not_an_object_item"]),
    "profile": (of_contact({"wa_id": NUMBER, "profile": []}), ["documents"]),
    "document": (document(document=[]), ["dead-letters/missing", "contacts"]),
    "context": (document(context=[]), DOCUMENT_AND_CONTACT),
    "referred_product": (document(context={"referred_product": []}), DOCUMENT_AND_CONTACT),
    "referral": (document(referral=[]), DOCUMENT_AND_CONTACT),
    "order": (envelope([message(message_type="order", order=[])]), ["dead-letters/missing"]),
    "product item": (envelope([message(message_type="order", order={"product_items": [[]]})]), ["dead-letters/does_not_fit"]),
    "reaction": (envelope([message(message_type="reaction", reaction=[])]), ["dead-letters/missing"]),
    "system": (envelope([message(message_type="system", system=[])]), ["system"]),
    "conversation": (envelope(statuses=[status(conversation=[])]), ["statuses"]),
    "pricing": (envelope(statuses=[status(pricing=[])]), ["statuses"]),
    "error_data": (envelope(statuses=[status(errors=[{"error_data": []}])]), ["statuses"]),
}

WRONG_KIND: dict[str, tuple[bytes, list[str]]] = {
    "a number for the id": (document(id=5), DOCUMENT_AND_CONTACT),
    "a number for the type": (envelope([message(message_type=5)]), ["others"]),
    "a number for from": (document(number=int(NUMBER)), DOCUMENT_AND_CONTACT),
    "a fraction for from": (document(number=7.5), DOCUMENT_AND_CONTACT),
    "a number for the timestamp": (document(timestamp=1_763_720_001), DOCUMENT_AND_CONTACT),
    "text for the timestamp": (document(timestamp="172XXXXXXX"), DOCUMENT_AND_CONTACT),
    "5,000 digits for the timestamp": (document(timestamp="9" * 5000), DOCUMENT_AND_CONTACT),
    "a number for the name": (of_contact(contact(profile={"name": 5})), DOCUMENT_AND_CONTACT),
    "a number for wa_id": (of_contact(contact(wa_id=int(NUMBER))), DOCUMENT_AND_CONTACT),
    "a number for the filename": (document(document={"filename": 5}), DOCUMENT_AND_CONTACT),
    "a truth for the filename": (document(document={"filename": True}), ["dead-letters/does_not_fit", "contacts"]),
    "a list for the filename": (document(document={"filename": []}), ["dead-letters/does_not_fit", "contacts"]),
    "an object for the id": (document(id={}), ["dead-letters/does_not_fit", "contacts"]),
    "an object for from": (envelope([message({})]), ["dead-letters/no_key"]),
    "text for the document": (document(document="a.pdf"), ["dead-letters/does_not_fit", "contacts"]),
    "text for the context": (document(context="wamid.x"), ["dead-letters/does_not_fit", "contacts"]),
    "text for the profile": (of_contact(contact(profile="Giulia")), ["dead-letters/does_not_fit", "dead-letters/does_not_fit"]),
    "text for a truth": (document(context={"forwarded": "yes"}), DOCUMENT_AND_CONTACT),
    "true in quotes": (document(context={"forwarded": "true"}), DOCUMENT_AND_CONTACT),
    "text for the price": (of_price('"sette"'), ["dead-letters/does_not_fit"]),
    "a comma in the price": (of_price('"7,99"'), ["dead-letters/does_not_fit"]),
    "a price in quotes": (of_price('"7.99"'), ["orders"]),
    "a price of 5,000 digits": (of_price("9" * 5000), ["dead-letters/does_not_fit"]),
    "a price of 1e400": (of_price("1e400"), ["dead-letters/does_not_fit"]),
    "a price of 1e3000000": (of_price("1e3000000"), ["dead-letters/does_not_fit"]),
    "a quantity of 7.5": (envelope([order({"quantity": 7.5})]), ["dead-letters/does_not_fit"]),
    "a quantity in quotes": (envelope([order({"quantity": "7"})]), ["orders"]),
    "a quantity beyond 64 bits": (envelope([order({"quantity": 2**63})]), ["dead-letters/does_not_fit"]),
    "text for the product items": (
        envelope([message(message_type="order", order={"product_items": "x"})]),
        ["dead-letters/does_not_fit"],
    ),
    "one object for the errors": (envelope(statuses=[status(errors={"code": 1})]), ["statuses"]),
    "text for an error's code": (envelope(statuses=[status(errors=[{"code": "x"}])]), ["statuses"]),
    "a number for a phone_number_id": (envelope([message()], metadata={"phone_number_id": 104}), ["texts"]),
    "an object for a phone_number_id": (envelope([message()], metadata={"phone_number_id": {}}), ["texts"]),
    "an object for a trace_id": (envelope([message()], extra={"trace_id": {}}), ["texts"]),
    "text for the reaction": (envelope([message(message_type="reaction", reaction="x")]), ["dead-letters/does_not_fit"]),
    "text for the system": (envelope([message(message_type="system", system="x")]), ["dead-letters/does_not_fit"]),
    "a contact that is text": (of_contact("Giulia"), ["documents", "dead-letters/not_an_object_item"]),
}


def cases(*tables: dict[str, tuple[bytes, list[str]]]) -> list[Any]:
    return [pytest.param(body, expected, id=name) for table in tables for name, (body, expected) in table.items()]


def outcome_of(body: bytes) -> list[str]:
    """Carry a body all the way; return the outcome of each of its records."""
    sink = MemorySink()
    answer = answer_to(body, flow(sink))

    assert answer.status == 200
    assert "dead-letters/internal_error" not in outcome(sink.messages)
    assert [decoded(record) for record in translator().translate(raw(body))] == [decoded(record) for record in sink.messages]
    return outcome(sink.messages)


@pytest.mark.parametrize(("body", "expected"), cases(WHOLE))
def test_body_that_is_no_callback_is_one_dead_letter(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


@pytest.mark.parametrize(("body", "expected"), cases(READ_ALL_THE_SAME))
def test_unusual_but_valid_callback_is_read(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


@pytest.mark.parametrize(("body", "expected"), cases(MISSING))
def test_missing_key_drops_its_record_only_if_required(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


@pytest.mark.parametrize(("body", "expected"), cases(EMPTY_TEXT))
def test_empty_text_is_a_missing_key(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


@pytest.mark.parametrize(("body", "expected"), cases(LIST_FOR_OBJECT))
def test_empty_list_where_an_object_is_meant_is_a_missing_object(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


@pytest.mark.parametrize(("body", "expected"), cases(WRONG_KIND))
def test_value_of_another_type_is_converted_or_rejected(body: bytes, expected: list[str]) -> None:
    assert outcome_of(body) == expected


BAD_MESSAGES: dict[str, tuple[Any, str]] = {
    "text": ("Ciao", "not_an_object_item"),
    "null": (None, "not_an_object_item"),
    "empty": ({}, "no_key"),
    "without an id": (message(id=ABSENT), "missing"),
    "without a sender": (message(ABSENT), "no_key"),
    "a document without its document": (message(message_type="document", document=ABSENT), "missing"),
    "an order of a wild price": (order({"item_price": "9" * 3000}), "does_not_fit"),
    "too large alone": (message("3" * 1_500_000), "too_large"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_bad_message_among_three_good_ones_costs_none_of_them(bad: Any, reason: str, place: int) -> None:
    messages: list[Any] = [message(id=f"wamid.{name}") for name in "ABC"]
    messages.insert(place, bad)
    expected = ["texts"] * 3
    expected.insert(place, f"dead-letters/{reason}")

    assert outcome_of(envelope(messages)) == expected


def test_lone_surrogate_is_the_replacement_character_in_the_record() -> None:
    sink = MemorySink()
    answer_to(document(document={"filename": "fattura \ud83d"}), flow(sink))

    (record,) = on("documents", sink.messages)
    assert record["filename"] == "fattura \ufffd"


def test_wild_numbers_stay_as_written_in_the_payload() -> None:
    digits = "9" * 5000
    sink = MemorySink()
    answer_to(of_text(f"[1e400, {digits}, 7.10]"), flow(sink))

    (record,) = on("others", sink.messages)
    assert record["payload"].count(digits) == 1
    assert "[1E+400," in record["payload"]
    assert record["payload"].count("7.10") == 1


def test_times_of_another_kind_are_null() -> None:
    times: list[Any] = ["172XXXXXXX", "9" * 5000, True, [], {}, "", -5, 10**30]
    given = [message(timestamp=value) for value in times]
    sink = MemorySink()
    answer_to(envelope(given, metadata=METADATA), flow(sink))

    assert [record["sent_at"] for record in on("texts", sink.messages)] == [None] * len(given)
