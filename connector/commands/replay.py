"""`connector replay dead-letters · raw`: sends callbacks that are already in Kafka through the pipeline again."""

import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer
import uvloop
from rich.progress import Progress

from connector.catalogue import Catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config, DryRun, Rate
from connector.commands.resources import catalogue_without_privacy, catalogue_without_raw, open_settings
from connector.errors import ConfigurationInvalid, OtherSideFailed
from connector.kafka.producers import check_properties
from connector.kafka.sink import KafkaSink
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import encoders, iso
from connector.pipeline.translate import Translator
from connector.privacy.policy import Policy
from connector.records import REASONS
from connector.registry.client import RegistryClient
from connector.registry.retries import COMMAND
from connector.replay.backlog import Backlog
from connector.replay.replay import CountingSink, Replay, Report
from connector.replay.selection import MAX_ATTEMPTS, Selection, require_reasons, time_of
from connector.seals import NO_KEYS, Seals
from connector.settings.producer import in_its_table, max_message_bytes, producer_properties
from connector.settings.tables import Settings

HEADER = "replayed_at"
"""The header of every record that a replay produces: when the replay started."""
_WARM_UP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay a selection: `rate` in callbacks per second (0: no limit), the start and the consumer group."""

    rate: float
    dry_run: bool
    from_beginning: bool
    group: str | None


class _Run:
    """One replay: its clients, its options and its report."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        topic: str,
        selection: Selection,
        options: ReplayOptions,
        replayed_at: int,
    ) -> None:
        self.topic = topic
        self.group = options.group or selection.group()
        self.report = Report()
        self._settings = settings
        self._catalogue = catalogue
        self._selection = selection
        self._options = options
        self._replayed_at = replayed_at
        self._kafka = None if options.dry_run else KafkaSink(producer_properties(settings))

    async def run(self, progress: Progress) -> None:
        """Replay the whole selection."""
        registry = RegistryClient(self._settings.registry.url, self._settings.registry.client, COMMAND)
        client = {**self._settings.kafka.client, **self._settings.kafka.consumer}
        backlog = Backlog(client, self.topic, self.group, registry.schema_text)
        try:
            bar = progress.add_task(
                "replaying", total=backlog.open(self._selection.since, from_beginning=self._options.from_beginning)
            )
            metrics = Metrics()
            translator = self._translator(registry.schema_ids(self._catalogue), metrics)
            deliverer = None
            if self._kafka:
                self._kafka.start()
                await self._kafka.producers.warm_up(translator.topics, _WARM_UP_SECONDS)
                counting = CountingSink(self._kafka, self.report, self._catalogue.dead_letter.topic)
                deliverer = Deliverer(translator, counting, metrics)
            replay = Replay(backlog, self._selection, translator, deliverer, self.report, self._options.rate)
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
        leave_out = self._selection.omitted_sources()
        return Translator(self._catalogue, by_name, metrics, settings.callbacks.renamed_keys, leave_out=leave_out)


def run(
    settings: Settings,
    catalogue: Catalogue,
    topic: str,
    selection: Selection,
    options: ReplayOptions,
    replayed_at: int,
    *,
    as_json: bool,
) -> None:
    """Replay a selection of a topic and show the report; `catalogue` is the one without raw callbacks.

    Raises:
        OtherSideFailed: if Kafka or the registry fails; the report up to then is shown.
    """
    problems = check_properties(producer_properties(settings))
    if problems:
        raise ConfigurationInvalid([in_its_table(settings, problem) for problem in problems])
    replay = _Run(settings, catalogue, topic, selection, options, replayed_at)
    try:
        with Progress(console=show.err, transient=True, disable=not show.err.is_terminal) as progress:
            uvloop.run(replay.run(progress))
    except OtherSideFailed:
        if replay.report.read:
            _show(replay, dry_run=options.dry_run, as_json=as_json)
        raise
    _show(replay, dry_run=options.dry_run, as_json=as_json)


