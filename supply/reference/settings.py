"""The models of the settings and config/connector.toml in, docs/reference/settings.md out.

Names, types, bounds and defaults are those of the models; meanings are the comments of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from connector.settings.load import PASS_THROUGH
from connector.settings.tables import NEEDS, PREFIX, RESERVED, Credential, Settings
from supply.reference import markdown
from supply.reference.markdown import ROOT, code, codes

FILE: Final = ROOT / "config" / "connector.toml"
_UNITS: Final = ("seconds", "bytes", "days", "per_second", "per_minute")
_CREDENTIALS: Final = "authentication.credentials"

_INTRODUCTION: Final = """\
# Settings

{notice}
Settings come from a TOML file (`--config FILE`) and from the environment, which wins. `CONNECTOR_<TABLE>__<NAME>` is the
variable of a setting. With `_FILE` after the name, the value is read from the file that the variable names:
`CONNECTOR_AUTHENTICATION__URL_TOKEN_FILE=/run/secrets/url_token`. Lists and tables are JSON in a variable. Unknown names are
refused, in the file and in the environment.

Settings are read at start and again at SIGHUP. A secret belongs in a file or in the environment.

The delivery guarantee depends on some of librdkafka's properties, so no table accepts them: {reserved}.
`kafka.delivery_timeout_seconds` and `http.max_body_bytes` set the times and sizes.
"""


@dataclass
class Entry:
    """A setting of the file with the comment above it; code in a comment is apart, since it is indented."""

    name: str
    value: str
    lines: list[str]


@dataclass
class Table:
    """A table of the file. `lines` is a comment that no setting follows."""

    name: str
    lines: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def page() -> str:
    """Return the whole page."""
    introduction = _INTRODUCTION.format(
        notice=markdown.notice("make docs", f"{markdown.link('config/connector.toml')} and `connector/settings/tables.py`"),
        reserved=codes(RESERVED),
    )
    return "\n".join((introduction, *(_section(table) for table in tables())))


def tables() -> Iterator[Table]:
    """Yield the tables of config/connector.toml with their comments."""
    table: Table | None = None
    comment: list[str] = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
            continue
        if header := re.fullmatch(r"\[(\S+)\]", line):
            if table:
                table.lines += comment
                yield table
            table, comment = Table(header[1]), []
        elif table is None or not line:
            if table:
                table.lines += comment
            comment = []
        else:
            name, _, value = line.partition(" = ")
            # Settings without their own comment share the one above.
            shared = comment or table.entries[-1].lines
            table.entries.append(Entry(name.strip('"'), value, shared))
            comment = []
    assert table
    table.lines += comment
    yield table


def _section(table: Table) -> str:
    parts = [f"## [{table.name}]\n"]
    if table.name == _CREDENTIALS:
        parts += [_text(table.lines), _credentials()]
    else:
        model = _model(table.name)
        if not table.entries:
            parts.append(_client_properties(table.name))
        parts += [_setting(table.name, entry, model) for entry in table.entries]
        if table.lines:
            parts.append(_text(table.lines))
    return "\n".join(parts)


def _setting(table: str, entry: Entry, model: type[BaseModel] | None) -> str:
    if model is None:
        outer, inner = table.split(".")
        kind, default = "property of the client", code(entry.value.strip('"'))
        variable = f"{PREFIX}{outer}__{inner}__{entry.name}".upper().replace(".", "_")
    else:
        schema = model.model_json_schema()
        kind = describe(schema["properties"][entry.name], entry.name)
        default = "empty" if entry.value in ('""', "[]", "{}") else code(entry.value.strip('"'))
        variable = f"{PREFIX}{table}__{entry.name}".upper()
    heading = f"### {table}.{entry.name}\n"
    facts = markdown.table(("type", "default", "environment"), [(kind, default, code(variable))])
    return f"{heading}\n{facts}\n{_text(entry.lines)}"


def describe(schema: dict[str, Any], name: str) -> str:
    """Return the type of a setting in words, with unit and bounds, from its JSON schema."""
    if choices := schema.get("enum"):
        return codes(choices)
    if schema.get("format") == "password":
        return "secret"
    kind = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}.get(schema["type"])
    if kind is None:
        return "list of networks" if schema["type"] == "array" else "table"
    unit = next((unit for unit in _UNITS if name.endswith(unit)), "").replace("_", " ")
    words = [f"{kind}, {unit}" if unit else kind]
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if least is not None and "maximum" in schema:
        words.append(f"{least} to {schema['maximum']}")
    elif least is not None:
        words.append(f"at least {least}")
    elif above is not None:
        words.append("above 0")
    if pattern := schema.get("pattern"):
        words.append(f"pattern {code(pattern)}")
    return ", ".join(words)


def _client_properties(table: str) -> str:
    variable = f"{PREFIX}{table.replace('.', '__')}__<NAME>".upper()
    return f"The client's own properties; as a variable {code(variable)}, with underscores for dots.\n"


def _credentials() -> str:
    schema = Credential.model_json_schema()["properties"]
    rows = [
        (
            code(name),
            describe(schema[name], name),
            codes(kind for kind, needed in NEEDS.items() if name in needed) or "any, optional",
            code(f"{PREFIX}{_CREDENTIALS.replace('.', '__')}__<NAME>__{name}".upper()),
        )
        for name in Credential.model_fields
        if name != "kind"
    ]
    return markdown.table(("setting", "type", "needed by kind", "environment"), rows)


def _model(table: str) -> type[BaseModel] | None:
    """Return the model of a table; None for a client's own properties."""
    if f"{table.upper().replace('.', '__')}__" in PASS_THROUGH:
        return None
    model = Settings.model_fields[table].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def _text(lines: list[str]) -> str:
    """Return a comment as Markdown: indented lines are code; paths, settings and variables within a line are marked."""
    parts: list[str] = []
    for is_code, group in _runs(lines):
        if is_code:
            parts.append("\n".join(("```", *(line[2:] for line in group), "```\n")))
        else:
            parts.append(f"{_marked(' '.join(group))}\n")
    return "\n".join(parts)


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    run: list[str] = []
    for line in lines:
        if run and line.startswith("  ") != run[0].startswith("  "):
            yield run[0].startswith("  "), run
            run = []
        run.append(line)
    if run:
        yield run[0].startswith("  "), run


_CODE: Final = re.compile(
    r"`[^`]+`"  # marked already
    r"|\bCONNECTOR_[A-Z0-9_]+(?:='[^']*'|=[^\s)]+)?"
    r"|(?<=[\s(])/[a-z]+\b|\b(?:[a-z]+/)+[a-z*]+\.[a-z]+|\b(?:http|tls|spool|kafka|oauth|privacy|registry|topics)\.[a-z_]+"
    r"|\b[a-z_]+ = (?:\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|true|false)"
    r"|<[a-z]+>/<[a-z]+>|https?://\S+<\S+|[a-z]:<\S+|<key id>:\S+ of \d+ bytes>"
    r"|\{\"[^}]*\}"
)


def _marked(text: str) -> str:
    return _CODE.sub(lambda found: found[0] if found[0].startswith("`") else code(found[0]), text)
