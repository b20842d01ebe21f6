"""Dead letters: what could not be processed, with the bytes to replay it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.pipeline.deadletter import DeadLetters
from connector.pipeline.decode import decode
from connector.pipeline.split import split
from connector.records import Fault, Json, KafkaMessage
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    MAX_MESSAGE_BYTES,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    RECEIVED_AT,
    REJECTED,
    contact,
    decoded,
    envelope,
    header,
    message,
    messages_of,
    new_encoders,
    on,
    order,
    outcome,
    raw,
    read,
    sample_name,
    status,
    topics,
)

BAD_ORDER = order({"item_price": "sette"}, number=OTHER_NUMBER, id="wamid.BAD")
GIULIA = contact("Giulia", NUMBER)
MARCO = contact("Marco", OTHER_NUMBER)


def letters_of(body: bytes, **of_request: Any) -> list[KafkaMessage]:
    return [one for one in messages_of(body, **of_request) if topics([one]) == ["dead-letters"]]


def value_of(body: bytes) -> Json:
    whole = json.loads(body)
    assert set(whole) == {"meta_object", "extra_info"}
    assert whole["meta_object"]["field"] == "messages"
    value: Json = whole["meta_object"]["value"]
    return value


def test_dead_letter_of_a_callback_keeps_body_and_request_facts() -> None:
    body = b"\xff no JSON"
    (letter,) = letters_of(body, method="GET", query="from=1", content_type="text/plain")

    assert decoded(letter) == {
        "event_id": header(letter, "ce_id"),
        "event_at": datetime.fromtimestamp(RECEIVED_AT / 1000, UTC),
        "received_at": datetime.fromtimestamp(RECEIVED_AT / 1000, UTC),
        "method": "GET",
        "query": "from=1",
        "content_type": "text/plain",
        "body": body,
        "phone_number_id": None,
        "waba_id": None,
        "trace_id": None,
        "reason": "not_utf8",
        "step": "decode",
        "detail": "the body is not UTF-8",
        "attempts": 1,
        "replayed_at": None,
    }
    assert letter.key is None
    assert letter.place is None
    assert letter.timestamp_ms == RECEIVED_AT


def test_headers_are_those_of_cloud_events_and_of_kafka_connect() -> None:
    (letter,) = letters_of(b"", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    assert header(letter, "ce_type") == "kaleyra.whatsapp.dead_letter"
    assert header(letter, "__connect.errors.stage") == "decode"
    assert header(letter, "__connect.errors.exception.class.name") == "not_json"
    assert header(letter, "__connect.errors.exception.message") == "the body is empty"
    assert header(letter, "traceparent") == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_dead_letter_of_an_item_is_keyed_by_the_business_number() -> None:
    (letter,) = letters_of(envelope([BAD_ORDER]))

    assert letter.key == b"104600000000001"
    value = decoded(letter)
    assert value["phone_number_id"] == METADATA["phone_number_id"]
    assert value["waba_id"] == EXTRA["waba_id"]
    assert value["trace_id"] == EXTRA["trace_id"]
    assert value["detail"].startswith("message.order.product_items[0].item_price: ")


@pytest.mark.parametrize("wrong", [[], True, {}, "", None, "7" * 100_000])
def test_invalid_id_is_omitted_from_a_dead_letter(wrong: Any) -> None:
    body = envelope(["text"], metadata={"phone_number_id": wrong}, extra={"waba_id": wrong, "trace_id": wrong})

    (letter,) = letters_of(body)

    value = decoded(letter)
    assert (value["phone_number_id"], value["waba_id"], value["trace_id"]) == (None, None, None)
    assert value["reason"] == "not_an_object_item"
    assert letter.key is None


def test_dead_letter_of_one_item_has_only_it_and_its_contact() -> None:
    body = envelope([message(id="wamid.A"), BAD_ORDER, message("1", id="wamid.C")], [GIULIA, MARCO], [status("2")])

    (letter,) = on("dead-letters", messages_of(body))

    assert value_of(letter["body"]) == {"metadata": METADATA, "messages": [BAD_ORDER], "contacts": [MARCO]}
    assert json.loads(letter["body"])["extra_info"] == {name: EXTRA[name] for name in ("trace_id", "waba_id")}


@pytest.mark.parametrize(
    ("body", "held"),
    [
        (
            envelope(["text", message()], [GIULIA]),
            {"metadata": METADATA, "messages": ["text"]},
        ),
        (
            envelope([message()], [GIULIA, {**MARCO, "parent_user_id": [1]}]),
            {"metadata": METADATA, "contacts": [{**MARCO, "parent_user_id": [1]}]},
        ),
        (
            envelope(statuses=[status(), status("1", payment="text")], contacts=[contact(wa_id="1")]),
            {"metadata": METADATA, "statuses": [status("1", payment="text")], "contacts": [contact(wa_id="1")]},
        ),
        (
            envelope([message(ABSENT, "system")], [GIULIA]),
            {"metadata": METADATA, "messages": [message(ABSENT, "system")]},
        ),
    ],
    ids=["an entry that is no object", "a contact", "a status", "a message and a contact of another person"],
)
def test_dead_letter_holds_nothing_of_its_siblings(body: bytes, held: Json) -> None:
    (letter,) = on("dead-letters", messages_of(body))

    assert value_of(letter["body"]) == held


@pytest.mark.parametrize("contacts", [ABSENT, [], [MARCO], [contact("Giulia", "9")]])
def test_dead_letter_of_the_only_item_keeps_the_bytes_as_received(contacts: Any) -> None:
    body = envelope([BAD_ORDER], contacts, unknown_root_key=[1.50])

    (letter,) = on("dead-letters", messages_of(body))

    assert letter["body"] == body


@pytest.mark.parametrize(
    "body",
    [
        envelope([message(), BAD_ORDER, message("1")], [GIULIA, MARCO]),
        envelope([message(), message(ABSENT), message("1")], [GIULIA, MARCO]),
        envelope([message(), message(message_type="document", document=ABSENT)], [GIULIA]),
        envelope([message(), 5], [GIULIA]),
        envelope([message(ABSENT), message()], [GIULIA]),
        envelope(statuses=[status(), status(payment=5)], contacts=[GIULIA]),
        envelope([message()], [GIULIA, {**MARCO, "user_id": {}}]),
    ],
)
def test_replay_of_a_dead_letter_ends_in_the_same_single_fault(body: bytes) -> None:
    (letter,) = on("dead-letters", messages_of(body))

    again = messages_of(letter["body"])

    # The contact goes with its message to give it its key; a replay makes no record of it.
    assert [one for one in outcome(again) if one != "contacts"] == [f"dead-letters/{letter['reason']}"]
    (second,) = on("dead-letters", again)
    assert second["body"] == letter["body"]
    assert second["step"] == letter["step"]
    assert second["detail"].replace("[0]", "[1]") == letter["detail"].replace("[0]", "[1]").replace("[2]", "[1]")


def test_dead_letter_of_a_status_keeps_the_id_beside_the_envelope() -> None:
    given = status(id=ABSENT, payment={"amount": {"value": "x"}})
    beside = {"message_id": "wamid.A", "status": "failed"}

    (letter,) = on("dead-letters", messages_of(envelope(statuses=[given], contacts=[GIULIA, MARCO], **beside)))

    assert {name: json.loads(letter["body"])[name] for name in beside} == beside
    assert outcome(messages_of(letter["body"]))[0] == "dead-letters/does_not_fit"


def test_dead_letter_of_one_of_several_statuses_has_no_outer_id() -> None:
    body = envelope(
        statuses=[status(), status(payment={"amount": {"value": "x"}})], message_id="wamid.A", status="failed", trace="kept"
    )

    (letter,) = on("dead-letters", messages_of(body))

    assert set(json.loads(letter["body"])) == {"meta_object", "extra_info", "trace"}


@pytest.mark.parametrize("path", REJECTED, ids=sample_name)
def test_detail_and_headers_never_hold_content(path: Any) -> None:
    for letter in letters_of(read(path)):
        texts = [decoded(letter)["detail"], *(value.decode() for _, value in letter.headers)]
        for content in ("Giulia", "Ciao", "sette", NUMBER, "wamid"):
            assert not any(content in text for text in texts)


def test_dead_letters_have_distinct_ids_that_redelivery_repeats() -> None:
    body = envelope([BAD_ORDER, BAD_ORDER, 5], [{**MARCO, "user_id": {}}])
    first = [header(letter, "ce_id") for letter in letters_of(body)]

    assert len(set(first)) == len(first) == 4
    assert [header(letter, "ce_id") for letter in letters_of(body, received_at=RECEIVED_AT + 1)] == first
    assert not set(first) & {header(letter, "ce_id") for letter in letters_of(body, query="again=1")}


def test_long_detail_is_cut() -> None:
    fault = Fault("internal_error", "encode", "x" * 5000)

    letter = DeadLetters(new_encoders()["dead_letter"]).of_callback(raw(b"{}"), fault)

    assert decoded(letter)["detail"] == "x" * 1000


def test_dead_letter_of_a_record_that_kafka_refuses_says_so() -> None:
    received = raw(envelope([message(), BAD_ORDER], [GIULIA]))
    callback = decode(received)
    item = split(callback, received).items[0]

    letter = DeadLetters(new_encoders()["dead_letter"]).of_item(
        received, callback, item, Fault("refused_by_kafka", "produce", "MSG_SIZE_TOO_LARGE")
    )

    value = decoded(letter)
    assert (value["reason"], value["step"], value["detail"]) == ("refused_by_kafka", "produce", "MSG_SIZE_TOO_LARGE")
    assert value_of(value["body"])["messages"] == [message()]


def test_dead_letter_of_a_too_deeply_nested_item_has_the_whole_body() -> None:
    received = raw(envelope([message(), message()]))
    callback = decode(received)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    callback.messages[0]["text"] = nested

    item = split(callback, received).items[0]
    letter = DeadLetters(new_encoders()["dead_letter"]).of_item(received, callback, item, Fault("does_not_fit", "encode", "x"))

    assert decoded(letter)["body"] == received.body


@pytest.mark.parametrize(
    "padding", [b'"' + b"x" * 4_000_000 + b'"', b"[" + b"1e5," * 1_000_000 + b"1]"], ids=["text", "numbers"]
)
def test_dead_letter_of_an_accepted_body_fits_the_size_limit(padding: bytes) -> None:
    whole = envelope([message(), order({"item_price": "sette"}, padding="HERE")], [GIULIA])

    records = messages_of(whole.replace(b'"HERE"', padding))

    assert outcome(records) == ["texts", "dead-letters/does_not_fit", "contacts"]
    assert records[1].size_bytes() <= MAX_MESSAGE_BYTES


def test_numbers_of_the_body_stay_exact() -> None:
    bad = order({"item_price": Decimal("7.10")}, {"item_price": Decimal("1e400")})

    (letter,) = on("dead-letters", messages_of(envelope([message(), bad])))

    prices = [item["item_price"] for item in value_of(letter["body"])["messages"][0]["order"]["product_items"]]
    assert prices == [7.10, float("inf")]
    assert b"7.10" in letter["body"]
    assert b"1E+400" in letter["body"]
