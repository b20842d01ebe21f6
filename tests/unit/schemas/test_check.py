"""`connector schemas check`: each rule broken once, and reported with schema, field, rule and advice; and accepted changes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.catalogue import data_folder, read_catalogue
from connector.errors import ConfigurationInvalid
from connector.mapping.compiler import published
from connector.record_tables import OPTIONAL_TOPICS
from connector.records import Json
from connector.schemas.check import Checked, check
from connector.schemas.differences import differences
from connector.schemas.versions import fingerprint, read_released, release_of, write_release
from connector.schemas.violation import Rule, Violation

Edit = Callable[[Json], object]
NULLABLE: dict[str, Any] = {
    "type": ["null", "string"],
    "default": None,
    "source": "message.order.later",
    "pii": "none",
    "doc": "Later.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of avro/ and config/ that a test can change, without releases."""
    for name in ("avro", "config"):
        shutil.copytree(data_folder() / name, tmp_path / name, ignore=shutil.ignore_patterns("released"))
    return tmp_path


@pytest.fixture
def released(folder: Path) -> Path:
    """Return such a copy whose schemas are released as 1.0.0."""
    release(folder, "1.0.0")
    return folder


def release(folder: Path, version: str) -> list[str]:
    return write_release(folder, version, {one.name: one.published_text for one in read_catalogue(folder)})


def checked(folder: Path) -> Checked:
    return check(folder, "kaleyra.whatsapp.")


def broken(folder: Path) -> list[tuple[str, str, Rule]]:
    return [(one.schema, one.path, one.rule) for one in checked(folder).violations]


def change(folder: Path, name: str, edit: Edit) -> None:
    file = folder / "avro" / f"{name}.avsc"
    schema = json.loads(file.read_text(encoding="utf-8"))
    edit(schema)
    file.write_text(json.dumps(schema), encoding="utf-8")


def field(schema: Json, name: str) -> Json:
    (found,) = [one for one in schema["fields"] if one["name"] == name]
    return dict(found) if not isinstance(found, dict) else found


def of_item(edit: Edit) -> Edit:
    return lambda schema: edit(field(schema, "product_items")["type"]["items"])


def add(**attributes: Any) -> Edit:
    return lambda schema: schema["fields"].append({"name": "later", **NULLABLE, **attributes})


def remove(name: str) -> Edit:
    return lambda schema: schema["fields"].remove(field(schema, name))


def reorder(schema: Json) -> None:
    schema["fields"].append(schema["fields"].pop(-3))


def test_our_schemas_keep_all_rules() -> None:
    of_all = list(read_catalogue(optional=OPTIONAL_TOPICS))
    released = read_released(data_folder())

    assert checked(data_folder()) == Checked(len(of_all), sum(map(len, released.values())), [])
    assert {record_type.name for record_type in of_all} == set(released), "every record type is released"
    assert {versions[0].label for versions in released.values()} == {"1.0.0"}


def test_contract_of_the_first_release_is_enforced(folder: Path) -> None:
    shutil.copytree(data_folder() / "avro" / "released", folder / "avro" / "released")
    for name in ("text", "status", "order_line", "dead_letter"):
        change(folder, name, remove("event_id"))

    found = {(one.schema, one.path, one.rule, one.against) for one in checked(folder).violations}
    for name in ("text", "status", "order_line", "dead_letter"):
        assert (f"avro/{name}.avsc", "event_id", "field stays", "1.0.0") in found


# House rules

ENUM = {"type": "enum", "name": "Kind", "symbols": ["A"]}


