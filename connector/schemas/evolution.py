"""How a released schema can change: every record ever written stays readable, and every column keeps its meaning.

FULL_TRANSITIVE is what registries check, and here the Avro project's package. The other rules cover changes that registries
accept, each tried on a real one: a decimal's scale, a timestamp's unit, a logical type that is added or removed (the bytes
stay readable, the values become wrong), `string` for `bytes`, a record's name or namespace (generated classes and readers by
name break), and a removed field: thanks to its default old records stay readable, but every query for its column breaks. A
renamed field is a removed one.
"""

from collections.abc import Iterator
from typing import Any, Final

from connector.errors import NotAvro
from connector.mapping import compatibility
from connector.mapping.places import inside
from connector.records import Json
from connector.schemas.differences import Difference, What, differences
from connector.schemas.versions import Version
from connector.schemas.violation import Rule, Violation

_NEW_FIELD: Final = "restore it, and add a field with another name"
_FROZEN: Final[dict[What, tuple[Rule, str]]] = {
    "removed": ("field stays", "restore the field; its doc can say that it is no longer filled"),
    "type": ("type stays", _NEW_FIELD),
    "nullability": ("type stays", _NEW_FIELD),
    "logical type": ("logical type stays", _NEW_FIELD),
    "precision": ("decimal stays", _NEW_FIELD),
    "scale": ("decimal stays", _NEW_FIELD),
    "name": ("name stays", "restore the record's name"),
    "namespace": ("name stays", "restore the record's namespace"),
}
_WORDS: Final = {"nullability": "its type", "removed": "the field"}


def evolution_rules(file: str, published: Json, text: str, past: Version) -> Iterator[Violation]:
    """Yield the violations of `published` against an earlier version; `text` is the same schema as it is registered."""
    reported = set()
    for difference in differences(past.schema, published):
        if difference.what in _FROZEN:
            rule, advice = _FROZEN[difference.what]
            reported.add(difference.path)
            yield Violation(file, difference.path, rule, _fault(difference), advice, past.label)
    try:
        incompatibilities = list(_incompatibilities(published, text, past))
    except NotAvro as no_schema:
        incompatibilities = [("", f"the two cannot be compared: {no_schema}")]
    for path, fault in incompatibilities:
        # Our own rule has reported the field already, more precisely.
        if path not in reported:
            advice = "undo the change, or give new fields a default of null"
            yield Violation(file, path, "full transitive", fault, advice, past.label)


def _fault(difference: Difference) -> str:
    if difference.what == "removed":
        return f"was removed or renamed; it was {difference.old}"
    what = _WORDS.get(difference.what, difference.what)
    return f"{what} is {difference.new or 'not set'}, was {difference.old or 'not set'}"


def _incompatibilities(published: Json, text: str, past: Version) -> Iterator[tuple[str, str]]:
    """Yield field paths and their faults, in both directions."""
    new, old = compatibility.parse(text), compatibility.parse(past.text)
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
    """Return the field path of a place: `product_items[].currency` for `/fields/3/type/items/fields/0`."""
    path, before = "", ""
    node: Any = schema
    for step in place.strip("/").split("/"):
        try:
            node = node[int(step)] if isinstance(node, list) else node[step]
        except (LookupError, TypeError, ValueError):
            # The place is something that is missing in this schema.
            break
        if before == "fields":
            path = inside(path, node)
        elif step == "items":
            path += "[]"
        before = step
    return path
