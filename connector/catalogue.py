"""The record types: `avro/*.avsc` and `config/messages.toml` in, a checked catalogue out, once at start.

Data only: nothing here uses Kafka or the registry. One function finds the files, both in the wheel and in a checkout.
"""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import fastavro

from connector.errors import ConfigurationInvalid
from connector.mapping.compatibility import NO_SCHEMA, schema_fault
from connector.mapping.compiler import CompiledSchema, compile_schema, published
from connector.privacy.policy import Policy
from connector.privacy.problems import policy_problems
from connector.records import Json, Source
from connector.settings.tables import Settings

ANY_TYPE = "*"
KEEP_ALL = Policy()
_KEYS = {"from", "types", "topic", "keyed_by", "large", "partitions", "replication_factor", "config"}


@dataclass(frozen=True, slots=True)
class RecordType:
    """One kind of record: its schema, its topic, and what it is made from.

    `schema` has our own attributes, `published_text` is what is registered. `topic` is the full name, `topic_config` is passed
    to Kafka when the topic is created. `large` topics accept records of the size of a whole callback. `partitions` and
    `replication_factor` are None if the settings for all topics apply. `key_of` derives the record's key from the key's value,
    `event_id` the event's id from its identity.
    """

    name: str
    source: Source
    message_types: tuple[str, ...]
    topic: str
    keyed_by_wa_id: bool
    large: bool
    partitions: int | None
    replication_factor: int | None
    topic_config: Mapping[str, str]
    schema: Json
    mapping: CompiledSchema
    key_of: Callable[[str], bytes]
    event_id: Callable[[bytes], str]
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

    `raw` is None, and not among the record types, if callbacks are not stored as received.
    """

    record_types: Mapping[str, RecordType]
    by_message_type: Mapping[str, RecordType]
    any_message: RecordType
    status: RecordType
    contact: RecordType
    account_event: RecordType
    dead_letter: RecordType
    raw: RecordType | None
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
    """Return the catalogue for the settings: their folder, prefix, raw topic and privacy.

    Raises:
        ConfigurationInvalid: with every problem found.
    """
    policy = Policy.of(settings.privacy)
    return read_catalogue(folder_of(settings), settings.topics.prefix, raw=settings.topics.raw, policy=policy)


def read_catalogue(
    folder: Path | None = None,
    prefix: str = "kaleyra.whatsapp.",
    *,
    raw: bool = False,
    policy: Policy = KEEP_ALL,
) -> Catalogue:
    """Read, check and compile the catalogue in a folder with avro/ and config/messages.toml.

    `raw` is the setting topics.raw; `policy` decides how fields are treated.

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
    problems += [*_conflicts(record_types), *_gaps(entries)]
    problems += policy_problems(policy, {record_type.name: record_type.schema for record_type in record_types.values()})
    if problems:
        raise ConfigurationInvalid(problems)
    return _assemble(record_types, policy, raw=raw)


def _assemble(record_types: dict[str, RecordType], policy: Policy, *, raw: bool) -> Catalogue:
    if not raw:
        record_types = {name: record_type for name, record_type in record_types.items() if record_type.source != "raw"}
    by_source = {record_type.source: record_type for record_type in record_types.values()}
    by_type = {name: record_type for record_type in record_types.values() for name in record_type.message_types}
    return Catalogue(
        record_types=record_types,
        by_message_type={name: record_type for name, record_type in by_type.items() if name != ANY_TYPE},
        any_message=by_type[ANY_TYPE],
        status=by_source["statuses"],
        contact=by_source["contacts"],
        account_event=by_source["events"],
        dead_letter=by_source["dead_letters"],
        raw=by_source.get("raw"),
        policy=policy,
    )


def _conflicts(record_types: Mapping[str, RecordType]) -> list[str]:
    problems = []
    owners: dict[str, str] = {}
    for record_type in record_types.values():
        for claim in (f"topic {record_type.topic}", *(f"message type {kind}" for kind in record_type.message_types)):
            if claim in owners:
                problems.append(
                    f"config/messages.toml: [{owners[claim]}] and [{record_type.name}] both claim {claim}; only one can"
                )
            owners[claim] = record_type.name
    return problems


