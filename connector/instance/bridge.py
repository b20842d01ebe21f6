"""The composition root: settings in, one worker's catalogue, producer, flow and readiness out.

A worker is not ready at first. The warm-up retries until schema ids, topics and producer are proven. From then on an outage of
Kafka is answered 503 and shows in the state, not in readiness. The worker takes no callbacks again if it would write wrong
records: when the registry gives our schemas other ids than before.
"""

import asyncio
import gc
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from connector.auth.authenticate import Credentials
from connector.catalogue import load_catalogue
from connector.errors import KafkaAway, OtherSideFailed, RegistryFailed
from connector.http import open_files
from connector.http.token_endpoint import TokenIssuer
from connector.instance.dead_letter_alarm import DeadLetterAlarm
from connector.instance.readiness import DRAINING, STARTING, Readiness, Reason
from connector.kafka.circuit_breaker import CircuitBreaker
from connector.kafka.sink import KafkaSink
from connector.logs import RateLimitedEvent, event, fault_location
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.ports import Sink
from connector.pipeline.translate import Translator
from connector.registry.client import RegistryClient
from connector.registry.id_cache import IdCache
from connector.registry.retries import LONGEST_WAIT_SECONDS
from connector.registry.schema_ids import SchemaIds
from connector.settings.producer import max_message_bytes, producer_properties
from connector.settings.tables import Settings
from connector.spool.drain import DRAIN_PROPERTIES, Drain
from connector.spool.intake import DiskSpool

_RETRY_SECONDS = 2.0
_WARM_UP_SECONDS = 5.0
_MEASURE_SECONDS = 1.0
_SPOOL_SECONDS = 0.5
"""How often the spool's refusal is read: any worker of the instance can set it, in memory that they share."""
_CHECK_AGAIN_SECONDS = 5.0
_MORE_FILES: Final = "raise the hard limit of open files (LimitNOFILE, ulimit -Hn), or lower http.max_connections"
_NO_MORE_FILES: Final = f"no more files can be opened, so new connections are reset; {_MORE_FILES}"
_WARMED_UP: Final[Mapping[Reason, str]] = {"starting": "", "schemas": "", "topics_and_producer": ""}


