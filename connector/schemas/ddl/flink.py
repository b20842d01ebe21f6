"""Flink SQL: a table in, the CREATE TABLE of a Kafka source out. Tried with 2.3 and 1.20.

Times are BIGINT columns with a computed TIMESTAMP_LTZ(3) beside them: the format avro-confluent refuses TIMESTAMP_LTZ, and
reads TIMESTAMP(3) as the wall time of the session's zone. A compacted topic is a table of latest values (upsert-kafka).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from connector.schemas.ddl import text
from connector.schemas.ddl.tables import HEADER_ID, Column, Kind, Servers, Table

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "STRING",
    "boolean": "BOOLEAN",
    "int": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "bytes": "BYTES",
    "time": "BIGINT",
}
_LATE: Final = "INTERVAL '5' MINUTE"


def statement(table: Table, servers: Servers) -> str:
    """Return the statement."""
    columns = [*map(_column, table.columns), *_added(table)]
    comment = f"\nCOMMENT {text.standard_text(table.doc)}" if table.doc else ""
    return (
        f"CREATE TABLE {text.name(table.name)} (\n{text.listed(columns)}\n){comment}\n"
        f"WITH (\n{text.standard_options(_options(table, servers))}\n);\n"
    )


def type_of(column: Column) -> str:
    """Return the type of a column."""
    if column.kind == "decimal":
        return f"DECIMAL({column.precision}, {column.scale})"
    if column.kind == "records":
        return f"ARRAY<ROW<{', '.join(_inner(one) for one in column.columns)}>>"
    return _TYPES[column.kind]


def _column(column: Column) -> str:
    doc = f"{column.doc} Milliseconds since 1970, UTC." if column.kind == "time" else column.doc
    comment = f" COMMENT {text.standard_text(doc)}" if doc else ""
    return f"{text.name(column.name)} {type_of(column)}{'' if column.nullable else ' NOT NULL'}{comment}"


def _inner(column: Column) -> str:
    comment = f" {text.standard_text(column.doc)}" if column.doc else ""
    return f"{text.name(column.name)} {type_of(column)}{'' if column.nullable else ' NOT NULL'}{comment}"


def _added(table: Table) -> Iterator[str]:
    """Yield the columns that Flink computes or takes from the record, then the watermark and the key."""
    written = text.name(table.unused("kafka_timestamp"))
    yield f"{text.name(table.unused('kafka_partition'))} INT METADATA FROM 'partition' VIRTUAL"
    yield f"{text.name(table.unused('kafka_offset'))} BIGINT METADATA FROM 'offset' VIRTUAL"
    yield f"{written} TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL"
    if table.needs_header_id:
        headers = text.name(table.unused("kafka_headers"))
        yield f"{headers} MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL"
        yield f"{text.name(table.identity)} AS DECODE({headers}['{HEADER_ID}'], 'UTF-8')"
    yield f"{text.name(table.unused('proc_time'))} AS PROCTIME()"
    if table.times:
        happened = text.name(table.unused("event_time"))
        instant = f"TO_TIMESTAMP_LTZ({text.coalesced(table)}, 3)"
        # A tombstone has no value, and a row without time would end the job.
        can_be_null = table.holds_latest or table.times[-1].nullable
        yield f"{happened} AS {f'COALESCE({instant}, {written})' if can_be_null else instant}"
        yield f"WATERMARK FOR {happened} AS {happened} - {_LATE}"
    if table.holds_latest:
        yield f"PRIMARY KEY ({text.name(table.identity)}) NOT ENFORCED"


def _options(table: Table, servers: Servers) -> dict[str, str]:
    client = {f"properties.{key}": value for key, value in servers.security.items()}
    shared = {"topic": table.topic, "properties.bootstrap.servers": servers.bootstrap_servers, **client}
    if table.holds_latest:
        return {
            "connector": "upsert-kafka",
            **shared,
            "key.format": "raw",
            "value.format": "avro-confluent",
            "value.avro-confluent.url": servers.registry_url,
        }
    return {
        "connector": "kafka",
        **shared,
        "properties.group.id": f"flink-{table.name}",
        "scan.startup.mode": "earliest-offset",
        "format": "avro-confluent",
        "avro-confluent.url": servers.registry_url,
    }