@pytest.mark.parametrize(
    ("edit", "path", "rule"),
    [
        (lambda schema: schema.pop("doc"), "", "doc"),
        (lambda schema: field(schema, "text").pop("doc"), "text", "doc"),
        (lambda schema: field(schema, "text").update(doc=" "), "text", "doc"),
        (of_item(lambda record: record.pop("doc")), "product_items[]", "doc"),
        (of_item(lambda record: field(record, "currency").pop("doc")), "product_items[].currency", "doc"),
        (lambda schema: schema.update(namespace="kaleyra"), "", "namespace"),
        (lambda schema: schema.pop("namespace"), "", "namespace"),
        (of_item(lambda record: record.update(namespace="elsewhere")), "product_items[]", "namespace"),
        (lambda schema: schema.update(name="Orders"), "", "record name"),
        (of_item(lambda record: record.update(name="order_item")), "product_items[]", "record name"),
        (lambda schema: field(schema, "text").update(name="orderText"), "orderText", "field name"),
        (of_item(lambda record: field(record, "currency").update(name="Currency")), "product_items[].Currency", "field name"),
        (add(type=["string", "null"], default=""), "later", "optional"),
        (add(type=["null", "string", "long"]), "later", "optional"),
        (lambda schema: field(schema, "text").pop("default"), "text", "optional"),
        (lambda schema: field(schema, "product_items").pop("default"), "product_items", "optional"),
        (add(type="string", default=""), "later", "optional"),
        (lambda schema: field(schema, "text").update(pii="secret"), "text", "pii"),
        (lambda schema: field(schema, "text").pop("pii"), "text", "pii"),
        (lambda schema: field(schema, "catalog_id").pop("pii"), "catalog_id", "pii"),
        (of_item(lambda record: field(record, "currency").pop("pii")), "product_items[].currency", "pii"),
        (add(type=["null", ENUM]), "later", "no enum"),
        (add(type=ENUM, default="A"), "later", "no enum"),
    ],
)
def test_broken_house_rule_is_reported_with_its_field(folder: Path, edit: Edit, path: str, rule: Rule) -> None:
    change(folder, "order", edit)

    found = [one for one in checked(folder).violations if one.rule != "catalogue"]

    assert [(one.schema, one.path, one.rule) for one in found] == [("avro/order.avsc", path, rule)]
    assert found[0].advice


def test_only_what_every_event_has_can_be_required(folder: Path) -> None:
    def require(schema: Json) -> None:
        text = field(schema, "text")
        text["type"] = "string"
        del text["default"]

    change(folder, "order", require)
    change(
        folder, "dead_letter", lambda schema: schema["fields"].append({"name": "later", **NULLABLE} | {"source": "fault.later"})
    )
    (violation,) = checked(folder).violations

    assert (violation.path, violation.rule) == ("text", "required")
    assert "message_id, message_type, record_key, key_source, event_id, event_at, received_at" in violation.fault


@pytest.mark.parametrize(
    ("edit", "path", "fault"),
    [
        (lambda schema: field(schema, "wa_id").update(doc="Another."), "wa_id", "its doc differ"),
        (lambda schema: field(schema, "forwarded").update(type=["null", "string"]), "forwarded", "its type differ"),
        (lambda schema: field(schema, "ref").update(source="extra.ref1"), "ref", "its source differ"),
        (remove("username"), "username", "phone_number_id is in the place of username"),
        (lambda schema: schema["fields"].insert(0, schema["fields"].pop(1)), "message_id", "message_type is in the place of"),
        (lambda schema: schema["fields"].__delitem__(slice(32, None)), "referral_headline", "nothing is in the place of"),
    ],
)
def test_different_common_block_is_reported_in_its_schema(folder: Path, edit: Edit, path: str, fault: str) -> None:
    change(folder, "document", edit)
    (violation,) = checked(folder).violations

    assert (violation.schema, violation.path, violation.rule) == ("avro/document.avsc", path, "common block")
    assert fault in violation.fault


def test_status_need_not_have_the_common_block(folder: Path) -> None:
    change(folder, "status", lambda schema: field(schema, "wa_id").update(doc="Another."))

    assert not checked(folder).violations


# Broken files


@pytest.mark.parametrize(
    ("text", "rule", "fault"),
    [
        ('{\n  "type": "record",\n  "name": }', "json", "line 3, column 11"),
        ("", "json", "line 1, column 1"),
        ('{"type": "record", "name": "Order"}', "avro", "requires a non-empty fields"),
        ('{"type": "record", "name": "Order", "fields": [{"name": "a", "type": "Money"}]}', "avro", "'Money' does not resolve"),
        ('{"type": "record", "name": "Order", "fields": [{"name": "a", "type": ["null", "x.Y"]}]}', "avro", "'x.Y' does not"),
        ('{"type": "record", "name": "an order", "fields": []}', "avro", "an order"),
        ('"string"', "avro", "is not a record"),
        ("[]", "avro", "is not a record"),
    ],
)
def test_broken_file_is_reported_once(folder: Path, text: str, rule: Rule, fault: str) -> None:
    (folder / "avro" / "order.avsc").write_text(text, encoding="utf-8")
    (violation,) = checked(folder).violations

    assert (violation.schema, violation.rule) == ("avro/order.avsc", rule)
    assert fault in violation.fault


