"""The treatment of personal data: kept, dropped, masked, hashed; impossible settings are reported together."""

import base64
import functools
import hashlib
import hmac
import io
import json
import re
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.catalogue import Catalogue, read_catalogue
from connector.errors import ConfigurationInvalid
from connector.mapping.compiler import ROOTS, compile_schema
from connector.pipeline.translate import Translator
from connector.privacy.keyed import Keyed
from connector.privacy.masks import masked, masked_degrees, masked_phone
from connector.privacy.policy import Policy
from connector.records import EMPTY, Json, KafkaMessage
from connector.settings.load import load_settings
from connector.settings.tables import Privacy
from tests.support.callbacks import (
    NUMBER,
    RECEIVED_AT,
    SAMPLES,
    catalogue,
    contact,
    decoded,
    envelope,
    header,
    message,
    order,
    raw,
    read,
    status,
    translator,
    v1_message,
)
from tests.support.examples import examples

KEY = "an invented key of 32 characters"
HASHED: dict[str, Any] = {"phone": "hash", "hash_key": KEY, "hash_key_id": "k1"}
modest = settings(max_examples=examples(60), deadline=None, database=None)
texts = st.text(max_size=40)


@functools.cache
def _under(rules: str) -> Catalogue:
    return read_catalogue(policy=Policy.of(Privacy(**json.loads(rules))))


@functools.cache
def _translator_under(rules: str) -> Translator:
    return translator(of=_under(rules))


def under(**rules: Any) -> Catalogue:
    """Return the catalogue for settings of `[privacy]`, created once."""
    return _under(json.dumps(rules))


def records(body: bytes, **rules: Any) -> list[tuple[KafkaMessage, Json]]:
    of = under(**rules)
    return [(one, decoded(one, of)) for one in _translator_under(json.dumps(rules)).translate(raw(body))]


def problems(**rules: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationInvalid) as refused:
        under(**rules)
    return refused.value.problems


def hashed(value: str) -> str:
    """Return what a reader with the key computes: plain HMAC-SHA-256."""
    digest = hmac.new(KEY.encode(), value.encode(), hashlib.sha256).digest()
    return f"h:k1:{base64.urlsafe_b64encode(digest[:18]).decode()}"


# Hashes


@modest
@given(st.text(min_size=1, max_size=200))
def test_hash_is_hmac_sha_256_and_names_its_key(value: str) -> None:
    found = Keyed(KEY, "k1").hash(value).decode()

    assert found == hashed(value)
    assert re.fullmatch(r"h:k1:[A-Za-z0-9_-]{24}", found)


@pytest.mark.parametrize("length", [32, 63, 64, 65, 200])
def test_keys_of_any_length_match_hmac(length: int) -> None:
    key = "k" * length
    digest = hmac.new(key.encode(), b"value", hashlib.sha256).digest()
    assert Keyed(key, "k").hash("value") == b"h:k:" + base64.urlsafe_b64encode(digest[:18])


@modest
@given(st.lists(st.text(max_size=300), min_size=1, max_size=100))
def test_hash_depends_only_on_key_and_value(values: list[str]) -> None:
    one = Keyed(KEY, "k1")
    assert [one.hash(value) for value in values] == [Keyed(KEY, "k1").hash(value) for value in values]


def test_long_values_are_not_cached() -> None:
    one = Keyed(KEY, "k1")
    for number in range(1000):
        one.hash("x" * 129 + str(number))
        one.hash(str(number))
    assert one._cached_hash.cache_info().currsize == 64


def test_another_key_is_another_identity_space() -> None:
    assert Keyed(KEY, "k1").hash(NUMBER)[5:] != Keyed(KEY + "!", "k1").hash(NUMBER)[5:]


@modest
@given(
    number=st.from_regex(r"4477[1-9]{7,9}", fullmatch=True), wamid=st.from_regex(r"wamid\.[A-Za-z0-9]{8,40}", fullmatch=True)
)
def test_person_has_the_same_hash_on_every_topic(number: str, wamid: str) -> None:
    people = [contact("Giulia", number)]
    context = {"from": number, "id": wamid}
    sent = [message(number, id=wamid, context=context), order({"quantity": 1}, id=wamid, **{"from": number})]
    bodies = [*(envelope([one], people) for one in sent), envelope(statuses=[status(number, id=wamid)])]
    found = [one for body in bodies for one in records(body, **HASHED)]

    assert {one.topic.rpartition(".")[2] for one, _ in found} == {"texts", "orders", "contacts", "statuses"}
    for one, value in found:
        assert one.key == hashed(number).encode()
        assert value["record_key"] == value["wa_id"] == hashed(number)
        assert value.get("message_id", value.get("last_message_id")) == hashed(wamid)
        everything = one.value + one.key + b"".join(content for _, content in one.headers)
        assert number.encode() not in everything
        assert wamid.encode() not in everything


