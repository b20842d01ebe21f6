"""The command line. Exit codes: 0 done, 1 the other side failed, 2 wrong use or configuration. Never a traceback."""

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from connector import __version__, logs
from connector.catalogue import Catalogue, folder_of, load_catalogue, read_catalogue
from connector.commands import dev as dev_command
from connector.commands import docs as docs_command
from connector.commands import doctor as doctor_command
from connector.commands import explain as explain_command
from connector.commands import export as export_command
from connector.commands import forget as forget_command
from connector.commands import privacy as privacy_command
from connector.commands import register as register_command
from connector.commands import replay as replay_command
from connector.commands import schemas as schemas_command
from connector.commands import send as send_command
from connector.commands import show
from connector.commands import tail as tail_command
from connector.commands import topics as topics_command
from connector.dev.invented.callbacks import TYPES
from connector.errors import ConfigurationInvalid, OtherSideFailed
from connector.instance.preflight import load_and_check
from connector.instance.supervisor import Supervisor
from connector.privacy.policy import Policy
from connector.records import REASONS
from connector.registry.client import RegistryClient
from connector.replay.selection import MAX_ATTEMPTS, Selection, require_reasons, time_of
from connector.seals import NO_KEYS, Seals
from connector.settings.load import load_settings_for_tools
from connector.settings.tables import Settings