def test_file_that_is_not_utf_8_is_reported_once(folder: Path) -> None:
    (folder / "avro" / "order.avsc").write_bytes(b'{"type": "\xff"}')

    assert broken(folder) == [("avro/order.avsc", "", "json")]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("massage.id", "source 'massage.id' must start with one of message, "),
        ("message..id", "source 'message..id' is not a path"),
        ("message.items[0]", "source 'message.items[0]' is not a path"),
        (".message", "source '.message' is not a path"),
        ("", "source '' is not a path"),
        (["message.id", "id"], "source 'id' must start with one of"),
        ("item.id", "source 'item.id' must start with one of"),
        (5, "source 5 is not a path"),
        ({"path": "message.id"}, "is not a path"),
    ],
)
def test_wrong_source_is_reported_with_its_field(folder: Path, source: Any, fault: str) -> None:
    change(folder, "order", lambda schema: field(schema, "text").update(source=source))
    (violation,) = checked(folder).violations

    assert (violation.schema, violation.path, violation.rule) == ("avro/order.avsc", "text", "catalogue")
    assert fault in violation.fault


def test_two_record_types_on_one_topic_are_reported(folder: Path) -> None:
    file = folder / "config" / "messages.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('topic = "orders"', 'topic = "documents"'), encoding="utf-8")
    (violation,) = checked(folder).violations

    assert violation.schema == "config/messages.toml"
    assert violation.fault == "[document] and [order] both claim topic kaleyra.whatsapp.documents; only one can"


def test_table_or_schema_without_the_other_is_reported(folder: Path) -> None:
    shutil.copy(folder / "avro" / "order.avsc", folder / "avro" / "stray.avsc")
    change(folder, "stray", lambda schema: schema.update(name="Stray"))
    (folder / "avro" / "status.avsc").unlink()

    assert [str(one) for one in checked(folder).violations] == [
        "avro/status.avsc: catalogue: is missing; every table of config/messages.toml needs its schema",
        "avro/stray.avsc: catalogue: config/messages.toml has no table [stray]; add one or delete the schema",
    ]


def test_unreadable_tables_are_reported(folder: Path) -> None:
    (folder / "config" / "messages.toml").write_text("[order", encoding="utf-8")
    (violation,) = checked(folder).violations

    assert (violation.schema, violation.rule) == ("config/messages.toml", "catalogue")
    assert violation.fault.startswith("cannot be read: ")


# Against releases


@pytest.mark.parametrize(
    "edit",
    [
        add(),
        of_item(add(source="item.later")),
        add(type={"type": "array", "items": {"type": "record", "name": "Later", "doc": "L.", "fields": []}}, default=[]),
        lambda schema: schema.update(doc="Another."),
        lambda schema: field(schema, "text").update(doc="Another."),
        lambda schema: field(schema, "text").update(source="message.order.words"),
        reorder,
    ],
)
def test_compatible_change_passes(released: Path, edit: Edit) -> None:
    change(released, "order", edit)

    assert broken(released) == []


PRICE = "product_items[].item_price"


def price(**attributes: Any) -> Edit:
    return of_item(lambda record: field(record, "item_price")["type"][1].update(attributes))


@pytest.mark.parametrize(
    ("edit", "path", "rule", "fault"),
    [
        (remove("text"), "text", "field stays", "was removed or renamed; it was null or string"),
        (lambda schema: field(schema, "text").update(name="words"), "text", "field stays", "was removed or renamed"),
        (of_item(remove("currency")), "product_items[].currency", "field stays", "was removed"),
        (lambda schema: field(schema, "text").update(type=["null", "bytes"]), "text", "type stays", "is bytes, was string"),
        (lambda schema: field(schema, "text").update(type=["null", "long"]), "text", "type stays", "is long, was string"),
        (price(scale=8), PRICE, "decimal stays", "scale is 8, was 6"),
        (price(precision=20), PRICE, "decimal stays", "precision is 20, was 18"),
        (
            lambda schema: field(schema, "sent_at").update(type=["null", "long"]),
            *("sent_at", "logical type stays", "logical type is not set, was timestamp-millis"),
        ),
        (
            lambda schema: field(schema, "sent_at")["type"][1].update(logicalType="timestamp-micros"),
            *("sent_at", "logical type stays", "is timestamp-micros, was timestamp-millis"),
        ),
        (lambda schema: schema.update(namespace="kaleyra"), "", "name stays", "is kaleyra, was kaleyra.whatsapp"),
        (lambda schema: schema.update(name="Orders"), "", "name stays", "is Orders, was Order"),
        (of_item(lambda record: record.update(name="Line")), "product_items[]", "name stays", "is Line, was OrderItem"),
    ],
)
def test_breaking_change_is_refused_even_if_registries_accept_it(
    released: Path, edit: Edit, path: str, rule: Rule, fault: str
) -> None:
    change(released, "order", edit)
    found = [one for one in checked(released).violations if one.against]

    assert [(one.schema, one.path, one.rule, one.against) for one in found] == [("avro/order.avsc", path, rule, "1.0.0")]
    assert fault in found[0].fault
    assert found[0].advice


