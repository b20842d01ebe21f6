"""`connector schemas ddl`: prints table definitions for the engines that read our topics."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from connector.catalogue import Catalogue, RecordType
from connector.commands.options import Config
from connector.commands.resources import catalogue_without_privacy, open_registry, open_settings
from connector.errors import ConfigurationInvalid
from connector.registry.client import RegistryClient
from connector.schemas.ddl.engines import ENGINES, EngineName, definitions
from connector.schemas.ddl.tables import Servers, WriterSchema, tables_of
from connector.settings.tables import Settings

_SHOWN: Final = {
    "security.protocol": "security.protocol",
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.mechanism": "sasl.mechanism",
}
"""The client's properties that the definitions have too, with their names in Java. All others can be secrets or paths here."""

app = typer.Typer()


@app.command("ddl")
def ddl_command(
    engine: Annotated[
        EngineName,
        typer.Argument(help="Flink, Spark, ClickHouse, Iceberg or JDBC, in lower case.", metavar="ENGINE", show_default=False),
    ],
    record_types: Annotated[
        list[str] | None,
        typer.Argument(help="Record types, or topics with or without the prefix. Default: all.", metavar="RECORD_TYPE"),
    ] = None,
    *,
    config: Config = None,
) -> None:
    """Print table definitions for an engine, made from the schemas. Spark's need the registry."""
    settings = open_settings(config)
    chosen = selected(catalogue_without_privacy(settings), settings.topics.prefix, record_types or ())
    writers: dict[str, tuple[WriterSchema, ...]] = {}
    if ENGINES[engine].needs_writers:
        with open_registry(settings) as registry:
            writers = {record_type.topic: _writers(registry, record_type) for record_type in chosen}
        if missing := [record_type.subject for record_type in chosen if not writers[record_type.topic]]:
            raise ConfigurationInvalid([f"{subject} is not registered; run connector schemas register" for subject in missing])
    typer.echo(definitions(engine, tables_of(chosen, settings.topics.prefix), servers_of(settings, writers)), nl=False)


def selected(catalogue: Catalogue, prefix: str, names: Sequence[str]) -> list[RecordType]:
    """Return the record types by their names or topics, in the order of the catalogue; all of them without a name.

    Raises:
        ConfigurationInvalid: if a name is neither a record type nor a topic.
    """
    by_name = {name: one for one in catalogue for name in (one.topic, one.topic.removeprefix(prefix), one.name)}
    if unknown := [name for name in names if name not in by_name]:
        known = ", ".join(catalogue.record_types)
        raise ConfigurationInvalid([f"unknown record type or topic {name!r}; known are {known}" for name in unknown])
    chosen = {by_name[name].name for name in names}
    return [one for one in catalogue if not names or one.name in chosen]


def servers_of(settings: Settings, writers: dict[str, tuple[WriterSchema, ...]]) -> Servers:
    """Return where the topics are, without credentials: definitions go into files that others read."""
    client = settings.kafka.client
    security = {_SHOWN[name]: str(value).upper() for name, value in client.items() if name in _SHOWN}
    hidden = sorted(name for name in client if name.startswith(("sasl.", "ssl.")) and name not in _SHOWN)
    hidden += sorted(f"registry.client {name}" for name in settings.registry.client if "auth" in name or "ssl" in name)
    notes = (f"Credentials and certificates are left out. Add what your settings have: {', '.join(hidden)}.",) if hidden else ()
    return Servers(
        bootstrap_servers=str(client["bootstrap.servers"]),
        # Several URLs are for when one of them is away; engines take one.
        registry_url=settings.registry.url.partition(",")[0].strip(),
        security=security,
        notes=notes,
        writers=writers,
    )


def _writers(registry: RegistryClient, record_type: RecordType) -> tuple[WriterSchema, ...]:
    versions = (registry.version(record_type.subject, number) for number in registry.versions(record_type.subject))
    return tuple(WriterSchema(found.schema_id, found.text) for found in versions if found)
