"""`connector schemas export · release`: writes schemas to files.

An export is one .avsc per subject and version, with ids and fingerprints in index.json: for review, or for deployments without
a registry. A release is permanent in avro/released/; later schemas are checked against it.
"""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from connector.catalogue import Catalogue, data_folder, folder_of
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import complete_catalogue, open_registry, open_settings
from connector.commands.schemas import compare
from connector.errors import ConfigurationInvalid
from connector.registry.client import RegistryClient
from connector.schemas.versions import decoded, fingerprint, pretty, read_released, release_of, write_release

_INDEX = "index.json"

app = typer.Typer()


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="FOLDER")],
    *,
    config: Config = None,
    released: Annotated[
        bool, typer.Option("--released", help="Export the versions in avro/released/ instead. Needs no registry.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write every registered version of our schemas to a folder, with an index of ids and fingerprints."""
    settings = open_settings(config)
    with open_registry(settings) as registry:
        source = None if released else registry
        export(complete_catalogue(settings), folder_of(settings), source, folder, as_json=as_json)


@app.command("release")
def release_command(
    version: Annotated[str, typer.Argument(help="Version of three numbers, such as 1.4.0.", metavar="VERSION")],
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check our schemas, then store those that changed in avro/released/ under a version. A release is permanent."""
    settings = open_settings(config)
    compare.check(folder_of(settings), settings.topics.prefix, as_json=False)
    release(complete_catalogue(settings), folder_of(settings), version, as_json=as_json)


class _Exported(NamedTuple):
    """One version in an export; `version` and `id` are those of the registry, None for versions from avro/released/."""

    record_type: str
    subject: str
    version: int | None
    id: int | None
    release: str | None
    fingerprint: str
    file: str
    text: str


def export(catalogue: Catalogue, folder: Path, registry: RegistryClient | None, target: Path, *, as_json: bool) -> None:
    """Write every registered version of our subjects to a new folder; without a registry, every released one.

    Raises:
        ConfigurationInvalid: if the folder is not empty, or cannot be written.
        RegistryFailed: if the registry does not answer; nothing is written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationInvalid([f"{target}: is not empty; choose an empty or new folder"])
    exported = _registered(catalogue, folder, registry) if registry else _released(catalogue, folder)
    index = [{key: value for key, value in one._asdict().items() if key != "text"} for one in exported]
    try:
        for one in exported:
            file = target / one.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(pretty(one.text), encoding="utf-8")
        target.mkdir(parents=True, exist_ok=True)
        (target / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationInvalid([f"{target}: cannot be written ({error.strerror})"]) from None
    columns = _Exported._fields[:-1]
    if not exported and not as_json:
        none = (
            "no version is registered"
            if registry
            else "no version is released yet; `connector schemas release` makes the first"
        )
        show.line(f"{target}: {none}")
        return
    title = f"Exported {len(index)} version{'' if len(index) == 1 else 's'} to {target}"
    show.rows(title, columns, [one[:-1] for one in exported], as_json=as_json)


def release(catalogue: Catalogue, folder: Path, version: str, *, as_json: bool) -> None:
    """Write the schemas that changed since the last release to avro/released/, under a version.

    Raises:
        ConfigurationInvalid: if the version is malformed or not newer than the last, or the folder cannot be written.
    """
    if folder == data_folder() and folder.name == "_data":
        raise ConfigurationInvalid(["releases are created in a checkout of the project; set catalogue.folder to one"])
    changed = write_release(folder, version, {one.name: one.published_text for one in catalogue})
    rows = [(one.name, version if one.name in changed else _last(folder, one.name)) for one in catalogue]
    show.rows(f"Release {version}", ("record_type", "last_changed_in"), rows, as_json=as_json)


def _last(folder: Path, name: str) -> str:
    return read_released(folder)[name][-1].label


def _registered(catalogue: Catalogue, folder: Path, registry: RegistryClient) -> list[_Exported]:
    released = read_released(folder)
    exported = []
    for record_type in catalogue:
        for number in registry.versions(record_type.subject):
            found = registry.version(record_type.subject, number)
            if found is None:
                continue
            schema: Any = decoded(found.text)
            known = release_of(schema, released.get(record_type.name, ()))
            place = f"{record_type.subject}/{found.version}.avsc"
            head = (record_type.name, record_type.subject, found.version, found.schema_id)
            exported.append(_Exported(*head, known, fingerprint(schema), place, found.text))
    return exported


def _released(catalogue: Catalogue, folder: Path) -> list[_Exported]:
    released = read_released(folder)
    return [
        _Exported(
            *(record_type.name, record_type.subject, None, None),
            *(version.label, fingerprint(version.schema)),
            *(f"{record_type.subject}/{version.label}.avsc", version.text),
        )
        for record_type in catalogue
        for version in released.get(record_type.name, ())
    ]
