"""One spelling for schemas that say the same: `{"type": "string"}` is `"string"`, and names are told in full.

Registries take such schemas for one, with `normalize` or without. What a schema says for people or for others (docs,
attributes, the order of fields) is left as it is.
"""

from typing import Any

_NAMED = ("record", "error", "enum", "fixed")
_PRIMITIVE = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


def spelled_alike(schema: Any, namespace: str = "") -> Any:
    """Return a valid schema, decoded, in the one spelling; `namespace` is that of what it stands in."""
    match schema:
        case str():
            return schema if schema in _PRIMITIVE or "." in schema or not namespace else f"{namespace}.{schema}"
        case list():
            return [spelled_alike(branch, namespace) for branch in schema]
        case {"type": kind} if kind in _NAMED:
            return _named(schema, namespace)
        case {"type": inner}:
            parts = {part: spelled_alike(schema[part], namespace) for part in ("items", "values") if part in schema}
            alike = {**schema, **parts, "type": inner if isinstance(inner, str) and parts else spelled_alike(inner, namespace)}
            return alike["type"] if len(alike) == 1 else alike
    return schema


def _named(schema: dict[str, Any], namespace: str) -> dict[str, Any]:
    own, _, name = schema["name"].rpartition(".")
    own = own or schema.get("namespace", namespace)
    alike = {key: part for key, part in schema.items() if key != "namespace"} | {"name": f"{own}.{name}" if own else name}
    if "fields" in schema:
        alike["fields"] = [field | {"type": spelled_alike(field["type"], own)} for field in schema["fields"]]
    return alike
