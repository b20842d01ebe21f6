"""`connector topics`: lists, checks and creates the topics of the catalogue."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import typer

from connector.catalogue import Catalogue, RecordType
from connector.commands import show
from connector.commands.options import AsJson, Config, DryRun
from connector.commands.resources import catalogue_without_privacy, open_settings
from connector.errors import KafkaFailed, OtherSideFailed
from connector.kafka.diagnosis import hidden
from connector.settings.tables import Settings
from connector.topics import broker
from connector.topics.broker import Broker, TopicToCreate
from connector.topics.deviations import DescribedTopics, Deviation, deviations, worst
from connector.topics.wanted import Wanted

app = typer.Typer(name="topics", help="Check and create our topics in Kafka.", no_args_is_help=True)


@app.command("list")
def list_command(*, config: Config = None, as_json: AsJson = False) -> None:
    """List our topics: the settings we want, and what Kafka has."""
    settings = open_settings(config)
    list_topics(settings, catalogue_without_privacy(settings), as_json=as_json)


@app.command("check")
def check_command(*, config: Config = None, as_json: AsJson = False) -> None:
    """Compare the topics in Kafka with the catalogue."""
    settings = open_settings(config)
    check(settings, catalogue_without_privacy(settings), as_json=as_json)


@app.command("create")
def create_command(
    *,
    config: Config = None,
    dry_run: DryRun = False,
    alter: Annotated[
        bool,
        typer.Option(
            "--alter",
            help="Also correct the settings of existing topics. Never adds partitions: that would break the order of keys.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create missing topics. Changes existing topics only with --alter."""
    settings = open_settings(config)
    create(settings, catalogue_without_privacy(settings), dry_run=dry_run, alter=alter, as_json=as_json)


def list_topics(settings: Settings, catalogue: Catalogue, *, as_json: bool) -> None:
    """Show the wanted settings of each topic, and those on the broker."""
    wanted, seen = Wanted.of(settings), _see(_broker(settings), catalogue)
    listed = [_listed(record_type, wanted, seen, catalogue) for record_type in catalogue]
    if as_json:
        show.as_json(listed)
        return
    rows = [(one["topic"], one["record_type"], _summary(one["wanted"]), _summary(one["found"])) for one in listed]
    show.table("Topics", ("topic", "record type", "wanted", "found"), rows)


def check(settings: Settings, catalogue: Catalogue, *, as_json: bool) -> None:
    """Show each topic's state, and every deviation with its fix.

    Raises:
        OtherSideFailed: if a topic is missing or wrong.
    """
    seen = _see(_broker(settings), catalogue)
    found = deviations(catalogue, Wanted.of(settings), seen)
    checked = [_checked(record_type, seen, found) for record_type in catalogue]
    if as_json:
        show.as_json(checked)
    else:
        rows = [row for one in checked for row in _rows(one)]
        show.table("Topics", ("topic", "partitions", "state", "found"), rows)
        show.what_to_do(deviation.advice for deviation in found)
        if any(deviation.config for deviation in found):
            show.what_to_do(["to apply every kafka-configs command above at once: connector topics create --alter"])
    wrong = {deviation.topic for deviation in found if deviation.state in ("missing", "error")}
    if wrong:
        raise OtherSideFailed(f"{len(wrong)} topic{'s are' if len(wrong) > 1 else ' is'} missing or wrong")


class _Step(NamedTuple):
    """What `create` does with a topic: creates it, sets `config`, or nothing. `unresolved` are deviations that stay."""

    topic: str
    partitions: int
    state: str
    config: Mapping[str, str]
    unresolved: tuple[str, ...] = ()


def create(settings: Settings, catalogue: Catalogue, *, dry_run: bool, alter: bool, as_json: bool) -> None:
    """Create the missing topics, with `alter` also correct the settings of the others, and show what was done.

    Raises:
        OtherSideFailed: if Kafka refuses some of the changes; the others are made, and shown.
    """
    kafka, wanted = _broker(settings), Wanted.of(settings)
    seen = _see(kafka, catalogue)
    if seen.hidden:
        raise hidden(sorted(seen.hidden), "DESCRIBE and CREATE")
    found = deviations(catalogue, wanted, seen)
    new = [_new(record_type, wanted, seen, catalogue) for record_type in catalogue if record_type.topic not in seen.present]
    steps = {
        one.topic: _Step(one.topic, one.partitions, "would be created" if dry_run else "created", one.config) for one in new
    }
    for topic, state in seen.present.items():
        steps[topic] = _step_for_existing(
            topic, state.partitions, [one for one in found if one.topic == topic], alter=alter, dry_run=dry_run
        )
    failures = [] if dry_run else _apply(kafka, new, [step for step in steps.values() if step.state == "altered"], steps)
    _show([steps[record_type.topic] for record_type in catalogue], as_json=as_json)
    if failures:
        raise OtherSideFailed("\n".join(failures))


