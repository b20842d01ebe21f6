"""A schema in, its normal form out: `{"type": "string"}` becomes `"string"`, and names become full names.

Registries treat such schemas as the same, with `normalize` or without. Docs, attributes and the order of fields are unchanged.
"""

from typing import Any

_NAMED = ("record", "error", "enum", "fixed")
_PRIMITIVE = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


def normalised(schema: Any, namespace: str = "") -> Any:
    """Return the normal form of a valid schema, decoded from JSON; `namespace` is that of the enclosing record."""
    match schema:
        case str():
            return schema if schema in _PRIMITIVE or "." in schema or not namespace else f"{namespace}.{schema}"
        case list():
            return [normalised(branch, namespace) for branch in schema]
        case {"type": kind} if kind in _NAMED:
            return _named(schema, namespace)
        case {"type": inner}:
            parts = {part: normalised(schema[part], namespace) for part in ("items", "values") if part in schema}
            normal = {**schema, **parts, "type": inner if isinstance(inner, str) and parts else normalised(inner, namespace)}
            return normal["type"] if len(normal) == 1 else normal
    return schema


def _named(schema: dict[str, Any], namespace: str) -> dict[str, Any]:
    own, _, name = schema["name"].rpartition(".")
    own = own or schema.get("namespace", namespace)
    normal = {key: part for key, part in schema.items() if key != "namespace"} | {"name": f"{own}.{name}" if own else name}
    if "fields" in schema:
        normal["fields"] = [field | {"type": normalised(field["type"], own)} for field in schema["fields"]]
    return normal
