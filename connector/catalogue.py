"""The record types: `avro/*.avsc` and `config/messages.toml` in, a checked catalogue out, once at start.

Data only: nothing here uses Kafka or the registry. One function finds the files, both in the wheel and in a checkout.
"""

import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

from connector.errors import ConfigurationInvalid
from connector.mapping.compatibility import NO_SCHEMA, schema_fault
from connector.mapping.compiler import CompiledSchema, compile_schema, published
from connector.privacy.policy import Policy
from connector.privacy.problems import policy_problems
from connector.record_tables import ANY_TYPE, OPTIONAL_TOPICS, gaps, wrong_table
from connector.records import Json, Source
from connector.settings.tables import Settings

KEEP_ALL = Policy()


@dataclass(frozen=True, slots=True)
class RecordType:
    """One kind of record: its schema, its topic, and what it is made from.

    `each` is the path of the list of whose elements its records are made, in addition to the record of the item itself; empty
    for all others. `setting` is the setting of [topics] that turns it on; empty if it is always on.

    `schema` has our own attributes, `published_text` is what is registered. `topic` is the full name, `topic_config` is passed
    to Kafka when the topic is created. `large` topics accept records of the size of a whole callback. `partitions` and
    `replication_factor` are None if the settings for all topics apply. `key_of` derives the record's key from the key's value,
    `event_id` the event's id from its identity.
    """

    name: str
    source: Source
    message_types: tuple[str, ...]
    each: str
    setting: str
    topic: str
    keyed_by_wa_id: bool
    large: bool
    partitions: int | None
    replication_factor: int | None
    topic_config: Mapping[str, str]
    schema: Json
    mapping: CompiledSchema
    key_of: Callable[[str], bytes]
    event_id: Callable[[bytes], bytes]
    published_text: str
    parsed: Any

    @property
    def subject(self) -> str:
        """The subject in the registry, by TopicNameStrategy."""
        return f"{self.topic}-value"

    @property
    def compacted(self) -> bool:
        """Whether the topic is compacted, so that Kafka refuses records without a key."""
        return "compact" in self.topic_config.get("cleanup.policy", "")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All record types, and the one that each part of a callback becomes.

    `raw` is None, and not among the record types, if callbacks are not stored as received. `each` are the record types that are
    made of the elements of a list.
    """

    record_types: Mapping[str, RecordType]
    by_message_type: Mapping[str, RecordType]
    any_message: RecordType
    status: RecordType
    contact: RecordType
    account_event: RecordType
    dead_letter: RecordType
    raw: RecordType | None
    each: tuple[RecordType, ...]
    policy: Policy

    def __iter__(self) -> Iterator[RecordType]:
        return iter(self.record_types.values())

    def of(self, source: Source, message_type: str) -> RecordType:
        """Return the record type that an item becomes."""
        if source == "messages":
            return self.by_message_type.get(message_type, self.any_message)
        if source == "events":
            return self.account_event
        return self.status if source == "statuses" else self.contact


def data_folder() -> Path:
    """Return the folder that holds avro/ and config/: inside the wheel, else the checkout's root."""
    package = Path(__file__).resolve().parent
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent


def folder_of(settings: Settings) -> Path:
    """Return the folder with avro/ and config/ from the settings, else the built-in one."""
    return Path(settings.catalogue.folder) if settings.catalogue.folder else data_folder()


