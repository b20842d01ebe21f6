"""The table definitions of each engine, parsed by SQLGlot and run by DuckDB where it knows the dialect; against the schemas.

Flink's are run by Flink in tests/integration/test_ddl_flink.py.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import duckdb
import pytest
import sqlglot
from sqlglot import expressions as sql

from connector.catalogue import RecordType
from connector.schemas.ddl.engines import ENGINES, EngineName, definitions
from connector.schemas.ddl.tables import WriterSchema
from tests.support.callbacks import whole_catalogue
from tests.support.ddl import RECORD_TYPES, servers_of, table_of, with_event, with_fields, without_event

every_record_type = pytest.mark.parametrize("of", RECORD_TYPES.values(), ids=RECORD_TYPES)
every_engine = pytest.mark.parametrize("engine", ENGINES)


class Types(NamedTuple):
    """The types of an engine, as the test expects them: by the Avro type, of a decimal and of a list."""

    plain: Mapping[str, str]
    decimal: Callable[[int, int], str]
    records: Callable[[list[tuple[str, str]]], str]
    nullable: Callable[[str], str] = lambda kind: kind


_HIVE: Final = {
    "string": "STRING",
    "boolean": "BOOLEAN",
    "int": "INT",
    "long": "BIGINT",
    "double": "DOUBLE",
    "bytes": "BINARY",
    "timestamp-millis": "TIMESTAMP",
}
_SPARK: Final = Types(
    _HIVE,
    lambda precision, scale: f"DECIMAL({precision}, {scale})",
    lambda parts: f"ARRAY<STRUCT<{', '.join(f'`{name}`: {kind}' for name, kind in parts)}>>",
)
EXPECTED: Final[Mapping[EngineName, Types]] = {
    "spark": _SPARK,
    "iceberg": _SPARK,
    "flink": Types(
        {**_HIVE, "bytes": "BYTES", "timestamp-millis": "BIGINT"},
        _SPARK.decimal,
        lambda parts: f"ARRAY<ROW<{', '.join(f'`{name}` {kind}' for name, kind in parts)}>>",
    ),
    "clickhouse": Types(
        {
            "string": "String",
            "boolean": "Bool",
            "int": "Int32",
            "long": "Int64",
            "double": "Float64",
            "bytes": "String",
            "timestamp-millis": "DateTime64(3, 'UTC')",
        },
        lambda precision, scale: f"Decimal({precision}, {scale})",
        lambda parts: f"Array(Tuple({', '.join(f'`{name}` {kind}' for name, kind in parts)}))",
        lambda kind: f"Nullable({kind})",
    ),
    "jdbc": Types(
        {
            "string": "VARCHAR",
            "boolean": "BOOLEAN",
            "int": "INTEGER",
            "long": "BIGINT",
            "double": "DOUBLE",
            "bytes": "BLOB",
            "timestamp-millis": "TIMESTAMP_MS",
        },
        lambda precision, scale: f"DECIMAL({precision},{scale})",
        lambda _: "",
    ),
}


def expected_type(avro: Any, types: Types) -> str:
    """The type that an engine should have for an Avro type; for a list in a comment-free spelling."""
    match avro:
        case ["null", {"type": "array"} as inner]:
            return expected_type(inner, types)
        case ["null", inner]:
            return types.nullable(expected_type(inner, types))
        case {"type": "array", "items": {"fields": fields}}:
            return types.records([(field["name"], expected_type(field["type"], types)) for field in fields])
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return types.decimal(precision, scale)
        case {"logicalType": name}:
            return types.plain[name]
    return types.plain[avro]


def expected(of: RecordType, engine: EngineName) -> dict[str, str]:
    return {field["name"]: expected_type(field["type"], EXPECTED[engine]) for field in of.schema["fields"]}


def written(of: RecordType, engine: EngineName, **more: Any) -> str:
    table = table_of(of)
    return definitions(engine, [table], servers_of(table, **more))


def parsed(text: str, dialect: str) -> list[Any]:
    return [one for one in sqlglot.parse(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE) if one is not None]


def top_columns(create: Any) -> dict[str, Any]:
    found = [one for one in create.this.expressions if isinstance(one, sql.ColumnDef)]
    assert len({one.name for one in found}) == len(found), "a column twice"
    return {one.name: one for one in found}


def normal(kind: str) -> str:
    """A type without comments, NOT NULL and the spelling that is the parser's choice."""
    kind = re.sub(r" COMMENT '(?:[^'\\]|\\.)*'| NOT NULL", "", kind)
    return re.sub(r"[\s`\"]|(?<=\w):", "", kind).lower()


