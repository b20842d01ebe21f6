"""Whether a text is an Avro schema, and whether who has one schema can read what was written with another.

Both are the words of the Avro project's own package, not ours. It does not look at logical types, so neither do we here:
`evolution` does.
"""

import json
from typing import Any, Final, NamedTuple

import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, make_avsc_object
from fastavro.schema import SchemaParseException, UnknownType

from connector.errors import NotAvro

# Besides its own errors, the Avro parser lets Python's through where a part is of a wrong kind or nested too deeply.
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
    """Why a reader's schema cannot read a writer's: kinds of fault, places in the reader's schema (`/fields/0/type`), words."""

    kinds: tuple[str, ...]
    places: tuple[str, ...]
    messages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.kinds)} at {', '.join(self.places)} ({', '.join(self.messages)})"


def parse(text: str) -> Schema:
    """Return the schema of a text, for `unreadable`.

    Raises:
        NotAvro: when the text is none.
    """
    try:
        # Logical types play no part in compatibility, and the Avro parser warns of those it does not know.
        bare = json.loads(text, object_hook=_without_logical_type)
        # Only fastavro compares a default with its type, as Java's parser does; only avro checks names.
        fastavro.parse_schema(bare)
        return make_avsc_object(bare)
    except NO_SCHEMA as fault:
        raise NotAvro(in_words(fault)) from fault


def unreadable(reader: Schema, writer: Schema) -> Unreadable | None:
    """Return why `reader` cannot read what `writer` wrote, or None when it can.

    Raises:
        NotAvro: when the two cannot be compared.
    """
    try:
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro types it in part
        result = checker.get_compatibility(reader, writer)
    except NO_SCHEMA as fault:
        raise NotAvro(in_words(fault)) from fault
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return None
    # The rules add "/" for each compatible sibling; it names a place only when it stands alone.
    places = sorted(result.locations - {"/"}) or ["/"]
    return Unreadable(
        tuple(sorted({kind.name for kind in result.incompatibilities})), tuple(places), tuple(sorted(result.messages))
    )


def in_words(fault: Exception) -> str:
    """Say what a parser has against a schema."""
    if isinstance(fault, UnknownType):
        return f"the type {fault.name!r} does not resolve: Avro has none of this name, and no record before it in the file has"
    if isinstance(fault, KeyError):
        return f"{fault} is missing"
    return f"{type(fault).__name__}: {str(fault)[:300]}"


def _without_logical_type(node: dict[str, Any]) -> dict[str, Any]:
    node.pop("logicalType", None)
    return node
