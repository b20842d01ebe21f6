"""Iceberg: a table in, the CREATE TABLE of Spark SQL's Iceberg catalogue out, for a sink that fills it.

TIMESTAMP is an instant there (`timestamptz`). Rows are partitioned by the day of an event's time that is never null.
"""

from collections.abc import Iterator

from connector.schemas.ddl import text
from connector.schemas.ddl.spark import TYPES
from connector.schemas.ddl.tables import HEADER_ID, Column, Servers, Table


def statement(table: Table, _servers: Servers) -> str:
    """Return the statements."""
    columns = [*map(_column, table.columns), *_added(table)]
    comment = f"\nCOMMENT {text.escaped_text(table.doc)}" if table.doc else ""
    days = f"\nPARTITIONED BY (days({text.name(table.times[-1].name)}))" if table.times else ""
    return (
        f"CREATE TABLE {text.name(table.name)} (\n{text.listed(columns)}\n)\nUSING iceberg{comment}{days}\n"
        f"TBLPROPERTIES (\n  'format-version' = '2',\n  'kafka.topic' = {text.escaped_text(table.topic)}\n);\n\n"
        f"ALTER TABLE {text.name(table.name)} SET IDENTIFIER FIELDS {text.name(table.identity)};\n"
    )


def type_of(column: Column) -> str:
    """Return the type of a column."""
    if column.kind == "decimal":
        return f"DECIMAL({column.precision}, {column.scale})"
    if column.kind == "records":
        return f"ARRAY<STRUCT<{', '.join(map(_inner, column.columns))}>>"
    return TYPES[column.kind]


def _column(column: Column) -> str:
    return f"{text.name(column.name)} {type_of(column)}{_end(column)}"


def _inner(column: Column) -> str:
    return f"{text.name(column.name)}: {type_of(column)}{_end(column)}"


def _end(column: Column) -> str:
    comment = f" COMMENT {text.escaped_text(column.doc)}" if column.doc else ""
    return f"{'' if column.nullable else ' NOT NULL'}{comment}"


def _added(table: Table) -> Iterator[str]:
    if table.needs_header_id:
        yield f"{text.name(table.identity)} STRING NOT NULL COMMENT 'Id of the event, from the header {HEADER_ID}.'"
