"""Two published schemas in, their `Difference`s out, field by field; docs and our own attributes are ignored.

A field is identified by its path. For a field that was added or removed, the fields inside it are not listed.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from connector.mapping.places import fields_within, records_within, without_docs
from connector.records import Json

What = Literal[
    "added",
    "removed",
    "type",
    "nullability",
    "logical type",
    "precision",
    "scale",
    "default",
    "name",
    "namespace",
    "aliases",
    "order",
]

_NULLABILITY: Final = {"none": "not nullable", "first": "nullable (null first)", "last": "nullable (null last)"}


class Difference(NamedTuple):
    """One difference. `old` and `new` are the two values as text; None means that there is none."""

    path: str
    what: What
    old: str | None
    new: str | None


class Kind(NamedTuple):
    """A field's type in parts. `null` is the position of null in its union: none, first or last."""

    type: str
    null: str
    logical_type: str | None = None
    precision: int | None = None
    scale: int | None = None

    def __str__(self) -> str:
        plain = self.type
        if self.logical_type:
            digits = f"({self.precision}, {self.scale})" if self.logical_type == "decimal" else ""
            plain = f"{self.logical_type}{digits}"
        return {"none": plain, "first": f"null or {plain}", "last": f"{plain} or null"}[self.null]


def differences(old: Json, new: Json) -> Iterator[Difference]:
    """Yield the differences in the order of the fields of `new`; removed fields are last."""
    yield from _between_records(old, new)
    before, after = dict(fields_within(old)), dict(fields_within(new))
    for path, field in after.items():
        if path in before:
            yield from _between_fields(path, before[path], field)
        elif _parent(path) in before or not _parent(path):
            yield Difference(path, "added", None, str(kind_of(field["type"])))
    for path, field in before.items():
        if path not in after and (_parent(path) in after or not _parent(path)):
            yield Difference(path, "removed", str(kind_of(field["type"])), None)


def kind_of(avro: Any) -> Kind:
    """Split a type into its parts; a union of several types other than null stays one text."""
    branches = avro if isinstance(avro, list) else [avro]
    null = "none" if "null" not in branches else "first" if branches[0] == "null" else "last"
    match [branch for branch in branches if branch != "null"]:
        case [{"type": "array", "items": items}]:
            return Kind(f"array of {kind_of(items)}", null)
        case [{"type": "record"}]:
            return Kind("record", null)
        case [{"type": str(base), "logicalType": str(logical)} as whole]:
            return Kind(base, null, logical, whole.get("precision"), whole.get("scale", 0) if logical == "decimal" else None)
        case [{"type": str(base), **more}] if not more:
            return Kind(base, null)
        case [str(base)]:
            return Kind(base, null)
        case others:
            return Kind(json.dumps(without_docs(others), ensure_ascii=False), null)


def _between_records(old: Json, new: Json) -> Iterator[Difference]:
    before = {path: (record, _names(record, old)) for path, record in records_within(old)}
    for path, record in records_within(new):
        if path not in before:
            continue
        past, (namespace, name) = before[path]
        new_namespace, new_name = _names(record, new)
        if name != new_name:
            yield Difference(path, "name", name, new_name)
        if namespace != new_namespace:
            yield Difference(path, "namespace", namespace, new_namespace)
        yield from _values(path, "aliases", past, record)
        yield from _order(path, past, record)


def _between_fields(path: str, old: Json, new: Json) -> Iterator[Difference]:
    was, is_now = kind_of(old["type"]), kind_of(new["type"])
    if was.type != is_now.type:
        yield Difference(path, "type", was.type, is_now.type)
    if was.null != is_now.null:
        yield Difference(path, "nullability", _NULLABILITY[was.null], _NULLABILITY[is_now.null])
    if was.logical_type != is_now.logical_type:
        yield Difference(path, "logical type", was.logical_type, is_now.logical_type)
    elif was.logical_type:
        if was.precision != is_now.precision:
            yield Difference(path, "precision", str(was.precision), str(is_now.precision))
        if was.scale != is_now.scale:
            yield Difference(path, "scale", str(was.scale), str(is_now.scale))
    yield from _values(path, "default", old, new)
    yield from _values(path, "aliases", old, new)


def _values(path: str, what: Literal["default", "aliases"], old: Json, new: Json) -> Iterator[Difference]:
    texts = [json.dumps(side[what], ensure_ascii=False) if what in side else None for side in (old, new)]
    if texts[0] != texts[1]:
        yield Difference(path, what, *texts)


def _order(path: str, old: Json, new: Json) -> Iterator[Difference]:
    """Yield the first field that is in another position, among the fields that both have."""
    names = [[field["name"] for field in record["fields"]] for record in (old, new)]
    both = [[name for name in side if name in names[0] and name in names[1]] for side in names]
    for was, is_now in zip(*both, strict=True):
        if was != is_now:
            yield Difference(path, "order", was, is_now)
            return


def _names(record: Json, outermost: Json) -> tuple[str, str]:
    """Return namespace and name of a record; an inner record's namespace is empty if it is that of the outermost."""
    namespace, _, name = str(record["name"]).rpartition(".")
    namespace = namespace or str(record.get("namespace", ""))
    return "" if record is not outermost and namespace == outermost.get("namespace") else namespace, name


def _parent(path: str) -> str:
    return path.rpartition(".")[0].removesuffix("[]").removesuffix("{}")
