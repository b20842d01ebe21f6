"""A record type in, the table that an engine should have out: its columns, its key, its event's id and time. No SQL.

Every type that the catalogue accepts has a kind here; another one is a configuration error, never a guess.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connector.catalogue import RecordType
from connector.errors import ConfigurationInvalid
from connector.records import Json

Kind = Literal["text", "boolean", "int", "long", "float", "double", "bytes", "time", "decimal", "records"]

EVENT_ID: Final = "event_id"
EVENT_TIME: Final = "event_at"
KEY: Final = "record_key"
HEADER_ID: Final = "ce_id"
"""The record header with the event's id, for schemas without the field."""
_HAPPENED: Final = ("sent_at", "seen_at")
_RECEIVED: Final = "received_at"
_PLAIN: Final[Mapping[str, Kind]] = {
    "string": "text",
    "boolean": "boolean",
    "int": "int",
    "long": "long",
    "float": "float",
    "double": "double",
    "bytes": "bytes",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One field. `precision` and `scale` are those of a decimal, `columns` the fields of a list's records."""

    name: str
    kind: Kind
    nullable: bool
    doc: str
    precision: int = 0
    scale: int = 0
    columns: tuple["Column", ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A topic as a table.

    `times` are the columns whose first value is the time of the event; only the last of them can be without null.
    `event_id` and `key` are None if the schema has no such field. `compacted` topics hold the latest record of each key, and
    records without a value.
    """

    name: str
    topic: str
    doc: str
    columns: tuple[Column, ...]
    times: tuple[Column, ...]
    event_id: str | None
    key: str | None
    compacted: bool
    schema_text: str

    @property
    def holds_latest(self) -> bool:
        """Whether a row is the latest record of its key, and a record without a value deletes it."""
        return self.compacted and self.key is not None

    @property
    def identity(self) -> str:
        """The column that identifies a row: the key of latest records, else the event's id, from a field or the header."""
        if self.holds_latest:
            assert self.key
            return self.key
        return self.event_id or self.unused(HEADER_ID)

    @property
    def needs_header_id(self) -> bool:
        """Whether the rows are identified by the header, since the schema has no field for it."""
        return not self.holds_latest and self.event_id is None

    def unused(self, name: str) -> str:
        """Return a name for a column that the engine adds: this one, or with underscores if a field has it."""
        taken = {column.name for column in self.columns}
        while name in taken:
            name += "_"
        return name


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema with which records of a topic can be written: its id in the registry, and its JSON text."""

    schema_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the topics are. `registry_url` is one URL; `notes` say which settings have to be added by hand.

    `security` holds properties of the Kafka client by their common names, without secrets. `writers` holds the registered
    schemas of each topic, for the engines that cannot ask a registry.
    """

    bootstrap_servers: str
    registry_url: str
    security: Mapping[str, str]
    notes: tuple[str, ...]
    writers: Mapping[str, tuple[WriterSchema, ...]]


def tables_of(record_types: Iterable[RecordType], prefix: str) -> list[Table]:
    """Return a table for each record type, named like its topic without the prefix.

    Raises:
        ConfigurationInvalid: with every field of an unknown type, and every name that two tables would have.
    """
    problems: list[str] = []
    tables = [_table(record_type, prefix, problems) for record_type in record_types]
    topics: dict[str, str] = {}
    for table in tables:
        other = topics.setdefault(table.name, table.topic)
        if other != table.topic:
            problems.append(f"{other} and {table.topic} would both be the table {table.name}; choose one of them")
    if problems:
        raise ConfigurationInvalid(problems)
    return tables


def table_name(topic: str, prefix: str) -> str:
    """Return a name that no engine needs to have quoted: `kaleyra.whatsapp.contact-cards` is `contact_cards`."""
    name = re.sub(r"[^a-z0-9]+", "_", topic.removeprefix(prefix).lower()).strip("_")
    return name if name and not name[0].isdigit() else f"t_{name}"


def _table(record_type: RecordType, prefix: str, problems: list[str]) -> Table:
    schema = record_type.schema
    columns = tuple(_columns(schema, record_type.name, problems))
    names = {column.name for column in columns}
    return Table(
        name=table_name(record_type.topic, prefix),
        topic=record_type.topic,
        doc=schema.get("doc", ""),
        columns=columns,
        times=_times(columns),
        event_id=EVENT_ID if EVENT_ID in names else None,
        key=KEY if KEY in names else None,
        compacted=record_type.compacted,
        schema_text=record_type.published_text,
    )


def _columns(schema: Json, where: str, problems: list[str]) -> Iterator[Column]:
    for field in schema["fields"]:
        avro = field["type"]
        branches = [branch for branch in avro if branch != "null"] if isinstance(avro, list) else [avro]
        nullable = isinstance(avro, list) and "null" in avro
        path = f"{where}.{field['name']}"
        column = _column(field, branches[0], path, problems, nullable=nullable) if len(branches) == 1 else None
        if column:
            yield column
        else:
            problems.append(f"{path}: no engine has a column for its type {avro}; leave this record type out")


def _column(field: Json, avro: Any, path: str, problems: list[str], *, nullable: bool) -> Column | None:
    name, doc = field["name"], field.get("doc", "")
    match avro:
        case {"type": "bytes", "logicalType": "decimal", "precision": int(precision)}:
            return Column(name, "decimal", nullable, doc, precision, avro.get("scale", 0))
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return Column(name, "time", nullable, doc)
        case {"type": "array", "items": {"type": "record"} as record}:
            return Column(name, "records", nullable, doc, columns=tuple(_columns(record, f"{path}[]", problems)))
        case str() if avro in _PLAIN:
            return Column(name, _PLAIN[avro], nullable, doc)
    return None


def _times(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns whose first value is the event's time; none if the record has no time."""
    by_name = {column.name: column for column in columns if column.kind == "time"}
    if EVENT_TIME in by_name and not by_name[EVENT_TIME].nullable:
        return (by_name[EVENT_TIME],)
    if _RECEIVED not in by_name:
        return tuple(by_name.values())[:1]
    happened = next((by_name[name] for name in (EVENT_TIME, *_HAPPENED) if name in by_name), None)
    return (happened, by_name[_RECEIVED]) if happened else (by_name[_RECEIVED],)
