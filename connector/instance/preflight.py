"""The settings that `serve` begins and goes on with: read, and all of it tried that needs no server.

What is wrong is told at once, before a port is opened or a running worker is replaced.
"""

from pathlib import Path

from connector.catalogue import load_catalogue
from connector.errors import ConfigurationInvalid
from connector.http import tls
from connector.kafka.producers import check_properties
from connector.registry.client import RegistryClient
from connector.settings.load import load_settings
from connector.settings.producer import in_its_table, producer_properties
from connector.settings.tables import Settings


def load_startable(file: Path | None) -> Settings:
    """Read the settings, and try the catalogue and every client's properties; certificates are read as well.

    Raises:
        ConfigurationInvalid: with every problem found, in words.
    """
    loaded = load_settings(file)
    problems = [in_its_table(loaded, told) for told in check_properties(producer_properties(loaded))]
    for made in (load_catalogue, _registry, _tls):
        try:
            made(loaded)
        except ConfigurationInvalid as invalid:
            problems += invalid.problems
    if problems:
        raise ConfigurationInvalid(problems)
    return loaded


def _registry(loaded: Settings) -> None:
    RegistryClient(loaded.registry.url, loaded.registry.client).close()


def _tls(loaded: Settings) -> None:
    tls.context(loaded.tls)
