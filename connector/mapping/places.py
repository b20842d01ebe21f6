"""A schema in, every record and field in it out, with its path: `product_items[].currency`.

The schema is decoded JSON and not yet validated as Avro; parts of unknown form are skipped.
"""

from collections.abc import Iterator
from typing import Any, Final

from connector.records import Json

NOT_PERSONAL: Final = "none"
"""The `pii` class of a field that holds no personal data."""


def records_within(schema: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every record with its path, the outermost first, whose path is empty."""
    match schema:
        case {"type": "record" | "error", "fields": list(fields)}:
            yield path, schema
            for field in fields:
                if isinstance(field, dict):
                    yield from records_within(field.get("type"), inside(path, field))
        case {"type": "array", "items": items}:
            yield from records_within(items, f"{path}[]")
        case {"type": "map", "values": values}:
            yield from records_within(values, f"{path}{{}}")
        case {"type": dict() | list() as inner}:
            yield from records_within(inner, path)
        case list():
            for branch in schema:
                yield from records_within(branch, path)


def fields_within(schema: Any) -> Iterator[tuple[str, Json]]:
    """Yield every field with its path; the fields of an inner record come after the field that contains it."""
    for path, record in records_within(schema):
        for field in record["fields"]:
            if isinstance(field, dict):
                yield inside(path, field), field


def inside(path: str, field: Json) -> str:
    """Return the path of a field of the record at `path`."""
    name = str(field.get("name", "?"))
    return f"{path}.{name}" if path else name


def without_docs(schema: Any) -> Any:
    """Return the schema without its docs."""
    if isinstance(schema, dict):
        return {name: without_docs(part) for name, part in schema.items() if name != "doc"}
    return [without_docs(part) for part in schema] if isinstance(schema, list) else schema
