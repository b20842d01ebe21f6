"""The composition root: one worker's catalogue, producer, flow and readiness, put together from the settings.

Starts red. `warm_up` proves schema ids, topics and producer once, and tries again until they are there; from then on an
outage of Kafka is answered 503 and shows in the state, not in the colour. Red again is what would write wrong records: a
registry that knows our schemas by other ids than before.
"""

import asyncio
import gc
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connector.auth.authenticate import Credentials
from connector.catalogue import load_catalogue
from connector.errors import KafkaAway, OtherSideFailed
from connector.http.token_endpoint import TokenIssuer
from connector.instance.dead_letter_alarm import DeadLetterAlarm
from connector.kafka.circuit_breaker import CircuitBreaker
from connector.kafka.sink import KafkaSink
from connector.logs import event, fault_location
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.ports import Sink
from connector.pipeline.translate import Translator
from connector.registry.client import RegistryClient
from connector.registry.id_cache import IdCache
from connector.registry.schema_ids import SchemaIds
from connector.settings.producer import max_message_bytes, producer_properties
from connector.settings.tables import Settings
from connector.spool.drain import DRAINS, Drain
from connector.spool.intake import DiskSpool

_RETRY_SECONDS = 2.0
_WARM_UP_SECONDS = 5.0
_STATE_SECONDS = 1.0
_CHECK_AGAIN_SECONDS = 5.0


