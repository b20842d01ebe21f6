"""A record's value from Kafka in, the decoded record out. A value is a zero byte, the schema id and Avro binary.

The schema is fetched from the registry, once per id.
"""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro


class AvroReader:
    """Decodes values; `schema_text` returns the schema of an id, like the registry."""

    def __init__(self, schema_text: Callable[[int], str]) -> None:
        self._schema_text = schema_text
        self._schemas: dict[int, Any] = {}

    def read(self, value: bytes) -> dict[str, Any] | None:
        """Return the record; None if the value has no schema id."""
        if len(value) < 5 or value[0] != 0:
            return None
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self._schema_text(schema_id)))
        record = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)
        assert isinstance(record, dict)
        return record