def _gaps(entries: Mapping[str, Any]) -> Iterator[str]:
    """Yield sources without a table or with several; a table counts even if its schema cannot be read."""
    tables = [entry for entry in entries.values() if isinstance(entry, dict)]
    for source in get_args(Source):
        count = sum(table.get("from") == source for table in tables)
        if source != "messages" and count != 1:
            yield f'config/messages.toml: {count} tables have from = "{source}"; exactly one must'
    if not any(ANY_TYPE in table["types"] for table in tables if isinstance(table.get("types"), list)):
        yield f'config/messages.toml: no table has types = ["{ANY_TYPE}"]; unknown message types need one'


def _read_record_type(
    folder: Path, name: str, entry: Any, prefix: str, policy: Policy, problems: list[str]
) -> RecordType | None:
    """Read one table and its schema; report their problems."""
    where = f"config/messages.toml, [{name}]"
    if not isinstance(entry, dict):
        problems.append(f"config/messages.toml: {name} is not a table")
        return None
    wrong = [f"{where}: unknown key {key!r}; known are {', '.join(sorted(_KEYS))}" for key in entry if key not in _KEYS]
    source = entry.get("from")
    if source not in get_args(Source):
        wrong.append(f"{where}: from must be one of {', '.join(get_args(Source))}")
    if (source == "messages") != bool(entry.get("types")):
        wrong.append(f'{where}: types is required with from = "messages", and not allowed otherwise')
    if not isinstance(entry.get("topic"), str):
        wrong.append(f"{where}: topic is missing")
    types = entry.get("types", [])
    if not isinstance(types, list) or not all(isinstance(kind, str) for kind in types):
        wrong.append(f'{where}: types must be a list of strings, as in types = ["image", "video"]')
    wrong += [f"{where}: {problem}" for problem in _wrong_topic_settings(entry)]
    schema, mapping, parsed = _read_schema(folder / "avro" / f"{name}.avsc", policy, wrong)
    problems += wrong
    if wrong or mapping is None:
        return None
    return RecordType(
        name=name,
        source=source,  # type: ignore[arg-type]  # checked above
        message_types=tuple(entry.get("types", ())),
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


def _wrong_topic_settings(entry: Json) -> Iterator[str]:
    """Yield the problems of a table's topic settings."""
    if entry.get("keyed_by", "wa_id") != "wa_id":
        yield 'keyed_by can only be "wa_id"'
    if not isinstance(entry.get("large", False), bool):
        yield "large must be true or false"
    for name in ("partitions", "replication_factor"):
        value = entry.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{name} must be a whole number of at least 1"
    if "partitions" in entry and "keyed_by" in entry:
        yield "partitions: topics keyed by wa_id need equal counts for joins; set topics.partitions for all of them"
    yield from _wrong_config(entry.get("config", {}), large=bool(entry.get("large")))


def _wrong_config(config: Any, *, large: bool) -> Iterator[str]:
    if not isinstance(config, dict):
        yield "config must be a table of topic settings"
        return
    for name, value in config.items():
        if not isinstance(value, str | int):
            yield f'config: {name} must be a string, a whole number, true or false; quote names with dots: "retention.ms" = 5'
        elif name == "max.message.bytes" and large:
            yield "config: large = true derives max.message.bytes from http.max_body_bytes; remove one of them"
        elif name == "min.insync.replicas" and not (str(value).isdigit() and int(value) > 0):
            yield "config: min.insync.replicas must be a whole number of at least 1"


def _as_kafka_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_schema(file: Path, policy: Policy, problems: list[str]) -> tuple[Json, CompiledSchema | None, Any]:
    where = f"avro/{file.name}"
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        parsed = fastavro.parse_schema(published(schema))
        return schema, compile_schema(policy.treated(file.stem, schema), policy.functions()), parsed
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
