"""Bytes become a callback, or are refused with a reason."""

import json
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.records import Callback
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    METADATA,
    REJECTED,
    body_of,
    contact,
    envelope,
    message,
    raw,
    sample,
    sample_name,
    status,
)


def reason_of(body: bytes) -> str:
    with pytest.raises(NotDecodable) as refused:
        decode(raw(body))
    assert refused.value.detail
    return refused.value.reason


def of_value(**value: Any) -> Callback:
    return decode(raw(body_of({"meta_object": {"value": value}})))


def test_callback_is_read_into_its_parts() -> None:
    callback = decode(raw(envelope([message()], [contact()], [status()], status="sent", message_id="wamid.x")))

    assert callback.messages == [message()]
    assert callback.contacts == [contact()]
    assert callback.statuses == [status()]
    assert callback.metadata == METADATA
    assert callback.extra == EXTRA
    assert callback.root == {"status": "sent", "message_id": "wamid.x"}
    assert callback.replaced_surrogates == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b" \r\n", "not_json"),
        (b"\xef\xbb\xbf", "not_json"),
        (b"ciao", "not_json"),
        (b"<callback/>", "not_json"),
        (b"from=393335550142&type=text", "not_json"),
        (b"{", "not_json"),
        (b'{"a": 1,}', "not_json"),
        (b"{'a': 1}", "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": -Infinity}', "not_json"),
        (b'{"a": 1e99999999999999999999}', "not_json"),
        (b'{"a": 1} {"b": 2}', "not_json"),
        (b'\xff{"a": 1}', "not_utf8"),
        ("{}".encode("utf-16"), "not_utf8"),
        (b"[" * 100_000, "too_deep"),
        (b"[" * 2000 + b"]" * 2000, "too_deep"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "too_deep"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"true", "not_an_object"),
        (b"7.99", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "unknown_shape"),
        (b'{"meta_object": null}', "unknown_shape"),
        (b'{"meta_object": []}', "unknown_shape"),
        (b'{"meta_object": 5}', "unknown_shape"),
        (b'{"meta_object": {}}', "unknown_shape"),
        (b'{"meta_object": {"value": null}}', "unknown_shape"),
        (b'{"meta_object": {"value": []}}', "unknown_shape"),
        (b'{"meta_object": {"value": "text"}}', "unknown_shape"),
        (b'{"meta_object": "no JSON"}', "not_json"),
        (b'{"meta_object": ""}', "not_json"),
        (b'{"meta_object": "[]"}', "unknown_shape"),
        (b'{"meta_object": "\\"{}\\""}', "unknown_shape"),
        (b'{"meta_object": {"value": {}}}', "nothing_in_it"),
        (b'{"meta_object": {"value": {"messages": [], "statuses": "", "contacts": null}}}', "nothing_in_it"),
        (b'{"messages": "text", "contacts": ""}', "unknown_shape"),
    ],
    ids=lambda part: f"{part[:40]!r}" if isinstance(part, bytes) else None,
)
def test_body_that_is_no_callback_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    assert reason_of(body) == reason


@pytest.mark.parametrize("name", ["messages", "statuses", "contacts"])
@pytest.mark.parametrize("value", ["text", 5, True])
def test_list_that_is_something_else_is_an_unknown_shape(name: str, value: Any) -> None:
    assert reason_of(body_of({"meta_object": {"value": {name: value}}})) == "unknown_shape"


@pytest.mark.parametrize("value", ["text", 5, True, ["a"]])
def test_metadata_or_extra_info_of_another_type_is_an_unknown_shape(value: Any) -> None:
    assert reason_of(envelope([message()], metadata=value)) == "unknown_shape"
    assert reason_of(envelope([message()], extra=value)) == "unknown_shape"


@pytest.mark.parametrize("value", [ABSENT, None, "", []])
def test_metadata_and_extra_info_may_be_absent_or_empty(value: Any) -> None:
    callback = decode(raw(envelope([message()], metadata=value, extra=value)))

    assert callback.metadata == {}
    assert callback.extra == {}
    assert callback.messages == [message()]


def test_one_object_where_a_list_is_meant_is_a_list_of_one() -> None:
    callback = of_value(messages=message(), contacts=contact(), statuses=status())

    assert callback.messages == [message()]
    assert callback.contacts == [contact()]
    assert callback.statuses == [status()]


def test_items_beside_the_envelope_are_read_with_those_in_it() -> None:
    root = json.loads(envelope([message()], status="sent"))

    callback = decode(raw(body_of({**root, "messages": [message(id="wamid.B")], "statuses": {"id": "x"}, "contacts": "x"})))

    assert [one["id"] for one in callback.messages] == [message()["id"], "wamid.B"]
    assert callback.statuses == [{"id": "x"}]
    assert callback.root == {"status": "sent", "contacts": "x"}


