"""The schema registry, as the bridge and its commands use it: look ids of our own schemas up, register them, read versions.

The bridge never registers while it serves. Any registered version is right, the latest or not.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError

from connector.catalogue import RecordType
from connector.errors import ConfigurationInvalid, NotRegistered, RegistryFailed, RegistryRefused

LEVEL = "FULL_TRANSITIVE"
"""The compatibility level of our subjects: whoever has any version reads records of any other."""

_NOT_FOUND = (40401, 40402, 40403)
_NO_LEVEL = 40408
_NUMBERS = ("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms", "cache.capacity", "cache.latest.ttl.sec")
_COMMAND = "`connector schemas register` registers them"
_SECONDS = 5

_Answer = TypeVar("_Answer")


class Registered(NamedTuple):
    """One of our schemas as the registry knows it: its id and version, or None where it is not registered."""

    record_type: str
    subject: str
    schema_id: int | None
    version: int | None


class RegisteredVersion(NamedTuple):
    """One version of a subject; `text` is the schema as JSON."""

    version: int
    schema_id: int
    text: str


class RegistryClient:
    """A client of one registry, which may have several URLs, joined by commas; `properties` are the client's own names.

    All methods block. All raise `RegistryFailed` when the registry does not answer, or not as a registry does, and
    `RegistryRefused` when it has something against the subject or schema at hand.
    """

    def __init__(self, url: str, properties: dict[str, Any] | None = None) -> None:
        self.url = url
        given = _typed({"timeout": _SECONDS, "max.retries": 0, **(properties or {})})
        self._seconds = given["timeout"]
        try:
            for part in url.split(","):
                httpx2.URL(part.strip())
            self._client = SchemaRegistryClient({"url": url, **given})
        except (TypeError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise ConfigurationInvalid([f"registry: {error}"]) from None

    def look_up(self, record_type: RecordType) -> Registered:
        """Return what the registry knows of a record type's own schema, asked anew: never from the client's memory."""
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        subject = record_type.subject
        schema = Schema(record_type.published_text, "AVRO")
        found = self._ask(lambda: self._client.lookup_schema(subject, schema), subject, _NOT_FOUND)
        if found is None:
            return Registered(record_type.name, subject, None, None)
        if not isinstance(found.schema_id, int):
            raise self._no_registry("something else than an id")
        return Registered(record_type.name, subject, found.schema_id, found.version)

    def schema_ids(self, record_types: Iterable[RecordType]) -> dict[str, int]:
        """Return the id of every record type's own schema.

        Raises:
            NotRegistered: when it does not know one of them.
        """
        found = [self.look_up(record_type) for record_type in record_types]
        missing = [entry.subject for entry in found if entry.schema_id is None]
        if missing:
            raise NotRegistered(f"schemas are not registered under {', '.join(missing)}; {_COMMAND}")
        return {entry.record_type: entry.schema_id for entry in found if entry.schema_id is not None}

    def register(self, record_type: RecordType) -> Registered:
        """Register a record type's schema, unless it is registered already."""
        subject = record_type.subject
        schema = Schema(record_type.published_text, "AVRO")
        # Versions that were read are remembered by the client, which would then not ask.
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        self._ask(lambda: self._client.register_schema(subject, schema), subject)
        return self.look_up(record_type)

    def schema_text(self, schema_id: int) -> str:
        """Return the schema behind an id, as JSON text."""
        return self._told(self._told(self._ask(lambda: self._client.get_schema(schema_id), f"id {schema_id}")).schema_str)

    def schema_behind(self, schema_id: int) -> str | None:
        """Return the schema behind an id, asked anew, as JSON text; None where the registry knows no such id."""
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        found = self._ask(lambda: self._client.get_schema(schema_id), f"id {schema_id}", _NOT_FOUND)
        return None if found is None else self._told(found.schema_str)

    def versions(self, subject: str) -> list[int]:
        """Return the numbers of a subject's versions, oldest first; none of an unknown subject."""
        numbers: Any = self._ask(lambda: self._client.get_versions(subject), subject, _NOT_FOUND)
        if numbers is None:
            return []
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise self._no_registry("something else than versions")
        return sorted(numbers)

    def version(self, subject: str, number: int | None = None) -> RegisteredVersion | None:
        """Return a version of a subject, the latest without a number; None when there is none."""
        found = self._ask(lambda: self._client.get_version(subject, number or "latest"), subject, _NOT_FOUND)
        if found is None:
            return None
        text = self._told(found.schema).schema_str
        return RegisteredVersion(self._told(found.version), self._told(found.schema_id), self._told(text))

    def level(self, subject: str) -> str | None:
        """Return the compatibility level in force for a subject, or None where the subject has none of its own."""
        return self._ask(lambda: self._client.get_compatibility(subject), subject, (*_NOT_FOUND, _NO_LEVEL))

    def set_level(self, subject: str) -> None:
        """Set a subject's compatibility level to ours; the subject need not exist."""
        self._ask(lambda: self._client.set_compatibility(subject, LEVEL), subject)

    def close(self) -> None:
        """Give the connections back."""
        self._client.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _ask(self, call: Callable[[], _Answer], about: str, absent: tuple[int, ...] = ()) -> _Answer | None:
        """Return what the registry answers; None for the error codes in `absent`."""
        try:
            return call()
        except SchemaRegistryError as error:
            if error.error_code in absent:
                return None
            raise self._refused(error, about) from None
        except OAuthTokenError as error:
            raise RegistryFailed(f"no token for the registry: {error}; check bearer.auth.… in registry.client") from None
        except httpx2.TimeoutException:
            advice = "check registry.url, or give it longer: timeout in registry.client"
            raise RegistryFailed(f"the registry at {self.url} does not answer within {self._seconds} s; {advice}") from None
        except (httpx2.HTTPError, OSError) as error:
            what = f"{type(error).__name__}: {error}"
            advice = "check registry.url" + (" and ssl.ca.location in registry.client" if "CERTIFICATE" in what.upper() else "")
            raise RegistryFailed(f"the registry at {self.url} does not answer ({what}); {advice}") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            # The client takes a 2xx for an answer of a registry, whatever stands in it.
            raise self._no_registry("something else than its JSON") from None

    def _refused(self, error: SchemaRegistryError, about: str) -> RegistryFailed:
        status, code, message = error.http_status_code, error.error_code, str(error.error_message)[:500]
        who = f"the registry at {self.url}"
        if status == 401:
            advice = "set basic.auth.user.info, or bearer.auth.…, in registry.client"
            return RegistryFailed(f"{who} does not know who we are (401); {advice}")
        if status == 403:
            return RegistryRefused(f"{who} forbids it for {about} (403); ask for the right, or use other credentials")
        # Its own codes have five digits: a bare 404 is a proxy's, whose registry is away, or a wrong path's.
        if code in (None, -1, 404):
            return self._no_registry(f"HTTP {status}")
        if status in (409, 422):
            return RegistryRefused(f"{who} refuses {about}: {code} {message}")
        return RegistryFailed(f"{who} fails for {about}: {code} {message}")

    def _no_registry(self, what: str) -> RegistryFailed:
        advice = "check registry.url, also its path: Apicurio's is /apis/ccompat/v7"
        return RegistryFailed(f"no registry answers at {self.url} ({what}); {advice}")

    def _told(self, value: _Answer | None) -> _Answer:
        if value is None:
            raise self._no_registry("something is missing in its JSON")
        return value


def _typed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties with numbers where the client wants some: the environment has texts only."""
    typed = dict(properties)
    for name in _NUMBERS:
        if isinstance(value := typed.get(name), str):
            try:
                typed[name] = json.loads(value)
            except ValueError:
                raise ConfigurationInvalid([f"registry.client {name}: must be a number"]) from None
    seconds = typed["timeout"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ConfigurationInvalid(["registry.client timeout: must be a number of seconds above 0"])
    return typed