def _show(replay: _Run, *, dry_run: bool, as_json: bool) -> None:
    report = {"topic": replay.topic, "group": replay.group, "dry_run": dry_run, **replay.report.as_json()}
    if as_json:
        show.as_json(report)
        return
    rows: list[tuple[Any, ...]] = [
        ("read", None, report["read"]),
        ("would be replayed" if dry_run else "replayed", None, report["replayed"]),
    ]
    rows += [("records", topic, count) for topic, count in report["records"].items()]
    rows += [("dead letters", reason, count) for reason, count in report["dead_letters"].items()]
    rows += [("without records", None, report["without_records"])] if report["without_records"] else []
    rows += [("skipped", why.replace("_", " "), count) for why, count in report["skipped"].items()]
    title = f"{'Would be replayed' if dry_run else 'Replayed'} from {replay.topic} by the consumer group {replay.group}"
    show.table(title, ("outcome", "topic or reason", "count"), rows)


app = typer.Typer(
    name="replay", help="Send callbacks that are already in Kafka through the pipeline again.", no_args_is_help=True
)

_Contacts = Annotated[bool, typer.Option("--contacts", help="Also recreate contact records; may overwrite newer profiles.")]
_FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="Start with the oldest record, also if it was replayed before.")
]
_Group = Annotated[
    str | None, typer.Option(help="Consumer group that stores the position of the replay. Default: one for each selection.")
]


@app.command("dead-letters")
def dead_letters_command(  # noqa: PLR0913 - one argument for each option
    *,
    config: Config = None,
    reason: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only dead letters with this reason. Can be repeated. Reasons: {', '.join(REASONS)}.",
            autocompletion=lambda: REASONS,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only callbacks first received at or after this time, as 2025-11-21T10:30:00Z.")
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(min=2, help="Skip dead letters already attempted this many times.")
    ] = MAX_ATTEMPTS,
    rate: Rate = 0,
    contacts: _Contacts = False,
    from_beginning: _FromBeginning = False,
    group: _Group = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Replay dead letters after their cause is fixed. A callback that fails again becomes a dead letter again."""
    settings = open_settings(config)
    from_time = time_of(since, "--since") if since is not None else None
    reasons = require_reasons(reason or ())
    selection = Selection("dead-letters", from_time, None, reasons, max_attempts, contacts, _seals(settings))
    options = ReplayOptions(rate, dry_run, from_beginning, group)
    catalogue = catalogue_without_raw(settings)
    run(settings, catalogue, catalogue.dead_letter.topic, selection, options, _now_ms(), as_json=as_json)


@app.command("raw")
def raw_command(  # noqa: PLR0913 - one argument for each option
    *,
    config: Config = None,
    from_: Annotated[
        str, typer.Option("--from", help="Only callbacks first received at or after this time, as 2025-11-21T10:30:00Z.")
    ],
    to: Annotated[str, typer.Option(help="Only callbacks first received before this time.")],
    rate: Rate = 0,
    contacts: _Contacts = False,
    from_beginning: _FromBeginning = False,
    group: _Group = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Replay every callback of a span of time from the raw topic. Needs topics.raw = true."""
    settings = open_settings(config)
    since, until = time_of(from_, "--from"), time_of(to, "--to")
    if since >= until:
        raise ConfigurationInvalid(["--from must be before --to"])
    if not settings.topics.raw:
        advice = "if it was true before, run this command with CONNECTOR_TOPICS__RAW=true"
        raise ConfigurationInvalid([f"topics.raw is false, so callbacks are not stored as received; {advice}"])
    selection = Selection("raw", since, until, (), MAX_ATTEMPTS, contacts, _seals(settings))
    options = ReplayOptions(rate, dry_run, from_beginning, group)
    archive = catalogue_without_privacy(settings).raw
    assert archive is not None
    run(settings, catalogue_without_raw(settings), archive.topic, selection, options, _now_ms(), as_json=as_json)


def _seals(settings: Settings) -> Seals:
    return Policy.of(settings.privacy).seals or NO_KEYS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
