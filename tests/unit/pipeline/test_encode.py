"""An item becomes a Kafka message: frame, key, headers, timestamp, and the schema's record in between."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.metrics import Metrics
from connector.pipeline.digest import digest
from connector.pipeline.encode import Encoder
from connector.records import Fault, Item, Json, KafkaMessage
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    NUMBER,
    OTHER_NUMBER,
    RECEIVED_AT,
    USER_ID,
    catalogue,
    contact,
    counted,
    decoded,
    envelope,
    header,
    item_of,
    message,
    messages_of,
    new_encoders,
    on,
    order,
    price,
    raw,
    status,
)

DAY_MS = 24 * 3600 * 1000
MINUTE_MS = 60 * 1000


def document_at(event_ms: Any) -> Item:
    return item_of(message=message(message_type="document", timestamp=event_ms))


def encode(item: Item, encoder: Encoder | None = None, **of_request: Any) -> KafkaMessage:
    encoded = (encoder or new_encoders()["document"]).encode(item, raw(b"{}", **of_request))
    assert isinstance(encoded, KafkaMessage)
    return encoded


def encoder_of(record_type: str, max_message_bytes: int = 2**22, schema_id: int = 1) -> Encoder:
    return Encoder(catalogue().record_types[record_type], schema_id, "http://registry", max_message_bytes, Metrics())


def fault_of(item: Item, encoder: str = "document", max_message_bytes: int = 2**22) -> Fault:
    fault = encoder_of(encoder, max_message_bytes).encode(item, raw(b"{}"))
    assert isinstance(fault, Fault)
    return fault


def test_record_is_framed_with_a_zero_byte_and_the_schemas_id() -> None:
    encoder = encoder_of("document", schema_id=0x01020304)

    assert encode(item_of(message=message(message_type="document")), encoder).value[:5] == b"\x00\x01\x02\x03\x04"


@pytest.mark.parametrize("key", [NUMBER, USER_ID, "perché 🌻"])
def test_key_is_the_utf_8_of_the_rules_value(key: str) -> None:
    record = encode(item_of(message=message(message_type="document"), key=key))

    assert record.key == key.encode()
    assert decoded(record)["record_key"] == key


def test_headers_are_those_of_cloud_events_in_binary_mode() -> None:
    (document, _) = messages_of(envelope([message(message_type="document")], [contact()]))

    headers = dict(document.headers)

    assert headers.pop("ce_id")
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_type": b"kaleyra.whatsapp.document",
        "ce_source": b"/kaleyra/whatsapp/104600000000001",
        "ce_time": b"2025-11-21T10:13:21.000Z",
        "ce_dataschema": b"http://registry/schemas/ids/1",
        "content-type": b"application/avro",
    }
    assert len(document.headers) == 7


def test_first_of_several_registries_names_the_schema() -> None:
    urls = "http://registry/apis/ccompat/v7/, http://other"
    record_type = catalogue().record_types["document"]
    encoder = Encoder(record_type, 7, urls, 1_000_000, Metrics())
    record = encode(item_of(message=message(message_type="document")), encoder)

    assert header(record, "ce_dataschema") == "http://registry/apis/ccompat/v7/schemas/ids/7"


def test_id_is_128_bits_of_hex_that_hide_the_message_id() -> None:
    (record, _) = messages_of(envelope([message()], [contact()]))
    ce_id = header(record, "ce_id")

    assert ce_id is not None
    assert len(bytes.fromhex(ce_id)) == 16


@pytest.mark.parametrize(
    ("metadata", "source"),
    [
        ({"phone_number_id": "1046", "display_phone_number": "39029"}, "/kaleyra/whatsapp/1046"),
        ({"phone_number_id": 1046}, "/kaleyra/whatsapp/1046"),
        ({"phone_number_id": "", "display_phone_number": "+39 029"}, "/kaleyra/whatsapp/+39%20029"),
        ({"display_phone_number": "39/029"}, "/kaleyra/whatsapp/39%2F029"),
        ({"phone_number_id": "7" * 1000}, "/kaleyra/whatsapp/" + "7" * 64),
        ({}, "/kaleyra/whatsapp/unknown"),
        (ABSENT, "/kaleyra/whatsapp/unknown"),
    ],
)
def test_source_is_the_business_number(metadata: Any, source: str) -> None:
    (record,) = messages_of(envelope([message()], metadata=metadata))

    assert header(record, "ce_source") == source


def test_trace_context_is_carried_from_the_request() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    record = encode(document_at("1763720001"), traceparent=traceparent, tracestate="vendor=1")

    assert header(record, "traceparent") == traceparent
    assert header(record, "tracestate") == "vendor=1"
    assert header(encode(document_at("1763720001"), traceparent=traceparent), "tracestate") is None
    assert header(encode(document_at("1763720001"), tracestate="vendor=1"), "tracestate") is None


@pytest.mark.parametrize(
    ("event_ms", "timestamp_ms", "clamped"),
    [
        (RECEIVED_AT, RECEIVED_AT, 0),
        (RECEIVED_AT - 7 * DAY_MS, RECEIVED_AT - 7 * DAY_MS, 0),
        (RECEIVED_AT - 7 * DAY_MS - 1, RECEIVED_AT, 1),
        (RECEIVED_AT + 5 * MINUTE_MS, RECEIVED_AT + 5 * MINUTE_MS, 0),
        (RECEIVED_AT + 5 * MINUTE_MS + 1, RECEIVED_AT, 1),
        (ABSENT, RECEIVED_AT, 0),
        ("172XXXXXXX", RECEIVED_AT, 0),
    ],
)
def test_kafka_timestamp_is_the_events_time_within_the_window(event_ms: Any, timestamp_ms: int, clamped: int) -> None:
    metrics = Metrics()
    encoder = new_encoders(metrics=metrics)["document"]

    record = encode(document_at(event_ms), encoder)

    assert record.timestamp_ms == timestamp_ms
    assert counted(metrics, "connector_adjusted_values", kind="clamped_times") == clamped


def test_time_outside_the_window_stays_in_the_record_and_in_ce_time() -> None:
    record = encode(document_at("1700000000"))

    assert decoded(record)["sent_at"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert header(record, "ce_time") == "2023-11-14T22:13:20.000Z"


def test_time_out_of_range_is_null_and_replaced_by_received_at() -> None:
    metrics = Metrics()
    encoder = new_encoders(metrics=metrics)["document"]

    record = encode(document_at("172XXXXXXX"), encoder)

    assert decoded(record)["sent_at"] is None
    assert header(record, "ce_time") == "2025-11-21T10:30:00.000Z"
    assert counted(metrics, "connector_unfit_values", path="message.timestamp") == 1
    assert header(record, "connector_unfit") == "message.timestamp"


def test_item_with_a_fault_keeps_it() -> None:
    fault = Fault("not_an_object_item", "split", "messages[0] is text")
    item = item_of(message=message(message_type="document"))

    given = Item(**{**{name: getattr(item, name) for name in item.__struct_fields__}, "fault": fault})

    assert fault_of(given) is fault


def test_item_without_a_key_is_refused() -> None:
    fault = fault_of(item_of(message=message(message_type="document"), key=None))

    assert (fault.reason, fault.step) == ("no_key", "split")
    assert fault.detail == "messages[0] has neither a number nor a user id"


def test_value_that_does_not_fit_is_named_by_its_path() -> None:
    item = item_of(message=order({"item_price": 1}, {"item_price": 1}, {"item_price": "sette"}))

    fault = fault_of(item, "order")

    assert (fault.reason, fault.step) == ("does_not_fit", "encode")
    assert fault.detail.startswith("message.order.product_items[2].item_price: ")
    assert "sette" not in fault.detail


def test_required_value_that_is_absent_is_missing() -> None:
    fault = fault_of(item_of(message=message(message_type="document", id=ABSENT)))

    assert (fault.reason, fault.step) == ("missing", "encode")
    assert fault.detail.startswith("message.id: ")


def test_record_over_the_limit_is_refused_key_and_headers_counted() -> None:
    item = item_of(message=message(message_type="document"))
    size_bytes = encode(item).size_bytes()

    assert fault_of(item, max_message_bytes=size_bytes - 1).reason == "too_large"
    assert isinstance(
        encoder_of("document", size_bytes).encode(item, raw(b"{}")),
        KafkaMessage,
    )


def test_document_has_values_of_message_contact_and_extra_info() -> None:
    given = message(
        message_type="document",
        context={"from": "390299955501", "id": "wamid.C", "forwarded": "true", "referred_product": {"catalog_id": 194}},
        referral={"video_url": "https://img.example/1"},
        document={"filename": "a.pdf", "mime_type": "application/pdf", "sha256": "AA=", "id": 1062, "caption": "", "url": None},
    )
    sent, _ = messages_of(envelope([given], [contact(user_id=USER_ID)]))
    record = decoded(sent)

    expected: Json = {
        "message_id": "wamid.SU5WVDAx",
        "message_type": "document",
        "record_key": NUMBER,
        "key_source": "wa_id",
        "event_id": header(sent, "ce_id"),
        "event_at": datetime.fromtimestamp(1_763_720_001, UTC),
        "wa_id": NUMBER,
        "user_id": USER_ID,
        "from_number": NUMBER,
        "profile_name": "Giulia",
        "phone_number_id": "104600000000001",
        "display_phone_number": "390299955501",
        "sent_at": datetime.fromtimestamp(1_763_720_001, UTC),
        "received_at": datetime.fromtimestamp(RECEIVED_AT / 1000, UTC),
        **EXTRA,
        "context_message_id": "wamid.C",
        "context_from": "390299955501",
        "forwarded": True,
        "referred_catalog_id": "194",
        "referral_media_url": "https://img.example/1",
        "document_id": "1062",
        "filename": "a.pdf",
        "mime_type": "application/pdf",
        "sha256": "AA=",
    }
    assert {name: value for name, value in record.items() if value is not None} == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1600", price("1600")),
        ("7.99", price("7.99")),
        ('"7.99"', price("7.99")),
        ("7.9900000000000002", price("7.99")),
        ("0", price("0")),
        ('""', None),
        ("null", None),
    ],
)
def test_price_is_exact_in_the_record(written: str, expected: Decimal | None) -> None:
    body = envelope([order({"item_price": "PRICE"})]).replace(b'"PRICE"', written.encode())

    (record,) = on("orders", messages_of(body))

    assert record["product_items"][0]["item_price"] == expected


@pytest.mark.parametrize("written", ["1e3000000", "9" * 3000, '"' + "9" * 3000 + '"', "1e400", '"1e3"', "0.0000001"])
def test_wild_price_is_rejected(written: str) -> None:
    body = envelope([order({"item_price": "PRICE"})]).replace(b'"PRICE"', written.encode())

    (letter,) = on("dead-letters", messages_of(body))

    assert letter["reason"] == "does_not_fit"
    assert letter["detail"].startswith("message.order.product_items[0].item_price: ")


def test_order_of_one_item_without_its_list_has_one_item() -> None:
    given = message(message_type="order", order={"product_items": {"product_retailer_id": 11, "quantity": "2"}})

    (record,) = on("orders", messages_of(envelope([given])))

    assert record["product_items"] == [{"product_retailer_id": "11", "quantity": 2, "item_price": None, "currency": None}]


def test_message_of_an_unknown_type_keeps_its_json() -> None:
    given = message(message_type="hologram", hologram={"depth": Decimal("12.345678901234567"), "body": "perché"})

    (record,) = on("others", messages_of(envelope([given])))

    assert record["message_type"] == "hologram"
    assert json.loads(record["payload"], parse_float=Decimal) == given


def test_status_is_filled_from_its_own_keys_and_from_the_root() -> None:
    given = status(id=ABSENT, status="", errors={"code": "131051", "details": "not supported"}, pricing={"billable": "false"})

    (record,) = on("statuses", messages_of(envelope(statuses=[given], status="failed", message_id="wamid.root")))

    assert record["message_id"] == "wamid.root"
    assert record["status"] == "failed"
    assert record["pricing_billable"] is False
    assert record["errors"] == [{"code": 131051, "title": None, "message": None, "details": "not supported", "href": None}]


def test_contact_has_values_of_its_entry_and_its_message() -> None:
    (record,) = on("contacts", messages_of(envelope([message()], [contact(user_id=USER_ID, username="giulia.prova")])))

    assert record["profile_name"] == "Giulia"
    assert record["username"] == "giulia.prova"
    assert record["record_key"] == NUMBER
    assert record["last_message_id"] == "wamid.SU5WVDAx"
    assert record["seen_at"] == datetime.fromtimestamp(1_763_720_001, UTC)


def test_each_person_gets_only_their_own_name() -> None:
    people = [contact("Marco", OTHER_NUMBER), contact("Giulia", NUMBER)]
    records = on("texts", messages_of(envelope([message(NUMBER), message(OTHER_NUMBER), message("1")], people)))

    assert [(one["record_key"], one["profile_name"]) for one in records] == [
        (NUMBER, "Giulia"),
        (OTHER_NUMBER, "Marco"),
        ("1", None),
    ]


def test_extra_info_is_null_for_several_events() -> None:
    records = on("texts", messages_of(envelope([message(), message(id="wamid.B")])))

    for record in records:
        assert [record[name] for name in ("media_url", "ref", "ref1", "ref2", "reply_to")] == [None] * 5
        assert record["trace_id"] == EXTRA["trace_id"]
        assert record["waba_id"] == EXTRA["waba_id"]


def test_digest_differs_for_parts_that_join_to_the_same_text() -> None:
    assert len({digest(("a", "bc")), digest(("ab", "c")), digest(("abc",)), digest(("a", "bc", None))}) == 4
    assert digest(("a", 1)) != digest(("a", "1"))


def test_too_deeply_nested_values_have_different_ids() -> None:
    def nested(leaf: str) -> Any:
        value: Any = leaf
        for _ in range(3000):
            value = [value]
        return value

    ids = {digest(("message", nested(leaf))) for leaf in ("a", "b", "a")} | {digest(("status", nested("a")))}
    assert len(ids) == 3
