"""JDBC sinks: a table in, the CREATE TABLE of PostgreSQL out, for a sink of Kafka Connect that fills it.

Sinks refuse lists of records, so the table has no column for them, and a comment says which. Times have no zone and are UTC,
as sinks write them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from connector.schemas.ddl import text
from connector.schemas.ddl.tables import HEADER_ID, Column, Kind, Servers, Table

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "text",
    "boolean": "boolean",
    "int": "integer",
    "long": "bigint",
    "float": "real",
    "double": "double precision",
    "bytes": "bytea",
    "time": "timestamp(3)",
}


def statement(table: Table, _servers: Servers) -> str:
    """Return the statements."""
    stored = [column for column in table.columns if column.kind != "records"]
    columns = [*map(_column, stored), *_added(table), f"PRIMARY KEY ({_name(table.identity)})"]
    comments = [f"COMMENT ON COLUMN {_name(table.name)}.{_name(one.name)} IS {_comment(one)};\n" for one in stored if one.doc]
    if table.doc:
        comments.insert(0, f"COMMENT ON TABLE {_name(table.name)} IS {text.standard_text(table.doc)};\n")
    return f"{text.notes(_notes(table))}CREATE TABLE {_name(table.name)} (\n{text.listed(columns)}\n);\n{''.join(comments)}"


def type_of(column: Column) -> str:
    """Return the type of a column; a list has none."""
    return f"numeric({column.precision}, {column.scale})" if column.kind == "decimal" else _TYPES[column.kind]


def _name(name: str) -> str:
    return f'"{name}"'


def _column(column: Column) -> str:
    return f"{_name(column.name)} {type_of(column)}{'' if column.nullable else ' NOT NULL'}"


def _comment(column: Column) -> str:
    return text.standard_text(f"{column.doc} In UTC." if column.kind == "time" else column.doc)


def _added(table: Table) -> Iterator[str]:
    if table.needs_header_id:
        yield f"{_name(table.identity)} text NOT NULL"


def _notes(table: Table) -> Iterator[str]:
    if table.holds_latest:
        yield f"Sink: primary.key.mode = record_key (the key hoisted to {table.identity}), delete.enabled = true."
    elif table.event_id:
        yield f"Sink: primary.key.mode = record_value, primary.key.fields = {table.identity}, insert.mode = upsert."
    else:
        yield f"Sink: primary.key.mode = record_header with all other headers dropped ({HEADER_ID}), insert.mode = upsert."
    for column in table.columns:
        if column.kind == "records":
            yield f"{column.name} has no column, since sinks refuse lists of records: exclude it (ReplaceField$Value)."
