"""A record type as a table: its name, columns, key, event's id and time. What no engine can hold is refused."""

import re

import pytest

from connector.catalogue import RecordType
from connector.errors import ConfigurationInvalid
from connector.records import Json
from connector.schemas.ddl.tables import table_name, tables_of
from tests.support.callbacks import whole_catalogue
from tests.support.ddl import PREFIX, RECORD_TYPES, table_of, with_event, with_fields, without_event

TIME = {"type": "long", "logicalType": "timestamp-millis"}


def record_type(name: str) -> RecordType:
    return whole_catalogue().record_types[name]


def fields(*pairs: tuple[str, object]) -> list[Json]:
    return [{"name": name, "type": kind, "doc": "Invented."} for name, kind in pairs]


def times_of(*pairs: tuple[str, object]) -> list[str]:
    return [column.name for column in table_of(with_fields(record_type("text"), fields(*pairs))).times]


@pytest.mark.parametrize("of", RECORD_TYPES.values(), ids=RECORD_TYPES)
def test_columns_are_the_fields_in_their_order(of: RecordType) -> None:
    table = table_of(of)
    assert [column.name for column in table.columns] == [field["name"] for field in of.schema["fields"]]
    assert [column.doc for column in table.columns] == [field["doc"] for field in of.schema["fields"]]
    assert [column.nullable for column in table.columns] == [isinstance(field["type"], list) for field in of.schema["fields"]]


@pytest.mark.parametrize("of", RECORD_TYPES.values(), ids=RECORD_TYPES)
def test_every_record_type_has_a_time_that_is_never_null(of: RecordType) -> None:
    assert not table_of(of).times[-1].nullable


def test_names_of_tables_need_no_quotes() -> None:
    names = [table.name for table in tables_of(whole_catalogue(), PREFIX)]
    assert "contact_cards" in names
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    assert table_name("other.prefix-of.orders", PREFIX) == "other_prefix_of_orders"
    assert table_name("kaleyra.whatsapp.2fa", PREFIX) == "t_2fa"


def test_topics_with_the_same_table_name_are_refused() -> None:
    one = record_type("contact_card")
    other = with_fields(one, one.schema["fields"])
    object.__setattr__(other, "topic", "kaleyra.whatsapp.contact_cards")
    with pytest.raises(ConfigurationInvalid, match="would both be the table contact_cards"):
        tables_of([one, other], PREFIX)


def test_event_at_is_the_time_of_the_event() -> None:
    assert [column.name for column in table_of(with_event(record_type("text"))).times] == ["event_at"]


def test_without_event_at_it_is_the_time_of_the_event_or_of_receipt() -> None:
    assert [column.name for column in table_of(without_event(record_type("text"))).times] == ["sent_at", "received_at"]
    assert [column.name for column in table_of(without_event(record_type("contact"))).times] == ["seen_at", "received_at"]
    assert times_of(("expires_at", ["null", TIME]), ("received_at", TIME)) == ["received_at"]
    assert times_of(("event_at", ["null", TIME]), ("received_at", TIME)) == ["event_at", "received_at"]


def test_a_text_named_event_at_is_no_time() -> None:
    assert times_of(("event_at", "string"), ("received_at", TIME)) == ["received_at"]
    assert times_of(("event_at", "string")) == []


def test_event_id_identifies_a_row_else_the_header() -> None:
    assert table_of(with_event(record_type("text"))).identity == "event_id"
    assert table_of(without_event(record_type("text"))).identity == "ce_id"
    taken = with_fields(record_type("text"), fields(("ce_id", "string"), ("ce_id_", "string")))
    assert table_of(taken).identity == "ce_id__"


def test_key_identifies_a_row_of_a_compacted_topic() -> None:
    for change in (with_event, without_event):
        table = table_of(change(record_type("contact")))
        assert (table.identity, table.holds_latest, table.needs_header_id) == ("record_key", True, False)


def test_decimals_have_the_precision_and_scale_of_the_schema() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}
    whole = {"type": "bytes", "logicalType": "decimal", "precision": 9}
    table = table_of(with_fields(record_type("text"), fields(("a", decimal), ("b", ["null", whole]))))
    assert [(column.precision, column.scale) for column in table.columns] == [(12, 3), (9, 0)]


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "map", "values": "string"},
        {"type": "array", "items": "string"},
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "int", "logicalType": "date"},
        ["null", "string", "long"],
    ],
    ids=str,
)
def test_type_without_a_column_is_refused_by_its_path(kind: object) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        table_of(with_fields(record_type("text"), fields(("odd", kind), ("fine", "string"))))
    (problem,) = refused.value.problems
    assert problem.startswith("text.odd: ")


def test_unknown_type_in_a_list_is_refused_by_its_path() -> None:
    inner = {"type": "array", "items": {"type": "record", "name": "Inner", "fields": fields(("odd", ["null", "fixed"]))}}
    with pytest.raises(ConfigurationInvalid) as refused:
        table_of(with_fields(record_type("text"), fields(("parts", inner))))
    assert refused.value.problems[0].startswith("text.parts[].odd: ")