def test_event_id_is_keyed_and_stable() -> None:
    body = envelope([message()], [contact()], [status()])
    kept = [header(one, "ce_id") for one, _ in records(body)]
    first = [header(one, "ce_id") for one, _ in records(body, **HASHED)]

    assert first == [header(one, "ce_id") for one, _ in records(body, **HASHED)]
    assert not {*first} & {*kept}
    assert all(re.fullmatch("[0-9a-f]{32}", str(one)) for one in first)
    assert first != [header(one, "ce_id") for one, _ in records(body, **{**HASHED, "hash_key": KEY + "!"})]


def test_generated_id_of_v1_message_is_hashed() -> None:
    ((_, value),) = [one for one in records(json.dumps(v1_message()).encode(), **HASHED) if "message_id" in one[1]]
    assert value["message_id"].startswith("h:k1:")


def test_business_keys_are_hashed_only_by_their_own_rule() -> None:
    body = json.dumps({"message_template_id": "7", "event": "REJECTED", "time": "1763720200"}).encode()
    ((one, value),) = records(body, **HASHED)
    assert (one.key, value["record_key"]) == (b"7", "7")
    ((one, value),) = records(body, **HASHED, fields={"account_event.record_key": "hash"})
    assert (one.key, value["record_key"]) == (hashed("7").encode(), hashed("7"))


# Masks


@modest
@given(st.text(max_size=30) | st.from_regex(r"\+?[0-9 ]{0,20}", fullmatch=True))
def test_masked_phone_shows_two_digits_at_most(value: str) -> None:
    found = masked_phone(value)

    assert re.fullmatch(r"\*\*\*[0-9]{0,2}", found)
    shown = found.removeprefix("***")
    assert not shown or value.replace(" ", "").endswith(shown)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NUMBER, "***42"),
        ("+39 333 5550142", "***42"),
        ("+39 333 555014 2", "***42"),
        ("wamid.HBgMMzkzMzM1NTUwMTQyFQIA", "***"),
        ("IT.13490000000000001", "***"),
        ("1234567", "***"),
    ],
)
def test_masked_id_shows_digits_only_of_numbers(value: str, expected: str) -> None:
    assert masked_phone(value) == expected


@modest
@given(texts)
def test_masked_text_shows_nothing(value: str) -> None:
    assert masked(value) == "***"


@modest
@given(st.floats(-180, 180))
def test_masked_degrees_have_one_decimal(value: float) -> None:
    assert abs(masked_degrees(value) - value) <= 0.05 + 1e-9
    assert masked_degrees(value) == float(f"{masked_degrees(value):.1f}")


# Every field, by its class


