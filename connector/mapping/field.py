"""A field of a schema in, its type, sources and treatment out; a field that cannot be mapped is a configuration error."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from connector.errors import ConfigurationInvalid
from connector.records import EMPTY, Json

EVENT_ID: Final = "event_id"
"""The source of the record's own id, which is no path of the view."""

_UNLESS_TEXT: Final = "unless text"
_SCALARS: Final = {
    "string": "text",
    "boolean": "boolean",
    "int": "int32",
    "long": "long",
    "double": "double",
    "bytes": "binary",
}
_OF_KIND: Final = {"text": str, "boolean": bool, "int32": int, "long": int}
"""The types that a table of `values` can map to."""


class Field(NamedTuple):
    """One field of a schema with its attributes.

    `convert` names the function that converts its value. An `unfit_null` value that does not fit becomes null. A field with
    `fallback` is the record's time: its sources are the event's own, and this path is used if they give no usable time.
    `values` maps texts to the field's values. `treatment` is empty for values written unchanged, `drop`, or the name of a
    function that writes the value in changed form.
    """

    name: str
    kind: str
    convert: str
    arguments: tuple[int, ...]
    required: bool
    sources: tuple[str, ...]
    raw: bool
    unfit_null: bool
    fallback: str
    values: Mapping[str, Any]
    treatment: str
    element: Json | None

    @property
    def parent(self) -> str:
        """The path of the object that contains the field's value; empty if there is none or several."""
        parents = {path.rpartition(".")[0] for path in self.sources}
        return parents.pop() if len(parents) == 1 else ""


def read_field(field: Json, sources: tuple[str, ...]) -> Field:
    """Read a field's type and attributes.

    Raises:
        ConfigurationInvalid: if no JSON value can become the type, or its attributes contradict each other.
    """
    kind, arguments, element = _kind(field["type"])
    problems = list(_problems(field, kind, sources))
    if problems:
        raise ConfigurationInvalid(problems)
    raw, unfit, values = field.get("raw"), field.get("unfit"), field.get("values", EMPTY)
    convert = "to_text" if values else f"to_{kind}"
    if raw:
        convert = "to_json_or_text" if raw == _UNLESS_TEXT else "to_json"
    return Field(
        name=field["name"],
        kind=kind,
        convert=convert,
        arguments=arguments,
        required=not isinstance(field["type"], list),
        sources=sources[:-1] if unfit == "next" else sources,
        raw=bool(raw),
        unfit_null=unfit == "null",
        fallback=sources[-1] if unfit == "next" else "",
        values=values,
        treatment=field.get("treatment", ""),
        element=element,
    )


def _kind(avro: Any) -> tuple[str, tuple[int, ...], Json | None]:
    branches = [branch for branch in avro if branch != "null"] if isinstance(avro, list) else [avro]
    match branches:
        case [str(name)] if name in _SCALARS:
            return _SCALARS[name], (), None
        case [{"type": "long", "logicalType": "timestamp-millis"}]:
            return "millis", (), None
        case [{"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}]:
            return "decimal", (precision, scale), None
        case [{"type": "array", "items": {"type": "record"} as element}]:
            return "array", (), element
    supported = "string, boolean, int, long, double, bytes, timestamp-millis, decimal, an array of records"
    raise ConfigurationInvalid([f'its type is not supported; supported are {supported}, and ["null", one of them]'])


def _problems(field: Json, kind: str, sources: tuple[str, ...]) -> Iterator[str]:
    nullable = isinstance(field["type"], list)
    raw, unfit = field.get("raw", False), field.get("unfit")
    if raw and kind != "text":
        yield "raw needs the type string"
    elif raw not in (False, True, _UNLESS_TEXT):
        yield f'raw must be true or "{_UNLESS_TEXT}"'
    if not nullable and not sources and kind != "array":
        yield "a required field needs a source"
    if EVENT_ID in sources and (nullable or kind != "text" or len(sources) > 1):
        yield f'"source": "{EVENT_ID}" needs the type string, without null, and no other source'
    if unfit == "null" and not (nullable or kind == "array"):
        yield 'unfit = "null" needs a type that can be null'
    elif unfit == "next" and (nullable or kind != "millis" or len(sources) < 2):
        yield 'unfit = "next" needs the type timestamp-millis, without null, and a further source'
    elif unfit not in (None, "null", "next"):
        yield 'unfit must be "null" or "next"'
    if "values" in field:
        yield from _wrong_values(field["values"], kind, allowed=nullable and not raw)


def _wrong_values(values: Any, kind: str, *, allowed: bool) -> Iterator[str]:
    expected = _OF_KIND.get(kind)
    if expected is None or not allowed:
        yield "values needs the type string, boolean, int or long, or null, without raw"
    elif not isinstance(values, dict) or not values or any(value.__class__ is not expected for value in values.values()):
        yield "values must be an object with values of the field's type"


def by_text(values: Mapping[str, Any]) -> dict[Any, Any]:
    """Return a table that is also found by the usual spellings of its texts; the empty text is no value, None."""
    spelled: dict[str, Any] = {}
    for text, value in values.items():
        spelled |= dict.fromkeys((text.lower(), text.upper(), text.capitalize()), value)
    return {text or None: value for text, value in {**spelled, **values}.items()}


def runs(fields: list[Field], roots: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of optional fields of one inner object; any other field is a separate run."""
    first = 0
    while first < len(fields):
        parent = fields[first].parent
        last = first + 1
        if parent and parent not in roots and not fields[first].required:
            while last < len(fields) and fields[last].parent == parent and not fields[last].required:
                last += 1
        yield first, last
        first = last


def path_fault(path: Any, roots: tuple[str, ...]) -> str:
    """Return the problem of a source path, or an empty text."""
    if path == EVENT_ID:
        return ""
    parts = path.split(".") if isinstance(path, str) else [""]
    if not all(part.isidentifier() for part in parts):
        return "is not a path: write names joined by dots"
    return "" if parts[0] in roots else f"must start with one of {', '.join(roots)}"


def id_fault(path: str) -> str:
    """Return the problem of a path to an object if it is the source of ids, or an empty text."""
    return "is no object" if path == EVENT_ID else ""