def comment_of(column: sql.ColumnDef) -> str | None:
    return next((one.kind.this.this for one in column.constraints if isinstance(one.kind, sql.CommentColumnConstraint)), None)


def in_duckdb(text: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(text)
    return connection


# ClickHouse


@every_record_type
def test_clickhouse_has_a_queue_a_table_and_a_view(of: RecordType) -> None:
    queue, table, view = parsed(written(of, "clickhouse"), "clickhouse")
    fields = expected(of, "clickhouse")
    kinds = {name: normal(one.kind.sql("clickhouse")) for name, one in top_columns(table).items()}
    assert {name: kinds[name] for name in fields} == {name: normal(kind) for name, kind in fields.items()}
    assert {name: normal(one.kind.sql("clickhouse")) for name, one in top_columns(queue).items()} == {
        name: kinds[name] for name in fields
    }
    assert [one.alias_or_name for one in view.expression.expressions] == list(top_columns(table))


@every_record_type
def test_clickhouse_keeps_one_row_of_each_event_or_key(of: RecordType) -> None:
    text = written(of, "clickhouse")
    if of.compacted:
        assert "ENGINE = ReplacingMergeTree(`kafka_offset`)\nORDER BY `record_key`" in text
    else:
        identity = "event_id" if "event_id" in expected(of, "clickhouse") else "ce_id"
        assert f"ENGINE = ReplacingMergeTree\nORDER BY `{identity}`" in text


def test_clickhouse_reads_the_registry_of_the_settings() -> None:
    text = written(whole_catalogue().record_types["order"], "clickhouse", security={"security.protocol": "SASL_SSL"})
    assert "kafka_topic_list = 'kaleyra.whatsapp.orders'" in text
    assert "format_avro_schema_registry_url = 'http://registry:8081'" in text
    assert "kafka_security_protocol = 'SASL_SSL'" in text


# Iceberg


@every_record_type
def test_iceberg_has_the_types_and_comments_of_the_schema(of: RecordType) -> None:
    create = parsed(written(of, "iceberg"), "spark")[0]
    found = top_columns(create)
    for field in of.schema["fields"]:
        column = found[field["name"]]
        assert normal(column.kind.sql("spark")) == normal(expected(of, "iceberg")[field["name"]])
        assert comment_of(column) == field["doc"]
        required = any(isinstance(one.kind, sql.NotNullColumnConstraint) for one in column.constraints)
        assert required == (not isinstance(field["type"], list))


@every_record_type
def test_iceberg_is_partitioned_by_a_day_that_is_never_null(of: RecordType) -> None:
    (name,) = re.findall(r"PARTITIONED BY \(days\(`(\w+)`\)\)", written(of, "iceberg"))
    (field,) = [field for field in of.schema["fields"] if field["name"] == name]
    assert field["type"] == {"type": "long", "logicalType": "timestamp-millis"}


def test_iceberg_names_the_identifier() -> None:
    text = whole_catalogue().record_types["text"]
    assert "SET IDENTIFIER FIELDS `event_id`" in written(with_event(text), "iceberg")
    assert "SET IDENTIFIER FIELDS `ce_id`" in written(without_event(text), "iceberg")
    assert "SET IDENTIFIER FIELDS `record_key`" in written(whole_catalogue().contact, "iceberg")


# JDBC


@every_record_type
def test_jdbc_is_a_table_that_runs(of: RecordType) -> None:
    lists = [field["name"] for field in of.schema["fields"] if "array" in json.dumps(field["type"])]
    text = written(of, "jdbc")
    rows = (
        in_duckdb(text)
        .execute("SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() WHERE NOT internal")
        .fetchall()
    )
    found = {name: (kind, nullable) for name, kind, nullable, _ in rows}
    fields = {name: kind for name, kind in expected(of, "jdbc").items() if name not in lists}
    assert {name: found[name][0] for name in fields} == fields
    assert set(found) - set(fields) <= {"ce_id"}
    # What sinks cannot store is named.
    assert [name for name in lists if f"-- {name} has no column" not in text] == []


@every_record_type
def test_jdbc_has_the_key_of_a_row_and_the_docs(of: RecordType) -> None:
    connection = in_duckdb(written(of, "jdbc"))
    (key,) = connection.execute(
        "SELECT constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
    ).fetchall()
    assert key == ([table_of(of).identity],)
    docs = dict(connection.execute("SELECT column_name, comment FROM duckdb_columns() WHERE NOT internal").fetchall())
    for field in of.schema["fields"]:
        if field["name"] in docs:
            assert docs[field["name"]].startswith(field["doc"])


def test_jdbc_parses_as_postgresql() -> None:
    for of in whole_catalogue():
        assert {type(one) for one in parsed(written(of, "jdbc"), "postgres")} == {sql.Create, sql.Comment}


# Spark


@every_record_type
def test_spark_has_two_views_with_the_columns_and_types_of_the_schema(of: RecordType) -> None:
    queue, view = parsed(written(of, "spark"), "spark")
    assert queue.kind == view.kind == "VIEW"
    names = [one.name for one in view.this.expressions]
    selected = view.expression.expressions
    fields = expected(of, "spark")
    assert len(names) == len(selected) == len(set(names))
    assert names[: len(fields)] == list(fields)
    for (name, kind), cast in zip(fields.items(), selected, strict=False):
        assert isinstance(cast, sql.Cast)
        assert (cast.this.name, normal(cast.to.sql("spark"))) == (name, normal(kind))


def test_spark_reads_each_registered_schema_by_its_id() -> None:
    of = whole_catalogue().record_types["order"]
    table = table_of(of)
    older = json.loads(table.schema_text)
    older["fields"] = [field for field in older["fields"] if field["name"] != "text"]
    writers = (WriterSchema(3, json.dumps(older)), WriterSchema(7, table.schema_text))
    _, view = parsed(definitions("spark", [table], servers_of(table, writers={table.topic: writers})), "spark")
    case = view.find(sql.Case)
    by_id = {}
    for branch in case.args["ifs"][1:]:
        _, writer, options = branch.args["true"].expressions
        by_id[int(branch.this.expression.name)] = json.loads(writer.name)
        assert json.loads(_option(options, "avroSchema")) == _plain(table.schema_text)
    assert by_id == {3: _plain(json.dumps(older)), 7: _plain(table.schema_text)}
    assert "raise_error" in case.args["default"].sql("spark").lower()


def _option(options: Any, name: str) -> str:
    names, values = ([one.name for one in options.args[part].expressions] for part in ("keys", "values"))
    return str(dict(zip(names, values, strict=True))[name])


def _plain(text: str) -> Any:
    """A schema without docs, which decide nothing about bytes."""

    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: strip(inner) for name, inner in part.items() if name != "doc"}
        return [strip(inner) for inner in part] if isinstance(part, list) else part

    return strip(json.loads(text))


