"""Schema ids on disk, as the registry last confirmed them: a start uses them while the registry is away.

There is one file for each registry URL and set of subjects and schemas, so each release has its own. It is replaced
atomically, so workers can share it. It has ids and fingerprints, never a secret. A file that cannot be read, or was modified,
is ignored; a file that cannot be written is logged. Neither stops the bridge.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from connector.catalogue import RecordType
from connector.logs import event

_LARGEST_ID: Final = 2**32 - 1
"""A record has four bytes for the id."""


class CachedIds(NamedTuple):
    """Ids by record type, and when the registry last confirmed them."""

    ids: dict[str, int]
    confirmed_at: datetime


class _Schema(msgspec.Struct, frozen=True):
    fingerprint: str
    id: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_ID)]


class _Content(msgspec.Struct, frozen=True):
    registry: str
    confirmed_at: datetime
    schemas: dict[str, _Schema]


class IdCache:
    """The ids of these record types in a folder. All methods block; none raises."""

    def __init__(self, folder: Path, registry_url: str, record_types: Iterable[RecordType]) -> None:
        self._record_types = tuple(record_types)
        self._registry_url = registry_url
        self._fingerprints = {one.subject: _sha256(one.published_text.encode()) for one in self._record_types}
        self._of_registry = f"schema-ids-{_sha256(registry_url.encode())[:16]}"
        schemas = msgspec.json.encode(sorted(self._fingerprints.items()))
        self.file = folder / f"{self._of_registry}-{_sha256(schemas)[:16]}.json"
        self.problem = ""
        """Why the last write failed; empty if it succeeded."""

    def read(self) -> CachedIds | None:
        """Return the cached ids; None if there are none, or the file cannot be trusted."""
        try:
            content = _decode(self.file.read_bytes())
            if content.registry != self._registry_url or _fingerprints(content) != self._fingerprints:
                raise ValueError("it belongs to another registry or to other schemas")  # noqa: TRY301 - one place logs all errors
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            event("schema_id_cache_unreadable", "warning", file=str(self.file), reason=reason)
            return None
        ids = {one.name: content.schemas[one.subject].id for one in self._record_types}
        return CachedIds(ids, content.confirmed_at)

    def write(self, ids: Mapping[str, int], confirmed_at: datetime) -> None:
        """Write ids by record type; log once if that fails."""
        schemas = {one.subject: _Schema(self._fingerprints[one.subject], ids[one.name]) for one in self._record_types}
        body = msgspec.json.encode(_Content(self._registry_url, confirmed_at, schemas))
        try:
            _replace_file(self.file, _sha256(body).encode() + b"\n" + body + b"\n")
        except OSError as error:
            self._report(f"{self.file.parent}: {error.strerror}")
        else:
            self.problem = ""

    def forget(self) -> None:
        """Delete all cached ids of this registry, those of other releases too, since the registry was changed."""
        try:
            for file in list(self.file.parent.glob(f"{self._of_registry}-*.json")):
                file.unlink(missing_ok=True)
        except OSError as error:
            self._report(f"{self.file}: {error.strerror}")

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            event("schema_id_cache_unwritable", "warning", reason=problem, see="registry.cache_folder")
        self.problem = problem


def _decode(data: bytes) -> _Content:
    digest, _, body = data.partition(b"\n")
    if digest != _sha256(body.removesuffix(b"\n")).encode():
        raise ValueError("it is damaged")
    return msgspec.json.decode(body, type=_Content)


def _fingerprints(content: _Content) -> dict[str, str]:
    return {subject: schema.fingerprint for subject, schema in content.schemas.items()}


def _replace_file(file: Path, data: bytes) -> None:
    """Replace a file atomically, with mode 0600: a reader sees the old one or the new one, also after a crash."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".unfinished", dir=file.parent)
    try:
        with os.fdopen(number, "wb") as unfinished:
            unfinished.write(data)
            unfinished.flush()
            os.fsync(number)
        Path(name).replace(file)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