class Bridge:
    """One worker without its listener: `start` it, use `flow`, `readiness` and `state`, `close` it.

    `own_folder` is where schema ids are cached if no setting names a folder; without it they are not cached. `clock` gives
    times of receipt, in nanoseconds.
    """

    def __init__(self, settings: Settings, own_folder: Path | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.readiness = Readiness({"starting": STARTING})
        self.catalogue = load_catalogue(settings)
        self.is_draining = False
        self._circuit = CircuitBreaker()
        self.sink = KafkaSink(producer_properties(settings), self._circuit)
        self._credentials = Credentials.of(settings.authentication, settings.oauth)
        # Both need the event loop: `start` makes them.
        self._spool: DiskSpool | None = None
        self._drain: Drain | None = None
        self._clock = clock
        self._alarm = DeadLetterAlarm(settings.dead_letters)
        self._no_files = RateLimitedEvent("open_files_exhausted", "error")
        registry = RegistryClient(settings.registry.url, settings.registry.client)
        self._schema_ids = SchemaIds(registry, self.catalogue, self._id_cache(own_folder), self.metrics)
        # Made once all is proven.
        self._flow: Flow | None = None
        self._translator: Translator | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def token_issuer(self) -> TokenIssuer | None:
        """Return the issuer of tokens, or None if no credential is of the kind oauth."""
        tokens = self._credentials.tokens
        return TokenIssuer(self.settings.oauth, self._credentials, tokens, self.metrics) if tokens else None

    def flow(self) -> Flow | None:
        """Return the flow, or None while the bridge must take no callbacks."""
        return self._flow if self.readiness.takes_callbacks else None

    def state(self) -> dict[str, Any]:
        """Return readiness with its reasons, and the figures that `/readyz` shows beside it."""
        return {
            "ready": self.readiness.is_ready,
            "reasons": self.readiness.reasons,
            "schema_ids": self._schema_ids.state(),
            "dead_letters": {"share": round(self._alarm.share, 4), "alarm": self._alarm.is_on},
            "kafka": {
                "away": self._circuit.is_open,
                "brokers_up": self.sink.producers.brokers_up,
                "outstanding_records": self.sink.outstanding_records,
            },
            "spool": self._spool.state() if self._spool else None,
        }

    def start(self) -> None:
        """Start to warm up, on the running event loop."""
        self.sink.start()
        self._tasks = [asyncio.create_task(self._warm_up()), asyncio.create_task(self._measure())]
        spool = self.settings.spool
        if spool.folder:
            seals = self.catalogue.policy.seals
            self._spool = DiskSpool(spool, seals, self.metrics)
            self._drain = Drain(spool, seals, self._new_drain_sink, self._new_drain_deliverer, self._may_deliver, self.metrics)
            self._tasks += [asyncio.create_task(self._drain.run()), asyncio.create_task(self._watch_spool(self._spool))]
        for task in self._tasks:
            task.add_done_callback(_log_internal_error)

    def drain(self) -> None:
        """Stop being ready; callbacks that still arrive are carried until `close`."""
        self.is_draining = True
        self._update({"draining": DRAINING})

    async def close(self) -> int:
        """Take no more callbacks and flush what is under way; return how many records were not acknowledged."""
        self._flow = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._drain:
            await self._drain.close()
        if self._spool:
            await self._spool.close()
        unacknowledged = await self.sink.close(self.settings.shutdown.drain_timeout_seconds)
        self.metrics.flush()
        return unacknowledged

    async def _warm_up(self) -> None:
        schema_ids: dict[str, int] | None = None
        while True:
            try:
                if schema_ids is None:
                    schema_ids = await self._schema_ids.find()
                topics = [record_type.topic for record_type in self.catalogue]
                await self.sink.producers.warm_up(topics, _WARM_UP_SECONDS)
            except OtherSideFailed as failed:
                if schema_ids and isinstance(failed, KafkaAway) and await self._can_start_on_spool():
                    self._open(schema_ids)
                elif self._flow is None:
                    self._report_not_ready("topics_and_producer" if schema_ids else "schemas", failed)
                await asyncio.sleep(_pause_seconds(failed))
            else:
                break
        if self._flow is None:
            self._open(schema_ids)
        if self._spool:
            await self._spool.record_verified(self._what_is_proven())
        await self._check_schema_ids()

    async def _can_start_on_spool(self) -> bool:
        """Return whether callbacks can be spooled until Kafka is back: this very configuration has worked before."""
        if self._flow or not (self._spool and await self._spool.was_verified(self._what_is_proven())):
            return False
        event("kafka_away_at_start", "warning", see="callbacks are kept in spool.folder")
        self._circuit.open(asyncio.get_running_loop().time())
        return True

    def _what_is_proven(self) -> str:
        """Return a digest of all that a start proves: another topic, schema or server must be proven again."""
        topics = sorted((record_type.topic, record_type.published_text) for record_type in self.catalogue)
        servers = self.settings.kafka.client["bootstrap.servers"], self.settings.registry.url
        return hashlib.sha256(repr((topics, servers)).encode()).hexdigest()

    def _report_not_ready(self, reason: Reason, failed: OtherSideFailed) -> None:
        """Show why the warm-up does not succeed, instead of the reason before; log it when it has changed."""
        before = self.readiness.reasons
        self._update({**_WARMED_UP, reason: str(failed)})
        if self.readiness.reasons != before:
            event("not_ready", "warning", reason=str(failed))

    async def _check_schema_ids(self) -> None:
        interval_seconds = self.settings.registry.verify_interval_seconds
        while True:
            is_well = self._schema_ids.are_confirmed
            await asyncio.sleep(interval_seconds if is_well else min(interval_seconds, _CHECK_AGAIN_SECONDS))
            await self._schema_ids.check()
            self._update({"schema_ids": self._schema_ids.wrong})

    def _open(self, schema_ids: dict[str, int]) -> None:
        limit_bytes = max_message_bytes(self.settings)
        by_name = encoders(self.catalogue, schema_ids, self.settings.registry.url, limit_bytes, self.metrics)
        self._translator = Translator(self.catalogue, by_name, self.metrics, self.settings.callbacks.renamed_keys)
        deliverer = Deliverer(self._translator, self.sink, self.metrics)
        self._flow = Flow(self._credentials, deliverer, self.metrics, self._spool)
        self._update({**_WARMED_UP, "schema_ids": self._schema_ids.wrong})
        # What was made at start stays: the collector need not check it again.
        gc.collect()
        gc.freeze()
        # A callback makes many short-lived values and hardly a cycle; the default collects after every 700.
        gc.set_threshold(50_000, 20, 100)
        event("ready", "info")

    def _update(self, reasons: Mapping[Reason, str]) -> None:
        self.readiness.update(reasons)
        self.metrics.ready.set(self.readiness.is_ready)

    def _may_deliver(self) -> bool:
        return self.flow() is not None

    def _new_drain_sink(self) -> KafkaSink:
        return KafkaSink({**producer_properties(self.settings), **DRAIN_PROPERTIES})

    def _new_drain_deliverer(self, sink: Sink) -> Deliverer:
        assert self._translator is not None
        return Deliverer(self._translator, sink, self.metrics)

    def _id_cache(self, own_folder: Path | None) -> IdCache | None:
        named = self.settings.registry.cache_folder
        folder = Path(named) if named else own_folder
        return IdCache(folder, self.settings.registry.url, self.catalogue) if folder else None

    async def _measure(self) -> None:
        while True:
            self.metrics.flush()
            self._watch_dead_letters()
            self._watch_open_files()
            self.metrics.outstanding_records.set(self.sink.outstanding_records)
            self.metrics.circuit_open.set(self._circuit.is_open)
            if self._spool:
                await self._spool.refresh(self._clock() // 1_000_000)
            await asyncio.sleep(_MEASURE_SECONDS)

    def _watch_open_files(self) -> None:
        are_exhausted = open_files.are_exhausted()
        if are_exhausted:
            self._no_files.event(advice=_MORE_FILES)
        self._update(
            {"open_files": f"no more files can be opened, so new connections are reset; {_MORE_FILES}" * are_exhausted}
        )

    async def _watch_spool(self, spool: DiskSpool) -> None:
        was_waiting = False
        while True:
            self._update({"spool": spool.refusal})
            if was_waiting and not spool.is_waiting and self._circuit.is_open:
                # Kafka has taken all that waited. Without new callbacks, no producer of this worker would notice.
                self._circuit.close(asyncio.get_running_loop().time())
                event("kafka_back", "warning")
            was_waiting = spool.is_waiting
            await asyncio.sleep(_SPOOL_SECONDS)

    def _watch_dead_letters(self) -> None:
        counts = {topic: tally.count for topic, tally in self.metrics.records_by_topic.items()}
        letters = counts.pop(self.catalogue.dead_letter.topic, 0)
        if self.catalogue.raw:
            # One for each callback, whatever its outcome: they would halve the share.
            counts.pop(self.catalogue.raw.topic, None)
        if self._alarm.read(sum(counts.values()), letters):
            if self._alarm.is_on:
                event(
                    "dead_letter_alarm_raised",
                    share=round(self._alarm.share, 4),
                    see="the reasons in connector_dead_letters_total",
                )
            else:
                # Without the share: by now it is that of records which had no part in the alarm.
                event("dead_letter_alarm_cleared", "warning")
            self.metrics.dead_letter_alarm.set(self._alarm.is_on)


def _pause_seconds(failed: OtherSideFailed) -> float:
    """Return how long to wait before the next try of the warm-up: longer if the registry asks for it."""
    asked_seconds = failed.wait_seconds if isinstance(failed, RegistryFailed) else 0.0
    return max(_RETRY_SECONDS, min(asked_seconds, LONGEST_WAIT_SECONDS))


def _log_internal_error(task: "asyncio.Task[None]") -> None:
    """Log the error of a task that should run until it is cancelled: no one awaits it."""
    if not task.cancelled() and (error := task.exception()):
        event("internal_error", where=fault_location(error), error=type(error).__name__)
