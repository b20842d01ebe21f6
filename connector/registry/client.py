"""The schema registry's client: looks up the ids of our own schemas, registers them, reads versions.

The bridge never registers while it serves. It accepts any registered version of a schema, the latest or not.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError

from connector.catalogue import RecordType
from connector.errors import ConfigurationInvalid, NotRegistered, RegistryFailed, RegistryRefused
from connector.registry.retries import ONCE, Patience, asked_wait_seconds, is_temporary, wait_seconds

LEVEL = "FULL_TRANSITIVE"
"""The compatibility level of our subjects: a reader with any version can read records of any other."""

_NOT_FOUND = (40401, 40402, 40403)
_NO_LEVEL = 40408
_NUMBERS = ("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms", "cache.capacity", "cache.latest.ttl.sec")
_COMMAND = "`connector schemas register` registers them"
_TIMEOUT_SECONDS = 5

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
    """A client of one registry, which can have several comma-separated URLs; `properties` have the names of its library.

    All methods block. All raise `RegistryFailed` when the registry does not answer, or the answer is not a registry's, and
    `RegistryRefused` when it rejects this subject or schema. Requests answered 429 or 5xx are sent again with `patience`.
    """

    def __init__(self, url: str, properties: dict[str, Any] | None = None, patience: Patience = ONCE) -> None:
        self.url = url
        self._patience = patience
        self._asked_wait_seconds: float | None = None
        given = _typed({"timeout": _TIMEOUT_SECONDS, "max.retries": 0, **_certificates(url), **(properties or {})})
        self._seconds = given["timeout"]
        try:
            for part in url.split(","):
                httpx2.URL(part.strip())
            self._client = SchemaRegistryClient({"url": url, **given})
        except (TypeError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise ConfigurationInvalid([f"registry: {error}"]) from None
        # The library's errors have no headers, and `Retry-After` is one.
        self._client._rest_client.session.event_hooks = {"response": [self._read_wait]}  # noqa: SLF001 - it offers no other way

    def look_up(self, record_type: RecordType) -> Registered:
        """Look up a record type's own schema in the registry, never in the client's cache."""
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        subject = record_type.subject
        schema = Schema(record_type.published_text, "AVRO")
        found = self._ask(lambda: self._client.lookup_schema(subject, schema), subject, _NOT_FOUND)
        if found is None:
            return Registered(record_type.name, subject, None, None)
        if not isinstance(found.schema_id, int):
            raise self._no_registry("no id in the answer")
        return Registered(record_type.name, subject, found.schema_id, found.version)

    def schema_ids(self, record_types: Iterable[RecordType]) -> dict[str, int]:
        """Return the id of every record type's own schema.

        Raises:
            NotRegistered: when one of them is not registered.
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
        # The client caches versions that it has read, and would not send the request.
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        self._ask(lambda: self._client.register_schema(subject, schema), subject)
        return self.look_up(record_type)

    def schema_text(self, schema_id: int) -> str:
        """Return the schema of an id, as JSON text."""
        return self._required(
            self._required(self._ask(lambda: self._client.get_schema(schema_id), f"id {schema_id}")).schema_str
        )

    def find_schema_text(self, schema_id: int) -> str | None:
        """Return the schema of an id as JSON text, never from the client's cache; None if the registry has no such id."""
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        found = self._ask(lambda: self._client.get_schema(schema_id), f"id {schema_id}", _NOT_FOUND)
        return None if found is None else self._required(found.schema_str)

    def versions(self, subject: str) -> list[int]:
        """Return the numbers of a subject's versions, oldest first; an empty list for an unknown subject."""
        numbers: Any = self._ask(lambda: self._client.get_versions(subject), subject, _NOT_FOUND)
        if numbers is None:
            return []
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise self._no_registry("no version numbers in the answer")
        return sorted(numbers)

    def version(self, subject: str, number: int | None = None) -> RegisteredVersion | None:
        """Return a version of a subject, the latest if `number` is None; None if it does not exist."""
        found = self._ask(lambda: self._client.get_version(subject, number or "latest"), subject, _NOT_FOUND)
        if found is None:
            return None
        text = self._required(found.schema).schema_str
        return RegisteredVersion(self._required(found.version), self._required(found.schema_id), self._required(text))

    def level(self, subject: str) -> str | None:
        """Return a subject's own compatibility level, or None if it has none."""
        return self._ask(lambda: self._client.get_compatibility(subject), subject, (*_NOT_FOUND, _NO_LEVEL))

    def set_level(self, subject: str) -> None:
        """Set a subject's compatibility level to ours; the subject need not exist."""
        self._ask(lambda: self._client.set_compatibility(subject, LEVEL), subject)

    def close(self) -> None:
        """Close the connections."""
        self._client.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _ask(self, call: Callable[[], _Answer], about: str, absent: tuple[int, ...] = ()) -> _Answer | None:
        """Return the registry's answer; None for the error codes in `absent`. Sends the request again while that can help."""
        for tries in range(1, self._patience.tries + 1):
            self._asked_wait_seconds = None
            try:
                return call()
            except SchemaRegistryError as error:
                if error.error_code in absent:
                    return None
                failed, is_worth_retrying = self._refused(error, about), is_temporary(error.http_status_code)
            except OAuthTokenError as error:
                advice = "check bearer.auth.… in registry.client"
                failed = RegistryFailed(f"no token for the registry: {error}; {advice}")
                is_worth_retrying = _is_token_server_busy(error)
            except httpx2.TimeoutException:
                advice = "check registry.url, or increase timeout in registry.client"
                raise RegistryFailed(f"the registry at {self.url} does not answer within {self._seconds} s; {advice}") from None
            except (httpx2.HTTPError, OSError) as error:
                raise self._unreachable(error) from None
            except (ValueError, LookupError, TypeError, AttributeError):
                # The client takes any 2xx for an answer of a registry, whatever its body.
                raise self._no_registry("the answer is not a registry's JSON") from None
            if not is_worth_retrying:
                raise failed
            pause_seconds = wait_seconds(self._patience, tries, self._asked_wait_seconds)
            if pause_seconds is None:
                raise self._after_tries(failed, tries)
            time.sleep(pause_seconds)
        raise AssertionError("unreachable: the last try returns or raises")

    def _read_wait(self, response: httpx2.Response) -> None:
        """Remember how long an answer asks to wait. The library calls this for each answer."""
        self._asked_wait_seconds = asked_wait_seconds(response.headers)

    def _after_tries(self, failed: RegistryFailed, tries: int) -> RegistryFailed:
        """Return an error with the number of tries, and with the wait that the registry asks for."""
        words = [str(failed)]
        if tries > 1:
            words.append(f"after {tries} tries")
        if self._asked_wait_seconds:
            words.append(f"it asks to wait {self._asked_wait_seconds:.0f} s")
        more = type(failed)("; ".join(words))
        more.wait_seconds = self._asked_wait_seconds or 0.0
        return more

    def _unreachable(self, error: Exception) -> RegistryFailed:
        what = f"{type(error).__name__}: {error}"
        advice = "check registry.url" + (" and ssl.ca.location in registry.client" if "CERTIFICATE" in what.upper() else "")
        return RegistryFailed(f"the registry at {self.url} does not answer ({what}); {advice}")

    def _refused(self, error: SchemaRegistryError, about: str) -> RegistryFailed:
        status, code, message = error.http_status_code, error.error_code, str(error.error_message)[:500]
        who = f"the registry at {self.url}"
        if status == 401:
            advice = "set basic.auth.user.info, or bearer.auth.…, in registry.client"
            return RegistryFailed(f"{who} rejects our credentials (401); {advice}")
        if status == 403:
            return RegistryRefused(f"{who} denies access to {about} (403); request the permission, or use other credentials")
        if status == 429:
            return RegistryFailed(f"{who} answers that it is asked too often (429); try again later, or raise its limit")
        # A registry's own codes have five digits: a plain 404 is a proxy's whose registry is away, or means a wrong path.
        if code in (None, -1, 404):
            return self._no_registry(f"HTTP {status}")
        if status in (409, 422):
            return RegistryRefused(f"{who} refuses {about}: {code} {message}")
        return RegistryFailed(f"{who} failed for {about}: {code} {message}")

    def _no_registry(self, what: str) -> RegistryFailed:
        advice = "check registry.url, also its path: Apicurio's is /apis/ccompat/v7"
        return RegistryFailed(f"no schema registry answers at {self.url} ({what}); {advice}")

    def _required(self, value: _Answer | None) -> _Answer:
        if value is None:
            raise self._no_registry("its JSON is incomplete")
        return value


def _certificates(url: str) -> dict[str, Any]:
    """Return the property that keeps the client from loading certificates where no URL is https; else nothing.

    Loading them takes longer than many lookups, and the client does so at once, for every URL. It follows no redirect.
    """
    is_plain = all(part.strip().startswith("http:") for part in url.split(","))
    return {"ssl.ca.location": False} if is_plain else {}


def _is_token_server_busy(error: OAuthTokenError) -> bool:
    """Return whether the token server answered 429 or 5xx; the library's own error has only a text."""
    cause = error.__context__
    return isinstance(cause, httpx2.HTTPStatusError) and is_temporary(cause.response.status_code)


def _typed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties with numbers where the client needs them: environment variables are text."""
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