# Flink

FLINK_COLUMN = re.compile(r"^  `(?P<name>\w+)` (?P<rest>.+?),?$", re.MULTILINE)


@every_record_type
def test_flink_has_the_types_and_comments_of_the_schema(of: RecordType) -> None:
    rows = FLINK_COLUMN.findall(written(of, "flink"))
    names = [name for name, _ in rows]
    assert len(names) == len(set(names))
    found = dict(rows)
    for field in of.schema["fields"]:
        text = found[field["name"]]
        kind, _, comment = text.partition(" COMMENT ")
        without_docs = re.sub(r" '(?:[^']|'')*'", "", kind)
        assert without_docs.removesuffix(" NOT NULL").replace(" NOT NULL", "") == expected(of, "flink")[field["name"]]
        assert without_docs.endswith(" NOT NULL") == (not isinstance(field["type"], list))
        assert comment.startswith("'" + field["doc"].replace("'", "''"))


@every_record_type
def test_flink_has_a_watermark_on_the_time_of_the_event(of: RecordType) -> None:
    text = written(of, "flink")
    (expression,) = re.findall(r"^  `event_time` AS (.+),$", text, re.MULTILINE)
    names = {field["name"]: field["type"] for field in of.schema["fields"]}
    if isinstance(names.get("event_at"), dict):
        assert "TO_TIMESTAMP_LTZ(`event_at`, 3)" in expression
    else:
        assert "`received_at`" in expression
    assert "WATERMARK FOR `event_time` AS `event_time` - INTERVAL '5' MINUTE" in text
    # The row time of a tombstone must not be null.
    assert ("`kafka_timestamp`)" in expression) == of.compacted


