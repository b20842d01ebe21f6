"""A folder with avro/ and config/messages.toml in, all violations out: of our rules, of releases, of a registry's versions.

Nothing is changed.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from connector.catalogue import RecordType, read_catalogue
from connector.errors import ConfigurationInvalid, NotAvro
from connector.mapping.compatibility import parse
from connector.mapping.compiler import published
from connector.records import Json
from connector.schemas.evolution import evolution_rules
from connector.schemas.rules import common_block, house_rules
from connector.schemas.versions import Version, read_released
from connector.schemas.violation import Violation, merged


class Checked(NamedTuple):
    """How many schemas and released versions were checked, and the violations."""

    schemas: int
    released: int
    violations: list[Violation]


def check(folder: Path, prefix: str) -> Checked:
    """Check the files of a folder: Avro, house rules, and every released version."""
    violations: list[Violation] = []
    schemas = dict(_read_schemas(folder, violations))
    tables = _tables(folder)
    sources = {name: str(table.get("from")) for name, table in tables.items()}
    of_messages = [name for name, source in sources.items() if source == "messages" and "each" not in tables[name]]
    released = _released(folder, violations)
    for name, schema in schemas.items():
        violations += house_rules(name, schema, sources.get(name, ""))
    violations += common_block({name: schema for name, schema in schemas.items() if name in of_messages})
    for name, versions in released.items():
        if name in schemas:
            violations += against(name, published(schemas[name]), versions)
        elif not (folder / "avro" / f"{name}.avsc").exists():
            fault = f"was removed; {versions[-1].label} has it"
            violations.append(
                Violation(f"avro/{name}.avsc", "", "record type stays", fault, "restore the schema and its table")
            )
    violations += _of_catalogue(folder, prefix, violations)
    return Checked(len(schemas), sum(map(len, released.values())), merged(violations))


def against(name: str, schema: Json, versions: Sequence[Version]) -> Iterator[Violation]:
    """Yield the violations of a published schema against earlier versions."""
    text = json.dumps(schema)
    for version in versions:
        yield from evolution_rules(f"avro/{name}.avsc", schema, text, version)


def against_registered(pairs: Iterable[tuple[RecordType, Sequence[Version]]]) -> list[Violation]:
    """Return the violations of record types against their versions in a registry."""
    found: list[Violation] = []
    for record_type, versions in pairs:
        found += against(record_type.name, json.loads(record_type.published_text), versions)
    return merged(found)


def _read_schemas(folder: Path, violations: list[Violation]) -> Iterator[tuple[str, Json]]:
    """Yield the schemas that are Avro records, by record type; add a violation for each of the others."""
    for file in sorted((folder / "avro").glob("*.avsc")):
        where = f"avro/{file.name}"
        try:
            text = file.read_text(encoding="utf-8")
            schema = json.loads(text)
            parse(json.dumps(published(schema)))
        except json.JSONDecodeError as error:
            fault = f"line {error.lineno}, column {error.colno}: {error.msg}"
            violations.append(Violation(where, "", "json", fault, "fix the JSON there"))
        except (OSError, UnicodeDecodeError) as error:
            violations.append(Violation(where, "", "json", str(error), "save it as UTF-8"))
        except NotAvro as no_schema:
            violations.append(Violation(where, "", "avro", str(no_schema), "see Avro's specification"))
        else:
            if isinstance(schema, dict) and schema.get("type") == "record":
                yield file.stem, schema
            else:
                violations.append(Violation(where, "", "avro", "is not a record", 'a schema begins with "type": "record"'))


def _tables(folder: Path) -> dict[str, Json]:
    """Return the table of each record type; errors of the tables are reported by the catalogue."""
    try:
        tables: dict[str, Any] = tomllib.loads((folder / "config" / "messages.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: table for name, table in tables.items() if isinstance(table, dict)}


def _released(folder: Path, violations: list[Violation]) -> dict[str, list[Version]]:
    try:
        return read_released(folder)
    except ConfigurationInvalid as invalid:
        for problem in invalid.problems:
            where, _, fault = problem.partition(": ")
            violations.append(Violation(where, "", "json", fault, ""))
        return {}


def _of_catalogue(folder: Path, prefix: str, found: Sequence[Violation]) -> Iterator[Violation]:
    """Yield why the catalogue cannot be loaded, except for files that have a more precise violation already."""
    known = {violation.schema for violation in found if violation.rule in ("json", "avro", "no enum")}
    try:
        read_catalogue(folder, prefix)
    except ConfigurationInvalid as invalid:
        for problem in invalid.problems:
            where, _, fault = problem.partition(": ")
            file, _, path = where.partition(", field ")
            if file not in known:
                yield Violation(file, path, "catalogue", fault, "")
