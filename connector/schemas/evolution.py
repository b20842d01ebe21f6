"""How a schema may change once it is out: any record ever written stays readable, and every column keeps its meaning.

Two rules. FULL_TRANSITIVE is what registries check, and the Avro project's package here. The other rules are about what
registries let pass, each tried on a real one: a decimal's scale, a timestamp's unit, a logical type that goes or comes (the
bytes stay readable, the values become wrong), `string` for `bytes`, a record's name or namespace (generated classes and
readers by name break), and a field that goes: with its default old records stay readable, and every query for its column
breaks. A renamed field is one that goes.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from avro.schema import Schema

from connector.errors import NotAvro
from connector.mapping import compatibility
from connector.mapping.places import inside
from connector.records import Json
from connector.schemas.differences import Difference, What, differences
from connector.schemas.versions import Version
from connector.schemas.violation import Rule, Violation

_NEW_FIELD: Final = "give it back, and add a field of another name"
_FROZEN: Final[dict[What, tuple[Rule, str]]] = {
    "removed": ("field stays", "put the field back; its doc may say that it is no longer filled"),
    "type": ("type stays", _NEW_FIELD),
    "null": ("type stays", _NEW_FIELD),
    "logical type": ("logical type stays", _NEW_FIELD),
    "precision": ("decimal stays", _NEW_FIELD),
    "scale": ("decimal stays", _NEW_FIELD),
    "name": ("name stays", "give the record its name back"),
    "namespace": ("name stays", "give the record its namespace back"),
}
_WORDS: Final = {"null": "the place of null in its type", "removed": "the field"}


def evolution_rules(file: str, published: Json, text: str, past: Version) -> Iterator[Violation]:
    """Yield what `published` breaks against a version that is out; `text` is the same as it is registered."""
    told = set()
    for difference in differences(past.schema, published):
        if difference.what in _FROZEN:
            rule, advice = _FROZEN[difference.what]
            told.add(difference.path)
            yield Violation(file, difference.path, rule, _fault(difference), advice, past.label)
    try:
        incompatibilities = list(_incompatibilities(published, text, past))
    except NotAvro as no_schema:
        incompatibilities = [("", f"the two cannot be compared: {no_schema}")]
    for path, fault in incompatibilities:
        # Our own rule has named the place already, in better words.
        if path not in told:
            advice = "take the change back, or give what is new a default of null"
            yield Violation(file, path, "full transitive", fault, advice, past.label)


def _fault(difference: Difference) -> str:
    if difference.what == "removed":
        return f"is gone, or has another name; it was {difference.old}"
    what = _WORDS.get(difference.what, difference.what)
    return f"{what} is {difference.new or 'not there'}, was {difference.old or 'not there'}"


def _incompatibilities(published: Json, text: str, past: Version) -> Iterator[tuple[str, str]]:
    """Yield field paths and what is wrong there, in both directions."""
    new, old = _parsed(text), _parsed(past.text)
    directions = (
        (published, compatibility.unreadable(new, old), "the new schema cannot read it"),
        (past.schema, compatibility.unreadable(old, new), "it cannot read the new schema"),
    )
    for reader, unreadable, complaint in directions:
        if unreadable:
            words = f"{complaint}: {', '.join(unreadable.kinds).replace('_', ' ')} ({', '.join(unreadable.messages)})"
            for path in sorted({_path(reader, place) for place in unreadable.places}):
                yield path, words


def _path(schema: Json, place: str) -> str:
    """Return the path of the field that a place is about: `product_items[].currency` for `/fields/3/type/items/fields/0`."""
    path, before = "", ""
    node: Any = schema
    for step in place.strip("/").split("/"):
        try:
            node = node[int(step)] if isinstance(node, list) else node[step]
        except (LookupError, TypeError, ValueError):
            # It names what is missing.
            break
        if before == "fields":
            path = inside(path, node)
        elif step == "items":
            path += "[]"
        before = step
    return path


@lru_cache(maxsize=512)
def _parsed(text: str) -> Schema:
    """Versions are compared with several others."""
    return compatibility.parse(text)
