"""The house rules, which every schema of ours keeps in addition to Avro's.

A decoded schema that is valid Avro in, violations out. The rules for changes are in `evolution`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connector.mapping.places import NOT_PERSONAL, fields_within, records_within
from connector.records import Json
from connector.schemas.violation import Violation

NAMESPACE: Final = "kaleyra.whatsapp"
PII_CLASSES: Final = ("phone", "name", "content", "location", "link")
OF_EVENT: Final = ("event_id", "event_at")
"""The fields of every record: its id and its time, so that readers drop duplicates and find the time everywhere alike."""
REQUIRED: Final = ("message_id", "message_type", "record_key", "key_source", *OF_EVENT, "received_at")
REQUIRED_OF_RAW: Final = (*OF_EVENT, "received_at")
REQUIRED_OF_DEAD_LETTERS: Final = (*REQUIRED_OF_RAW, "reason", "step")

COMMON_BLOCK: Final = (
    *("message_id", "message_type", "record_key", "key_source", *OF_EVENT),
    *("wa_id", "user_id", "from_number", "profile_name", "username"),
    *("phone_number_id", "display_phone_number", "waba_id", "trace_id"),
    *("sent_at", "received_at"),
    *("media_url", "ref", "ref1", "ref2", "reply_to"),
    *("context_message_id", "context_from", "forwarded", "frequently_forwarded"),
    *("referred_catalog_id", "referred_product_retailer_id"),
    "group_id",
    *("referral_source_url", "referral_source_id", "referral_source_type", "referral_headline", "referral_body"),
    *("referral_media_type", "referral_media_url", "referral_ctwa_clid"),
)
"""The fields that every record of a message begins with."""

_OF_EVENT: Final[dict[str, tuple[Any, str]]] = {
    "event_id": ("string", "The event's id, which a second delivery has too; equal to the header ce_id."),
    "event_at": (
        {"type": "long", "logicalType": "timestamp-millis"},
        (
            "When it happened: the event's own time if it is between 2000 and 2100 and at most 5 minutes after received_at, "
            "else received_at."
        ),
    ),
}

_PASCAL_CASE: Final = re.compile(r"([A-Z][a-z0-9]*)+")
_SNAKE_CASE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def house_rules(name: str, schema: Json, source: str) -> Iterator[Violation]:
    """Yield the violations of one schema; `name` is its record type, `source` the `from` of its table, empty without one."""
    file = f"avro/{name}.avsc"
    yield from _names(file, name, schema)
    yield from _of_event(file, schema["fields"])
    of_source = {"dead_letters": REQUIRED_OF_DEAD_LETTERS, "raw": REQUIRED_OF_RAW, "": REQUIRED + REQUIRED_OF_DEAD_LETTERS}
    allowed = of_source.get(source, REQUIRED)
    for path, record in records_within(schema):
        if not _has_doc(record):
            yield Violation(file, path, "doc", f"record {record['name']} has no doc", "describe what one record is")
    for path, field in fields_within(schema):
        if not _has_doc(field):
            yield Violation(file, path, "doc", "has no doc", "describe the field, and when it is null")
        yield from _type(file, path, field, allowed)
        yield from _personal(file, path, field)


def common_block(schemas: Mapping[str, Json]) -> Iterator[Violation]:
    """Yield where the schemas of messages, by record type, do not begin with the same fields.

    The majority decides: names, order, types, docs and our own attributes.
    """
    usual = {}
    for position, field_name in enumerate(COMMON_BLOCK):
        counted = Counter(
            json.dumps(schema["fields"][position], sort_keys=True)
            for schema in schemas.values()
            if position < len(schema["fields"]) and schema["fields"][position]["name"] == field_name
        )
        usual[field_name] = json.loads(counted.most_common(1)[0][0]) if counted else None
    for name, schema in schemas.items():
        yield from _different_beginning(f"avro/{name}.avsc", schema["fields"], usual)


def _different_beginning(file: str, fields: list[Json], usual: Mapping[str, Json | None]) -> Iterator[Violation]:
    for position, field_name in enumerate(COMMON_BLOCK):
        found = fields[position]["name"] if position < len(fields) else "nothing"
        if found != field_name:
            fault = f"{found} is in the place of {field_name}"
            advice = "begin with the same fields as the other schemas of messages, in the same order"
            # The other fields are only shifted.
            yield Violation(file, field_name, "common block", fault, advice)
            return
        field, other = fields[position], usual[field_name]
        if other and field != other:
            differing = [key for key in {**other, **field} if field.get(key) != other.get(key)]
            verb = "differ" if len(differing) > 1 else "differs"
            fault = f"its {' and '.join(differing)} {verb} from the other schemas of messages"
            yield Violation(file, field_name, "common block", fault, "copy the line from another schema of messages")


def _names(file: str, name: str, schema: Json) -> Iterator[Violation]:
    expected = "".join(part.capitalize() for part in name.split("_"))
    if schema.get("namespace") != NAMESPACE:
        yield Violation(file, "", "namespace", f"is {schema.get('namespace')!r}", f"make it {NAMESPACE!r}")
    if schema["name"] != expected:
        fault = f"{schema['name']} is not the file's name in PascalCase"
        yield Violation(file, "", "record name", fault, f"rename the record to {expected}, or rename the file")
    for path, record in records_within(schema):
        if path and not _PASCAL_CASE.fullmatch(record["name"]):
            yield Violation(file, path, "record name", f"{record['name']} is not PascalCase", "rename the record")
        if path and record.get("namespace", NAMESPACE) != NAMESPACE:
            yield Violation(file, path, "namespace", f"is {record['namespace']!r}", f"remove it: it is {NAMESPACE!r}")
    for path, field in fields_within(schema):
        if not _SNAKE_CASE.fullmatch(field["name"]):
            yield Violation(file, path, "field name", f"{field['name']} is not snake_case", "rename the field")


def _of_event(file: str, fields: list[Json]) -> Iterator[Violation]:
    """Yield where a record does not have its id and time right after its key, or first if it has no key."""
    names = [field["name"] for field in fields]
    first = names.index("key_source") + 1 if "key_source" in names else 0
    for position, (field_name, (avro, doc)) in enumerate(_OF_EVENT.items(), first):
        found = fields[position] if position < len(fields) else {}
        if found.get("name") != field_name:
            advice = f'add "{" and ".join(_OF_EVENT)}" right after key_source, or first in a record without a key'
            yield Violation(file, field_name, "event", "is not in its place", advice)
            return
        if found["type"] != avro or found.get("doc") != doc:
            advice = f'make its type {json.dumps(avro)}, and its doc "{doc}"'
            yield Violation(file, field_name, "event", "its type or doc is not that of all schemas", advice)


def _type(file: str, path: str, field: Json, allowed: tuple[str, ...]) -> Iterator[Violation]:
    avro = field["type"]
    if "enum" in _type_names(avro):
        advice = "make it a string and list the values in its doc: readers that expect a string break on an enum"
        yield Violation(file, path, "no enum", "is an enum", advice)
    elif isinstance(avro, list):
        if avro[0] != "null" or len(avro) != 2 or field.get("default", "") is not None:
            advice = 'write "type": ["null", T], "default": null'
            yield Violation(file, path, "optional", "is not null first, then one type, with default null", advice)
    elif isinstance(avro, dict) and avro.get("type") == "array":
        if field.get("default") != []:
            yield Violation(file, path, "optional", "is a list without an empty default", 'add "default": []')
    elif "default" in field:
        advice = 'write "type": ["null", T], "default": null: another default hides that the value was missing'
        yield Violation(file, path, "optional", "has a default and is not nullable", advice)
    elif field["name"] not in allowed and not _is_always_there(field):
        advice = 'write "type": ["null", T], "default": null: a required field can never become optional again'
        yield Violation(file, path, "required", f"is required; only {', '.join(allowed)} can be", advice)


def _personal(file: str, path: str, field: Json) -> Iterator[Violation]:
    """Yield a field that does not say whether it is personal; for a list of records its fields say so."""
    known = f"known are {', '.join(PII_CLASSES)}, and {NOT_PERSONAL} for data that is not personal"
    if "pii" not in field:
        if not (isinstance(field["type"], dict) and field["type"].get("type") == "array"):
            yield Violation(file, path, "pii", "does not say whether it is personal", f'add "pii"; {known}')
    elif field["pii"] not in (*PII_CLASSES, NOT_PERSONAL):
        yield Violation(file, path, "pii", f"{field['pii']!r} is not a class of personal data", known)


def _is_always_there(field: Json) -> bool:
    """Return whether the field has the JSON of a whole item, which no callback can omit."""
    return bool(field.get("raw")) and isinstance(field.get("source"), str) and "." not in field["source"]


def _type_names(avro: Any) -> set[str]:
    """Return the names of a type and of those in its union or list; fields of records are checked separately."""
    match avro:
        case str():
            return {avro}
        case list():
            return set().union(*map(_type_names, avro))
        case {"type": "array", "items": inner} | {"type": "map", "values": inner}:
            return _type_names(inner)
        case {"type": inner}:
            return _type_names(inner)
    return set()


def _has_doc(node: Json) -> bool:
    return isinstance(node.get("doc"), str) and bool(node["doc"].strip())