app = typer.Typer(
    help="Kaleyra WhatsApp callbacks in, typed Avro records on Kafka topics out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
schemas = typer.Typer(help="Our schemas, against the schema registry.", no_args_is_help=True)
topics = typer.Typer(help="Our topics, against Kafka.", no_args_is_help=True)
app.add_typer(schemas, name="schemas")
app.add_typer(topics, name="topics")
replay = typer.Typer(help="Callbacks that are in Kafka already, through the pipeline again.", no_args_is_help=True)
app.add_typer(replay, name="replay")

Config = Annotated[Path | None, typer.Option("--config", help="Settings file; without it the defaults and the environment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Alter = Annotated[
    bool, typer.Option("--alter", help="Also set what existing topics lack. Never partitions: that breaks the order of keys.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Rate = Annotated[float, typer.Option(min=0, help="Callbacks per second; 0 is as fast as it goes.")]
Contacts = Annotated[bool, typer.Option("--contacts", help="Also make contact records, which replace what is newer by now.")]
Anew = Annotated[bool, typer.Option("--anew", help="Begin with the oldest again, whatever was replayed before.")]
Group = Annotated[
    str | None, typer.Option(help="Consumer group that remembers where a replay ended; without it one for each selection.")
]


@app.callback(invoke_without_command=True)
def _version(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        show.out.print(f"connector {__version__}", highlight=False)
        raise typer.Exit


@app.command()
def serve(config: Config = None, workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1) -> None:
    """Run the bridge."""
    loaded = load_and_check(config)
    logs.configure(loaded.logs)
    raise typer.Exit(uvloop.run(Supervisor(loaded, config, workers).run()))


@app.command()
def dev(
    *,
    config: Config = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the callback URL; 0 takes a free one.")] = 8080,
    ready_file: Annotated[Path | None, typer.Option(help="Write the addresses here, as JSON, once ready.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Send one invented callback of every type.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run an embedded broker, registry and bridge, and show each record as it arrives."""
    dev_command.run(config, port, ready_file, demo=demo, as_json=as_json)


@app.command()
def explain(
    file: Annotated[Path | None, typer.Argument(help="A callback's body; - reads stdin.")] = None,
    *,
    query: Annotated[str | None, typer.Option(help="Explain a GET with this query, as 'a=b&c=d', instead of a body.")] = None,
    form: Annotated[bool, typer.Option("--form", help="The body is a form.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a callback would become, without any server."""
    loaded = load_settings_for_tools(config)
    logs.configure(loaded.logs)
    policy = Policy.of(loaded.privacy)
    raw = explain_command.callback_of(file, query, policy.seals, is_form=form)
    explain_command.run(_catalogue_of_events(loaded, policy), raw, loaded, as_json=as_json)


@app.command()
def send(  # noqa: PLR0913 - an argument an option
    types: Annotated[list[str] | None, typer.Argument(help=f"Types to send: {', '.join(TYPES)}.", metavar="[TYPE]...")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Send every type.")] = False,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many callbacks, broken ones and duplicates not counted; each type is sent at least once with --all.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Callbacks per second; 0 is as fast as it goes.")] = 0,
    url: Annotated[str, typer.Option(help="The bridge's callback URL.")] = "http://127.0.0.1:8080/callbacks/kaleyra",
    header: Annotated[list[str] | None, typer.Option(help="A header to send, as 'Name: value'.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Send the same again; without it by the clock.")] = None,
    malformed: Annotated[bool, typer.Option("--malformed", help="Mix in bodies that are broken, on top of the count.")] = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Send some of them twice, on top of the count.")] = False,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send them out of order.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send invented callbacks to a running bridge."""
    if not types and not every:
        raise ConfigurationInvalid([f"say which types to send ({', '.join(TYPES)}), or --all"])
    kinds = TYPES if every else tuple(types or ())
    headers = send_command.headers_of(header or ())
    load = send_command.Load(
        kinds=kinds,
        count=max(count or 0, len(kinds)) if every or not count else count,
        rate=rate,
        seed=seed if seed is not None else int(time.time()) & 0xFFFF,
        malformed=malformed,
        duplicates=duplicates,
        shuffle=shuffle,
    )
    send_command.run(load, url, headers, as_json=as_json)


@app.command()
def tail(
    topic: Annotated[list[str] | None, typer.Argument(help="Topics, with or without prefix; without any: all.")] = None,
    *,
    config: Config = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest record.")] = False,
    count: Annotated[int, typer.Option(min=0, help="End after so many records; 0 goes on until Ctrl-C.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show decoded records as they arrive."""
    loaded = load_settings_for_tools(config)
    logs.configure(loaded.logs)
    tail_command.run(loaded, _catalogue(loaded), topic or (), from_beginning=from_beginning, count=count, as_json=as_json)


@app.command()
def doctor(*, config: Config = None, as_json: AsJson = False) -> None:
    """Try every dependency, and say what to do about each finding."""
    raise typer.Exit(doctor_command.run(config, as_json=as_json))


@app.command()
def privacy(
    *,
    config: Config = None,
    every: Annotated[bool, typer.Option("--all", help="Also fields that are not personal and kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every personal field, its class, and what the settings make of it."""
    loaded = load_settings_for_tools(config)
    privacy_command.run(load_catalogue(loaded), every=every, as_json=as_json)


@app.command()
def forget(
    person: Annotated[str, typer.Argument(help="A WhatsApp id or user id; - reads it from stdin.", metavar="WA_ID|USER_ID")],
    *,
    config: Config = None,
    old_key: Annotated[
        list[str] | None, typer.Option(help="Also under a hash key of before, as ID=FILE; can be repeated.", metavar="ID=FILE")
    ] = None,
    also_plain: Annotated[bool, typer.Option("--also-plain", help="Also under the id itself, as before hashing.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a person's profile off the contacts topic, and tell what else may hold data of the person, and until when."""
    loaded = load_settings_for_tools(config)
    logs.configure(loaded.logs)
    whom = forget_command.person_of(person, old_key or (), also_plain=also_plain)
    forget_command.run(loaded, load_catalogue(loaded), whom, dry_run=dry_run, as_json=as_json)


@schemas.command("list")
def schemas_list(*, config: Config = None, as_json: AsJson = False) -> None:
    """Show each of our schemas: its release, and what the registry knows of it."""
    loaded = load_settings_for_tools(config)
    with closing(_registry(loaded)) as registry:
        schemas_command.list_schemas(_catalogue(loaded), folder_of(loaded), registry, as_json=as_json)


@schemas.command("check")
def schemas_check(
    *,
    config: Config = None,
    registry: Annotated[bool, typer.Option("--registry", help="Also against every version that the registry has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check our schemas without a server: Avro, our rules, and every released version."""
    loaded = load_settings_for_tools(config)
    checked = schemas_command.check(folder_of(loaded), loaded.topics.prefix, as_json=as_json)
    registered = None
    if registry:
        with closing(_registry(loaded)) as asked:
            registered = schemas_command.check_registered(_catalogue(loaded), asked, as_json=as_json)
    schemas_command.say_all_is_well(checked, registered, as_json=as_json)


@schemas.command("diff")
def schemas_diff(
    record_type: Annotated[list[str] | None, typer.Argument(help="Record types; without any: all.")] = None,
    *,
    config: Config = None,
    version: Annotated[int | None, typer.Option(min=1, help="A version of the subject; without it the latest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show field by field what differs between the registered schemas and ours."""
    loaded = load_settings_for_tools(config)
    with closing(_registry(loaded)) as registry:
        schemas_command.diff(_catalogue(loaded), registry, record_type or (), version, as_json=as_json)


@schemas.command("register")
def schemas_register(*, config: Config = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Check our schemas, then set their compatibility level and register them; what is right stays as it is."""
    loaded = load_settings_for_tools(config)
    register_command.check_first(folder_of(loaded), loaded.topics.prefix)
    with closing(_registry(loaded)) as registry:
        register_command.register(_catalogue(loaded), registry, dry_run=dry_run, as_json=as_json)


@schemas.command("export")
def schemas_export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    *,
    config: Config = None,
    released: Annotated[bool, typer.Option("--released", help="The released versions, without a registry.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write every registered version of our schemas into a folder, with an index of ids and fingerprints."""
    loaded = load_settings_for_tools(config)
    with closing(_registry(loaded)) as registry:
        asked = None if released else registry
        export_command.export(_whole_catalogue(loaded), folder_of(loaded), asked, folder, as_json=as_json)


@schemas.command("release")
def schemas_release(
    version: Annotated[str, typer.Argument(help="Three numbers, as 1.4.0.")], *, config: Config = None, as_json: AsJson = False
) -> None:
    """Check our schemas, then keep those that changed in avro/released/ under a version, for good."""
    loaded = load_settings_for_tools(config)
    schemas_command.check(folder_of(loaded), loaded.topics.prefix, as_json=False)
    export_command.release(_whole_catalogue(loaded), folder_of(loaded), version, as_json=as_json)


@schemas.command("docs")
def schemas_docs(*, config: Config = None) -> None:
    """Print the page of topics: every field, where it comes from and what it means."""
    typer.echo(docs_command.page(_whole_catalogue(load_settings_for_tools(config))), nl=False)


@topics.command("list")
def topics_list(*, config: Config = None, as_json: AsJson = False) -> None:
    """Show what is wanted of each topic, and what Kafka has."""
    loaded = load_settings_for_tools(config)
    topics_command.list_topics(loaded, _catalogue(loaded), as_json=as_json)


@topics.command("check")
def topics_check(*, config: Config = None, as_json: AsJson = False) -> None:
    """Compare Kafka's topics with the catalogue."""
    loaded = load_settings_for_tools(config)
    topics_command.check(loaded, _catalogue(loaded), as_json=as_json)


@topics.command("create")
def topics_create(*, config: Config = None, dry_run: DryRun = False, alter: Alter = False, as_json: AsJson = False) -> None:
    """Make the topics that are missing; existing ones are not changed unless you say --alter."""
    loaded = load_settings_for_tools(config)
    topics_command.create(loaded, _catalogue(loaded), dry_run=dry_run, alter=alter, as_json=as_json)


@replay.command("dead-letters")
def replay_dead_letters(  # noqa: PLR0913 - an argument an option
    *,
    config: Config = None,
    reason: Annotated[
        list[str] | None, typer.Option(help=f"Only those of this reason; may be repeated: {', '.join(REASONS)}.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what was first received from this time on, as 2025-11-21T10:30:00Z.")
    ] = None,
    max_attempts: Annotated[int, typer.Option(min=2, help="Leave alone what was tried so often.")] = MAX_ATTEMPTS,
    rate: Rate = 0,
    contacts: Contacts = False,
    anew: Anew = False,
    group: Group = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Replay dead letters, after what was wrong is mended; what fails again is a dead letter again."""
    loaded = load_settings_for_tools(config)
    logs.configure(loaded.logs)
    from_time = time_of(since, "--since") if since is not None else None
    selection = Selection(
        "dead-letters", from_time, None, require_reasons(reason or ()), max_attempts, contacts, _seals(loaded)
    )
    way = replay_command.Way(rate, dry_run, anew, group)
    catalogue = _catalogue_of_events(loaded, Policy.of(loaded.privacy))
    replay_command.run(loaded, catalogue, catalogue.dead_letter.topic, selection, way, _now(), as_json=as_json)


@replay.command("raw")
def replay_raw(  # noqa: PLR0913 - an argument an option
    *,
    config: Config = None,
    from_: Annotated[
        str, typer.Option("--from", help="Begin with what was first received at this time, as 2025-11-21T10:30:00Z.")
    ],
    to: Annotated[str, typer.Option(help="End before what was first received at this time.")],
    rate: Rate = 0,
    contacts: Contacts = False,
    anew: Anew = False,
    group: Group = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Replay every callback of a span of time from the topic raw, which topics.raw switches on."""
    loaded = load_settings_for_tools(config)
    logs.configure(loaded.logs)
    since, until = time_of(from_, "--from"), time_of(to, "--to")
    if since >= until:
        raise ConfigurationInvalid(["--from must be before --to"])
    if not loaded.topics.raw:
        advice = "if it was true before, give CONNECTOR_TOPICS__RAW=true to this command"
        raise ConfigurationInvalid([f"topics.raw is false, so callbacks are not kept as received; {advice}"])
    selection = Selection("raw", since, until, (), MAX_ATTEMPTS, contacts, _seals(loaded))
    way = replay_command.Way(rate, dry_run, anew, group)
    archive = _catalogue(loaded).raw
    assert archive is not None
    events = _catalogue_of_events(loaded, Policy.of(loaded.privacy))
    replay_command.run(loaded, events, archive.topic, selection, way, _now(), as_json=as_json)


def _seals(loaded: Settings) -> Seals:
    return Policy.of(loaded.privacy).seals or NO_KEYS


def _now() -> int:
    return time.time_ns() // 1_000_000


def _catalogue(loaded: Settings) -> Catalogue:
    """Return the catalogue for what looks at no person, and needs no key: nothing is hidden."""
    return read_catalogue(folder_of(loaded), loaded.topics.prefix, raw=loaded.topics.raw)


def _whole_catalogue(loaded: Settings) -> Catalogue:
    """Return the catalogue with what the settings may have switched off."""
    return read_catalogue(folder_of(loaded), loaded.topics.prefix, raw=True)


def _catalogue_of_events(loaded: Settings, policy: Policy) -> Catalogue:
    """Return the catalogue without the copies of whole callbacks."""
    return read_catalogue(folder_of(loaded), loaded.topics.prefix, policy=policy)


def _registry(loaded: Settings) -> RegistryClient:
    return RegistryClient(loaded.registry.url, loaded.registry.client)


def main() -> None:
    """Run a command; tell errors in words."""
    if not show.out.is_terminal:
        # A file or a pipe has no edge to fold at.
        show.out.width = 160
    try:
        app()
    except ConfigurationInvalid as invalid:
        for line in invalid.problems:
            show.problem(line)
        sys.exit(2)
    except OtherSideFailed as failed:
        show.problem(str(failed))
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left, as `head` does.
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
