"""A record's value as it stands in Kafka in, the record out: a zero byte, the id of its schema, Avro binary.

The schema is the one that the registry has under the id, asked once for each.
"""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro


class AvroReader:
    """Reads values; `schema_text` gives the schema behind an id, as the registry does."""

    def __init__(self, schema_text: Callable[[int], str]) -> None:
        self._schema_text = schema_text
        self._schemas: dict[int, Any] = {}

    def read(self, value: bytes) -> dict[str, Any] | None:
        """Return the record; None when the value has no id of a schema."""
        if len(value) < 5 or value[0] != 0:
            return None
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self._schema_text(schema_id)))
        record = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)
        assert isinstance(record, dict)
        return record
