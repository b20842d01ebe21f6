"""Schemas in; whether they are valid Avro, and whether a reader with one can read what was written with another, out.

The Avro project's own package decides both. It ignores logical types, so this module does too; `evolution` compares them.
"""

import json
from functools import lru_cache
from typing import Any, Final, NamedTuple

import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, make_avsc_object
from fastavro.schema import SchemaParseException, UnknownType

from connector.errors import NotAvro

# Besides its own errors, the Avro parser raises Python's for parts that are of a wrong type or nested too deeply.
NO_SCHEMA: Final = (
    AvroException,
    SchemaParseException,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Unreadable(NamedTuple):
    """Why a reader's schema cannot read a writer's: kinds, places in the reader's schema (`/fields/0/type`), messages."""

    kinds: tuple[str, ...]
    places: tuple[str, ...]
    messages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.kinds)} at {', '.join(self.places)} ({', '.join(self.messages)})"


@lru_cache(maxsize=512)
def parse(text: str) -> Schema:
    """Parse a schema, for `unreadable`. Cached, since each version is compared with several others: do not change the result.

    Raises:
        NotAvro: if the text is not an Avro schema.
    """
    try:
        # Logical types do not affect compatibility, and the Avro parser warns about unknown ones.
        bare = json.loads(text, object_hook=_without_logical_type)
        # Like Java's parser, fastavro checks defaults against their types; only avro checks names.
        fastavro.parse_schema(bare)
        return make_avsc_object(bare)
    except NO_SCHEMA as fault:
        raise NotAvro(schema_fault(fault)) from fault


def unreadable(reader: Schema, writer: Schema) -> Unreadable | None:
    """Return why `reader` cannot read what `writer` wrote, or None if it can.

    Raises:
        NotAvro: if the two cannot be compared.
    """
    try:
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro types it in part
        result = checker.get_compatibility(reader, writer)
    except NO_SCHEMA as fault:
        raise NotAvro(schema_fault(fault)) from fault
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return None
    # The checker adds "/" for each compatible sibling; it is a place only if it is the only one.
    places = sorted(result.locations - {"/"}) or ["/"]
    return Unreadable(
        tuple(sorted({kind.name for kind in result.incompatibilities})), tuple(places), tuple(sorted(result.messages))
    )


def schema_fault(fault: Exception) -> str:
    """Return the message for a parser's error."""
    if isinstance(fault, UnknownType):
        return f"the type {fault.name!r} does not resolve: it is neither an Avro type nor a record defined earlier in the file"
    if isinstance(fault, KeyError):
        return f"{fault} is missing"
    return f"{type(fault).__name__}: {str(fault)[:300]}"


def _without_logical_type(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("logicalType", None)
    return node
