"""`connector schemas register`: writes compatibility levels and schemas to the registry, as a deployment step; idempotent.

It checks our own rules first, and registers nothing if one is violated. After a failure it reports of every schema whether it
is registered.
"""

from pathlib import Path
from typing import NamedTuple

import typer

from connector.catalogue import Catalogue, RecordType, folder_of
from connector.commands import show
from connector.commands.options import AsJson, Config, DryRun
from connector.commands.resources import catalogue_without_privacy, open_registry, open_settings
from connector.commands.schemas import compare
from connector.errors import ConfigurationInvalid, OtherSideFailed, RegistryFailed, RegistryRefused
from connector.registry.client import LEVEL, Registered, RegistryClient
from connector.schemas.check import against_registered

_COLUMNS = ("record_type", "subject", "id", "version", "state", "level")

app = typer.Typer()


class _Done(NamedTuple):
    """What was done for one subject. `level` is the change of its compatibility level, `failure` why it is incomplete."""

    record_type: str
    subject: str
    schema_id: int | None
    version: int | None
    state: str
    level: str
    failure: str = ""


_NOTHING = "nothing was registered or changed"


@app.command("register")
def register_command(*, config: Config = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Check our schemas, set their compatibility level and register them. Changes only what differs."""
    settings = open_settings(config)
    check_first(folder_of(settings), settings.topics.prefix)
    with open_registry(settings) as registry:
        register(catalogue_without_privacy(settings), registry, dry_run=dry_run, as_json=as_json)


def check_first(folder: Path, prefix: str) -> None:
    """Check the files before any request to the registry.

    Raises:
        ConfigurationInvalid: with every violation.
    """
    try:
        compare.check(folder, prefix, as_json=False)
    except ConfigurationInvalid as invalid:
        raise ConfigurationInvalid([*invalid.problems, _NOTHING]) from None


def register(catalogue: Catalogue, registry: RegistryClient, *, dry_run: bool, as_json: bool) -> None:
    """Register the missing schemas, and show what was done.

    Raises:
        ConfigurationInvalid: if a schema violates our rules against a registered version; nothing is registered.
        OtherSideFailed: if the registry fails or refuses a schema; what is registered is shown.
    """
    try:
        known = [(record_type, registry.look_up(record_type)) for record_type in catalogue]
        missing = [record_type for record_type, there in known if there.schema_id is None]
        pairs = [(record_type, compare.registered_versions(registry, record_type)) for record_type in missing]
        levels = {record_type.name: registry.level(record_type.subject) for record_type in catalogue}
    except RegistryFailed as failed:
        raise type(failed)(f"{failed}; {_NOTHING}") from None
    if violations := against_registered(pairs):
        raise ConfigurationInvalid([*map(str, violations), _NOTHING])
    if dry_run:
        done = [_would_be(there, levels[there.record_type]) for _, there in known]
    else:
        done = _register_all(registry, known, levels)
    show.rows("Schemas", _COLUMNS, [one[:6] for one in done], as_json=as_json)
    if failures := [one.failure for one in done if one.failure]:
        raise OtherSideFailed("\n".join([*dict.fromkeys(failures), _summary(done)]))


def _would_be(there: Registered, level: str | None) -> _Done:
    state = "would be registered" if there.schema_id is None else "unchanged"
    return _Done(*there, state, "unchanged" if level == LEVEL else f"would be set: {level or 'none'} → {LEVEL}")


def _register_all(
    registry: RegistryClient, known: list[tuple[RecordType, Registered]], levels: dict[str, str | None]
) -> list[_Done]:
    """Register one schema after the other; stop when the registry fails, but not when it refuses a single schema."""
    done: list[_Done] = []
    failed = False
    for record_type, there in known:
        if failed:
            state = "not registered" if there.schema_id is None else "unchanged"
            done.append(_Done(*there, state, "not attempted"))
            continue
        one, failed = _register_one(registry, record_type, there, levels[record_type.name])
        done.append(one)
    return done


def _register_one(
    registry: RegistryClient, record_type: RecordType, there: Registered, level: str | None
) -> tuple[_Done, bool]:
    """Set the level, then register; return what was done, and whether the registry failed as a whole."""
    level_change = "unchanged"
    try:
        if level != LEVEL:
            level_change = "not set"
            registry.set_level(record_type.subject)
            level_change = f"set: {level or 'none'} → {LEVEL}"
        if there.schema_id is not None:
            return _Done(*there, "unchanged", level_change), False
        return _Done(*registry.register(record_type), "registered", level_change), False
    except RegistryRefused as refused:
        state = "not registered" if there.schema_id is None else "unchanged"
        return _Done(*there, state, level_change, str(refused)), False
    except RegistryFailed as failed:
        return _Done(*_state_after_failure(registry, record_type, there), level_change, str(failed)), True


def _state_after_failure(
    registry: RegistryClient, record_type: RecordType, there: Registered
) -> tuple[str, str, int | None, int | None, str]:
    """Return what is registered after a failure: a request that timed out can have succeeded."""
    if there.schema_id is not None:
        return (*there, "unchanged")
    try:
        now = registry.look_up(record_type)
    except RegistryFailed:
        return (*there, "unknown")
    return (*now, "not registered" if now.schema_id is None else "registered")


def _summary(done: list[_Done]) -> str:
    """Return a line that says of every schema whether it is registered."""
    states: dict[str, list[str]] = {}
    for one in done:
        states.setdefault("registered" if one.state == "unchanged" else one.state, []).append(one.record_type)
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items())
