"""A policy and the schemas in, a message out for everything that `[privacy]` asks for and the schemas do not allow."""

from collections.abc import Iterator, Mapping

from connector.mapping.field import EVENT_ID
from connector.mapping.places import NOT_PERSONAL, fields_within
from connector.privacy.policy import KEY, Decision, Policy, holds_whole_callbacks, kind_of
from connector.records import Json
from connector.settings.tables import Privacy

_MASKED = ("string", "double")
_IDS = (EVENT_ID, "each.event_id")
"""Sources of ids of events: digests, keyed if record keys are hashed."""


def policy_problems(policy: Policy, schemas: Mapping[str, Json]) -> list[str]:
    """Return every conflict of a policy with the schemas, given by record type."""
    if policy.keeps_all:
        return []
    decisions = {name: list(policy.decisions(name, schema)) for name, schema in schemas.items()}
    return [
        *_keys(policy, decisions),
        *_unknown(policy, schemas),
        *_undecided(decisions),
        *_record_keys(decisions),
        *_fields(decisions),
    ]


def _keys(policy: Policy, decisions: Mapping[str, list[Decision]]) -> Iterator[str]:
    settings = dict.fromkeys(one.setting for each in decisions.values() for one in each if one.outcome == "hash")
    if settings and policy.keyed is None:
        advice = "set CONNECTOR_PRIVACY__HASH_KEY_FILE to a file that contains one, the same for all instances"
        yield f'privacy.hash_key: is not set, and privacy.{next(iter(settings))} = "hash" needs it; {advice}'


def _unknown(policy: Policy, schemas: Mapping[str, Json]) -> Iterator[str]:
    paths = {path for schema in schemas.values() if not holds_whole_callbacks(schema) for path, _ in fields_within(schema)}
    full = {f"{name}.{path}" for name, schema in schemas.items() for path, _ in fields_within(schema)}
    whole = {name for name, schema in schemas.items() if holds_whole_callbacks(schema)}
    for name in policy.rules.fields:
        if name in full and name.partition(".")[0] in whole:
            advice = "remove it; privacy.seal_keys encrypts them"
            yield f'privacy.fields."{name}": whole callbacks are never changed, or they could not be replayed; {advice}'
        elif name in full and name.endswith(f".{KEY}") and _is_personal(name, schemas):
            yield f'privacy.fields."{name}": {KEY} has one rule for all topics, or they could not be joined; write only {KEY}'
        elif name not in full and name not in paths:
            advice = "`connector privacy` lists all; examples are order.text (one record type) and cards[].vcard (in a list)"
            yield f'privacy.fields."{name}": no schema has such a field; {advice}'


def _is_personal(name: str, schemas: Mapping[str, Json]) -> bool:
    record_type, _, path = name.partition(".")
    return any(field.get("pii") != NOT_PERSONAL for found, field in fields_within(schemas[record_type]) if found == path)


def _undecided(decisions: Mapping[str, list[Decision]]) -> Iterator[str]:
    known = (*Privacy.CLASSES, NOT_PERSONAL)
    for name, each in decisions.items():
        for one in each:
            if one.pii not in known and kind_of(one.field) != "array":
                advice = f'add "pii" to it, one of {", ".join(known)}'
                fault = "does not say whether it is personal, and [privacy] needs to know"
                yield f"avro/{name}.avsc, field {one.path}: {fault}; {advice}"


def _record_keys(decisions: Mapping[str, list[Decision]]) -> Iterator[str]:
    settings = dict.fromkeys(
        (one.setting, one.outcome)
        for each in decisions.values()
        for one in each
        if one.path == KEY and one.outcome in ("drop", "mask")
    )
    for setting, outcome in settings:
        fault = "removes the key of every record: nothing would be ordered, joined or compacted by person"
        yield f'privacy.{setting} = "{outcome}": {fault}; set {KEY} = "hash" (or "keep") in [privacy.fields]'


def _fields(decisions: Mapping[str, list[Decision]]) -> Iterator[str]:
    """Yield each fault once, with the record types that it affects."""
    places: dict[tuple[str, str, str, str], list[str]] = {}
    for name, each in decisions.items():
        for one in each:
            if one.path != KEY and (fault := _fault(one)):
                places.setdefault((one.setting, one.outcome, one.path, fault), []).append(name)
    for (setting, outcome, path, fault), names in places.items():
        yield f'privacy.{setting} = "{outcome}": {path} {fault} (in {", ".join(names)})'


def _fault(one: Decision) -> str:
    kind = kind_of(one.field)
    if one.outcome != "keep" and one.field.get("source") in _IDS:
        return "is an event's id, by which readers drop second deliveries and find the order of a line; remove the rule"
    if one.outcome == "drop":
        is_required = not isinstance(one.field["type"], list) and kind != "array"
        return (
            f'is required and cannot be dropped; set "{one.path}" to keep, mask or hash in [privacy.fields]'
            if is_required
            else ""
        )
    possible = {"mask": _MASKED, "hash": ("string",)}.get(one.outcome)
    if possible and kind not in possible:
        return f'is of type {kind}, which has no {one.outcome}; set "{one.path}" to keep or drop in [privacy.fields]'
    if one.outcome == "mask" and kind == "double" and one.pii != "location":
        return f'is a number but not a coordinate, so it has no mask; set "{one.path}" to keep or drop in [privacy.fields]'
    return ""
