"""ClickHouse: a table in, three statements out: the queue (Kafka engine), the table, and the view that fills it.

The table keeps one row of each event, or the latest of each key of a compacted topic; `FINAL` applies that when reading.
The Kafka engine skips records without a value, so a deletion by tombstone has to be done by hand.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from connector.schemas.ddl import text
from connector.schemas.ddl.tables import HEADER_ID, Column, Kind, Servers, Table

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "String",
    "boolean": "Bool",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "bytes": "String",
    "time": "DateTime64(3, 'UTC')",
}


def statement(table: Table, servers: Servers) -> str:
    """Return the statements."""
    queue, view = text.name(f"{table.name}_queue"), text.name(f"{table.name}_view")
    computed = dict(_computed(table))
    stored = [*map(_column, table.columns), *(f"{text.name(column)} {kind}" for column, (kind, _) in computed.items())]
    selected = [text.name(column.name) for column in table.columns]
    selected += [f"{expression} AS {text.name(column)}" for column, (_, expression) in computed.items()]
    return (
        f"CREATE TABLE {queue} (\n{text.listed(map(_queued, table.columns))}\n)\n"
        f"ENGINE = Kafka\nSETTINGS\n{_settings(table, servers)};\n\n"
        f"CREATE TABLE {text.name(table.name)} (\n{text.listed(stored)}\n)\n{_engine(table)}{_comment(table.doc)};\n\n"
        f"CREATE MATERIALIZED VIEW {view} TO {text.name(table.name)} AS\n"
        f"SELECT\n{text.listed(selected)}\nFROM {queue};\n"
    )


def type_of(column: Column) -> str:
    """Return the type of a column; a list cannot be Nullable, and is empty instead."""
    if column.kind == "records":
        return f"Array(Tuple({', '.join(f'{text.name(one.name)} {type_of(one)}' for one in column.columns)}))"
    plain = f"Decimal({column.precision}, {column.scale})" if column.kind == "decimal" else _TYPES[column.kind]
    return f"Nullable({plain})" if column.nullable else plain


def _column(column: Column) -> str:
    return f"{_queued(column)}{_comment(column.doc)}"


def _queued(column: Column) -> str:
    return f"{text.name(column.name)} {type_of(column)}"


def _computed(table: Table) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the columns that the table has beside the fields: name, type and expression."""
    if table.times:
        expression = text.coalesced(table)
        kind = _TYPES["time"]
        if table.times[-1].nullable:
            expression = f"COALESCE({expression}, toDateTime64(_timestamp_ms, 3, 'UTC'))"
        # The last column is never null, which COALESCE does not see in a Nullable type.
        yield table.unused("event_time"), (kind, f"assumeNotNull({expression})" if len(table.times) > 1 else expression)
    if table.needs_header_id:
        header = f"_headers.value[indexOf(_headers.name, '{HEADER_ID}')]"
        yield table.identity, ("String", header)
    yield table.unused("kafka_partition"), ("UInt64", "_partition")
    yield table.unused("kafka_offset"), ("UInt64", "_offset")


def _engine(table: Table) -> str:
    version = f"({text.name(table.unused('kafka_offset'))})" if table.holds_latest else ""
    return f"ENGINE = ReplacingMergeTree{version}\nORDER BY {text.name(table.identity)}"


def _settings(table: Table, servers: Servers) -> str:
    settings = {
        "kafka_broker_list": servers.bootstrap_servers,
        "kafka_topic_list": table.topic,
        "kafka_group_name": f"clickhouse-{table.name}",
        "kafka_format": "AvroConfluent",
        "format_avro_schema_registry_url": servers.registry_url,
        **{f"kafka_{key.replace('.', '_')}": value for key, value in servers.security.items()},
    }
    return text.listed(f"{key} = {text.escaped_text(value)}" for key, value in settings.items())


def _comment(doc: str) -> str:
    return f" COMMENT {text.escaped_text(doc)}" if doc else ""
