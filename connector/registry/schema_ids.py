"""The ids of the bridge's own schemas: looked up at start, cached on disk, and verified periodically.

While the registry is away, a start uses the cache, and a running bridge continues. If an id belongs to another schema than
ours, `wrong` says so, and nothing is produced until it belongs to ours again. No callback waits for the registry.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from connector.catalogue import RecordType
from connector.errors import NotRegistered, RegistryFailed
from connector.logs import event
from connector.metrics import Metrics
from connector.registry.client import RegistryClient
from connector.registry.id_cache import IdCache

_MAX_NAMED: Final = 3


class SchemaIds:
    """Ids by record type: call `find` once, then `check` periodically."""

    def __init__(
        self, registry: RegistryClient, record_types: Iterable[RecordType], cache: IdCache | None, metrics: Metrics
    ) -> None:
        self._registry = registry
        self._record_types = tuple(record_types)
        self._cache = cache
        self._metrics = metrics
        self._ids: dict[str, int] = {}
        self._confirmed_at: datetime | None = None
        self._from_cache = False
        self._away = ""
        self.wrong = ""
        """Why nothing can be produced; empty if the ids are right."""

    @property
    def are_confirmed(self) -> bool:
        """Whether the registry's last answer confirmed all ids."""
        return not (self._from_cache or self._away or self.wrong)

    def state(self) -> dict[str, Any]:
        """Return what `/readyz` shows: the source of the ids, when they were last confirmed, and any problems."""
        confirmed_at = self._confirmed_at.isoformat(timespec="seconds") if self._confirmed_at else None
        state = {"source": "cache" if self._from_cache else "registry", "confirmed_at": confirmed_at}
        problems = {"registry": self._away, "cache": self._cache.problem if self._cache else ""}
        return {**state, **{what: problem for what, problem in problems.items() if problem}}

    async def find(self) -> dict[str, int]:
        """Return the ids from the registry or, while it does not answer, from the cache.

        Raises:
            NotRegistered: when one of the schemas is not registered.
            RegistryFailed: when it does not answer and the cache is empty.
        """
        try:
            ids = await asyncio.to_thread(self._registry.schema_ids, self._record_types)
        except NotRegistered:
            raise
        except RegistryFailed as away:
            self._ids = await self._find_in_cache(away)
        else:
            await self._log_changes(ids)
            self._ids = ids
            await self._confirm()
        return self._ids

    async def check(self) -> None:
        """Verify that the ids still belong to our schemas, and set `wrong`; if the registry does not answer, keep it."""
        try:
            wrong = await asyncio.to_thread(self._find_wrong_ids)
        except RegistryFailed as away:
            self._metrics.schema_id_checks.labels("no_answer").inc()
            if not self._away:
                event("schema_ids_not_confirmed", "warning", reason=str(away))
            self._away = str(away)
            return
        self._away = ""
        if wrong:
            await self._refuse(wrong)
        else:
            await self._confirm()

    async def _find_in_cache(self, away: RegistryFailed) -> dict[str, int]:
        cached = await asyncio.to_thread(self._cache.read) if self._cache else None
        if cached is None:
            raise away
        self._confirmed_at = cached.confirmed_at
        self._from_cache = True
        self._away = str(away)
        self._metrics.schema_ids_from_cache.set(1)
        confirmed_at = cached.confirmed_at.isoformat(timespec="seconds")
        event("schema_ids_from_cache", "warning", confirmed_at=confirmed_at, reason=self._away)
        return cached.ids

    async def _log_changes(self, ids: Mapping[str, int]) -> None:
        """Log ids that differ from the cached ones: records with the old ids may be unreadable now."""
        cached = await asyncio.to_thread(self._cache.read) if self._cache else None
        if cached and cached.ids != ids:
            changed = [one.subject for one in self._record_types if cached.ids[one.name] != ids[one.name]]
            event("schema_ids_changed", "warning", subjects=changed, confirmed_at=cached.confirmed_at.isoformat())
            if self._cache:
                await asyncio.to_thread(self._cache.forget)

    async def _confirm(self) -> None:
        if self.wrong or self._from_cache:
            event("schema_ids_confirmed", "info")
        self._confirmed_at = datetime.now(UTC)
        self._from_cache = False
        self.wrong = ""
        self._metrics.schema_id_checks.labels("confirmed").inc()
        self._metrics.schema_ids_from_cache.set(0)
        self._metrics.schema_ids_wrong.set(0)
        if self._cache:
            await asyncio.to_thread(self._cache.write, self._ids, self._confirmed_at)

    async def _refuse(self, wrong: str) -> None:
        self._metrics.schema_id_checks.labels("wrong").inc()
        self._metrics.schema_ids_wrong.set(1)
        if wrong == self.wrong:
            return
        event("schema_ids_wrong", "error", reason=wrong)
        self.wrong = wrong
        if self._cache:
            # Otherwise a start while the registry is away would use the wrong ids.
            await asyncio.to_thread(self._cache.forget)

    def _find_wrong_ids(self) -> str:
        """Return which of our ids no longer belong to our schemas, as a message; empty if all do."""
        found = [self._error_of(one, self._ids[one.name]) for one in self._record_types]
        errors = [error for error in found if error]
        if not errors:
            return ""
        more = f" and {len(errors) - _MAX_NAMED} more" if len(errors) > _MAX_NAMED else ""
        return (
            f"the registry at {self._registry.url} was changed: {', '.join(errors[:_MAX_NAMED])}{more}. "
            "Readers would decode records with the wrong schema, so none is produced. Restore the registry's data; or, to keep "
            "its present ids, run `connector schemas register` and restart the connector"
        )

    def _error_of(self, record_type: RecordType, schema_id: int) -> str:
        if self._registry.look_up(record_type).schema_id == schema_id:
            return ""
        # The subject was deleted, or has the same schema under two ids: what counts is what a reader decodes with.
        text = self._registry.find_schema_text(schema_id)
        if text is None:
            return f"id {schema_id} of {record_type.subject} is unknown"
        return "" if _is_same(text, record_type) else f"id {schema_id} of {record_type.subject} is another schema"


def _is_same(text: str, record_type: RecordType) -> bool:
    """Return whether a registry's text is a record type's schema, apart from `doc`: registries keep an older one."""
    try:
        parsed = fastavro.parse_schema(json.loads(text))
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError):
        return False
    return bool(_without_doc(parsed) == _without_doc(record_type.parsed))


def _without_doc(schema: Any) -> Any:
    if isinstance(schema, dict):
        ignored = ("doc", "__fastavro_parsed__", "__named_schemas")
        return {name: _without_doc(part) for name, part in schema.items() if name not in ignored}
    return [_without_doc(part) for part in schema] if isinstance(schema, list) else schema