def test_new_required_field_is_not_full_transitive(released: Path) -> None:
    change(
        released,
        "contact",
        lambda schema: schema["fields"].append(
            {"name": "message_id", "type": "string", "source": "message.id", "pii": "phone", "doc": "Id."}
        ),
    )
    (violation,) = checked(released).violations

    assert (violation.path, violation.rule) == ("message_id", "full transitive")
    assert "reader field missing default value" in violation.fault


def test_all_releases_are_checked_and_violations_merged(released: Path) -> None:
    change(released, "order", add())
    assert release(released, "1.1.0") == ["order"]
    assert checked(released).released == len(list(read_catalogue())) + 1

    change(released, "order", remove("text"))
    change(released, "order", remove("later"))
    found = {one.path: one.against for one in checked(released).violations}

    assert found == {"text": "1.0.0, 1.1.0", "later": "1.1.0"}


def test_released_record_type_cannot_be_removed(released: Path) -> None:
    (released / "avro" / "order.avsc").unlink()

    assert ("avro/order.avsc", "", "record type stays") in broken(released)


# Releases


def test_release_writes_changed_schemas_in_version_order(released: Path) -> None:
    assert release(released, "1.9.0") == []
    change(released, "order", add())
    assert release(released, "1.10.0") == ["order"]
    versions = read_released(released)

    assert [version.label for version in versions["order"]] == ["1.0.0", "1.10.0"]
    assert [version.label for version in versions["document"]] == ["1.0.0"]
    own = read_catalogue(released).record_types["order"]
    assert versions["order"][-1].schema == published(own.schema)
    assert release_of(published(own.schema), versions["order"]) == "1.10.0"


@pytest.mark.parametrize("version", ["0.9.0", "1.0.0"])
def test_release_must_be_higher_than_the_last_one(released: Path, version: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"is not higher than 1\.0\.0"):
        release(released, version)


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0rc1", "01.0.0", "../1.0.0", ""])
def test_release_needs_three_numbers(folder: Path, version: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="is not a version"):
        release(folder, version)


def test_invalid_released_file_is_reported(released: Path) -> None:
    (released / "avro" / "released" / "order" / "1.0.0.avsc").write_text("{", encoding="utf-8")
    (released / "avro" / "released" / "order" / "latest.avsc").write_text("{}", encoding="utf-8")

    assert broken(released) == [
        ("avro/released/order/1.0.0.avsc", "", "json"),
        ("avro/released/order/latest.avsc", "", "json"),
    ]


def test_fingerprint_depends_on_scale_but_not_on_doc() -> None:
    def schema(**more: Any) -> Json:
        money = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}
        return {"type": "record", "name": "A", "fields": [{"name": "a", "type": money | more}]}

    assert fingerprint(schema()) == fingerprint(schema() | {"doc": "Another."})
    assert fingerprint(schema()) != fingerprint(schema(scale=4))


# Differences


def test_differences_have_old_and_new_value_of_each_field() -> None:
    def schema(*fields: Json, **more: Any) -> Json:
        return {"type": "record", "name": "A", "namespace": "x", "fields": list(fields), **more}

    def line(*fields: Json) -> Json:
        return {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "L", "fields": list(fields)}}}

    a, b, c = ({"name": name, "type": "string"} for name in "abc")
    money = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    old = schema(a, b, line(a, b), {"name": "gone", "type": line(a)["type"]})
    new = schema(b, {**a, "type": ["null", money], "default": None, "doc": "D."}, line({**a, "aliases": ["z"]}, c), name="B")

    assert [tuple(one) for one in differences(old, new)] == [
        ("", "name", "A", "B"),
        ("", "order", "a", "b"),
        ("a", "type", "string", "bytes"),
        ("a", "nullability", "not nullable", "nullable (null first)"),
        ("a", "logical type", None, "decimal"),
        ("a", "default", None, "null"),
        ("lines[].a", "aliases", None, '["z"]'),
        ("lines[].c", "added", None, "string"),
        ("gone", "removed", "array of record", None),
        ("lines[].b", "removed", "string", None),
    ]
    assert list(differences(old, {**old, "doc": "Another."})) == []


def test_violation_is_one_line_with_all_its_parts() -> None:
    violation = Violation("avro/a.avsc", "b", "doc", "has no doc", "say what it is", "1.0.0")

    assert str(violation) == "avro/a.avsc, b: doc: has no doc (against 1.0.0); say what it is"
