"""Earlier versions of a record type's schema: the released ones in avro/released/, and those in a registry.

`avro/released/<record type>/<version>.avsc` is the schema as it is registered. A release adds a file if the schema has
changed since the previous release: release 1.4.0 published the file with the highest version up to 1.4.0.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from connector.errors import ConfigurationInvalid
from connector.mapping.places import without_docs
from connector.records import Json

FOLDER: Final = "released"
_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Version(NamedTuple):
    """One earlier version. `label` is its name in messages: `1.4.0` or `registered version 3`; `text` is its JSON."""

    label: str
    text: str
    schema: Json


def read_released(folder: Path) -> dict[str, list[Version]]:
    """Return the released versions in a folder's avro/released/, by record type, the oldest first.

    Raises:
        ConfigurationInvalid: with every file that is not a released schema.
    """
    problems: list[str] = []
    released: dict[str, list[Version]] = {}
    # There is a README beside the folders.
    for file in sorted((folder / "avro" / FOLDER).glob("*/*")):
        where = f"avro/{FOLDER}/{file.parent.name}/{file.name}"
        if file.suffix != ".avsc" or not _VERSION.fullmatch(file.stem):
            problems.append(f"{where}: is not a released schema; its name must be a version, as 1.4.0.avsc")
            continue
        try:
            text = file.read_text(encoding="utf-8")
            released.setdefault(file.parent.name, []).append(Version(file.stem, text, json.loads(text)))
        except (OSError, ValueError) as error:
            problems.append(f"{where}: cannot be read ({error}); restore it from version control")
    if problems:
        raise ConfigurationInvalid(problems)
    return {name: sorted(versions, key=lambda version: order(version.label)) for name, versions in released.items()}


def order(version: str) -> tuple[int, ...]:
    """Return the sort key of a version.

    Raises:
        ConfigurationInvalid: when the text is not a version.
    """
    if not _VERSION.fullmatch(version):
        raise ConfigurationInvalid([f"{version!r} is not a version; a version has three numbers, as 1.4.0"])
    return tuple(int(part) for part in version.split("."))


def fingerprint(schema: Json) -> str:
    """Return 16 digits that are equal for schemas that differ only in docs and the order of keys.

    Not Avro's own fingerprint: that ignores logical types, precision, scale and defaults.
    """
    plain = json.dumps(without_docs(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def release_of(schema: Json, released: Sequence[Version]) -> str | None:
    """Return the newest released version that equals this schema, apart from docs."""
    own = fingerprint(schema)
    return next((version.label for version in reversed(released) if fingerprint(version.schema) == own), None)


def write_release(folder: Path, version: str, texts: Mapping[str, str]) -> list[str]:
    """Write the schemas, by record type, that have changed since the previous release; return their record types.

    Raises:
        ConfigurationInvalid: when it is not a version, or not higher than every released one.
    """
    number = order(version)
    released = read_released(folder)
    newest = max((order(past.label) for versions in released.values() for past in versions), default=(-1,))
    if number <= newest:
        before = ".".join(map(str, newest))
        raise ConfigurationInvalid([f"{version} is not higher than {before}, which is released; a release is never changed"])
    changed = []
    for name, text in texts.items():
        past = released.get(name)
        if past and past[-1].schema == json.loads(text):
            continue
        file = folder / "avro" / FOLDER / name / f"{version}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(pretty(text), encoding="utf-8")
        changed.append(name)
    return changed


def decoded(text: str) -> Json:
    """Return a schema's text decoded; empty if it is not a JSON object, such as a plain `"string"`."""
    try:
        schema = json.loads(text)
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) else {}


def pretty(text: str) -> str:
    """Return a schema's text indented, which is easiest to read and compare in a file."""
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
