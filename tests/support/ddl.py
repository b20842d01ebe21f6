"""Record types for the tests of table definitions: those of the catalogue, with and without an event's id and time."""

import json
from dataclasses import replace
from typing import Any, Final

from connector.catalogue import RecordType
from connector.mapping.compiler import published
from connector.records import Json
from connector.schemas.ddl.tables import Servers, Table, WriterSchema, tables_of
from tests.support.callbacks import whole_catalogue

PREFIX: Final = "kaleyra.whatsapp."
EVENT_FIELDS: Final[list[Json]] = [
    {"name": "event_id", "type": "string", "doc": "Id of the event; it's the header ce_id too."},
    {"name": "event_at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When it happened."},
]
_NAMES: Final = [field["name"] for field in EVENT_FIELDS]


def with_fields(record_type: RecordType, fields: list[Any]) -> RecordType:
    """Return a record type with other fields; its mapping stays, which no table needs."""
    schema = {**record_type.schema, "fields": fields}
    return replace(record_type, schema=schema, published_text=json.dumps(published(schema)))


def without_event(record_type: RecordType) -> RecordType:
    """Return a record type whose records have neither an event's id nor its time."""
    return with_fields(record_type, [field for field in record_type.schema["fields"] if field["name"] not in _NAMES])


def with_event(record_type: RecordType) -> RecordType:
    """Return a record type whose records have both, never null."""
    return with_fields(record_type, [*EVENT_FIELDS, *without_event(record_type).schema["fields"]])


RECORD_TYPES: Final = {
    f"{one.name}{suffix}": change(one)
    for one in whole_catalogue()
    for suffix, change in (("", lambda same: same), (" with event", with_event), (" without event", without_event))
}
"""All record types in three forms: as they are, with the two fields, and without them."""


def table_of(record_type: RecordType) -> Table:
    """Return the table of one record type."""
    (table,) = tables_of([record_type], PREFIX)
    return table


def servers_of(table: Table, **more: Any) -> Servers:
    """Return servers whose registry knows the table's schema as 7."""
    writers = {table.topic: (WriterSchema(7, table.schema_text),)}
    given: Json = {"bootstrap_servers": "kafka:9092", "registry_url": "http://registry:8081", "security": {}, "notes": ()}
    return Servers(**{**given, "writers": writers, **more})