def load_catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue for the settings: their folder, prefix, optional topics and privacy.

    Raises:
        ConfigurationInvalid: with every problem found.
    """
    policy = Policy.of(settings.privacy)
    return read_catalogue(folder_of(settings), settings.topics.prefix, optional=optional_topics(settings), policy=policy)


def optional_topics(settings: Settings) -> frozenset[str]:
    """Return the settings of [topics] that turn a record type on, as far as they are true."""
    return frozenset(name for name in OPTIONAL_TOPICS if getattr(settings.topics, name))


def read_catalogue(
    folder: Path | None = None,
    prefix: str = "kaleyra.whatsapp.",
    *,
    optional: Collection[str] = (),
    policy: Policy = KEEP_ALL,
) -> Catalogue:
    """Read, check and compile the catalogue in a folder with avro/ and config/messages.toml.

    `optional` are the settings of [topics] that are true and turn a record type on; `policy` decides how fields are treated.

    Raises:
        ConfigurationInvalid: with every problem found.
    """
    folder = folder or data_folder()
    problems: list[str] = []
    try:
        entries = tomllib.loads((folder / "config" / "messages.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        where = f"{error.strerror} in {folder}" if isinstance(error, OSError) else error
        advice = "set catalogue.folder to the folder that contains config/ and avro/"
        raise ConfigurationInvalid([f"config/messages.toml: cannot be read: {where}; {advice}"]) from None
    record_types = {}
    for name, entry in entries.items():
        record_type = _read_record_type(folder, name, entry, prefix, policy, problems)
        if record_type:
            record_types[name] = record_type
    problems += [
        f"avro/{file.name}: config/messages.toml has no table [{file.stem}]; add one or delete the schema"
        for file in sorted((folder / "avro").glob("*.avsc"))
        if file.stem not in entries
    ]
    problems += [*_conflicts(record_types), *gaps(entries)]
    problems += policy_problems(policy, {record_type.name: record_type.schema for record_type in record_types.values()})
    if problems:
        raise ConfigurationInvalid(problems)
    used = {name: one for name, one in record_types.items() if not one.setting or one.setting in optional}
    return _assemble(used, policy)


def _assemble(record_types: dict[str, RecordType], policy: Policy) -> Catalogue:
    of_items = [record_type for record_type in record_types.values() if not record_type.each]
    by_source = {record_type.source: record_type for record_type in of_items}
    by_type = {name: record_type for record_type in of_items for name in record_type.message_types}
    return Catalogue(
        record_types=record_types,
        by_message_type={name: record_type for name, record_type in by_type.items() if name != ANY_TYPE},
        any_message=by_type[ANY_TYPE],
        status=by_source["statuses"],
        contact=by_source["contacts"],
        account_event=by_source["events"],
        dead_letter=by_source["dead_letters"],
        raw=by_source.get("raw"),
        each=tuple(record_type for record_type in record_types.values() if record_type.each),
        policy=policy,
    )


def _conflicts(record_types: Mapping[str, RecordType]) -> list[str]:
    problems = []
    owners: dict[str, str] = {}
    for record_type in record_types.values():
        types = () if record_type.each else record_type.message_types
        for claim in (f"topic {record_type.topic}", *(f"message type {kind}" for kind in types)):
            if claim in owners:
                problems.append(
                    f"config/messages.toml: [{owners[claim]}] and [{record_type.name}] both claim {claim}; only one can"
                )
            owners[claim] = record_type.name
    return problems


def _read_record_type(
    folder: Path, name: str, entry: Any, prefix: str, policy: Policy, problems: list[str]
) -> RecordType | None:
    """Read one table and its schema; report their problems."""
    where = f"config/messages.toml, [{name}]"
    if not isinstance(entry, dict):
        problems.append(f"config/messages.toml: {name} is not a table")
        return None
    wrong = [f"{where}: {problem}" for problem in wrong_table(entry)]
    schema, mapping, parsed = _read_schema(folder / "avro" / f"{name}.avsc", policy, str(entry.get("each", "")), wrong)
    problems += wrong
    if wrong or mapping is None:
        return None
    return RecordType(
        name=name,
        source=entry["from"],
        message_types=tuple(entry.get("types", ())),
        each=entry.get("each", ""),
        setting=entry.get("setting", ""),
        topic=prefix + entry["topic"],
        keyed_by_wa_id=entry.get("keyed_by") == "wa_id",
        large=bool(entry.get("large")),
        partitions=entry.get("partitions"),
        replication_factor=entry.get("replication_factor"),
        topic_config={key: _as_kafka_text(value) for key, value in entry.get("config", {}).items()},
        schema=schema,
        mapping=mapping,
        key_of=policy.key_of(name, schema),
        event_id=policy.event_id,
        published_text=json.dumps(published(schema), ensure_ascii=False),
        parsed=parsed,
    )


def _as_kafka_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_schema(file: Path, policy: Policy, each: str, problems: list[str]) -> tuple[Json, CompiledSchema | None, Any]:
    where = f"avro/{file.name}"
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        parsed = fastavro.parse_schema(published(schema))
        return schema, compile_schema(policy.treated(file.stem, schema), policy.functions(), each), parsed
    except OSError:
        problems.append(f"{where}: is missing; every table of config/messages.toml needs its schema")
    except json.JSONDecodeError as error:
        problems.append(f"{where}: is not JSON: line {error.lineno}, column {error.colno}: {error.msg}")
    except UnicodeDecodeError as error:
        problems.append(f"{where}: is not JSON: not UTF-8 at byte {error.start}")
    except NO_SCHEMA as error:
        problems.append(f"{where}: is not an Avro schema: {schema_fault(error)}")
    except ConfigurationInvalid as invalid:
        # The compiler names the record; users know the file.
        problems.extend(problem.replace(f"{schema['name']}.avsc", where, 1) for problem in invalid.problems)
    return {}, None, None
