"""The tables of config/messages.toml in, their problems out. What they mean is in `catalogue`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from connector.mapping.compiler import ROOTS
from connector.mapping.field import path_fault
from connector.records import Json, Source
from connector.settings.tables import Topics

ANY_TYPE: Final = "*"
OPTIONAL_TOPICS: Final = frozenset(name for name, field in Topics.model_fields.items() if field.annotation is bool)
"""Settings of [topics] that turn a record type on."""
_KEYS: Final = ("from", "types", "each", "setting", "topic", "keyed_by", "large", "partitions", "replication_factor", "config")


def wrong_table(entry: Json) -> Iterator[str]:
    """Yield the problems of one table."""
    for key in entry:
        if key not in _KEYS:
            yield f"unknown key {key!r}; known are {', '.join(sorted(_KEYS))}"
    source = entry.get("from")
    if source not in get_args(Source):
        yield f"from must be one of {', '.join(get_args(Source))}"
    if (source == "messages") != bool(entry.get("types")):
        yield 'types is required with from = "messages", and not allowed otherwise'
    if not isinstance(entry.get("topic"), str):
        yield "topic is missing"
    types = entry.get("types", [])
    if not isinstance(types, list) or not all(isinstance(kind, str) for kind in types):
        yield 'types must be a list of strings, as in types = ["image", "video"]'
    elif "each" in entry and ANY_TYPE in types:
        yield f'types must name the message types: with each, "{ANY_TYPE}" is not allowed'
    if "each" in entry:
        yield from _wrong_each(entry["each"], source)
    if "setting" in entry and entry["setting"] not in OPTIONAL_TOPICS:
        yield f"setting must be one of {', '.join(sorted(OPTIONAL_TOPICS))}"
    yield from _wrong_topic_settings(entry)


def _wrong_each(path: Any, source: Any) -> Iterator[str]:
    if source in ("dead_letters", "raw"):
        yield f'each is not allowed with from = "{source}"'
    elif fault := path_fault(path, ROOTS):
        yield f"each: {path!r} {fault}"


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


def gaps(entries: Mapping[str, Any]) -> Iterator[str]:
    """Yield sources without a table or with several; a table counts even if its schema cannot be read."""
    tables = [entry for entry in entries.values() if isinstance(entry, dict) and "each" not in entry]
    for source in get_args(Source):
        count = sum(table.get("from") == source for table in tables)
        if source != "messages" and count != 1:
            yield f'config/messages.toml: {count} tables have from = "{source}"; exactly one must'
    if not any(ANY_TYPE in table["types"] for table in tables if isinstance(table.get("types"), list)):
        yield f'config/messages.toml: no table has types = ["{ANY_TYPE}"]; unknown message types need one'