def test_list_that_php_has_written_as_an_object_is_a_list() -> None:
    numbered = {"1": message(id="wamid.A"), "2": message(id="wamid.B")}

    callback = decode(raw(envelope(numbered, {"0": contact()}, {})))

    assert [one["id"] for one in callback.messages] == ["wamid.A", "wamid.B"]
    assert callback.contacts == [contact()]
    assert callback.statuses == []


def test_envelope_that_is_json_text_is_read() -> None:
    whole = json.loads(envelope([message()]))
    whole["meta_object"] = json.dumps(whole["meta_object"])

    assert decode(raw(body_of(whole))).messages == [message()]


def test_lone_surrogates_in_texts_and_names_are_replaced() -> None:
    body = envelope(
        [message(text={"body": "Ciao \ud83d", "\udc00": ["\ud83d\ude02", "\ud83d\ud83d"]})], [contact("Giulia \ud83c")]
    )

    callback = decode(raw(body))

    assert callback.messages[0]["text"] == {"body": "Ciao \ufffd", "\ufffd": ["😂", "\ufffd\ufffd"]}
    assert callback.contacts[0]["profile"]["name"] == "Giulia \ufffd"
    assert callback.replaced_surrogates == 5


def test_lone_surrogates_in_an_envelope_of_json_text_are_counted() -> None:
    whole = json.loads(envelope([message(text={"body": "Ciao \ud83d"})]))
    whole["meta_object"] = json.dumps(whole["meta_object"])

    callback = decode(raw(json.dumps(whole).encode()))

    assert callback.messages[0]["text"] == {"body": "Ciao \ufffd"}
    assert callback.replaced_surrogates == 1


def test_escaped_surrogate_pairs_are_the_characters_they_mean() -> None:
    callback = decode(raw(json.dumps(json.loads(envelope([message(text={"body": "😂 però"})]))).encode()))

    assert callback.messages[0]["text"]["body"] == "😂 però"
    assert callback.replaced_surrogates == 0


@pytest.mark.parametrize("damage", ["", "\ud83d"], ids=["clean", "read tolerantly"])
def test_numbers_with_a_fraction_stay_exact(damage: str) -> None:
    body = envelope([message(text={"body": damage}, n=ABSENT)]).replace(
        b'"text":{', b'"text":{"n":[7.10,1e400,123456789012.123456,5],', 1
    )
    body = body.replace(b'"text": {', b'"text": {"n":[7.10,1e400,123456789012.123456,5],', 1)

    numbers = decode(raw(body)).messages[0]["text"]["n"]

    assert [str(number) for number in numbers] == ["7.10", "1E+400", "123456789012.123456", "5"]
    assert [type(number) for number in numbers] == [Decimal, Decimal, Decimal, int]


@pytest.mark.parametrize("digits", [30, 3999, 4000, 4001, 4299, 4300, 4301, 5000, 100_000])
def test_integers_of_any_length_are_kept(digits: int) -> None:
    body = b'{"meta_object": {"value": {"messages": [{"n": ' + b"9" * digits + b"}]}}}"

    number = decode(raw(body)).messages[0]["n"]

    assert Decimal(number).adjusted() == digits - 1


def test_byte_order_mark_is_passed_over() -> None:
    assert decode(raw(b"\xef\xbb\xbf" + envelope([message()]))).messages == [message()]


def test_last_of_two_equal_keys_wins_in_both_readings() -> None:
    twice = b'{"meta_object": {}, "meta_object": {"value": {"messages": [{"id": "a", "id": "b"}]}}}'

    assert decode(raw(twice)).messages == [{"id": "b"}]
    assert decode(raw(b"\xef\xbb\xbf" + twice)).messages == [{"id": "b"}]


@pytest.mark.parametrize("path", REJECTED, ids=sample_name)
def test_rejected_sample_is_refused_in_the_step_of_its_reason(path: Any) -> None:
    of_this_step = {"not_utf8", "not_json", "too_deep", "not_an_object", "unknown_shape", "meta_direct", "nothing_in_it"}
    if path.stem in of_this_step | {"not_multipart", "not_xml"}:
        with pytest.raises(NotDecodable) as refused:
            decode(sample(path))
        assert refused.value.reason == path.stem
    else:
        assert isinstance(decode(sample(path)), Callback)


def test_no_part_of_a_callback_shows_in_a_repr() -> None:
    callback = decode(raw(envelope([message()], [contact()])))

    assert repr(callback) == "Callback(1 contacts, 1 messages, 0 statuses, 0 others, 0 events)"
