"""`connector schemas docs`: the page of topics, made from the schemas: every field, where it comes from, and what it means.

A catalogue in, Markdown out. Nothing on the page is written by hand, so it is never behind the schemas.
"""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final

import typer

from connector.catalogue import ANY_TYPE, Catalogue, RecordType
from connector.commands.options import Config
from connector.commands.resources import complete_catalogue, open_settings
from connector.mapping.places import NOT_PERSONAL
from connector.records import Json

_INTRODUCTION: Final = """\
# Topics and their records

Made by `make docs` from [avro/](../avro) and [config/messages.toml](../config/messages.toml); change those, not this page.

A field is null where the callback says nothing, unless its type ends in `!`; lists are empty then. *From* is the path in the
view of one item: `message`, `status` and `contact` are the entries of the callback's lists, `metadata` is the business number,
`extra` is `extra_info`, `callback` what stands beside the envelope or is known of the request, `event` what happened to the
account, `key` the record's key, `fault` what went wrong, `item` one element of the list that the field stands in. Of several
paths the first that has a value counts. *Personal* says what a field can give away: a `phone` number or an id that holds or
stands for one, a `name`, `content` that a person wrote or chose, a `location`, a `link` to something of theirs.
"""

app = typer.Typer()


@app.command("docs")
def docs_command(*, config: Config = None) -> None:
    """Print the page of topics: every field, its source and its meaning."""
    typer.echo(page(complete_catalogue(open_settings(config))), nl=False)


def page(catalogue: Catalogue) -> str:
    """Return the whole page."""
    messages = [record_type for record_type in catalogue if record_type.source == "messages"]
    common = _common(messages)
    parts = [
        _INTRODUCTION,
        _topics(catalogue),
        _section("What every message has", "The topics of messages begin with these fields.\n", common),
    ]
    for record_type in catalogue:
        schema = record_type.schema
        fields = schema["fields"][len(common) :] if record_type in messages else schema["fields"]
        told = schema["doc"]
        for required in schema.get("requires", ()):
            told += f" Without {'' if isinstance(required, str) else 'one of '}{_paths(required)} it is a dead letter."
        if record_type in messages:
            told += " Beside the fields of [every message](#what-every-message-has):"
        parts.append(_section(schema["name"], f"Topic `{record_type.topic}`. {told}\n", fields))
    return "\n".join(parts)


def _common(messages: list[RecordType]) -> list[Json]:
    """Return the fields with which all message records begin."""
    first, *rest = (record_type.schema["fields"] for record_type in messages)
    same = takewhile(lambda pair: all(pair[1] == other[pair[0]] for other in rest), enumerate(first))
    return [field for _, field in same]


def _topics(catalogue: Catalogue) -> str:
    rows = [
        (
            f"`{record_type.topic}`",
            f"[{record_type.schema['name']}](#{record_type.schema['name'].lower()})",
            _origin(record_type),
            _keyed_by(record_type),
            ", ".join(_settings(record_type)),
        )
        for record_type in catalogue
    ]
    return _table(("topic", "record", "made from", "keyed by", "settings"), rows)


def _origin(record_type: RecordType) -> str:
    if record_type.source == "raw":
        return "every authentic callback, if `topics.raw` is true"
    if record_type.source != "messages":
        return record_type.source.replace("_", " ")
    if ANY_TYPE in record_type.message_types:
        return "messages of any other type"
    return f"messages of type {', '.join(f'`{kind}`' for kind in record_type.message_types)}"


def _keyed_by(record_type: RecordType) -> str:
    if record_type.keyed_by_wa_id:
        return "the person"
    return "the number, template or account that it is about" if record_type.source == "events" else "the business number"


def _settings(record_type: RecordType) -> Iterator[str]:
    if record_type.large:
        yield "values as large as a callback"
    for name, value in record_type.topic_config.items():
        yield f"`{name}={value}`"


def _section(title: str, text: str, fields: list[Json]) -> str:
    rows = list(_rows(fields))
    table = _table(("field", "type", "from", "personal", "meaning"), rows) if rows else ""
    return f"## {title}\n\n{text}\n{table}"


def _rows(fields: list[Json], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row per field; those within a list behind it, named by it."""
    for field in fields:
        name = f"{prefix}{field['name']}"
        source = _paths(field["source"]) + (" as JSON" if field.get("raw") else "")
        personal = field.get("pii", "").replace(NOT_PERSONAL, "")
        yield f"`{name}`", _type(field["type"]), source, personal, field["doc"]
        if _type(field["type"]) == "list":
            yield from _rows(field["type"]["items"]["fields"], f"{name}[].")


def _type(avro: Any) -> str:
    match avro:
        case ["null", branch]:
            return _type(branch).removesuffix("!")
        case {"type": "array"}:
            return "list"
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return f"decimal({precision}, {scale})!"
        case {"logicalType": str(name)}:
            return f"{name}!"
    return f"{avro}!"


def _paths(source: str | list[str]) -> str:
    return ", ".join(f"`{path}`" for path in ([source] if isinstance(source, str) else source))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
