"""The composition root: one worker's catalogue, producer, flow and readiness, put together from the settings.

Starts red. `warm_up` proves registry, topics and producer once, and tries again until they are there; from then on an
outage of Kafka is answered 503 and shows in the state, not in the colour.
"""

import asyncio
import gc
from pathlib import Path
from typing import Any

from connector import catalogue as catalogues
from connector.alarm import DeadLetterAlarm
from connector.errors import OtherSideFailed
from connector.logs import event
from connector.metrics import Metrics
from connector.pipeline.authenticate import Credentials
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.produce import KafkaSink
from connector.registry import Registry
from connector.settings import Settings, max_message_bytes, producer_properties

_RETRY_SECONDS = 2.0
_WARM_UP_SECONDS = 5.0
_STATE_SECONDS = 1.0


class Bridge:
    """One worker: `start` it, ask `flow` and `state`, `close` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        folder = Path(settings.catalogue.folder) if settings.catalogue.folder else None
        self.catalogue = catalogues.load(folder, settings.topics.prefix)
        self.sink = KafkaSink(producer_properties(settings))
        self._alarm = DeadLetterAlarm(settings.dead_letters)
        self._flow: Flow | None = None
        self._reasons: dict[str, str] = {"starting": "schema ids, topics and producer are not proven yet"}
        self._tasks: list[asyncio.Task[None]] = []

    def flow(self) -> Flow | None:
        """Return the flow, or None while the bridge is not ready."""
        return self._flow

    def state(self) -> dict[str, Any]:
        """Return readiness with its reasons, as `/readyz` shows it."""
        return {
            "ready": self._flow is not None,
            "reasons": dict(self._reasons),
            "dead_letters": {"share": round(self._alarm.share, 4), "alarm": self._alarm.is_on},
            "kafka": {"brokers_up": self.sink.producers.brokers_up, "outstanding_records": self.sink.outstanding_records},
        }

    def start(self) -> None:
        """Begin to warm up, on the running event loop."""
        self.sink.start()
        self._tasks = [asyncio.create_task(self._warm_up()), asyncio.create_task(self._measure())]

    def drain(self) -> None:
        """Take no more callbacks."""
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
        registry = Registry(self.settings.registry.url, self.settings.registry.client)
        schema_ids: dict[str, int] | None = None
        while True:
            try:
                if schema_ids is None:
                    schema_ids = await asyncio.to_thread(registry.schema_ids, list(self.catalogue))
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

    def _open(self, schema_ids: dict[str, int]) -> None:
        limit_bytes = max_message_bytes(self.settings)
        by_name = encoders(self.catalogue, schema_ids, self.settings.registry.url, limit_bytes, self.metrics)
        credentials = Credentials.of(self.settings.authentication)
        renamed_keys = self.settings.callbacks.renamed_keys
        self._flow = Flow(self.catalogue, by_name, credentials, self.sink, self.metrics, renamed_keys)
        self._reasons = {}
        self.metrics.ready.set(1)
        # What was made at start stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # A callback makes many short-lived values and hardly a cycle; the default looks at them every 700.
        gc.set_threshold(50_000, 20, 100)
        event("ready", "info")

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
