"""`connector schemas register`: levels and schemas into the registry, as a deployment step; what is right stays as it is.

Our own rules come first, and nothing is registered while one is broken. After a failure it is said of every schema whether
it is registered.
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
    """What was done for one subject. `level` is what became of its compatibility level; `failure` why it is not done."""

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
    """Check the files before anything is asked of a registry.

    Raises:
        ConfigurationInvalid: with every violation.
    """
    try:
        compare.check(folder, prefix, as_json=False)
    except ConfigurationInvalid as invalid:
        raise ConfigurationInvalid([*invalid.problems, _NOTHING]) from None


def register(catalogue: Catalogue, registry: RegistryClient, *, dry_run: bool, as_json: bool) -> None:
    """Register what is not registered, and say what was done.

    Raises:
        ConfigurationInvalid: when a schema breaks our rules against a registered version; nothing is registered.
        OtherSideFailed: when the registry fails, or refuses one; what is registered is shown.
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
    """Register one after the other; a registry that fails is not asked further, one that refuses a schema is."""
    done: list[_Done] = []
    failed = False
    for record_type, there in known:
        if failed:
            state = "not registered" if there.schema_id is None else "unchanged"
            done.append(_Done(*there, state, "not tried"))
            continue
        one, failed = _register_one(registry, record_type, there, levels[record_type.name])
        done.append(one)
    return done


def _register_one(
    registry: RegistryClient, record_type: RecordType, there: Registered, level: str | None
) -> tuple[_Done, bool]:
    """Set the level, then register; return what was done, and whether the registry failed altogether."""
    told = "unchanged"
    try:
        if level != LEVEL:
            told = "not set"
            registry.set_level(record_type.subject)
            told = f"set: {level or 'none'} → {LEVEL}"
        if there.schema_id is not None:
            return _Done(*there, "unchanged", told), False
        return _Done(*registry.register(record_type), "registered", told), False
    except RegistryRefused as refused:
        state = "not registered" if there.schema_id is None else "unchanged"
        return _Done(*there, state, told, str(refused)), False
    except RegistryFailed as failed:
        return _Done(*_asked_again(registry, record_type, there), told, str(failed)), True


def _asked_again(
    registry: RegistryClient, record_type: RecordType, there: Registered
) -> tuple[str, str, int | None, int | None, str]:
    """Tell what is there after a failure: what timed out may have been done all the same."""
    if there.schema_id is not None:
        return (*there, "unchanged")
    try:
        now = registry.look_up(record_type)
    except RegistryFailed:
        return (*there, "not known")
    return (*now, "not registered" if now.schema_id is None else "registered")


def _summary(done: list[_Done]) -> str:
    """Say of every schema whether it is registered."""
    states: dict[str, list[str]] = {}
    for one in done:
        states.setdefault("registered" if one.state == "unchanged" else one.state, []).append(one.record_type)
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items())
