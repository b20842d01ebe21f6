"""A settings file in; settings, logs, a catalogue and a registry client out: what commands need before they start."""

from contextlib import AbstractContextManager, closing
from pathlib import Path

from connector import logs
from connector.catalogue import Catalogue, folder_of, optional_topics, read_catalogue
from connector.privacy.policy import Policy
from connector.record_tables import OPTIONAL_TOPICS
from connector.registry.client import RegistryClient
from connector.registry.retries import COMMAND
from connector.settings.load import load_settings_for_tools
from connector.settings.tables import Settings


def open_settings(file: Path | None) -> Settings:
    """Read the settings of a command that accepts no callbacks, and configure the logs.

    Raises:
        ConfigurationInvalid: with every problem found.
    """
    settings = load_settings_for_tools(file)
    logs.configure(settings.logs)
    if settings.logs.level != "debug":
        logs.hide_client_lines()
    return settings


def open_registry(settings: Settings) -> AbstractContextManager[RegistryClient]:
    """Return a client of the registry that tries again while the registry is busy, for a `with` statement that closes it."""
    return closing(RegistryClient(settings.registry.url, settings.registry.client, COMMAND))


def catalogue_without_privacy(settings: Settings) -> Catalogue:
    """Return the catalogue for commands that produce no records: privacy does not apply, so no key is needed."""
    return read_catalogue(folder_of(settings), settings.topics.prefix, optional=optional_topics(settings))


def complete_catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue with every record type, including those whose setting is false."""
    return read_catalogue(folder_of(settings), settings.topics.prefix, optional=OPTIONAL_TOPICS)


def catalogue_without_raw(settings: Settings) -> Catalogue:
    """Return the catalogue for callbacks that must not be stored as received again; privacy applies."""
    optional = optional_topics(settings) - {"raw"}
    return read_catalogue(folder_of(settings), settings.topics.prefix, optional=optional, policy=Policy.of(settings.privacy))
