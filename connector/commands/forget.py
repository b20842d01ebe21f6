"""`connector forget`: deletes a person's profile from the compacted topic, and lists what else may hold data of the person.

The person's id is never shown or logged. It is written only as the key of the tombstones, which the profile had already.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from connector.catalogue import Catalogue, RecordType, load_catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config, DryRun
from connector.commands.resources import open_settings
from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.producers import check_properties
from connector.kafka.sink import KafkaSink
from connector.metrics import Metrics
from connector.pipeline.encode import Encoder
from connector.pipeline.people import comparable
from connector.privacy.keyed import Keyed
from connector.privacy.policy import holds_whole_callbacks
from connector.records import KafkaMessage
from connector.settings.producer import in_its_table, max_message_bytes, producer_properties
from connector.settings.tables import Settings
from connector.topics.broker import Broker
from connector.topics.retention import retention_of

_SECONDS: Final = 5.0
_COLUMNS: Final = ("topic", "holds", "until", "reason")
_COPIES_OF_CONSUMERS: Final = (
    "consumers have copies: state stores, changelogs, tables, files; these hold keys too, and a tombstone deletes only "
    "what they store under this key"
)
_READERS_OF_TOMBSTONES: Final = (
    "tombstones reach Flink's upsert tables and JDBC sinks with delete.enabled; ClickHouse, append-only Iceberg sinks and "
    "readers that skip records without a value keep the row, so delete it there: docs/how-to/read.md"
)

app = typer.Typer()


@app.command("forget")
def forget_command(
    person: Annotated[
        str, typer.Argument(help="WhatsApp id or user id of the person, or - to read it from stdin.", metavar="WA_ID|USER_ID")
    ],
    *,
    config: Config = None,
    old_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Also delete the profile under an earlier hash key, given as ID=FILE. Can be repeated.", metavar="ID=FILE"
        ),
    ] = None,
    also_plain: Annotated[
        bool, typer.Option("--also-plain", help="Also delete the profile under the id in clear, from before keys were hashed.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete a person's profile from the contacts topic, and list what else may hold their data, and until when."""
    settings = open_settings(config)
    found = read_person(person, old_key or (), also_plain=also_plain)
    forget(settings, load_catalogue(settings), found, dry_run=dry_run, as_json=as_json)


class Person(NamedTuple):
    """The person to forget: the id as typed, and the former record keys to delete too. The `repr` shows none of it."""

    id: str
    old_keys: tuple[Keyed, ...]
    also_plain: bool

    def __repr__(self) -> str:
        return "Person()"


def read_person(given: str, old_keys: Iterable[str], *, also_plain: bool) -> Person:
    """Read the person to forget: an id, or `-` for one on stdin; old keys as `<key id>=<file>`.

    Raises:
        ConfigurationInvalid: with every problem; the messages do not contain the id.
    """
    problems: list[str] = []
    person = (sys.stdin.readline() if given == "-" else given).strip()
    if comparable(person) is None:
        problems.append("no person given: pass a WhatsApp id or a user id, or - to read it from stdin")
    keys = [_old_key(text, problems) for text in old_keys]
    if problems:
        raise ConfigurationInvalid(problems)
    return Person(person, tuple(key for key in keys if key), also_plain)


def forget(loaded: Settings, catalogue: Catalogue, person: Person, *, dry_run: bool, as_json: bool) -> None:
    """Write the tombstones, unless it is a dry run, and list what else may hold data of the person, and until when.

    Raises:
        ConfigurationInvalid: if the producer's properties are wrong.
        KafkaFailed: if Kafka is down, lacks the topic, refuses a tombstone or does not acknowledge it.
    """
    if problems := check_properties(producer_properties(loaded)):
        raise ConfigurationInvalid([in_its_table(loaded, problem) for problem in problems])
    now_ms = time.time_ns() // 1_000_000
    rows = _topics(loaded, catalogue, now_ms)
    tombstones = tombstones_of(person, catalogue.contact, max_message_bytes(loaded), now_ms)
    if not dry_run:
        asyncio.run(_send(loaded, tombstones))
    topic = catalogue.contact.topic
    further_copies = [_COPIES_OF_CONSUMERS, _READERS_OF_TOMBSTONES, *_further_copies(loaded, catalogue, person)]
    if as_json:
        result = {"topic": topic, "tombstones": len(tombstones), "written": not dry_run}
        topics = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        show.as_json({**result, "topics": topics, "further_copies": further_copies})
        return
    done = "would be written" if dry_run else "written"
    show.line(f"{len(tombstones)} tombstone{'s' * (len(tombstones) != 1)} {done} to {topic}")
    show.table("What else may hold data of the person", _COLUMNS, rows)
    show.what_to_do(further_copies)


