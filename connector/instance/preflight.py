"""The settings that `serve` begins and goes on with: read, and all of it tried that needs no server.

What is wrong is told at once, before a port is opened or a running worker is replaced.
"""

from pathlib import Path

from connector import catalogue as catalogues
from connector.errors import ConfigurationInvalid
from connector.http import tls
from connector.kafka.producers import check_properties
from connector.registry.client import Registry
from connector.settings import tables as settings_of
from connector.settings.tables import Settings


def load_startable(file: Path | None) -> Settings:
    """Read the settings, and try the catalogue and every client's properties; certificates are read as well.

    Raises:
        ConfigurationInvalid: with every problem found, in words.
    """
    loaded = settings_of.load(file)
    problems = [settings_of.in_its_table(loaded, told) for told in check_properties(settings_of.producer_properties(loaded))]
    for made in (catalogues.of, _registry, _tls):
        try:
            made(loaded)
        except ConfigurationInvalid as invalid:
            problems += invalid.problems
    if problems:
        raise ConfigurationInvalid(problems)
    return loaded


def _registry(loaded: Settings) -> None:
    Registry(loaded.registry.url, loaded.registry.client).close()


def _tls(loaded: Settings) -> None:
    tls.context(loaded.tls)