def test_flink_has_the_latest_profile_of_each_key() -> None:
    text = written(whole_catalogue().contact, "flink")
    for part in (
        "'connector' = 'upsert-kafka'",
        "'key.format' = 'raw'",
        "'value.format' = 'avro-confluent'",
        "'value.avro-confluent.url' = 'http://registry:8081'",
        "PRIMARY KEY (`record_key`) NOT ENFORCED",
    ):
        assert part in text


def test_flink_reads_the_header_only_without_a_field_for_the_id() -> None:
    text = whole_catalogue().record_types["text"]
    assert "`ce_id` AS DECODE(`kafka_headers`['ce_id'], 'UTF-8')" in written(without_event(text), "flink")
    assert "`ce_id`" not in written(with_event(text), "flink")
    assert "kafka_headers" not in written(with_event(text), "flink")


# All of them


@every_engine
def test_every_field_of_every_list_appears(engine: EngineName) -> None:
    text = written(whole_catalogue().record_types["contact_card"], engine)
    if engine == "jdbc":
        assert "-- cards has no column" in text
    else:
        assert all(f"`{name}`" in text for name in ("cards", "phones", "wa_id", "country_code", "urls"))


@every_engine
def test_column_that_the_engine_adds_never_hides_a_field(engine: EngineName) -> None:
    of = without_event(whole_catalogue().record_types["text"])
    added = (
        "event_time",
        "ce_id",
        "kafka_offset",
        "kafka_partition",
        "kafka_timestamp",
        "kafka_headers",
        "kafka_key",
        "proc_time",
    )
    more = [{"name": name, "type": ["null", "string"], "doc": f"Our own {name}."} for name in added]
    text = written(_with(of, more), engine)
    quote = '"' if engine == "jdbc" else "`"
    for name in added:
        assert text.count(f"  {quote}{name}{quote} ") >= 1
    assert f"{quote}ce_id_{quote}" in text


def _with(of: RecordType, more: list[Any]) -> RecordType:
    return with_fields(of, [*of.schema["fields"], *more])


@every_engine
def test_quotes_and_backslashes_in_a_doc_stay_in_the_comment(engine: EngineName) -> None:
    of = whole_catalogue().record_types["text"]
    doc = "It's \\ a 'test'; DROP\nTABLE x -- `y` \"z\""
    text = written(_with(of, [{"name": "odd", "type": ["null", "string"], "doc": doc}]), engine)
    shown = " ".join(doc.split())
    if engine == "jdbc":
        ((comment,),) = (
            in_duckdb(text)
            .execute("SELECT comment FROM duckdb_columns() WHERE NOT internal AND column_name = 'odd'")
            .fetchall()
        )
        assert comment == shown
    elif engine == "flink":
        assert "COMMENT '" + shown.replace("'", "''") + "'" in text
    else:
        dialect = "clickhouse" if engine == "clickhouse" else "spark"
        creates = [one for one in parsed(text, dialect) if isinstance(one, sql.Create)]
        found = [column for create in creates for column in create.find_all(sql.ColumnDef) if column.name == "odd"]
        assert shown in {comment_of(column) for column in found}


@every_engine
def test_head_says_how_it_is_made_and_what_is_left_out(engine: EngineName) -> None:
    first, *rest = written(whole_catalogue().contact, engine, notes=("Credentials are left out.",)).splitlines()
    assert first.startswith(f"-- Made by `connector schemas ddl {engine}`")
    assert ("-- Credentials are left out." in rest) == (engine in ("flink", "spark", "clickhouse"))
