"""Parts of SQL that the engines share: quoted names, quoted texts, comments, lists of options."""

from collections.abc import Iterable, Mapping

from connector.schemas.ddl.tables import Table


def name(text: str) -> str:
    """Return a name in backticks, which Flink, Spark, Iceberg and ClickHouse have in common."""
    return f"`{text}`"


def standard_text(text: str) -> str:
    """Return a string literal of standard SQL: a quote is written twice, a backslash is itself."""
    return "'" + _one_line(text).replace("'", "''") + "'"


def escaped_text(text: str) -> str:
    """Return a string literal of the engines in which a backslash escapes: Spark and ClickHouse."""
    return "'" + _one_line(text).replace("\\", "\\\\").replace("'", "\\'") + "'"


def listed(parts: Iterable[str]) -> str:
    """Return parts one below the other, indented and separated by commas."""
    return ",\n".join(f"  {part}" for part in parts)


def standard_options(options: Mapping[str, str]) -> str:
    """Return the options of a table: `'name' = 'value'`."""
    return listed(f"{standard_text(key)} = {standard_text(value)}" for key, value in options.items())


def notes(lines: Iterable[str]) -> str:
    """Return lines as SQL comments."""
    return "".join(f"-- {_one_line(line)}\n" for line in lines)


def coalesced(table: Table) -> str:
    """Return the expression of the event's time in the type of its columns."""
    names = [name(column.name) for column in table.times]
    return names[0] if len(names) == 1 else f"COALESCE({', '.join(names)})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
