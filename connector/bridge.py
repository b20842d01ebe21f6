"""The composition root: one worker's catalogue, producer, flow and readiness, put together from the settings.

Starts red. `warm_up` proves schema ids, topics and producer once, and tries again until they are there; from then on an
outage of Kafka is answered 503 and shows in the state, not in the colour. Red again is what would write wrong records: a
registry that knows our schemas by other ids than before.
"""

import asyncio
import gc
from pathlib import Path
from typing import Any

from connector import catalogue as catalogues
from connector.alarm import DeadLetterAlarm
from connector.errors import OtherSideFailed
from connector.idcache import IdCache
from connector.logs import event, fault_location
from connector.metrics import Metrics
from connector.pipeline.authenticate import Credentials
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.produce import KafkaSink
from connector.privacy.policy import Policy
from connector.registry import Registry
from connector.schemaids import SchemaIds
from connector.settings import Settings, max_message_bytes, producer_properties

_RETRY_SECONDS = 2.0
_WARM_UP_SECONDS = 5.0
_STATE_SECONDS = 1.0
_CHECK_AGAIN_SECONDS = 5.0


class Bridge:
    """One worker: `start` it, ask `flow` and `state`, `close` it.

    `own_folder` takes the schema ids when no setting names a folder; without it they are not kept.
    """

    def __init__(self, settings: Settings, own_folder: Path | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        folder = Path(settings.catalogue.folder) if settings.catalogue.folder else None
        self.catalogue = catalogues.load(folder, settings.topics.prefix, policy=Policy.of(settings.privacy))
        self.sink = KafkaSink(producer_properties(settings))
        self._alarm = DeadLetterAlarm(settings.dead_letters)
        registry = Registry(settings.registry.url, settings.registry.client)
        self._schema_ids = SchemaIds(registry, self.catalogue, self._id_cache(own_folder), self.metrics)
        # What carries callbacks once all is proven, and what is offered to them now.
        self._proven: Flow | None = None
        self._flow: Flow | None = None
        self._is_draining = False
        self._reasons: dict[str, str] = {"starting": "schema ids, topics and producer are not proven yet"}
        self._tasks: list[asyncio.Task[None]] = []

    def flow(self) -> Flow | None:
        """Return the flow, or None while the bridge must take no callback."""
        return self._flow

    def state(self) -> dict[str, Any]:
        """Return readiness with its reasons, as `/readyz` shows it."""
        return {
            "ready": self._flow is not None,
            "reasons": dict(self._reasons),
            "schema_ids": self._schema_ids.state(),
            "dead_letters": {"share": round(self._alarm.share, 4), "alarm": self._alarm.is_on},
            "kafka": {"brokers_up": self.sink.producers.brokers_up, "outstanding_records": self.sink.outstanding_records},
        }

    def start(self) -> None:
        """Begin to warm up, on the running event loop."""
        self.sink.start()
        self._tasks = [asyncio.create_task(self._warm_up()), asyncio.create_task(self._measure())]
        for task in self._tasks:
            task.add_done_callback(_tell_defect)

    def drain(self) -> None:
        """Take no more callbacks."""
        self._is_draining = True
        self._flow = None
        self._reasons = {"draining": "the bridge is stopping"}
        self.metrics.ready.set(0)

    async def close(self) -> int:
        """Flush what is under way; return how many records were not acknowledged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return await self.sink.close(self.settings.shutdown.drain_timeout_seconds)

    async def _warm_up(self) -> None:
        schema_ids: dict[str, int] | None = None
        while True:
            try:
                if schema_ids is None:
                    schema_ids = await self._schema_ids.find()
                topics = [record_type.topic for record_type in self.catalogue]
                await self.sink.producers.warm_up(topics, _WARM_UP_SECONDS)
            except OtherSideFailed as failed:
                what = "topics_and_producer" if schema_ids else "schemas"
                if self._reasons != {what: str(failed)}:
                    event("not_ready", "warning", reason=str(failed))
                self._reasons = {what: str(failed)}
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        self._open(schema_ids)
        await self._check_schema_ids()

    async def _check_schema_ids(self) -> None:
        interval_seconds = self.settings.registry.verify_interval_seconds
        while True:
            is_well = self._schema_ids.are_confirmed
            await asyncio.sleep(interval_seconds if is_well else min(interval_seconds, _CHECK_AGAIN_SECONDS))
            await self._schema_ids.check()
            self._offer()

    def _open(self, schema_ids: dict[str, int]) -> None:
        limit_bytes = max_message_bytes(self.settings)
        by_name = encoders(self.catalogue, schema_ids, self.settings.registry.url, limit_bytes, self.metrics)
        credentials = Credentials.of(self.settings.authentication)
        renamed_keys = self.settings.callbacks.renamed_keys
        self._proven = Flow(self.catalogue, by_name, credentials, self.sink, self.metrics, renamed_keys)
        self._offer()
        # What was made at start stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # A callback makes many short-lived values and hardly a cycle; the default looks at them every 700.
        gc.set_threshold(50_000, 20, 100)
        event("ready", "info")

    def _offer(self) -> None:
        """Take callbacks, unless our ids are wrong or the bridge is stopping."""
        if self._is_draining:
            return
        wrong = self._schema_ids.wrong
        self._flow = None if wrong else self._proven
        self._reasons = {"schema_ids": wrong} if wrong else {}
        self.metrics.ready.set(not wrong)

    def _id_cache(self, own_folder: Path | None) -> IdCache | None:
        named = self.settings.registry.cache_folder
        folder = Path(named) if named else own_folder
        return IdCache(folder, self.settings.registry.url, self.catalogue) if folder else None

    async def _measure(self) -> None:
        while True:
            self.metrics.tell()
            self._watch_dead_letters()
            self.metrics.outstanding_records.set(self.sink.outstanding_records)
            await asyncio.sleep(_STATE_SECONDS)

    def _watch_dead_letters(self) -> None:
        counts = {topic: tally.count for topic, tally in self.metrics.records_by_topic.items()}
        letters = counts.pop(self.catalogue.dead_letter.topic, 0)
        if self._alarm.read(sum(counts.values()), letters):
            if self._alarm.is_on:
                event(
                    "dead_letters_alarm", share=round(self._alarm.share, 4), see="the reasons in connector_dead_letters_total"
                )
            else:
                # Without the share: by now it is of records that have nothing to do with what was wrong.
                event("dead_letters_alarm_over", "warning")
            self.metrics.dead_letter_alarm.set(self._alarm.is_on)


def _tell_defect(task: "asyncio.Task[None]") -> None:
    """Log what ended a task that should go on until it is cancelled: nobody waits for its error."""
    if not task.cancelled() and (error := task.exception()):
        event("defect", where=fault_location(error), error=type(error).__name__)
