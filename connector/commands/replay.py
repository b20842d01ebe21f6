"""`connector replay dead-letters · raw`: callbacks that are in Kafka already, through the pipeline again."""

from dataclasses import dataclass
from typing import Any

import uvloop
from rich.progress import Progress

from connector.catalogue import Catalogue
from connector.commands import show
from connector.errors import ConfigurationInvalid, OtherSideFailed
from connector.kafka.producers import check_properties
from connector.kafka.sink import KafkaSink
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import encoders, iso
from connector.pipeline.translate import Translator
from connector.registry.client import RegistryClient
from connector.replay.backlog import Backlog
from connector.replay.replay import Counting, Replay, Report
from connector.replay.selection import Selection
from connector.settings.producer import in_its_table, max_message_bytes, producer_properties
from connector.settings.tables import Settings

HEADER = "replayed_at"
"""Stands on every record that a replay makes: when the replay began."""
_WARM_UP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a selection is replayed: `rate` in callbacks a second (0: as fast as it goes), from where and as which group."""

    rate: float
    dry_run: bool
    anew: bool
    group: str | None


class _Run:
    """One replay, from settings to what became of it."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, topic: str, selection: Selection, way: Way, replayed_at: int
    ) -> None:
        self.topic = topic
        self.group = way.group or selection.group()
        self.report = Report()
        self._settings = settings
        self._catalogue = catalogue
        self._selection = selection
        self._way = way
        self._replayed_at = replayed_at
        self._kafka = None if way.dry_run else KafkaSink(producer_properties(settings))

    async def carry(self, progress: Progress) -> None:
        """Replay all that there is."""
        registry = RegistryClient(self._settings.registry.url, self._settings.registry.client)
        client = {**self._settings.kafka.client, **self._settings.kafka.consumer}
        backlog = Backlog(client, self.topic, self.group, registry.schema_text)
        try:
            bar = progress.add_task("replaying", total=backlog.open(self._selection.since, anew=self._way.anew))
            metrics = Metrics()
            translator = self._translator(registry.schema_ids(self._catalogue), metrics)
            deliverer = None
            if self._kafka:
                self._kafka.start()
                await self._kafka.producers.warm_up(translator.topics, _WARM_UP_SECONDS)
                counting = Counting(self._kafka, self.report, self._catalogue.dead_letter.topic)
                deliverer = Deliverer(translator, counting, metrics)
            replay = Replay(backlog, self._selection, translator, deliverer, self.report, self._way.rate)
            await replay.run(self._replayed_at, lambda count: progress.advance(bar, count))
        finally:
            backlog.close()
            registry.close()
            if self._kafka:
                await self._kafka.close(self._settings.shutdown.drain_timeout_seconds)

    def _translator(self, schema_ids: dict[str, int], metrics: Metrics) -> Translator:
        settings = self._settings
        replayed_at = [(HEADER, iso(self._replayed_at))]
        limit_bytes = max_message_bytes(settings)
        by_name = encoders(self._catalogue, schema_ids, settings.registry.url, limit_bytes, metrics, replayed_at)
        leave_out = self._selection.left_out()
        return Translator(self._catalogue, by_name, metrics, settings.callbacks.renamed_keys, leave_out=leave_out)


def run(
    settings: Settings, catalogue: Catalogue, topic: str, selection: Selection, way: Way, replayed_at: int, *, as_json: bool
) -> None:
    """Replay what is selected of a topic, and show what became of it; `catalogue` is the one without raw callbacks.

    Raises:
        OtherSideFailed: when Kafka or the registry fails; what was done before is shown.
    """
    problems = check_properties(producer_properties(settings))
    if problems:
        raise ConfigurationInvalid([in_its_table(settings, problem) for problem in problems])
    one = _Run(settings, catalogue, topic, selection, way, replayed_at)
    try:
        with Progress(console=show.err, transient=True, disable=not show.err.is_terminal) as progress:
            uvloop.run(one.carry(progress))
    except OtherSideFailed:
        if one.report.read:
            _show(one, dry_run=way.dry_run, as_json=as_json)
        raise
    _show(one, dry_run=way.dry_run, as_json=as_json)


def _show(one: _Run, *, dry_run: bool, as_json: bool) -> None:
    told = {"topic": one.topic, "group": one.group, "dry_run": dry_run, **one.report.as_json()}
    if as_json:
        show.as_json(told)
        return
    rows: list[tuple[Any, ...]] = [("read", None, told["read"]), ("replayed", None, told["replayed"])]
    rows += [("records", topic, count) for topic, count in told["records"].items()]
    rows += [("dead again", reason, count) for reason, count in told["dead_again"].items()]
    rows += [("became no record", None, told["nothing_made"])] if told["nothing_made"] else []
    rows += [("passed over", why.replace("_", " "), count) for why, count in told["skipped"].items()]
    title = f"{'Would be replayed' if dry_run else 'Replayed'} from {one.topic} by the consumer group {one.group}"
    show.table(title, ("what", "which", "count"), rows)
