"""Callbacks kept as received: one copy each, beside their records or dead letters."""

from datetime import UTC, datetime

import pytest

from connector.records import KafkaMessage, RawCallback
from tests.support.callbacks import (
    EXTRA,
    METADATA,
    NUMBER,
    RECEIVED_AT,
    REJECTED,
    SAMPLES,
    MemorySink,
    answer_to,
    decoded,
    envelope,
    flow,
    header,
    message,
    raw,
    read,
    sample_name,
    topics,
    translator,
    whole_catalogue,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def copies_of(received: RawCallback) -> list[KafkaMessage]:
    return [one for one in translator(of=whole_catalogue()).translate(received) if topics([one]) == ["raw"]]


def test_every_callback_is_kept_once_with_its_bytes() -> None:
    kept = {
        path: [decoded(copy, whole_catalogue())["body"] for copy in copies_of(raw(read(path)))] for path in SAMPLES + REJECTED
    }

    assert [sample_name(path) for path, bodies in kept.items() if bodies != [read(path)]] == []


def test_copy_holds_the_request() -> None:
    body = envelope([message()])
    (copy,) = copies_of(raw(body, query="a=b", traceparent=TRACEPARENT))

    assert decoded(copy, whole_catalogue()) == {
        "event_id": header(copy, "ce_id"),
        "event_at": datetime.fromtimestamp(RECEIVED_AT / 1000, UTC),
        "received_at": datetime.fromtimestamp(RECEIVED_AT / 1000, UTC),
        "method": "POST",
        "query": "a=b",
        "content_type": "application/json",
        "body": body,
        "phone_number_id": METADATA["phone_number_id"],
        "waba_id": EXTRA["waba_id"],
        "trace_id": EXTRA["trace_id"],
    }
    assert copy.key == METADATA["phone_number_id"].encode()
    assert copy.timestamp_ms == RECEIVED_AT
    assert header(copy, "ce_type") == "kaleyra.whatsapp.raw_callback"
    assert header(copy, "traceparent") == TRACEPARENT


def test_copy_of_an_undecodable_callback_has_no_key() -> None:
    (copy,) = copies_of(raw(b"\xff"))

    assert copy.key is None


def test_copy_of_a_rejected_callback_is_keyed_by_its_metadata() -> None:
    (copy,) = copies_of(raw(envelope([])))

    assert copy.key == METADATA["phone_number_id"].encode()


def test_copy_has_the_same_id_at_a_second_delivery_only() -> None:
    (first,), (second,) = copies_of(raw(b"x")), copies_of(raw(b"x", received_at=RECEIVED_AT + 1))
    others = [copies_of(raw(b"y")), copies_of(raw(b"x", method="GET")), copies_of(raw(b"x", query="1"))]

    assert header(first, "ce_id") == header(second, "ce_id")
    assert len({header(first, "ce_id"), *(header(one, "ce_id") for (one,) in others)}) == 4


def test_internal_error_keeps_the_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(_callback: object, _raw: object) -> None:
        raise LookupError

    monkeypatch.setattr("connector.pipeline.translate.split", defect)

    assert len(copies_of(raw(envelope([message()])))) == 1


def test_copy_refused_by_kafka_becomes_a_dead_letter() -> None:
    sink = MemorySink(refuse=lambda one: topics([one]) == ["raw"])
    body = envelope([message()])

    assert answer_to(body, flow(sink, of=whole_catalogue())).status == 200

    letter = decoded(sink.messages[-1], whole_catalogue())
    assert topics(sink.messages) == ["texts", "dead-letters"]
    assert (letter["reason"], letter["body"]) == ("refused_by_kafka", body)


def test_repr_of_a_copy_hides_its_content() -> None:
    (copy,) = copies_of(raw(envelope([message()])))

    assert NUMBER not in repr(copy)
