"""`connector schemas list · check · diff`: compares our schemas with our rules, the released versions and the registry."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.catalogue import Catalogue, RecordType, folder_of
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import catalogue_without_privacy, open_registry, open_settings
from connector.errors import ConfigurationInvalid
from connector.mapping.compiler import published
from connector.registry.client import RegisteredVersion, RegistryClient
from connector.schemas.check import Checked, against_registered
from connector.schemas.check import check as check_files
from connector.schemas.differences import differences
from connector.schemas.versions import Version, decoded, fingerprint, read_released, release_of
from connector.schemas.violation import Violation

_LISTED = ("record_type", "subject", "fingerprint", "release", "version", "id", "latest_version", "state")

app = typer.Typer()


@app.command("list")
def list_command(*, config: Config = None, as_json: AsJson = False) -> None:
    """List our schemas: the release of each, and its state in the registry."""
    settings = open_settings(config)
    with open_registry(settings) as registry:
        list_schemas(catalogue_without_privacy(settings), folder_of(settings), registry, as_json=as_json)


@app.command("check")
def check_command(
    *,
    config: Config = None,
    registry: Annotated[bool, typer.Option("--registry", help="Also check against every version in the registry.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check our schemas without a server: valid Avro, our rules, compatible with every released version."""
    settings = open_settings(config)
    checked = check(folder_of(settings), settings.topics.prefix, as_json=as_json)
    registered = None
    if registry:
        with open_registry(settings) as client:
            registered = check_registered(catalogue_without_privacy(settings), client, as_json=as_json)
    report_success(checked, registered, as_json=as_json)


@app.command("diff")
def diff_command(
    record_type: Annotated[list[str] | None, typer.Argument(help="Record types. Default: all.", metavar="RECORD_TYPE")] = None,
    *,
    config: Config = None,
    version: Annotated[int | None, typer.Option(min=1, help="Version of the subject. Default: the latest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the registered schemas with ours, field by field."""
    settings = open_settings(config)
    with open_registry(settings) as registry:
        diff(catalogue_without_privacy(settings), registry, record_type or (), version, as_json=as_json)


def list_schemas(catalogue: Catalogue, folder: Path, registry: RegistryClient, *, as_json: bool) -> None:
    """Show each of our schemas with its fingerprint, its release and its state in the registry."""
    released = read_released(folder)
    rows = []
    for record_type in catalogue:
        schema = published(record_type.schema)
        own = registry.look_up(record_type)
        latest = registry.version(record_type.subject)
        state = "registered" if own.schema_id is not None else "different" if latest else "missing"
        here = (fingerprint(schema), release_of(schema, released.get(record_type.name, ())))
        there = (own.version, own.schema_id, latest and latest.version)
        rows.append((record_type.name, record_type.subject, *here, *there, state))
    show.rows("Schemas", _LISTED, rows, as_json=as_json)


def check(folder: Path, prefix: str, *, as_json: bool) -> Checked:
    """Check the files without a registry.

    Raises:
        ConfigurationInvalid: with every violation.
    """
    checked = check_files(folder, prefix)
    _refuse(checked.violations, as_json=as_json)
    return checked


def check_registered(catalogue: Catalogue, registry: RegistryClient, *, as_json: bool) -> int:
    """Check against every registered version; return how many there are.

    Raises:
        ConfigurationInvalid: with every violation.
    """
    pairs = [(record_type, registered_versions(registry, record_type)) for record_type in catalogue]
    _refuse(against_registered(pairs), as_json=as_json)
    return sum(len(versions) for _, versions in pairs)


def report_success(checked: Checked, registered: int | None, *, as_json: bool) -> None:
    """Print what was checked and found without violation."""
    if as_json:
        show.as_json({"schemas": checked.schemas, "released": checked.released, "registered": registered, "violations": []})
        return
    compared = f"{checked.released} released" + (f" and {registered} registered" if registered is not None else "")
    show.out.print(f"{checked.schemas} schemas follow the rules and are compatible with {compared} versions", highlight=False)


def registered_versions(registry: RegistryClient, record_type: RecordType) -> list[Version]:
    """Return every version of a record type's subject, the oldest first."""
    found = (registry.version(record_type.subject, number) for number in registry.versions(record_type.subject))
    return [as_version(version) for version in found if version]


def as_version(registered: RegisteredVersion) -> Version:
    """Return a registered version in the form that the rules compare."""
    return Version(f"registered version {registered.version}", registered.text, decoded(registered.text))


def diff(
    catalogue: Catalogue, registry: RegistryClient, record_types: Sequence[str], number: int | None, *, as_json: bool
) -> None:
    """Show field by field how the registered schemas differ from ours, ignoring docs."""
    if unknown := [name for name in record_types if name not in catalogue.record_types]:
        known = ", ".join(catalogue.record_types)
        raise ConfigurationInvalid([f"unknown record type {name!r}; known are {known}" for name in unknown])
    compared = [_compared(record_type, registry, number) for record_type in catalogue if _selected(record_type, record_types)]
    if as_json:
        show.as_json(compared)
        return
    for comparison in compared:
        there = f"version {comparison['version']} (id {comparison['id']})"
        if comparison["state"] == "different":
            columns = ("field", "change", "registered", "ours")
            rows = [tuple(change[key] for key in ("path", *columns[1:])) for change in comparison["changes"]]
            show.table(f"{comparison['record_type']}: differs from {there}", columns, rows)
        elif comparison["state"] == "same":
            show.line(f"{comparison['record_type']}: same fields as {there}")
        else:
            show.line(f"{comparison['record_type']}: {'not registered' if number is None else f'has no version {number}'}")


def _compared(record_type: RecordType, registry: RegistryClient, number: int | None) -> dict[str, Any]:
    head = {"record_type": record_type.name, "subject": record_type.subject}
    there = registry.version(record_type.subject, number)
    if there is None:
        return {**head, "version": None, "id": None, "state": "missing", "changes": []}
    changes = [
        {"path": change.path or "(the record)", "change": change.what, "registered": change.old, "ours": change.new}
        for change in differences(decoded(there.text), published(record_type.schema))
    ]
    state = "different" if changes else "same"
    return {**head, "version": there.version, "id": there.schema_id, "state": state, "changes": changes}


def _selected(record_type: RecordType, names: Sequence[str]) -> bool:
    return not names or record_type.name in names


def _refuse(violations: Iterable[Violation], *, as_json: bool) -> None:
    found = list(violations)
    if not found:
        return
    if as_json:
        show.as_json({"violations": [violation._asdict() for violation in found]})
        raise ConfigurationInvalid([f"{len(found)} violations"])
    raise ConfigurationInvalid([str(violation) for violation in found])
