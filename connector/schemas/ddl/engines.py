"""The engines by name, and the whole text of their table definitions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from connector.schemas.ddl import clickhouse, flink, iceberg, jdbc, spark, text
from connector.schemas.ddl.tables import Servers, Table

EngineName = Literal["flink", "spark", "clickhouse", "iceberg", "jdbc"]


class Engine(NamedTuple):
    """What writes the statements of one table. `needs_writers`: it cannot ask the registry itself."""

    statement: Callable[[Table, Servers], str]
    needs_writers: bool = False
    reads_kafka: bool = True


ENGINES: Final[Mapping[EngineName, Engine]] = {
    "flink": Engine(flink.statement),
    "spark": Engine(spark.statement, needs_writers=True),
    "clickhouse": Engine(clickhouse.statement),
    "iceberg": Engine(iceberg.statement, reads_kafka=False),
    "jdbc": Engine(jdbc.statement, reads_kafka=False),
}


def definitions(engine: EngineName, tables: Iterable[Table], servers: Servers) -> str:
    """Return the statements of all tables, with what has to be added by hand above them."""
    chosen = ENGINES[engine]
    head = [f"Made by `connector schemas ddl {engine}` from the schemas. Make it again when they change, do not edit it."]
    head += servers.notes if chosen.reads_kafka else ()
    return "\n".join((text.notes(head), *(chosen.statement(table, servers) for table in tables)))
