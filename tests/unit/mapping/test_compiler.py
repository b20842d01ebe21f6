"""Compiled schemas: paths, several sources, arrays, requirements; fields that cannot be mapped are reported."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from connector.errors import ConfigurationInvalid, Misfit, Missing
from connector.mapping import compiler
from connector.mapping.avro_writer import text
from connector.mapping.compiler import ATTRIBUTES, ROOTS, compile_schema, published
from connector.records import EMPTY, Json

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
ID = text(b"0123456789abcdef0123456789abcdef")
RECEIVED_AT = 1_763_720_100_000


def schema_of(*fields: Json, **more: Any) -> Json:
    return {"type": "record", "name": "Example", "namespace": "example", "doc": "-", "fields": list(fields), **more}


def text_field(name: str, source: Any, **more: Any) -> Json:
    return {"name": name, "type": ["null", "string"], "default": None, "source": source, **more}


def fill(schema: Json, unfit: list[str] | None = None, **roots: Any) -> Json:
    """Return the record as a consumer reads it."""
    view = (roots.get(root, EMPTY) for root in ROOTS)
    content, _ = compile_schema(schema).write(*view, ID, [] if unfit is None else unfit)
    stream = io.BytesIO(content)
    record = fastavro.schemaless_reader(stream, fastavro.parse_schema(published(schema)), None)
    assert not stream.read(), "bytes behind the record"
    assert isinstance(record, dict)
    return record


def event_time(schema: Json, message: Json) -> int | None:
    """Return the event time of the record."""
    view = ({"message": message, "callback": {"received_at": RECEIVED_AT}}.get(root, EMPTY) for root in ROOTS)
    _, event_ms = compile_schema(schema).write(*view, ID, [])
    return event_ms


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"document": {"filename": "a.pdf"}}, "a.pdf"),
        ({"document": {"filename": 7}}, "7"),
        ({"document": {"filename": ""}}, None),
        ({"document": {"filename": None}}, None),
        ({"document": {}}, None),
        ({"document": []}, None),
        ({"document": ""}, None),
        ({"document": None}, None),
        ({}, None),
    ],
)
def test_absent_null_and_empty_all_mean_no_value(message: Json, expected: str | None) -> None:
    schema = schema_of(text_field("filename", "message.document.filename"))

    assert fill(schema, message=message) == {"filename": expected}


@pytest.mark.parametrize("length", [0, 1, 63, 64, 1023, 1024, 1025, 8191, 8192, 100_000])
@pytest.mark.parametrize("letter", ["a", "è", "🌻"])
def test_texts_of_any_length_are_written(length: int, letter: str) -> None:
    schema = schema_of(
        {"name": "needed", "type": "string", "source": "message.needed"},
        text_field("one", "message.text"),
        text_field("first", ["message.text", "message.other"]),
    )
    text = letter * length

    assert fill(schema, message={"needed": text + letter, "text": text}) == {
        "needed": text + letter,
        "one": text or None,
        "first": text or None,
    }


def test_fields_of_an_absent_object_are_null_or_missing() -> None:
    line = {"type": "record", "name": "Line", "fields": [text_field("sku", "item.sku")]}
    lines = {"type": "array", "items": line}
    schema = schema_of(
        text_field("before", "message.a.before"),
        text_field("either", ["message.a.x", "message.a.y"]),
        {"name": "lines", "type": lines, "source": "message.a.z"},
        {"name": "needed", "type": "string", "source": "message.a.needed"},
        text_field("behind", "message.a.behind"),
    )

    with pytest.raises(Missing, match=r"^message\.a\.needed: "):
        fill(schema, message={})
    filled = fill(schema, message={"a": {"needed": "1", "y": "2", "behind": "3"}})
    assert filled == {"before": None, "either": "2", "lines": [], "needed": "1", "behind": "3"}
    del schema["fields"][3]
    assert fill(schema, message={}) == {"before": None, "either": None, "lines": [], "behind": None}


def test_first_source_with_a_value_is_used() -> None:
    schema = schema_of(text_field("wa_id", ["contact.wa_id", "message.from"]))

    assert fill(schema, contact={"wa_id": "1"}, message={"from": "2"}) == {"wa_id": "1"}
    assert fill(schema, contact={"wa_id": ""}, message={"from": "2"}) == {"wa_id": "2"}
    assert fill(schema, message={"from": "2"}) == {"wa_id": "2"}
    assert fill(schema) == {"wa_id": None}


def test_fields_that_share_a_path_can_be_in_any_order() -> None:
    schema = schema_of(
        text_field("first", ["message.a.b.c", "message.a.d.e"]),
        text_field("second", "message.a.d.e"),
        text_field("third", "message.a.b.x"),
    )

    filled = fill(schema, message={"a": {"b": {"c": "1", "x": "2"}, "d": {"e": "3"}}})

    assert filled == {"first": "1", "second": "3", "third": "2"}


@pytest.mark.parametrize("value", ["text", 5, True, ["a"]])
def test_value_on_the_path_that_is_not_an_object_is_refused(value: Any) -> None:
    schema = schema_of(text_field("filename", "message.document.filename"))

    with pytest.raises(Misfit, match=r"^message\.document: is .*, expected an object$"):
        fill(schema, message={"document": value})


@pytest.mark.parametrize("message", [{}, {"document": None}, {"document": ""}, {"document": []}])
def test_required_object_that_is_absent_is_missing(message: Json) -> None:
    schema = schema_of(text_field("filename", "message.document.filename"), requires=["message.document"])

    with pytest.raises(Missing, match=r"^message\.document: "):
        fill(schema, message=message)


def test_one_of_several_required_objects_is_enough() -> None:
    schema = schema_of(
        text_field("id", ["message.image.id", "message.video.id"]), requires=[["message.image", "message.video"]]
    )

    assert fill(schema, message={"video": {"id": "1"}}) == {"id": "1"}
    assert fill(schema, message={"image": {}}) == {"id": None}
    with pytest.raises(Missing, match=r"^message\.image or message\.video: "):
        fill(schema, message={"sticker": {}})


@pytest.mark.parametrize("message", [{}, {"id": None}, {"id": ""}])
def test_required_field_without_a_value_is_missing(message: Json) -> None:
    schema = schema_of({"name": "message_id", "type": "string", "source": ["message.id", "status.id"]})

    with pytest.raises(Missing, match=r"^message\.id or status\.id: "):
        fill(schema, message=message)


def test_array_holds_records_of_its_elements() -> None:
    element = {"type": "record", "name": "Line", "fields": [text_field("sku", "item.sku"), text_field("deep", "item.a.b")]}
    schema = schema_of({"name": "lines", "type": {"type": "array", "items": element}, "source": "message.order.lines"})

    assert fill(schema, message={"order": {"lines": [{"sku": 1}, {"a": {"b": "x"}}]}}) == {
        "lines": [{"sku": "1", "deep": None}, {"sku": None, "deep": "x"}]
    }
    assert fill(schema, message={"order": {"lines": {"sku": "1"}}}) == {"lines": [{"sku": "1", "deep": None}]}
    nothings: list[Json] = [{}, {"lines": None}, {"lines": ""}, {"lines": []}]
    for nothing in nothings:
        assert fill(schema, message={"order": nothing}) == {"lines": []}


def test_fault_in_an_element_has_the_full_path() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": ["null", "long"], "source": "item.n"}]}
    outer = {
        "type": "record",
        "name": "Outer",
        "fields": [{"name": "inner", "type": {"type": "array", "items": inner}, "source": "item.inner"}],
    }
    schema = schema_of({"name": "outer", "type": {"type": "array", "items": outer}, "source": "message.outer"})

    with pytest.raises(Misfit) as refused:
        fill(schema, message={"outer": [{}, {"inner": [{"n": 1}, {"n": "x"}]}]})

    assert refused.value.path == "message.outer[1].inner[1].n"
    assert compile_schema(schema).paths == {"message.outer", "message.outer[].inner", "message.outer[].inner[].n"}


def test_raw_field_is_the_json_text_of_its_value() -> None:
    schema = schema_of(text_field("payload", "message.any", raw=True))

    assert fill(schema, message={"any": {"a": [1, None]}}) == {"payload": '{"a":[1,null]}'}
    assert fill(schema, message={"any": "text"}) == {"payload": '"text"'}
    assert fill(schema, message={"any": ""}) == {"payload": None}
    assert fill(schema) == {"payload": None}
    assert compile_schema(schema).raw_paths == {"message.any"}


def test_unfit_time_is_null_if_the_schema_allows_it() -> None:
    schema = schema_of({"name": "sent_at", "type": ["null", MILLIS], "source": "message.timestamp", "unfit": "null"})
    unfit: list[str] = []

    assert fill(schema, unfit, message={"timestamp": "172XXXXXXX"}) == {"sent_at": None}
    assert unfit == ["message.timestamp"]


EVENT_AT = {"name": "event_at", "type": MILLIS, "source": ["message.timestamp", "callback.received_at"], "unfit": "next"}
"""The time of a record, as in our schemas."""


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (1_763_720_000, 1_763_720_000_000),
        (946_684_800, 946_684_800_000),
        (RECEIVED_AT + 300_000, RECEIVED_AT + 300_000),
        (RECEIVED_AT + 300_001, RECEIVED_AT),
        ("172XXXXXXX", RECEIVED_AT),
        (0, RECEIVED_AT),
        (None, RECEIVED_AT),
        (False, RECEIVED_AT),
    ],
)
def test_time_of_a_record_is_the_events_own_if_usable_else_that_of_receipt(timestamp: Any, expected: int) -> None:
    same_source = {"name": "sent_at", "type": ["null", MILLIS], "source": "message.timestamp", "unfit": "null"}
    received = {"name": "received_at", "type": MILLIS, "source": "callback.received_at"}
    schema = schema_of(EVENT_AT, same_source, received)
    unfit: list[str] = []

    filled = fill(schema, unfit, message={"timestamp": timestamp}, callback={"received_at": RECEIVED_AT})

    assert filled["event_at"] == datetime.fromtimestamp(expected / 1000, UTC)
    assert filled["received_at"] == datetime.fromtimestamp(RECEIVED_AT / 1000, UTC)
    assert unfit == (["message.timestamp"] if timestamp in ("172XXXXXXX", 0) and timestamp is not False else [])


def test_written_time_is_the_events_own() -> None:
    schema = schema_of(
        {**EVENT_AT, "source": ["message.a.time", "callback.received_at"]}, text_field("other", "message.a.other")
    )

    assert event_time(schema, {}) is None
    assert event_time(schema, {"a": {"time": "1763720000"}}) == 1_763_720_000_000


def test_record_has_its_own_id() -> None:
    schema = schema_of({"name": "event_id", "type": "string", "source": "event_id"})

    assert fill(schema) == {"event_id": "0123456789abcdef0123456789abcdef"}


SIDE = {"unfit": "null"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("boolean", "True"), ("string", {"a": 1}), ("long", "x"), ("double", "nord"), ("int", 2**31), (MILLIS, "0")],
)
def test_unfit_value_of_any_kind_is_null_if_the_schema_allows_it(kind: Any, value: Any) -> None:
    field = {"name": "side", "type": ["null", kind], "source": ["message.a.side", "message.side"], **SIDE}
    unfit: list[str] = []

    assert fill(schema_of(field), unfit, message={"a": {"side": value}}) == {"side": None}
    assert unfit == ["message.a.side"]
    assert fill(schema_of(field), message={}) == {"side": None}
    with pytest.raises(Misfit, match=r"^message\.a\.side: "):
        fill(schema_of({**field, "unfit": None}), message={"a": {"side": value}})


def test_object_of_side_fields_alone_may_be_no_object() -> None:
    side, side_too = text_field("side", "message.a.b.c", **SIDE), text_field("side_too", "message.a.b.d", **SIDE)
    unfit: list[str] = []

    assert fill(schema_of(side, side_too), unfit, message={"a": {"b": "x"}}) == {"side": None, "side_too": None}
    assert unfit == ["message.a.b"]
    with pytest.raises(Misfit, match=r"^message\.a: is text"):
        fill(schema_of(side, text_field("needed", "message.a.needed")), message={"a": "x"})


def test_unfit_value_in_a_list_is_named_by_its_place() -> None:
    line = {"type": "record", "name": "Line", "fields": [text_field("text", "item.a.text", **SIDE)]}
    field = {"name": "lines", "type": {"type": "array", "items": line}, "default": [], "source": "message.lines", **SIDE}
    unfit: list[str] = []

    lines = [{"a": {"text": "1"}}, {"a": {"text": []}}, {"a": 5}]
    filled = fill(schema_of(field), unfit, message={"lines": lines})

    assert filled == {"lines": [{"text": "1"}, {"text": None}, {"text": None}]}
    assert unfit == ["message.lines[1].a.text", "message.lines[2].a"]
    unfit.clear()
    assert fill(schema_of(field), unfit, message={"lines": "x"}) == {"lines": []}
    assert unfit == ["message.lines"]


def test_element_takes_a_value_from_beside_its_list() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [text_field("kind", ["item.kind", "message.kind"])]}
    inners = {"name": "inners", "type": {"type": "array", "items": inner}, "default": [], "source": "item.inners"}
    line = {"type": "record", "name": "Line", "fields": [text_field("kind", ["item.kind", "message.kind"]), inners]}
    schema = schema_of({"name": "lines", "type": {"type": "array", "items": line}, "source": "message.lines"})

    filled = fill(schema, message={"kind": "k", "lines": [{"kind": "own"}, {"inners": [{}]}]})

    assert filled == {"lines": [{"kind": "own", "inners": []}, {"kind": "k", "inners": [{"kind": "k"}]}]}
    assert "message.kind" in compile_schema(schema).paths


def test_values_are_looked_up_in_a_table() -> None:
    rank = {"name": "rank", "type": ["null", "int"], "source": "message.status", "values": {"sent": 1, "NOT-SENT": 2}}
    failed = {"name": "failed", "type": ["null", "boolean"], "source": "message.status", "values": {"sent": False, "": True}}
    kind = text_field("kind", "message.kind", values={"": "message", "a": "b"})
    schema = schema_of(text_field("status", "message.status"), rank, failed, kind)

    def filled(message: Json) -> tuple[Any, ...]:
        return tuple(fill(schema, message=message).values())

    assert filled({"status": "sent", "kind": "a"}) == ("sent", 1, False, "b")
    assert filled({"status": "SENT", "kind": "c"}) == ("SENT", 1, False, "c"), "any spelling; unknown text stays"
    assert filled({"status": "not-sent"}) == ("not-sent", 2, None, "message")
    assert filled({"status": "new"}) == ("new", None, None, "message")
    assert filled({}) == (None, None, True, "message")


def test_raw_text_stays_text_if_the_schema_says_so() -> None:
    schema = schema_of(text_field("answer", "message.answer", raw="unless text"))

    assert fill(schema, message={"answer": '{"a": 1}'}) == {"answer": '{"a": 1}'}
    assert fill(schema, message={"answer": {"a": [1]}}) == {"answer": '{"a":[1]}'}


def test_record_of_each_element_has_its_number() -> None:
    number = {"name": "number", "type": ["null", "int"], "source": "each.number"}
    schema = schema_of(number, text_field("sku", "item.sku"), text_field("id", "message.id"))
    compiled = compile_schema(schema, each="message.lines")
    view = ({"id": "1"} if root == "message" else EMPTY for root in ROOTS)

    content, _ = compiled.write({"sku": "a"}, {"number": 2}, *view, ID, [])

    record = fastavro.schemaless_reader(io.BytesIO(content), fastavro.parse_schema(published(schema)), None)
    assert record == {"number": 2, "sku": "a", "id": "1"}
    assert compiled.paths == {"message.lines[].sku", "each.number", "message.id"}
    with pytest.raises(ConfigurationInvalid, match=r"source 'item\.sku' must start with"):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ({"type": "string", "unfit": "null"}, 'unfit = "null" needs a type that can be null'),
        ({"type": ["null", MILLIS], "unfit": "next"}, 'unfit = "next" needs the type timestamp-millis, without null'),
        ({"type": ["null", "string"], "unfit": "drop"}, 'unfit must be "null" or "next"'),
        ({"type": ["null", "string"], "raw": "maybe"}, 'raw must be true or "unless text"'),
        ({"type": ["null", "string"], "source": "event_id"}, "needs the type string, without null"),
        ({"type": ["null", "int"], "values": {"a": "b"}}, "values must be an object with values of the field's type"),
        ({"type": ["null", "int"], "values": {"a": True}}, "values must be an object with values of the field's type"),
        ({"type": ["null", "double"], "values": {"a": 1.5}}, "values needs the type string, boolean, int or long"),
    ],
)
def test_attributes_that_contradict_each_other_are_reported(field: Json, fault: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=re.escape(fault)):
        compile_schema(schema_of({"name": "field", "source": "message.field", **field}))


def test_unfit_time_is_refused_by_default() -> None:
    schema = schema_of({"name": "ends_at", "type": ["null", MILLIS], "source": "message.timestamp"})

    with pytest.raises(Misfit, match=r"^message\.timestamp: is not a time"):
        fill(schema, message={"timestamp": "172XXXXXXX"})


def test_all_fields_that_cannot_be_mapped_are_reported() -> None:
    schema = schema_of(
        text_field("root", "massage.id"),
        text_field("odd", "message.a-b"),
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A"]}, "source": "message.kind"},
        {"name": "either", "type": ["null", "string", "long"], "source": "message.either"},
        {"name": "needed", "type": "string"},
        {"name": "pieces", "type": ["null", "long"], "source": "message.pieces", "raw": True},
        text_field("fine", "message.fine"),
    )

    with pytest.raises(ConfigurationInvalid) as refused:
        compile_schema(schema)

    named = [problem.split(",")[1].split(":")[0].strip() for problem in refused.value.problems]
    assert sorted(named) == ["field either", "field kind", "field needed", "field odd", "field pieces", "field root"]


@pytest.mark.parametrize("path", ["massage.document", "document", "message.a-b", "", ["message.a", "b"]])
def test_invalid_path_in_requires_is_reported(path: Any) -> None:
    with pytest.raises(ConfigurationInvalid, match="requires"):
        compile_schema(schema_of(text_field("fine", "message.fine"), requires=[path]))


def test_published_schema_has_none_of_our_attributes() -> None:
    element = {"type": "record", "name": "Line", "fields": [text_field("sku", "item.sku", pii="content", doc="Sku.")]}
    schema = schema_of(
        {"name": "lines", "type": {"type": "array", "items": element}, "default": [], "source": "message.lines", "raw": False},
        requires=["message"],
    )

    plain = published(schema)

    assert plain["fields"][0]["default"] == []
    assert plain["fields"][0]["type"]["items"]["fields"] == [
        {"name": "sku", "type": ["null", "string"], "default": None, "doc": "Sku."}
    ]
    assert not any(f'"{attribute}"' in str(plain).replace("'", '"') for attribute in ATTRIBUTES)
    assert schema["requires"] == ["message"], "the schema itself is not changed"


def test_python_compiles_only_what_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def recorded(code: str, name: str) -> Any:
        compiled.append(name)
        return compile(code, name, "exec")

    monkeypatch.setattr(compiler, "_bytecode", recorded)

    mapping = compile_schema(schema_of(text_field("fine", "message.fine")))
    assert mapping.paths == {"message.fine"}
    assert not compiled

    assert mapping.write is mapping.write
    assert len(compiled) == 1
