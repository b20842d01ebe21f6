"""The configuration: settings, catalogue, schemas, and the properties of every client, each checked as `serve` does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connector.catalogue import Catalogue, folder_of, load_catalogue
from connector.doctor.findings import CONFIGURATION, SCHEMA_FILES, Finding, of_failure
from connector.errors import ConfigurationInvalid
from connector.http import tls
from connector.kafka.producers import check_properties
from connector.registry.client import RegistryClient
from connector.schemas.check import check
from connector.settings.load import load_settings, load_settings_for_tools
from connector.settings.producer import producer_properties
from connector.settings.tables import Settings

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What could be read: settings or catalogue are None if they are invalid."""

    settings: Settings | None
    catalogue: Catalogue | None
    findings: tuple[Finding, ...]


def read(file: Path | None) -> Configuration:
    """Read and check everything; every problem is a finding, none is raised."""
    problems: list[str] = []
    settings = _collect(lambda: load_settings(file), problems)
    if settings is None:
        # Missing credentials stop `serve`, but none of the other checks.
        settings = _collect(lambda: _load_without_credentials(file), [])
    if settings is None:
        return Configuration(None, None, _findings(problems, None))
    loaded = settings
    catalogue = _collect(lambda: load_catalogue(loaded), problems)
    problems += check_properties(producer_properties(loaded))
    _collect(lambda: tls.context(loaded.tls), problems)
    _collect(lambda: RegistryClient(loaded.registry.url, loaded.registry.client).close(), problems)
    return Configuration(settings, catalogue, _findings(problems, catalogue))


def check_schema_files(settings: Settings) -> Iterator[Finding]:
    """Check our schemas by themselves; errors that keep the catalogue from being read are in the configuration."""
    checked = check(folder_of(settings), settings.topics.prefix)
    violations = [violation for violation in checked.violations if violation.rule != "catalogue"]
    for violation in violations:
        yield of_failure(SCHEMA_FILES, ConfigurationInvalid([str(violation)]))
    if not violations:
        released = f" and {checked.released} released versions" if checked.released else "; there is no released version yet"
        found = f"{checked.schemas} schemas follow the rules{released}"
        yield Finding(SCHEMA_FILES, "ok", found)


def _load_without_credentials(file: Path | None) -> Settings:
    loaded = load_settings_for_tools(file)
    # The tools set allow_anyone; the operator has not set it.
    return loaded.model_copy(update={"authentication": loaded.authentication.model_copy(update={"allow_anyone": False})})


def _collect(make: Callable[[], Value], problems: list[str]) -> Value | None:
    try:
        return make()
    except ConfigurationInvalid as invalid:
        problems += invalid.problems
        return None


def _findings(problems: list[str], catalogue: Catalogue | None) -> tuple[Finding, ...]:
    if problems:
        findings = (of_failure(CONFIGURATION, ConfigurationInvalid([problem])) for problem in problems)
        return tuple(one._replace(advice=one.advice or "config/connector.toml explains every setting") for one in findings)
    count = len(list(catalogue or ()))
    return (Finding(CONFIGURATION, "ok", f"settings and client properties, and a catalogue of {count} record types"),)
