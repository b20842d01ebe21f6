"""The state of the embedded registry: subjects with their versions, schema ids and compatibility levels. No HTTP.

Schema texts in, answers out, or `Refused` with Confluent's error code. `avro.compatibility` decides whether two schemas are
compatible. The state is in memory and ends with the object.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from avro.schema import Schema

from connector.dev.embedded.spelling import normalised
from connector.errors import NotAvro
from connector.mapping.compatibility import parse, unreadable

LEVELS: Final = frozenset(
    {"NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}
)
MODES: Final = frozenset({"READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT"})
_LATEST: Final = ("latest", "-1")


class Refused(Exception):
    """A call that the registry answers with an error. The first three digits of `error_code` are the HTTP status.

    https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors
    """

    def __init__(self, error_code: int, message: str) -> None:
        self.error_code = error_code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A schema as first registered; `content` is its normal form, equal for texts that mean the same."""

    text: str
    content: str
    rules: Schema


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version of a subject."""

    subject: str
    version: int
    id: int
    schema: str


@dataclass(slots=True)
class _Entry:
    id: int
    deleted: bool = False


class Subjects:
    """All subjects of one registry. An id belongs to one schema for the lifetime of this object."""

    def __init__(self) -> None:
        self._schemas: dict[int, AvroSchema] = {}
        self._ids: dict[str, int] = {}
        # Version numbers only grow, so each inner dict is in the order of its versions.
        self._entries: dict[str, dict[int, _Entry]] = {}
        # The level and the mode under None are the global ones.
        self._levels: dict[str | None, str] = {None: "NONE"}
        self._modes: dict[str | None, str] = {None: "READWRITE"}

    def register(self, subject: str, text: str) -> int:
        """Return the schema's id; add a version if the subject has none with this content."""
        schema = parse_schema(text)
        known_id = self._ids.get(schema.content)
        if known_id is not None and known_id in self._live(subject).values():
            return known_id
        if self.mode_in_force(subject).startswith("READONLY"):
            raise Refused(42205, f"Subject '{subject}' is in read-only mode")
        if faults := self._faults(subject, schema, None):
            raise Refused(409, f"Schema being registered is incompatible with subject '{subject}': {'; '.join(faults)}")
        schema_id = self._ids.setdefault(schema.content, len(self._ids) + 1)
        self._schemas.setdefault(schema_id, schema)
        entries = self._entries.setdefault(subject, {})
        entries[max(entries, default=0) + 1] = _Entry(schema_id)
        return schema_id

    def look_up(self, subject: str, text: str, *, deleted: bool = False) -> Version:
        """Return the newest version of the subject with this content."""
        schema_id = self._ids.get(parse_schema(text).content)
        for version, entry_id in reversed(self._known(subject, deleted=deleted).items()):
            if entry_id == schema_id:
                return self._version(subject, version, entry_id)
        raise Refused(40403, f"Schema not found under subject '{subject}'.")

    def names(self, *, prefix: str = "", deleted: bool = False) -> list[str]:
        """Return the subjects that have at least one version."""
        return sorted(name for name in self._entries if name.startswith(prefix) and self._live(name, deleted=deleted))

    def versions(self, subject: str, *, deleted: bool = False) -> list[int]:
        """Return the numbers of the subject's versions, oldest first."""
        return list(self._known(subject, deleted=deleted))

    def version(self, subject: str, which: str, *, deleted: bool = False) -> Version:
        """Return the version with a number, or the newest for `latest`."""
        known = self._known(subject, deleted=deleted)
        number = _numbered(which, known)
        return self._version(subject, number, known[number])

    def schema(self, schema_id: str) -> str:
        """Return the text of an id; it stays readable while a version is only soft deleted."""
        return self._schemas[self._used_id(schema_id)].text

    def uses(self, schema_id: str, *, deleted: bool = False) -> list[tuple[str, int]]:
        """Return every subject and version with an id."""
        used_id = self._used_id(schema_id)
        return [
            (subject, version)
            for subject in sorted(self._entries)
            for version, entry_id in self._live(subject, deleted=deleted).items()
            if entry_id == used_id
        ]

    def delete(self, subject: str, *, permanent: bool) -> list[int]:
        """Delete a subject and return its versions: first softly, then permanently with its level."""
        known, live = self._known(subject, deleted=True), self._live(subject)
        if permanent:
            if live:
                raise Refused(40405, f"Subject '{subject}' was not deleted first before being permanently deleted.")
            self._forget(subject)
            return list(known)
        if not live:
            raise Refused(40404, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently.")
        for version in live:
            self._entries[subject][version].deleted = True
        return list(live)

    def delete_version(self, subject: str, which: str, *, permanent: bool) -> int:
        """Delete one version and return its number: first softly, then permanently."""
        number = _numbered(which, self._known(subject, deleted=which not in _LATEST))
        entry = self._entries[subject][number]
        if not permanent:
            if entry.deleted:
                raise Refused(40406, f"Subject '{subject}' version {number} was soft deleted.")
            entry.deleted = True
            return number
        if not entry.deleted:
            raise Refused(40407, f"Subject '{subject}' version {number} was not deleted first.")
        del self._entries[subject][number]
        if not self._entries[subject]:
            self._forget(subject)
        return number

    def level(self, subject: str | None) -> str:
        """Return the compatibility level set for a subject, or the global one for `None`."""
        if subject not in self._levels:
            raise Refused(40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return self._levels[subject]

    def level_in_force(self, subject: str | None) -> str:
        """Return the compatibility level set for a subject or else the global one."""
        return self._levels.get(subject, self._levels[None])

    def set_level(self, subject: str | None, level: str) -> None:
        """Set the compatibility level of a subject, even before it exists, or the global one for `None`."""
        if level not in LEVELS:
            raise Refused(42203, f"Invalid compatibility level '{level}'; one of {', '.join(sorted(LEVELS))}.")
        self._levels[subject] = level

    def clear_level(self, subject: str | None) -> str:
        """Remove the compatibility level of a subject and return it; the global one returns to its default."""
        level = self.level(subject)
        del self._levels[subject]
        self._levels.setdefault(None, "NONE")
        return level

    def mode(self, subject: str | None) -> str:
        """Return the mode set for a subject, or the global one for `None`."""
        if subject not in self._modes:
            raise Refused(40409, f"Subject '{subject}' does not have subject-level mode configured")
        return self._modes[subject]

    def mode_in_force(self, subject: str | None) -> str:
        """Return the mode set for a subject or else the global one."""
        return self._modes.get(subject, self._modes[None])

    def set_mode(self, subject: str | None, mode: str) -> None:
        """Set the mode of a subject, or the global one for `None`; READONLY refuses new versions."""
        if mode not in MODES:
            raise Refused(42204, f"Invalid mode '{mode}'; one of {', '.join(sorted(MODES))}.")
        self._modes[subject] = mode

    def clear_mode(self, subject: str) -> str:
        """Remove the mode of a subject and return it."""
        mode = self.mode(subject)
        del self._modes[subject]
        return mode

    def incompatibilities(self, subject: str, text: str, which: str | None = None) -> list[str]:
        """Return why a schema cannot be registered, or cannot follow the given version; empty if it can."""
        return self._faults(subject, parse_schema(text), which)

    def _faults(self, subject: str, schema: AvroSchema, which: str | None) -> list[str]:
        level, live = self.level_in_force(subject), self._live(subject)
        if which is not None and which not in _LATEST:
            compared = [_numbered(which, live)]
        elif which is None and level.endswith("_TRANSITIVE"):
            compared = list(live)
        else:
            compared = list(live)[-1:]
        return [
            fault
            for version in compared
            for fault in _incompatibilities(level, version, self._schemas[live[version]].rules, schema.rules)
        ]

    def _live(self, subject: str, *, deleted: bool = False) -> dict[int, int]:
        """Return ids by version; `deleted` includes soft deleted ones. Empty for an unknown subject."""
        entries = self._entries.get(subject, {})
        return {version: entry.id for version, entry in entries.items() if deleted or not entry.deleted}

    def _known(self, subject: str, *, deleted: bool) -> dict[int, int]:
        known = self._live(subject, deleted=deleted)
        if not known:
            raise Refused(40401, f"Subject '{subject}' not found.")
        return known

    def _used_id(self, text: str) -> int:
        schema_id = _natural_number(text)
        if not any(entry.id == schema_id for entries in self._entries.values() for entry in entries.values()):
            raise Refused(40403, f"Schema {text} not found.")
        return schema_id

    def _version(self, subject: str, version: int, schema_id: int) -> Version:
        return Version(subject, version, schema_id, self._schemas[schema_id].text)

    def _forget(self, subject: str) -> None:
        del self._entries[subject]
        self._levels.pop(subject, None)
        self._modes.pop(subject, None)


def parse_schema(text: str) -> AvroSchema:
    """Parse a schema; refuse text that is not Avro."""
    try:
        rules = parse(text)
        content = json.dumps(normalised(json.loads(text)), sort_keys=True, separators=(",", ":"))
    except (NotAvro, RecursionError) as fault:
        raise Refused(42201, f"Invalid schema: {fault}") from fault
    return AvroSchema(text, content, rules)


def _incompatibilities(level: str, version: int, old: Schema, new: Schema) -> Iterator[str]:
    if level.startswith(("BACKWARD", "FULL")):
        yield from _unreadable(new, old, f"the new schema cannot read version {version}")
    if level.startswith(("FORWARD", "FULL")):
        yield from _unreadable(old, new, f"version {version} cannot read the new schema")


def _unreadable(reader: Schema, writer: Schema, complaint: str) -> Iterator[str]:
    try:
        fault = unreadable(reader, writer)
    except NotAvro as wrong:
        raise Refused(42201, f"Schemas cannot be compared: {wrong}") from wrong
    if fault:
        yield f"{complaint}: {fault}"


def _natural_number(text: str) -> int:
    """Return the number, or 0 for any other text, which is never a version or id."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


def _numbered(which: str, known: dict[int, int]) -> int:
    number = max(known) if which in _LATEST else _natural_number(which)
    if number not in known:
        raise Refused(40402, f"Version {which} not found.")
    return number