def _apply(kafka: Broker, new: list[TopicToCreate], altered: list[_Step], steps: dict[str, _Step]) -> list[str]:
    """Create and alter topics; return the failures as messages, and mark them in the steps."""
    failures = []
    for one in new:
        try:
            kafka.create(one)
        except KafkaFailed as failed:
            failures.append(str(failed))
            steps[one.topic] = steps[one.topic]._replace(state="error")
    created = [one.topic for one in new if steps[one.topic].state != "error"]
    if created:
        try:
            kafka.wait_until_shown(created)
        except KafkaFailed as failed:
            failures.append(str(failed))
    for step in altered:
        try:
            kafka.alter(step.topic, step.config)
        except KafkaFailed as failed:
            failures.append(str(failed))
            steps[step.topic] = step._replace(state="error")
    return failures


def _new(record_type: RecordType, wanted: Wanted, seen: DescribedTopics, catalogue: Catalogue) -> TopicToCreate:
    replicas = wanted.replicas_of(record_type)
    partitions = wanted.partitions_of(record_type, seen.keyed_partitions(catalogue))
    return TopicToCreate(record_type.topic, partitions, replicas, wanted.config_of(record_type, replicas))


def _step_for_existing(topic: str, partitions: int, found: list[Deviation], *, alter: bool, dry_run: bool) -> _Step:
    config = dict(deviation.config for deviation in found if deviation.config)
    if config and alter:
        unresolved = tuple(deviation.found for deviation in found if not deviation.config)
        return _Step(topic, partitions, "would be altered" if dry_run else "altered", config, unresolved)
    return _Step(topic, partitions, "unchanged", {}, tuple(deviation.found for deviation in found))


def _show(steps: list[_Step], *, as_json: bool) -> None:
    if as_json:
        show.as_json([step._asdict() for step in steps])
        return
    rows = [
        (step.topic, step.partitions, step.state, _pairs(step.config), "; ".join(step.unresolved) or None) for step in steps
    ]
    show.table("Topics", ("topic", "partitions", "state", "config", "unresolved"), rows)


def _checked(record_type: RecordType, seen: DescribedTopics, found: list[Deviation]) -> dict[str, Any]:
    of_topic = [deviation for deviation in found if deviation.topic == record_type.topic]
    state = seen.present.get(record_type.topic)
    return {
        "topic": record_type.topic,
        "partitions": state.partitions if state else None,
        "replication_factor": state.replicas if state else None,
        "state": worst(of_topic),
        "deviations": [
            {"state": one.state, "rule": one.rule, "found": one.found, "advice": one.advice, "config": _as_table(one)}
            for one in of_topic
        ],
    }


def _as_table(deviation: Deviation) -> dict[str, str]:
    return dict([deviation.config]) if deviation.config else {}


def _rows(one: dict[str, Any]) -> list[tuple[Any, ...]]:
    head = (one["topic"], one["partitions"])
    found = [(*head, part["state"], part["found"]) for part in one["deviations"]]
    return found or [(*head, one["state"], None)]


def _listed(record_type: RecordType, wanted: Wanted, seen: DescribedTopics, catalogue: Catalogue) -> dict[str, Any]:
    new = _new(record_type, wanted, seen, catalogue)
    state = seen.present.get(record_type.topic)
    found = state and {
        "partitions": state.partitions,
        "replication_factor": state.replicas,
        "config": {name: (state.config or {}).get(name) for name in new.config},
    }
    return {
        "topic": record_type.topic,
        "record_type": record_type.name,
        "wanted": {"partitions": new.partitions, "replication_factor": new.replication_factor, "config": new.config},
        "found": found,
    }


def _summary(one: dict[str, Any] | None) -> str | None:
    if one is None:
        return None
    numbers = {name: str(one[name]) for name in ("partitions", "replication_factor")}
    return _pairs({**numbers, **one["config"]})


def _pairs(config: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name}={value if value is not None else '?'}" for name, value in config.items())


def _see(kafka: Broker, catalogue: Catalogue) -> DescribedTopics:
    return kafka.describe([record_type.topic for record_type in catalogue])


def _broker(settings: Settings) -> Broker:
    return Broker(settings.kafka.client, broker.SECONDS)
