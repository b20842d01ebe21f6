"""The schema registry, as the bridge uses it: look ids of its own schemas up, register them as a deployment step, read.

The bridge never registers while it serves. Any registered version is right, the latest or not.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from connector.catalogue import RecordType
from connector.errors import ConfigurationInvalid, NotRegistered, RegistryFailed

_NOT_FOUND = (40401, 40402, 40403)
# A proxy may answer for a registry that is away, with a page of its own: the client fails while it reads that.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
_NUMBERS = ("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms", "cache.capacity", "cache.latest.ttl.sec")
_COMMAND = "`connector schemas register` registers them"


class Registered(NamedTuple):
    """One of our schemas as the registry knows it: its id and version, or None where it is not registered."""

    record_type: str
    subject: str
    schema_id: int | None
    version: int | None


class Registry:
    """A client of one registry. All methods block; `properties` are the client's own names."""

    def __init__(self, url: str, properties: dict[str, Any] | None = None) -> None:
        self.url = url
        try:
            self._client = SchemaRegistryClient({"url": url, "timeout": 5, "max.retries": 0, **_typed(properties or {})})
        except (TypeError, ValueError, OSError) as error:
            raise ConfigurationInvalid([f"registry: {error}"]) from None

    def look_up(self, record_type: RecordType) -> Registered:
        """Return what the registry knows of a record type's own schema, asked anew: never from the client's memory.

        Raises:
            RegistryFailed: when it does not answer.
        """
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        try:
            found = self._client.lookup_schema(record_type.subject, Schema(record_type.published_text, "AVRO"))
        except SchemaRegistryError as error:
            # Its own codes alone: a bare 404 is a proxy's, whose registry is away, or a wrong path's.
            if error.error_code in _NOT_FOUND:
                return Registered(record_type.name, record_type.subject, None, None)
            raise self._failed(error) from None
        except (httpx2.HTTPError, OSError, *_UNREADABLE) as error:
            raise self._failed(error) from None
        if not isinstance(found.schema_id, int):
            raise self._failed(TypeError())
        return Registered(record_type.name, record_type.subject, found.schema_id, found.version)

    def schema_ids(self, record_types: Iterable[RecordType]) -> dict[str, int]:
        """Return the id of every record type's own schema.

        Raises:
            NotRegistered: when it does not know one of them.
            RegistryFailed: when it does not answer.
        """
        found = [self.look_up(record_type) for record_type in record_types]
        missing = [entry.subject for entry in found if entry.schema_id is None]
        if missing:
            raise NotRegistered(f"schemas are not registered under {', '.join(missing)}; {_COMMAND}")
        return {entry.record_type: entry.schema_id for entry in found if entry.schema_id is not None}

    def register(self, record_type: RecordType) -> Registered:
        """Register a record type's schema, unless it is registered already.

        Raises:
            RegistryFailed: when the registry does not answer or refuses it.
        """
        try:
            self._client.register_schema(record_type.subject, Schema(record_type.published_text, "AVRO"))
        except (SchemaRegistryError, httpx2.HTTPError, OSError) as error:
            raise self._failed(error, record_type.subject) from None
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        return self.look_up(record_type)

    def schema_text(self, schema_id: int) -> str:
        """Return the schema behind an id, as JSON text.

        Raises:
            RegistryFailed: when the registry does not answer or does not know the id.
        """
        try:
            return str(self._client.get_schema(schema_id).schema_str)
        except (SchemaRegistryError, httpx2.HTTPError, OSError) as error:
            raise self._failed(error) from None

    def schema_behind(self, schema_id: int) -> str | None:
        """Return the schema behind an id, asked anew, as JSON text; None where the registry knows no such id.

        Raises:
            RegistryFailed: when it does not answer.
        """
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        try:
            text = self._client.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                return None
            raise self._failed(error) from None
        except (httpx2.HTTPError, OSError, *_UNREADABLE) as error:
            raise self._failed(error) from None
        if not isinstance(text, str):
            raise self._failed(TypeError())
        return text

    def close(self) -> None:
        """Give the connections back."""
        self._client.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _failed(self, error: Exception, subject: str = "") -> RegistryFailed:
        about = f" for {subject}" if subject else ""
        if isinstance(error, SchemaRegistryError) and error.error_code not in (None, -1):
            return RegistryFailed(f"the registry at {self.url} refuses{about}: {error.error_code} {error.error_message}")
        if isinstance(error, SchemaRegistryError):
            return RegistryFailed(f"no registry answers at {self.url} (HTTP {error.http_status_code}); check registry.url")
        if isinstance(error, _UNREADABLE):
            return RegistryFailed(f"no registry answers at {self.url} ({type(error).__name__}); check registry.url")
        return RegistryFailed(f"the registry at {self.url} does not answer ({type(error).__name__}); check registry.url")


def _typed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties with numbers where the client wants some: the environment has texts only."""
    return {
        name: int(value) if name in _NUMBERS and isinstance(value, str) and value.isdigit() else value
        for name, value in properties.items()
    }
