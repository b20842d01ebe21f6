"""A settings file in, checked settings out: everything that can be checked without a server.

Errors are reported before a port is opened or a running worker is replaced.
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


def load_and_check(file: Path | None) -> Settings:
    """Load the settings; check the catalogue, the properties of every client and the certificates.

    Raises:
        ConfigurationInvalid: with every problem found, in words.
    """
    loaded = load_settings(file)
    problems = [in_its_table(loaded, problem) for problem in check_properties(producer_properties(loaded))]
    for check in (load_catalogue, _check_registry, _check_tls):
        try:
            check(loaded)
        except ConfigurationInvalid as invalid:
            problems += invalid.problems
    if problems:
        raise ConfigurationInvalid(problems)
    return loaded


def _check_registry(loaded: Settings) -> None:
    RegistryClient(loaded.registry.url, loaded.registry.client).close()


def _check_tls(loaded: Settings) -> None:
    tls.context(loaded.tls)
