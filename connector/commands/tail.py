"""`connector tail`: shows decoded records as they arrive."""

from collections.abc import Sequence
from typing import Annotated

import typer

from connector.catalogue import Catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import catalogue_without_privacy, open_registry, open_settings
from connector.errors import ConfigurationInvalid
from connector.kafka.reader import Reader, Record

app = typer.Typer()


@app.command()
def tail(
    topic: Annotated[
        list[str] | None, typer.Argument(help="Topics, with or without the prefix. Default: all.", metavar="TOPIC")
    ] = None,
    *,
    config: Config = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    count: Annotated[int, typer.Option(min=0, help="Stop after this many records. 0 runs until Ctrl-C.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show decoded records as they arrive."""
    settings = open_settings(config)
    topics = _full_names(catalogue_without_privacy(settings), settings.topics.prefix, topic or ())
    with open_registry(settings) as registry:
        reader = Reader({**settings.kafka.client, **settings.kafka.consumer}, registry.schema_text)
        try:
            reader.assign(topics, from_beginning=from_beginning)
            _print_records(reader, count, as_json=as_json)
        finally:
            reader.close()


def print_record(record: Record, *, as_json: bool) -> None:
    """Print one record, for reading or as a line of JSON."""
    if as_json:
        show.as_json(record._asdict())
    else:
        show.record(record.topic, record.key, record.value)


def _print_records(reader: Reader, count: int, *, as_json: bool) -> None:
    """Print `count` records; 0: until Ctrl-C."""
    left = count or -1
    reported = ""
    while left:
        for record in reader.records(0.5):
            print_record(record, as_json=as_json)
            reported = ""
            left -= 1
            if not left:
                break
        problem = reader.take_problem()
        if problem and str(problem) != reported:
            # Once for each outage: the client repeats itself.
            reported = str(problem)
            show.problem(f"{reported}; waiting until it answers again")


def _full_names(catalogue: Catalogue, prefix: str, topics: Sequence[str]) -> list[str]:
    known = [record_type.topic for record_type in catalogue]
    chosen = [topic if topic in known else prefix + topic for topic in topics] or known
    wrong = [topic for topic in chosen if topic not in known]
    if wrong:
        short = ", ".join(topic.removeprefix(prefix) for topic in known)
        raise ConfigurationInvalid([f"unknown topic {', '.join(wrong)}; known are {short}"])
    return chosen