@pytest.mark.parametrize("pii", Privacy.CLASSES)
@pytest.mark.parametrize("outcome", ["drop", "mask", "hash"])
def test_no_sample_shows_values_of_a_treated_class(pii: str, outcome: str) -> None:
    if pii == "phone" and outcome != "hash":
        beside: Json = {"record_key": "hash", "message_id": "hash"}
    else:
        beside = {"payload": "mask"} if outcome == "drop" else {}
    if outcome == "hash":
        beside |= {"latitude": "drop", "longitude": "drop"}
    # Raw JSON holds values of every class.
    rules = {**HASHED, "phone": "keep", "content": "mask", pii: outcome, "fields": beside}
    of, kept = under(**rules), catalogue()
    translators = translator(of=of), translator(of=kept)
    classes_of = {
        record_type.name: {one.path: one.pii for one in of.policy.decisions(record_type.name, record_type.schema)}
        for record_type in of
    }
    looked_at = 0
    for sample in SAMPLES:
        treated, plain = (one.translate(raw(read(sample))) for one in translators)
        for one, before in zip(treated, plain, strict=True):
            (record_type,) = [record_type for record_type in of if record_type.topic == one.topic]
            if record_type.source == "dead_letters":
                continue
            classes = classes_of[record_type.name]
            now, then = decoded(one, of), decoded(before, kept)
            for path, value in leaves(then):
                if classes.get(path) == pii and isinstance(value, str):
                    looked_at += 1
                    assert value not in [other for found, other in leaves(now) if found == path], path
    assert looked_at > 5


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return every value of a record that is not a list, with its path in the schema."""
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(part, f"{path}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part, f"{path}[]")]
    return [(path, value)]


def test_default_policy_does_not_change_generated_code() -> None:
    for record_type in catalogue():
        assert record_type.mapping.code == compile_schema(record_type.schema).code
        assert "hashed" not in record_type.mapping.code
        assert record_type.key_of is str.encode


def test_most_specific_rule_wins() -> None:
    body = envelope([message(text={"body": "Ciao"})]), envelope([message(message_type="order", order={"text": "Ciao"})])
    rules: dict[str, Any] = {"content": "mask", "fields": {"body": "keep", "text.body": "drop"}}
    found = [value for one in body for _, value in records(one, **rules)]
    assert [value.get("body", value.get("text")) for value in found] == [None, "***"]
    rules = {"content": "mask", "fields": {"body": "keep"}}
    assert [value["body"] for _, value in records(body[0], **rules)] == ["Ciao"]


def test_impersonal_and_nested_fields_can_be_treated() -> None:
    rules: dict[str, Any] = {"fields": {"ref1": "mask", "product_items[].product_retailer_id": "drop"}}
    ((_, value),) = records(envelope([order({"product_retailer_id": "sku", "quantity": 2})]), **rules)
    assert value["ref1"] == "***"
    assert value["product_items"][0]["product_retailer_id"] is None
    assert value["product_items"][0]["quantity"] == 2


def test_whole_list_can_be_dropped() -> None:
    ((_, value),) = records(envelope([order({"quantity": 2})]), fields={"order.product_items": "drop"})
    assert value["product_items"] == []


def test_dropped_time_is_not_the_record_time() -> None:
    ((one, value),) = records(envelope([message()]), fields={"sent_at": "drop"})
    assert (value["sent_at"], one.timestamp_ms) == (None, RECEIVED_AT)
    assert value["event_at"] == value["received_at"]


def test_masked_json_is_json() -> None:
    ((_, value),) = records(envelope([message(message_type="hologram", hologram={"name": "Giulia"})]), content="mask")
    assert json.loads(value["payload"]) == "***"
    ((_, value),) = records(envelope([message(message_type="hologram")]), **{**HASHED, "phone": "keep"}, content="hash")
    assert json.loads(value["payload"]).startswith("h:k1:")


def test_dropped_value_causes_no_dead_letter() -> None:
    body = envelope([message(text={"body": ["no text"]})])
    assert "reason" in records(body)[0][1]
    assert records(body, content="drop", fields={"payload": "mask"})[0][1]["body"] is None


def test_dropped_fields_count_as_mapped() -> None:
    kept = {record_type.name: record_type.mapping for record_type in catalogue()}
    for record_type in under(content="drop", name="drop", location="drop", link="drop", fields={"payload": "mask"}):
        assert record_type.mapping.paths == kept[record_type.name].paths
        assert record_type.mapping.raw_paths == kept[record_type.name].raw_paths


def test_treatment_in_a_schema_file_is_ignored() -> None:
    field = {"name": "a", "type": ["null", "string"], "source": "message.a", "pii": "none", "treatment": "drop"}
    schema: Json = {"type": "record", "name": "A", "fields": [field]}
    content, _ = compile_schema(Policy().treated("a", schema)).write(
        *({"a": "b"} if root == "message" else EMPTY for root in ROOTS), b"", []
    )
    plain = {"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "string"]}]}
    assert fastavro.schemaless_reader(io.BytesIO(content), fastavro.parse_schema(plain), None) == {"a": "b"}


# Impossible settings


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"phone": "hash"}, ['privacy.hash_key: is not set, and privacy.phone = "hash" needs it']),
        ({"phone": "mask"}, ['privacy.phone = "mask": removes the key of every record']),
        (
            {"phone": "drop"},
            ['privacy.phone = "drop": removes the key', 'privacy.phone = "drop": message_id is required and cannot be dropped'],
        ),
        ({"content": "drop"}, ['privacy.content = "drop": payload is required and cannot be dropped']),
        (
            {"location": "hash", "hash_key": KEY, "hash_key_id": "k1"},
            [
                'privacy.location = "hash": latitude is of type double, which has no hash',
                'privacy.location = "hash": longitude is',
            ],
        ),
        ({"fields": {"order.textt": "drop"}}, ['privacy.fields."order.textt": no schema has such a field']),
        ({"fields": {"formatted_name": "drop"}}, ['privacy.fields."formatted_name": no schema has such a field']),
        ({"fields": {"query": "drop"}}, ['privacy.fields."query": no schema has such a field']),
        ({"fields": {"dead_letter.body": "drop"}}, ['privacy.fields."dead_letter.body": whole callbacks are never changed']),
        ({"fields": {"text.record_key": "keep"}}, []),
        (
            {**HASHED, "fields": {"text.record_key": "keep"}},
            ['privacy.fields."text.record_key": record_key has one rule for all topics'],
        ),
        ({"fields": {"forwarded": "mask"}}, ['privacy.fields."forwarded" = "mask": forwarded is of type boolean']),
        (
            {**HASHED, "fields": {"event_id": "hash", "order_event_id": "mask"}},
            [
                'privacy.fields."event_id" = "hash": event_id is an event\'s id',
                'privacy.fields."order_event_id" = "mask": order_event_id is an event\'s id',
            ],
        ),
        ({"fields": {"cards": "mask"}}, ['privacy.fields."cards" = "mask": cards is of type array']),
    ],
)
def test_impossible_setting_is_reported_with_its_fix(rules: Json, expected: list[str]) -> None:
    if not expected:
        under(**rules)
        return
    lines = problems(**rules)
    assert len(lines) == len(expected)
    for line, begin in zip(lines, expected, strict=True):
        assert line.startswith(begin)
        assert "; " in line


def test_all_impossible_settings_are_reported_at_once() -> None:
    assert len(problems(phone="mask", location="hash", fields={"order.textt": "drop", "dead_letter.query": "mask"})) == 6


def test_masked_phones_allow_hashed_keys() -> None:
    found = records(envelope([message()], [contact()]), **{**HASHED, "phone": "mask"}, fields={"record_key": "hash"})
    assert {one.key for one, _ in found} == {hashed(NUMBER).encode()}
    assert {value["wa_id"] for _, value in found} == {"***42"}
    assert found[0][1]["message_id"] == "***"


# The settings


def settings_of(**variables: str) -> Privacy:
    given = {f"CONNECTOR_PRIVACY__{name}": value for name, value in variables.items()}
    return load_settings(None, {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true", **given}).privacy


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"PHONE": "encrypt"}, "privacy.phone: "),
        ({"HASH_KEY": "short", "HASH_KEY_ID": "k"}, "privacy.hash_key: must have at least 32 characters"),
        ({"HASH_KEY": KEY}, "privacy.hash_key: hash_key and hash_key_id belong together"),
        ({"HASH_KEY_ID": "k"}, "privacy.hash_key: hash_key and hash_key_id belong together"),
        ({"HASH_KEY": KEY, "HASH_KEY_ID": "a:b"}, "privacy.hash_key_id: "),
        ({"SEAL_KEYS": "marked-secret"}, "privacy.seal_keys: key 1 is not <key id>:<base64 of 32 bytes>"),
        ({"SEAL_KEYS": f"a:{'A' * 43}= a:{'B' * 43}="}, "privacy.seal_keys: two keys have the id of key 2"),
        ({"FIELDS": '{"order.text": "hide"}'}, "privacy.fields.order.text: "),
    ],
)
def test_wrong_setting_is_reported_without_its_secret(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        settings_of(**variables)
    (line,) = refused.value.problems
    assert line.startswith(problem)
    assert "marked-secret" not in line
    assert "AAAA" not in line


def test_fields_can_be_written_without_quotes(tmp_path: Any) -> None:
    file = tmp_path / "connector.toml"
    file.write_text('[privacy.fields]\norder.text = "drop"\ncaption = "mask"\n', encoding="utf-8")
    loaded = load_settings(file, {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true"})
    assert loaded.privacy.fields == {"order.text": "drop", "caption": "mask"}
