"""A field of a schema in, its type, sources and treatment out; a field that cannot be mapped is a configuration error."""

from typing import Final, NamedTuple

from connector.errors import ConfigurationInvalid
from connector.records import Json


class Field(NamedTuple):
    """One field of a schema with its attributes.

    `treatment` is empty for values written unchanged, `drop`, or the name of a function that writes the value in changed form.
    """

    name: str
    kind: str
    arguments: tuple[int, ...]
    required: bool
    sources: tuple[str, ...]
    raw: bool
    unfit_null: bool
    treatment: str
    element: Json | None

    @property
    def parent(self) -> str:
        """The path of the object that contains the field's value; empty if there is none or several."""
        parents = {path.rpartition(".")[0] for path in self.sources}
        return parents.pop() if len(parents) == 1 else ""


_KINDS: Final = {"string": "text", "boolean": "boolean", "long": "long", "double": "double", "bytes": "binary"}


def read_field(field: Json, sources: tuple[str, ...]) -> Field:
    """Read a field's type and attributes.

    Raises:
        ConfigurationInvalid: if no JSON value can become the type.
    """
    kind = ""
    arguments: tuple[int, ...] = ()
    element = None
    required = not isinstance(field["type"], list)
    branches = [field["type"]] if required else [branch for branch in field["type"] if branch != "null"]
    avro = branches[0] if len(branches) == 1 else None
    match avro:
        case str() if avro in _KINDS:
            kind = _KINDS[avro]
        case {"type": "long", "logicalType": "timestamp-millis"}:
            kind = "millis"
        case {"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            kind, arguments = "decimal", (precision, scale)
        case {"type": "array", "items": {"type": "record"} as element}:
            kind = "array"
        case _:
            raise ConfigurationInvalid(
                [
                    (
                        "its type is not supported; supported are string, boolean, long, double, bytes, timestamp-millis, "
                        'decimal, an array of records, and ["null", one of them]'
                    )
                ]
            )
    if field.get("raw") and kind != "text":
        raise ConfigurationInvalid(["raw needs the type string"])
    if required and not sources and kind != "array":
        raise ConfigurationInvalid(["a required field needs a source"])
    return Field(
        name=field["name"],
        kind=kind,
        arguments=arguments,
        required=required,
        sources=sources,
        raw=bool(field.get("raw")),
        unfit_null=field.get("unfit") == "null",
        treatment=field.get("treatment", ""),
        element=element,
    )
