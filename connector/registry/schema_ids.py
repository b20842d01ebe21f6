"""The ids of the bridge's own schemas: asked of the registry at start, kept on disk, confirmed again and again.

While the registry is away a start works from the disk, and a running bridge goes on. When an id stands for another schema
than ours, `wrong` says so, and nothing may be produced until it stands for ours again. No callback waits for the registry.
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

_NAMED_AT_MOST: Final = 3


class SchemaIds:
    """Ids by record type: `find` them once, then `check` them now and then."""

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
        """Why nothing may be produced; empty when all is well."""

    @property
    def are_confirmed(self) -> bool:
        """Whether the registry's last word was that all is well."""
        return not (self._from_cache or self._away or self.wrong)

    def state(self) -> dict[str, Any]:
        """Return what `/readyz` shows: where the ids come from, when they were last confirmed, and what is amiss."""
        confirmed_at = self._confirmed_at.isoformat(timespec="seconds") if self._confirmed_at else None
        state = {"source": "cache" if self._from_cache else "registry", "confirmed_at": confirmed_at}
        problems = {"registry": self._away, "cache": self._cache.problem if self._cache else ""}
        return {**state, **{what: problem for what, problem in problems.items() if problem}}

    async def find(self) -> dict[str, int]:
        """Return the ids as the registry says, or, while it does not answer, as it last did.

        Raises:
            NotRegistered: when the registry does not know one of the schemas.
            RegistryFailed: when it does not answer and nothing was kept.
        """
        try:
            ids = await asyncio.to_thread(self._registry.schema_ids, self._record_types)
        except NotRegistered:
            raise
        except RegistryFailed as away:
            self._ids = await self._find_in_cache(away)
        else:
            await self._tell_changes(ids)
            self._ids = ids
            await self._confirm()
        return self._ids

    async def check(self) -> None:
        """Ask the registry whether the ids still stand for our schemas; `wrong` says if not. Silence changes nothing."""
        try:
            wrong = await asyncio.to_thread(self._strangers)
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

    async def _tell_changes(self, ids: Mapping[str, int]) -> None:
        """Say when the registry gives other ids than before: records that have the old ones may be unreadable now."""
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
            # Else the next start could produce with them, if the registry happens to be away.
            await asyncio.to_thread(self._cache.forget)

    def _strangers(self) -> str:
        """Say which of our ids stand for no schema of ours any more; an empty text when there are none."""
        found = [self._stranger(one, self._ids[one.name]) for one in self._record_types]
        strangers = [text for text in found if text]
        if not strangers:
            return ""
        more = f" and {len(strangers) - _NAMED_AT_MOST} more" if len(strangers) > _NAMED_AT_MOST else ""
        return (
            f"the registry at {self._registry.url} was changed: {', '.join(strangers[:_NAMED_AT_MOST])}{more}. "
            "Records would be read as something else, so none is produced. Restore the registry's data; or, if its ids are "
            "to stay as they are now, `connector schemas register` and start the connector anew"
        )

    def _stranger(self, record_type: RecordType, schema_id: int) -> str:
        if self._registry.look_up(record_type).schema_id == schema_id:
            return ""
        # A subject that was deleted, or has the same schema under two ids: what counts is how a reader decodes.
        behind = self._registry.schema_behind(schema_id)
        if behind is None:
            return f"id {schema_id} of {record_type.subject} is unknown"
        return "" if _is_same(behind, record_type) else f"id {schema_id} of {record_type.subject} is another schema"


def _is_same(text: str, record_type: RecordType) -> bool:
    """Tell whether a registry's text is a record type's schema; registries keep an older `doc`."""
    try:
        parsed = fastavro.parse_schema(json.loads(text))
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError):
        return False
    return bool(_without_doc(parsed) == _without_doc(record_type.parsed))


def _without_doc(schema: Any) -> Any:
    if isinstance(schema, dict):
        left_out = ("doc", "__fastavro_parsed__", "__named_schemas")
        return {name: _without_doc(part) for name, part in schema.items() if name not in left_out}
    return [_without_doc(part) for part in schema] if isinstance(schema, list) else schema
