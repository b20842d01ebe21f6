"""`connector forget`: takes a person's profile off the compacted topic, and tells what else may hold data of the person.

The person's id is shown, logged and written nowhere but as the key that it had already.
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
_COLUMNS: Final = ("topic", "holds", "until", "by")
_BEYOND: Final = (
    "what reads the topics has copies: state stores, changelogs, tables, files; they hold keys too, and a tombstone ends "
    "only what is kept there under this key"
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
    whom = person_of(person, old_key or (), also_plain=also_plain)
    forget(settings, load_catalogue(settings), whom, dry_run=dry_run, as_json=as_json)


class Person(NamedTuple):
    """Whom to forget: the id as typed, and under which keys beside today's. Its `repr` shows nothing of it."""

    id: str
    old_keys: tuple[Keyed, ...]
    also_plain: bool

    def __repr__(self) -> str:
        return "Person()"


def person_of(given: str, old_keys: Iterable[str], *, also_plain: bool) -> Person:
    """Read whom to forget: an id, or `-` for one on stdin; old keys as `<key id>=<file>`.

    Raises:
        ConfigurationInvalid: with everything that is wrong; the id is not among it.
    """
    problems: list[str] = []
    person = (sys.stdin.readline() if given == "-" else given).strip()
    if comparable(person) is None:
        problems.append("say whom to forget: a WhatsApp id or a user id, or - to read it from stdin")
    keys = [_old_key(text, problems) for text in old_keys]
    if problems:
        raise ConfigurationInvalid(problems)
    return Person(person, tuple(key for key in keys if key), also_plain)


def forget(loaded: Settings, catalogue: Catalogue, person: Person, *, dry_run: bool, as_json: bool) -> None:
    """Write the tombstones, unless it is a dry run, and tell what else may hold data of the person, and until when.

    Raises:
        ConfigurationInvalid: when the producer's properties are wrong.
        KafkaFailed: when Kafka is away, lacks the topic, refuses or does not confirm.
    """
    if problems := check_properties(producer_properties(loaded)):
        raise ConfigurationInvalid([in_its_table(loaded, problem) for problem in problems])
    now_ms = time.time_ns() // 1_000_000
    rows = _topics(loaded, catalogue, now_ms)
    tombstones = tombstones_of(person, catalogue.contact, max_message_bytes(loaded), now_ms)
    if not dry_run:
        asyncio.run(_send(loaded, tombstones))
    topic = catalogue.contact.topic
    beyond = [_BEYOND, *_more_beyond(loaded, catalogue, person)]
    if as_json:
        told = {"topic": topic, "tombstones": len(tombstones), "written": not dry_run}
        topics = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        show.as_json({**told, "topics": topics, "beyond": beyond})
        return
    done = "would be written" if dry_run else "written"
    show.line(f"{len(tombstones)} tombstone{'s' * (len(tombstones) != 1)} {done} to {topic}")
    show.table("What else may hold data of the person", _COLUMNS, rows)
    show.what_to_do(beyond)


def tombstones_of(person: Person, contact: RecordType, max_bytes: int, now_ms: int) -> list[KafkaMessage]:
    """Return a tombstone for each key that the person's profile may have."""
    # As typed, and as callbacks write it: without + and blanks.
    ids = dict.fromkeys((person.id, comparable(person.id) or person.id))
    key_functions = [contact.key_of, *(old.hash for old in person.old_keys)]
    if person.also_plain:
        key_functions.append(str.encode)
    metrics = Metrics()
    found: dict[bytes | None, KafkaMessage] = {}
    for key_of in key_functions:
        encoder = Encoder(replace(contact, key_of=key_of), 0, "", max_bytes, metrics)
        for one in ids:
            # The id of the event is chance: nothing of the person.
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
            f"--old-key {text}: give the key's id and a file that holds the key, as --old-key 2025=/run/secrets/old"
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
            rows.append((record_type.topic, _holds(record_type), None, "it may not be seen" if hidden else "it is not there"))
        else:
            rows.append((record_type.topic, _holds(record_type), *retention_of(state.config, now_ms)))
    return rows


def _holds(record_type: RecordType) -> str:
    if holds_whole_callbacks(record_type.schema):
        return "whole callbacks, under no key of the person"
    if record_type.compacted:
        return "the profile, until it is compacted away"
    return "records under the person's key" if record_type.keyed_by_wa_id else "perhaps a mention in its text"


def _more_beyond(loaded: Settings, catalogue: Catalogue, person: Person) -> list[str]:
    beyond = []
    if loaded.spool.folder:
        beyond.append("callbacks that wait in an instance's spool are delivered yet: forget once more when none waits")
    if catalogue.policy.hashes_keys and not (person.old_keys and person.also_plain):
        beyond.append(
            "profiles from before the hash key was changed, or before keys were hashed, have other keys: "
            "--old-key ID=FILE and --also-plain take those away too"
        )
    return beyond


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
            f"{failures[0].message.topic} did not confirm {len(failures)} of {len(tombstones)} tombstones "
            f"({failures[0].error}); forget again: a second tombstone does no harm"
        )