class Bridge:
    """One worker: `start` it, ask `flow` and `state`, `close` it.

    `own_folder` takes the schema ids when no setting names a folder; without it they are not kept. `clock` is that of the
    times of receipt.
    """

    def __init__(self, settings: Settings, own_folder: Path | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.catalogue = load_catalogue(settings)
        self._circuit = CircuitBreaker()
        self.sink = KafkaSink(producer_properties(settings), self._circuit)
        self._credentials = Credentials.of(settings.authentication, settings.oauth)
        # On the event loop, where it belongs: `start` makes it.
        self._spool: DiskSpool | None = None
        self._drain: Drain | None = None
        self._clock = clock
        self._alarm = DeadLetterAlarm(settings.dead_letters)
        registry = RegistryClient(settings.registry.url, settings.registry.client)
        self._schema_ids = SchemaIds(registry, self.catalogue, self._id_cache(own_folder), self.metrics)
        # What carries callbacks once all is proven, and what is offered to them now.
        self._proven: Flow | None = None
        self._flow: Flow | None = None
        self._is_draining = False
        self._translator: Translator | None = None
        self._reasons: dict[str, str] = {"starting": "schema ids, topics and producer are not proven yet"}
        self._tasks: list[asyncio.Task[None]] = []

    def desk(self) -> TokenIssuer | None:
        """Return what gives tokens; None where no credential is of the kind oauth."""
        tokens = self._credentials.tokens
        return TokenIssuer(self.settings.oauth, self._credentials, tokens, self.metrics) if tokens else None

    def flow(self) -> Flow | None:
        """Return the flow, or None while the bridge must take no callback."""
        return self._flow

    def state(self) -> dict[str, Any]:
        """Return readiness with its reasons, as `/readyz` shows it."""
        refusal = self._spool.refusal if self._spool and self._flow else ""
        return {
            "ready": self._flow is not None and not refusal and not self._is_draining,
            "reasons": {**self._reasons, **({"spool": refusal} if refusal else {})},
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
        """Begin to warm up, on the running event loop."""
        self.sink.start()
        self._tasks = [asyncio.create_task(self._warm_up()), asyncio.create_task(self._measure())]
        spool = self.settings.spool
        if spool.folder:
            seals = self.catalogue.policy.seals
            self._spool = DiskSpool(spool, seals, self.metrics)
            self._drain = Drain(spool, seals, self._new_drain_sink, self._new_drain_deliverer, self._may_deliver, self.metrics)
            self._tasks.append(asyncio.create_task(self._drain.run()))
        for task in self._tasks:
            task.add_done_callback(_tell_defect)

    def drain(self) -> None:
        """Say that the bridge stops; what still comes in is carried until `close`."""
        self._is_draining = True
        self._reasons = {"draining": "the bridge is stopping"}
        self.metrics.ready.set(0)

    async def close(self) -> int:
        """Take no more callbacks, flush what is under way; return how many records were not acknowledged."""
        self._flow = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._drain:
            await self._drain.close()
        if self._spool:
            await self._spool.close()
        left = await self.sink.close(self.settings.shutdown.drain_timeout_seconds)
        self.metrics.tell()
        return left

    async def _warm_up(self) -> None:
        schema_ids: dict[str, int] | None = None
        while True:
            try:
                if schema_ids is None:
                    schema_ids = await self._schema_ids.find()
                topics = [record_type.topic for record_type in self.catalogue]
                await self.sink.producers.warm_up(topics, _WARM_UP_SECONDS)
            except OtherSideFailed as failed:
                if schema_ids and isinstance(failed, KafkaAway) and await self._begins_on_spool():
                    self._open(schema_ids)
                elif self._flow is None:
                    self._tell_not_ready("topics_and_producer" if schema_ids else "schemas", failed)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        if self._proven is None:
            self._open(schema_ids)
        if self._spool:
            await self._spool.prove(self._what_is_proven())
        await self._check_schema_ids()

    async def _begins_on_spool(self) -> bool:
        """Return whether callbacks can be kept until Kafka is there: this very configuration has worked before."""
        if self._proven or not (self._spool and await self._spool.was_proven(self._what_is_proven())):
            return False
        event("kafka_away_at_start", "warning", see="callbacks are kept in spool.folder")
        self._circuit.open(asyncio.get_running_loop().time())
        return True

    def _what_is_proven(self) -> str:
        """Return a digest of all that a start proves: another topic, schema or server is to be proven anew."""
        topics = sorted((record_type.topic, record_type.published_text) for record_type in self.catalogue)
        servers = self.settings.kafka.client["bootstrap.servers"], self.settings.registry.url
        return hashlib.sha256(repr((topics, servers)).encode()).hexdigest()

    def _tell_not_ready(self, what: str, failed: OtherSideFailed) -> None:
        if self._reasons != {what: str(failed)}:
            event("not_ready", "warning", reason=str(failed))
        self._reasons = {what: str(failed)}

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
        self._translator = Translator(self.catalogue, by_name, self.metrics, self.settings.callbacks.renamed_keys)
        deliverer = Deliverer(self._translator, self.sink, self.metrics)
        self._proven = Flow(self._credentials, self._translator, deliverer, self.metrics, self._spool)
        self._offer()
        # What was made at start stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # A callback makes many short-lived values and hardly a cycle; the default looks at them every 700.
        gc.set_threshold(50_000, 20, 100)
        event("ready", "info")

    def _may_deliver(self) -> bool:
        return self._flow is not None

    def _new_drain_sink(self) -> KafkaSink:
        return KafkaSink({**producer_properties(self.settings), **DRAINS})

    def _new_drain_deliverer(self, sink: Sink) -> Deliverer:
        assert self._translator is not None
        return Deliverer(self._translator, sink, self.metrics)

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
            self.metrics.circuit_open.set(self._circuit.is_open)
            if self._spool:
                await self._spool.look(self._clock() // 1_000_000)
            await asyncio.sleep(_STATE_SECONDS)

    def _watch_dead_letters(self) -> None:
        counts = {topic: tally.count for topic, tally in self.metrics.records_by_topic.items()}
        letters = counts.pop(self.catalogue.dead_letter.topic, 0)
        if self.catalogue.raw:
            # One a callback, whatever becomes of it: they would halve the share.
            counts.pop(self.catalogue.raw.topic, None)
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