def tombstones_of(person: Person, contact: RecordType, max_bytes: int, now_ms: int) -> list[KafkaMessage]:
    """Return a tombstone for every key that the person's profile could have."""
    # As typed, and as in callbacks: without + and blanks.
    ids = dict.fromkeys((person.id, comparable(person.id) or person.id))
    key_functions = [contact.key_of, *(old.hash for old in person.old_keys)]
    if person.also_plain:
        key_functions.append(str.encode)
    metrics = Metrics()
    found: dict[bytes | None, KafkaMessage] = {}
    for key_of in key_functions:
        encoder = Encoder(replace(contact, key_of=key_of), 0, "", max_bytes, metrics)
        for one in ids:
            # The event's id is random, so that it reveals nothing about the person.
            message = encoder.tombstone(one, ("forget", secrets.token_hex(16)), now_ms)
            found.setdefault(message.key, message)
    return list(found.values())


def _old_key(text: str, problems: list[str]) -> Keyed | None:
    key_id, _, file = text.partition("=")
    try:
        key = Path(file).read_text(encoding="utf-8").strip() if key_id and file else ""
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"--old-key {text}: the file cannot be read ({getattr(error, 'strerror', 'not UTF-8')})")
        return None
    if not key:
        problems.append(
            f"--old-key {text}: pass the key's id and a file that contains the key, as --old-key 2025=/run/secrets/old"
        )
        return None
    return Keyed(key, key_id)


def _topics(loaded: Settings, catalogue: Catalogue, now_ms: int) -> list[tuple[str, str, str | None, str]]:
    seen = Broker(loaded.kafka.client, _SECONDS).describe([record_type.topic for record_type in catalogue])
    rows: list[tuple[str, str, str | None, str]] = []
    for record_type in catalogue:
        state = seen.present.get(record_type.topic)
        if state is None:
            hidden = record_type.topic in seen.hidden
            rows.append((record_type.topic, _holds(record_type), None, "not authorised" if hidden else "does not exist"))
        else:
            rows.append(
                (
                    record_type.topic,
                    _holds(record_type),
                    *retention_of(state.config, now_ms, reports_settings=seen.reports_settings),
                )
            )
    return rows


def _holds(record_type: RecordType) -> str:
    if holds_whole_callbacks(record_type.schema):
        return "whole callbacks, not keyed by person"
    if record_type.compacted:
        return "the profile, until it is compacted away"
    return "records under the person's key" if record_type.keyed_by_wa_id else "possibly a mention in a text"


def _further_copies(loaded: Settings, catalogue: Catalogue, person: Person) -> list[str]:
    found = []
    if loaded.spool.folder:
        found.append("callbacks in an instance's spool are still to be delivered: run forget again when the spool is empty")
    if catalogue.policy.hashes_keys and not (person.old_keys and person.also_plain):
        found.append(
            "profiles from before a change of the hash key, or from before keys were hashed, have other keys: "
            "delete them with --old-key ID=FILE and --also-plain"
        )
    return found


async def _send(loaded: Settings, tombstones: list[KafkaMessage]) -> None:
    sink = KafkaSink(producer_properties(loaded))
    sink.start()
    try:
        await sink.producers.warm_up([tombstones[0].topic], _SECONDS)
        refused, unconfirmed = await sink.send(tombstones)
    finally:
        await sink.close(_SECONDS)
    if failures := [*refused, *unconfirmed]:
        raise KafkaFailed(
            f"{failures[0].message.topic} did not acknowledge {len(failures)} of {len(tombstones)} tombstones "
            f"({failures[0].error}); run forget again: a second tombstone does no harm"
        )
