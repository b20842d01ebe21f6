"""Settings and schemas in, a decision for every field out, and the functions with which compiled code writes treated fields.

Whole callbacks (dead letters, raw) are sealed or kept, never changed, because they could not be replayed otherwise. `problems`
reports what the settings ask for and the schemas do not allow.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from connector.mapping import avro_writer as avro
from connector.mapping.compiler import Treatments
from connector.mapping.places import NOT_PERSONAL, fields_within
from connector.privacy.keyed import Keyed
from connector.privacy.masks import masked, masked_degrees, masked_phone
from connector.records import Json
from connector.seals import Seals, read_keys
from connector.settings.tables import Privacy

KEY: Final = "record_key"
"""The field that is also the key of the Kafka record."""

Outcome = Literal["keep", "drop", "mask", "hash", "seal"]


KEEP_ALL: Final = Privacy()


class Decision(NamedTuple):
    """The decision for one field: its path, its class, the outcome, and the setting that decides it (empty: none)."""

    path: str
    pii: str
    outcome: Outcome
    setting: str
    field: Json


@dataclass(frozen=True, slots=True)
class Policy:
    """The treatment of personal data; by default everything is kept."""

    rules: Privacy = KEEP_ALL
    keyed: Keyed | None = None
    seals: Seals | None = None

    @classmethod
    def of(cls, rules: Privacy) -> "Policy":
        """Create the policy from the settings, which have validated the keys."""
        hash_key, seal_keys = rules.hash_key.get_secret_value(), rules.seal_keys.get_secret_value()
        keyed = Keyed(hash_key, rules.hash_key_id) if hash_key else None
        return cls(rules, keyed, Seals(read_keys(seal_keys)) if seal_keys else None)

    @property
    def keeps_all(self) -> bool:
        """Whether every field is kept."""
        outcomes = {*(getattr(self.rules, pii) for pii in Privacy.CLASSES), *self.rules.fields.values()}
        return outcomes == {"keep"}

    @property
    def hashes_keys(self) -> bool:
        """Whether record keys of people are hashed; then event ids are keyed hashes too."""
        return self._rule(KEY, "phone", "")[0] == "hash"

    def decisions(self, name: str, schema: Json) -> Iterator[Decision]:
        """Yield the decision for each field of a record type, except lists of records that have no rule."""
        whole = holds_whole_callbacks(schema)
        for path, field in fields_within(schema):
            pii = field.get("pii", "")
            if whole:
                is_sealed = self.seals is not None and pii not in ("", NOT_PERSONAL)
                yield Decision(path, pii, "seal" if is_sealed else "keep", "seal_keys" if is_sealed else "", field)
                continue
            outcome, setting = self._rule(path, pii, name)
            if setting or kind_of(field) != "array":
                yield Decision(path, pii, outcome, setting, field)

    def treated(self, name: str, schema: Json) -> Json:
        """Return a copy of the schema in which each field names its treatment, for the compiler."""
        treatments = {id(one.field): _treatment(one) for one in self.decisions(name, schema)}
        copy: Json = _with_treatments(schema, treatments)
        return copy

    @property
    def event_id(self) -> Callable[[bytes], bytes]:
        """Return the function from an event's identity to its id in ASCII: a digest, keyed if record keys are hashed."""
        return self.keyed.event_id if self.keyed and self.hashes_keys else plain_event_id

    def functions(self) -> Treatments:
        """Return the functions that write treated fields, by the names that `treated` uses."""
        functions: dict[str, Callable[[Any], bytes]] = {
            "masked": _text(masked),
            "masked_phone": _text(masked_phone),
            "masked_degrees": lambda value: avro.double(masked_degrees(value)),
            "masked_json": _text(lambda value: f'"{masked(value)}"'),
        }
        if self.keyed:
            keyed = self.keyed.hash
            # All hashes have the same length.
            length = avro.long(len(keyed("")))
            functions["hashed"] = lambda value: length + keyed(value)
            functions["hashed_json"] = lambda value: avro.text(b'"%s"' % keyed(value))
        if self.seals:
            seal = self.seals.seal
            functions["sealed_bytes"] = lambda value: avro.binary(seal(value))
            functions["sealed_text"] = _text(self.seals.seal_text)
        return functions

    def key_of(self, name: str, schema: Json) -> Callable[[str], bytes]:
        """Return the function from the key's value to the record's key, which is treated like its field."""
        for one in self.decisions(name, schema):
            if one.path == KEY and one.outcome == "hash" and self.keyed:
                return self.keyed.hash
        return str.encode

    def _rule(self, path: str, pii: str, name: str) -> tuple[Outcome, str]:
        """Return the outcome for a field and the setting that decides it; the most specific one wins."""
        fields = self.rules.fields
        full = f"{name}.{path}"
        if full in fields:
            return fields[full], f'fields."{full}"'
        # A rule for record_key applies to people only; keys of the business need a rule with the record type's name.
        if path in fields and not (path == KEY and pii == NOT_PERSONAL):
            return fields[path], f'fields."{path}"'
        outcome: Outcome = getattr(self.rules, pii) if pii in Privacy.CLASSES else "keep"
        return outcome, pii if outcome != "keep" else ""


def plain_event_id(identity: bytes) -> bytes:
    """Return 128 bits of SHA-256 in 32 hexadecimal digits."""
    return hashlib.sha256(identity).hexdigest()[:32].encode()


def holds_whole_callbacks(schema: Json) -> bool:
    """Return whether the records hold callbacks as received."""
    return any(field.get("source") == "callback.body" for field in schema["fields"])


def _treatment(one: Decision) -> str:
    if one.outcome in ("keep", "drop"):
        return "" if one.outcome == "keep" else "drop"
    if one.outcome == "seal":
        return f"sealed_{kind_of(one.field).replace('string', 'text')}"
    if one.outcome == "mask" and kind_of(one.field) == "double":
        return "masked_degrees"
    if one.outcome == "mask" and one.pii == "phone":
        return "masked_phone"
    return f"{one.outcome}ed{'_json' if one.field.get('raw') else ''}"


def _with_treatments(node: Any, treatments: Mapping[int, str]) -> Any:
    if isinstance(node, dict):
        copy = {name: _with_treatments(part, treatments) for name, part in node.items()}
        return {**copy, "treatment": treatments.get(id(node), "")} if "name" in node else copy
    if isinstance(node, list):
        return [_with_treatments(part, treatments) for part in node]
    return node


def _text(change: Callable[[str], str]) -> Callable[[str], bytes]:
    return partial(_changed, change)


def _changed(change: Callable[[str], str], value: str) -> bytes:
    return avro.text(change(value).encode())


def kind_of(field: Json) -> str:
    """Return the plain type of a field: `string`, `double`, `long`, `bytes`, `boolean`, `array`."""
    branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kind = next((branch for branch in branches if branch != "null"), "null")
    return str(kind["type"] if isinstance(kind, dict) else kind)
