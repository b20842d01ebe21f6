"""A callback is carried from request to answer: siblings, counters, and every row of the delivery guarantee."""

import asyncio
import json
from typing import Any

import pytest

from connector.auth.authenticate import Credentials
from connector.logs import fault_location
from connector.metrics import Metrics
from connector.pipeline import translate as translate_module
from connector.pipeline.translate import MAX_ITEMS
from connector.records import RawCallback, Request
from tests.support.callbacks import (
    ABSENT,
    NUMBER,
    MemorySink,
    answer_to,
    carry_request,
    contact,
    counted,
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
)

GOOD = envelope([message()], [contact()])
BAD_AMONG_GOOD = envelope([message(id="wamid.A"), order({"quantity": "x"}), message(id="wamid.C"), message(id="wamid.D")])


def on_topic(name: str) -> Any:
    return lambda record: topics([record]) == [name]


def test_messages_come_first_then_statuses_then_contacts() -> None:
    body = envelope([message(), message(message_type="document")], [contact()], [status()])

    assert topics(messages_of(body)) == ["texts", "documents", "statuses", "contacts"]


def test_callback_is_acknowledged_once_every_record_is() -> None:
    sink, metrics = MemorySink(), Metrics()

    answer = answer_to(GOOD, flow(sink, metrics=metrics))

    assert answer.status == 200
    assert topics(sink.messages) == ["texts", "contacts"]
    assert sink.sends == 1, "all records of a callback together"
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.texts") == 1
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.contacts") == 1


def test_one_bad_message_sinks_none_of_its_siblings() -> None:
    sink, metrics = MemorySink(), Metrics()

    answer = answer_to(BAD_AMONG_GOOD, flow(sink, metrics=metrics))

    assert answer.status == 200
    assert outcome(sink.messages) == ["texts", "dead-letters/does_not_fit", "texts", "texts"]
    assert counted(metrics, "connector_dead_letters", reason="does_not_fit") == 1
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.texts") == 3
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.dead-letters") == 1


def test_unauthenticated_request_is_401_and_produces_nothing() -> None:
    sink = MemorySink()
    carrier = flow(sink, credentials=Credentials(header_name=b"authorization", header_value=b"Bearer invented"))

    async def never() -> RawCallback:
        pytest.fail("an unauthenticated body was read")

    answer = asyncio.run(carry_request(carrier, Request([(b"authorization", b"wrong")], None), never))

    assert answer.status == 401
    assert sink.sends == 0


def test_caller_with_the_secret_or_the_token_is_admitted() -> None:
    credentials = Credentials(header_name=b"authorization", header_value=b"Bearer invented", url_token=b"an-invented-token")
    carrier = flow(credentials=credentials)

    assert answer_to(GOOD, carrier, [(b"authorization", b"Bearer invented")]).status == 200
    assert answer_to(GOOD, carrier, url_token="an-invented-token").status == 200
    assert answer_to(GOOD, carrier).status == 401


def test_body_over_the_limit_gets_413_and_nothing_is_produced() -> None:
    sink = MemorySink()

    assert answer_to(None, flow(sink)).status == 413
    assert sink.sends == 0


def test_callback_that_is_not_confirmed_gets_503_and_is_counted() -> None:
    sink, metrics = MemorySink(confirm=False), Metrics()

    answer = answer_to(GOOD, flow(sink, metrics=metrics))

    assert answer.status == 503
    assert b"retry-after" in dict(answer.headers)
    assert counted(metrics, "connector_unconfirmed_records", error="_MSG_TIMED_OUT") == 2
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.texts") == 0


def test_dead_letter_that_is_not_confirmed_gets_503() -> None:
    assert answer_to(b"", flow(MemorySink(confirm=False))).status == 503


def test_callback_for_which_there_is_no_room_gets_503() -> None:
    sink = MemorySink(room=False)

    answer = answer_to(GOOD, flow(sink))

    assert answer.status == 503
    assert b"retry-after" in dict(answer.headers)
    assert sink.messages == []


def test_permanently_refused_record_is_a_dead_letter_on_its_own() -> None:
    sink, metrics = MemorySink(refuse=on_topic("documents")), Metrics()
    body = envelope([message(message_type="document", id="wamid.D"), message(id="wamid.T")], [contact()])

    answer = answer_to(body, flow(sink, metrics=metrics))

    assert answer.status == 200
    assert outcome(sink.messages) == ["texts", "contacts", "dead-letters/refused_by_kafka"]
    letter = decoded(sink.messages[-1])
    assert (letter["step"], letter["detail"]) == ("produce", "MSG_SIZE_TOO_LARGE")
    assert [one["id"] for one in json.loads(letter["body"])["meta_object"]["value"]["messages"]] == ["wamid.D"]
    assert counted(metrics, "connector_dead_letters", reason="refused_by_kafka") == 1
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.documents") == 0
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.texts") == 1
    assert counted(metrics, "connector_records", topic="kaleyra.whatsapp.dead-letters") == 1


