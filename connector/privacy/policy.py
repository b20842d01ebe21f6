"""Settings and schemas in, a decision for every field out; the functions that the compiled mapping writes treated fields with.

Of whole callbacks (dead letters, raw) nothing is left out, or they could not be replayed: they are sealed or kept. What the
settings ask for and cannot be is told, all of it at once.
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
"""The field that is the record's key on its topic, too."""

Outcome = Literal["keep", "drop", "mask", "hash", "seal"]


KEEP_ALL: Final = Privacy()


class Decision(NamedTuple):
    """What becomes of one field: its path, its class, what is done, and which setting says so (empty: none)."""

    path: str
    pii: str
    outcome: Outcome
    setting: str
    field: Json


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings make of personal data; without any everything is kept."""

    rules: Privacy = KEEP_ALL
    keyed: Keyed | None = None
    seals: Seals | None = None

    @classmethod
    def of(cls, rules: Privacy) -> "Policy":
        """Read the keys."""
        hash_key, seal_keys = rules.hash_key.get_secret_value(), rules.seal_keys.get_secret_value()
        keyed = Keyed(hash_key, rules.hash_key_id) if hash_key else None
        return cls(rules, keyed, Seals(read_keys(seal_keys)) if seal_keys else None)

    @property
    def keeps_all(self) -> bool:
        """Whether no setting asks for anything else."""
        outcomes = {*(getattr(self.rules, pii) for pii in Privacy.CLASSES), *self.rules.fields.values()}
        return outcomes == {"keep"}

    @property
    def hashes_keys(self) -> bool:
        """Whether records of a person are keyed by a hash; then the events' ids are keyed hashes too."""
        return self._rule(KEY, "phone", "")[0] == "hash"

    def decisions(self, name: str, schema: Json) -> Iterator[Decision]:
        """Yield what becomes of each field of a record type, lists of records without a rule of their own left out."""
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
        """Return a schema whose fields name their treatment, for the compiler."""
        treatments = {id(one.field): _treatment(one) for one in self.decisions(name, schema)}
        copy: Json = _with_treatments(schema, treatments)
        return copy

    @property
    def event_id(self) -> Callable[[bytes], str]:
        """Return what makes an event's id of its identity: a digest, keyed where keys are, or numbers could be tried on it."""
        return self.keyed.event_id if self.keyed and self.hashes_keys else plain_event_id

    def functions(self) -> Treatments:
        """Return the functions that treated fields are written with, by the names that `treated` gives."""
        functions: dict[str, Callable[[Any], bytes]] = {
            "masked": _text(masked),
            "masked_phone": _text(masked_phone),
            "masked_degrees": lambda value: avro.double(masked_degrees(value)),
            "masked_json": _text(lambda value: f'"{masked(value)}"'),
        }
        if self.keyed:
            keyed = self.keyed.hash
            # All hashes are of one length.
            length = avro.long(len(keyed("")))
            functions["hashed"] = lambda value: length + keyed(value)
            functions["hashed_json"] = lambda value: avro.text(b'"%s"' % keyed(value))
        if self.seals:
            seal = self.seals.seal
            functions["sealed_bytes"] = lambda value: avro.binary(seal(value))
            functions["sealed_text"] = _text(self.seals.seal_text)
        return functions

    def key_of(self, name: str, schema: Json) -> Callable[[str], bytes]:
        """Return what makes a record's key of the key's value: the key follows its field."""
        for one in self.decisions(name, schema):
            if one.path == KEY and one.outcome == "hash" and self.keyed:
                return self.keyed.hash
        return str.encode

    def _rule(self, path: str, pii: str, name: str) -> tuple[Outcome, str]:
        """Return the outcome for a field and the setting that says so: the more exact one wins."""
        fields = self.rules.fields
        full = f"{name}.{path}"
        if full in fields:
            return fields[full], f'fields."{full}"'
        # The keys of persons have one rule; what is keyed by the business's own number is told by its full name alone.
        if path in fields and not (path == KEY and pii == NOT_PERSONAL):
            return fields[path], f'fields."{path}"'
        outcome: Outcome = getattr(self.rules, pii) if pii in Privacy.CLASSES else "keep"
        return outcome, pii if outcome != "keep" else ""


def plain_event_id(identity: bytes) -> str:
    """Return 128 bits of SHA-256 in hexadecimal digits."""
    return hashlib.sha256(identity).hexdigest()[:32]


def holds_whole_callbacks(schema: Json) -> bool:
    """Return whether records hold callbacks as they were received."""
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
