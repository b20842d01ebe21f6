"""Spark SQL 4: a table in, two temporary views out: the topic as Kafka has it, and its records as columns.

Spark cannot ask a registry, and reads a record that another schema wrote without noticing. So the view has every registered
schema by its id, each read as ours; an id that came later fails the query. In a stream, make the first view from
`spark.readStream` under the same name, and the second works on it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from connector.mapping.places import without_docs
from connector.schemas.ddl import text
from connector.schemas.ddl.tables import HEADER_ID, Column, Kind, Servers, Table

TYPES: Final[Mapping[Kind, str]] = {
    "text": "STRING",
    "boolean": "BOOLEAN",
    "int": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "bytes": "BINARY",
    "time": "TIMESTAMP",
}
_SCHEMA_ID: Final = "CAST(conv(hex(substring(`value`, 2, 4)), 16, 10) AS BIGINT)"
_RECORD: Final = "`avro`"


def statement(table: Table, servers: Servers) -> str:
    """Return the statements."""
    queue = text.name(f"{table.name}_kafka")
    columns = [
        *((_named(column), f"CAST({_RECORD}.{text.name(column.name)} AS {type_of(column)})") for column in table.columns),
        *_added(table),
    ]
    comment = f"\nCOMMENT {text.escaped_text(table.doc)}" if table.doc else ""
    return (
        f"CREATE OR REPLACE TEMPORARY VIEW {queue}\nUSING kafka\nOPTIONS (\n{_options(table, servers)}\n);\n\n"
        f"CREATE OR REPLACE TEMPORARY VIEW {text.name(table.name)} (\n{text.listed(name for name, _ in columns)}\n){comment}\n"
        f"AS SELECT\n{text.listed(expression for _, expression in columns)}\n"
        f"FROM (\n{_decoded(table, servers, queue)}\n);\n"
    )


def type_of(column: Column) -> str:
    """Return the type of a column."""
    if column.kind == "decimal":
        return f"DECIMAL({column.precision}, {column.scale})"
    if column.kind == "records":
        return f"ARRAY<STRUCT<{', '.join(f'{text.name(one.name)}: {type_of(one)}' for one in column.columns)}>>"
    return TYPES[column.kind]


def _named(column: Column) -> str:
    return text.name(column.name) + (f" COMMENT {text.escaped_text(column.doc)}" if column.doc else "")


def _added(table: Table) -> Iterator[tuple[str, str]]:
    """Yield what the view has beside the fields: name and expression."""
    if table.times:
        times = [f"{_RECORD}.{text.name(column.name)}" for column in table.times]
        if table.compacted or table.times[-1].nullable:
            times.append("`timestamp`")
        yield text.name(table.unused("event_time")), f"COALESCE({', '.join(times)})" if len(times) > 1 else times[0]
    if table.needs_header_id:
        header = f"CAST(filter(`headers`, h -> h.key = '{HEADER_ID}')[0].value AS STRING)"
        yield text.name(table.identity), header
    yield text.name(table.unused("kafka_key")), "CAST(`key` AS STRING)"
    for column in ("partition", "offset", "timestamp"):
        yield text.name(table.unused(f"kafka_{column}")), text.name(column)


def _decoded(table: Table, servers: Servers, queue: str) -> str:
    """Return the query of the topic with the record as one more column."""
    unknown = text.escaped_text(f"{table.topic} has a schema that is newer than this view: make it again; its id is:")
    decoders = "".join(_decoders(table, servers))
    cases = f"    WHEN `value` IS NULL THEN NULL\n{decoders}    ELSE raise_error(concat({unknown}, ' ', {_SCHEMA_ID}))"
    return f"  SELECT *, CASE\n{cases}\n  END AS {_RECORD}\n  FROM {queue}"  # noqa: S608 - printed, and every part is quoted


def _decoders(table: Table, servers: Servers) -> Iterator[str]:
    ours = json.dumps(without_docs(json.loads(table.schema_text)), separators=(",", ":"))
    for writer in servers.writers.get(table.topic, ()):
        theirs = json.dumps(without_docs(json.loads(writer.text)), separators=(",", ":"))
        options = f"map('mode', 'FAILFAST', 'avroSchema', {text.escaped_text(ours)})"
        decoded = f"from_avro(substring(`value`, 6), {text.escaped_text(theirs)}, {options})"
        yield f"    WHEN {_SCHEMA_ID} = {writer.schema_id} THEN {decoded}\n"


def _options(table: Table, servers: Servers) -> str:
    options = {
        "kafka.bootstrap.servers": servers.bootstrap_servers,
        **{f"kafka.{key}": value for key, value in servers.security.items()},
        "subscribe": table.topic,
        "startingOffsets": "earliest",
        "includeHeaders": "true",
    }
    return text.listed(f"{text.escaped_text(key)} = {text.escaped_text(value)}" for key, value in options.items())