def test_dead_letter_that_kafka_refuses_too_gets_503() -> None:
    sink = MemorySink(refuse=lambda _: True)

    assert answer_to(GOOD, flow(sink)).status == 503
    assert answer_to(b"", flow(sink)).status == 503
    assert sink.messages == []


def test_callback_with_nothing_to_send_is_acknowledged() -> None:
    sink, metrics = MemorySink(), Metrics()

    answer = answer_to(envelope(contacts=[{"wa_id": NUMBER}]), flow(sink, metrics=metrics))

    assert answer.status == 200
    assert sink.messages == []
    assert counted(metrics, "connector_adjusted_values", kind="contacts_without_profile") == 1


def test_dropped_and_repaired_values_are_counted() -> None:
    metrics = Metrics()
    body = envelope(
        [message(text={"body": "Ciao \ud83d"}), message(id="wamid.B")],
        [{"wa_id": NUMBER}, contact(wa_id=ABSENT), contact(wa_id="")],
    )

    translator(metrics=metrics).translate(raw(body))

    assert counted(metrics, "connector_adjusted_values", kind="lone_surrogates") == 1
    assert counted(metrics, "connector_adjusted_values", kind="contacts_without_profile") == 1
    assert counted(metrics, "connector_adjusted_values", kind="contacts_without_key") == 2
    assert counted(metrics, "connector_adjusted_values", kind="ambiguous_extra_info") == 5


@pytest.mark.parametrize(("count", "expected"), [(MAX_ITEMS, MAX_ITEMS), (MAX_ITEMS + 1, 1)])
def test_callback_of_too_many_items_is_one_dead_letter_as_a_whole(count: int, expected: int) -> None:
    records = messages_of(envelope([{"id": "w", "from": "1", "type": "t"}] * count, extra=ABSENT))

    assert len(records) == expected
    assert (outcome(records[:1]) == ["dead-letters/too_many_items"]) == (count > MAX_ITEMS)


def test_callback_with_too_large_records_is_one_dead_letter() -> None:
    body = envelope([{"id": "w", "from": "1", "type": "t"}] * 450, extra={"trace_id": "x" * 40_000})

    (letter,) = on("dead-letters", messages_of(body))

    assert letter["reason"] == "too_large"
    assert letter["body"] == body


def test_record_too_large_by_itself_is_the_only_dead_letter() -> None:
    records = messages_of(envelope([message("3" * 1_500_000, id="wamid.A"), message(id="wamid.B")]))

    assert outcome(records) == ["dead-letters/too_large", "texts"]


def test_defect_of_ours_loses_no_callback_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, dict[str, str]]] = []
    metrics = Metrics()

    def defect(_callback: object, _raw: object) -> None:
        raise LookupError(NUMBER)

    monkeypatch.setattr(translate_module, "split", defect)
    monkeypatch.setattr(translate_module, "event", lambda name, **facts: said.append((name, facts)))

    (letter,) = translator(metrics=metrics).translate(raw(GOOD))

    assert decoded(letter)["reason"] == "internal_error"
    assert decoded(letter)["detail"] == "LookupError"
    assert decoded(letter)["body"] == GOOD
    assert [name for name, _ in said] == ["internal_error"]
    assert NUMBER not in str(said)
    assert counted(metrics, "connector_dead_letters", reason="internal_error") == 1


def test_internal_error_is_logged_by_place_without_its_message() -> None:
    with pytest.raises(LookupError) as raised:
        raise LookupError(NUMBER)

    assert NUMBER not in fault_location(raised.value)


def test_second_delivery_has_the_same_ids() -> None:
    first = [header(record, "ce_id") for record in messages_of(BAD_AMONG_GOOD)]

    assert [header(record, "ce_id") for record in messages_of(BAD_AMONG_GOOD, received_at=1_763_799_999_999)] == first
    assert len(set(first)) == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (envelope([]), "nothing_in_it"),
        (envelope([{}] * (MAX_ITEMS + 1)), "too_many_items"),
    ],
)
def test_dead_letter_of_a_callback_is_keyed_by_the_business_number(body: bytes, reason: str) -> None:
    (letter,) = messages_of(body)

    assert decoded(letter)["reason"] == reason
    assert letter.key is not None
    assert letter.key.decode() == decoded(letter)["phone_number_id"]
    assert decoded(letter)["waba_id"]
