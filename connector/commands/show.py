"""The output of the commands: tables and colours on a terminal, plain lines or JSON for scripts."""

import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from connector.seals import printable

out = Console()
err = Console(stderr=True)

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROLS_IN_JSON: Final = re.compile(r"[\x7f-\x9f]")
_LONGEST_TEXT: Final = 500
_MOST_ENTRIES: Final = 20
_MOST_ROWS: Final = 200
"""What is shown of a long value, list or table to people: wrapping a body of 4 MB takes a minute. JSON has all of it."""


def visible(text: str) -> str:
    """Return text with control characters escaped: data from strangers must not control the terminal."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _json_text(value: Any) -> str:
    """Return JSON on one line, with the control characters escaped that `json` leaves: those beyond ASCII.

    All beyond ASCII is escaped if the output's encoding cannot show it: JSON then says the same, and nothing is replaced.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    text = json.dumps(plain(value), ensure_ascii=not encoding.startswith("utf"))
    return _CONTROLS_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(value: Any) -> Any:
    """Return a record's value in JSON types: decimals as exact text, times as ISO 8601, bytes as text."""
    match value:
        case dict():
            return {name: plain(part) for name, part in value.items()}
        case list():
            return [plain(part) for part in value]
        case datetime():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            return printable(value) or value.decode("utf-8", "replace")
    return value


def shortened(value: Any) -> Any:
    """Return a value with what people need of it: the start of a long text, bytes or list, and how much more there is."""
    match value:
        case str() if len(value) > _LONGEST_TEXT:
            return f"{value[:_LONGEST_TEXT]}… ({len(value) - _LONGEST_TEXT:,} more characters)"
        case bytes() if len(value) > _LONGEST_TEXT:
            # Cut before it is converted: sealed bytes would otherwise be encoded as a whole.
            return f"{plain(value[:_LONGEST_TEXT])}… ({len(value) - _LONGEST_TEXT:,} more bytes)"
        case dict():
            return {name: shortened(part) for name, part in value.items()}
        case list() if len(value) > _MOST_ENTRIES:
            return [*map(shortened, value[:_MOST_ENTRIES]), f"… ({len(value) - _MOST_ENTRIES:,} more)"]
        case list():
            return [*map(shortened, value)]
    return value


def as_json(value: Any) -> None:
    """Print one JSON document, on one line."""
    _print_json(value)


def _print_json(value: Any) -> None:
    print(_json_text(value), flush=True)  # noqa: T201 - the output for scripts


def record(topic: str, key: str | None, value: dict[str, Any] | None) -> None:
    """Print one decoded record: topic and key, then the fields that have a value, shortened."""
    key = shortened(key)
    head = Text.assemble((visible(topic), "bold cyan"), "  key ", (visible(key) if key is not None else "null", "bold green"))
    out.print(head)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, part in (value or {}).items():
        if part not in (None, []):
            short = shortened(part)
            shown = _json_text(short) if isinstance(short, list | dict) else visible(str(plain(short)))
            grid.add_row(Text(f"  {visible(name)}"), Text(shown))
    out.print(grid)


def line(text: str) -> None:
    """Print one line without wrapping."""
    out.print(Text(visible(text)), soft_wrap=True)


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], *, is_of_callback: bool = False) -> None:
    """Print a table; None is a dash, states are coloured. What a callback holds is shortened, what we say ourselves is not."""
    # Not Table's own title, which would wrap at the width of the table.
    out.print(Text(visible(title), style="bold"), soft_wrap=True)
    shown = Table()
    for column in columns:
        shown.add_column(column, overflow="fold")
    styles = {"ok": "green", "registered": "green", "missing": "red", "error": "red", "warning": "yellow", "unknown": "dim"}
    most = _MOST_ROWS if is_of_callback else len(rows)
    for row in rows[:most]:
        cells = ["-" if cell is None else visible(str(shortened(cell) if is_of_callback else cell)) for cell in row]
        shown.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in cells))
    out.print(shown)
    if len(rows) > most:
        line(f"… ({len(rows) - most:,} more; --json shows all)")


def what_to_do(advice: Iterable[str]) -> None:
    """Print each advice once and on one line, so that commands can be copied."""
    for text in dict.fromkeys(advice):
        out.print(Text.assemble(("  → ", "bold"), text), soft_wrap=True)


def rows(title: str, names: tuple[str, ...], values: list[tuple[Any, ...]], *, as_json: bool) -> None:
    """Print rows: JSON objects with these keys, or a table."""
    if as_json:
        _print_json([dict(zip(names, row, strict=True)) for row in values])
    else:
        table(title, tuple(name.replace("_", " ") for name in names), values)


def problem(text: str) -> None:
    """Print one problem on stderr."""
    err.print(Text.assemble(("connector: ", "bold red"), visible(text)), soft_wrap=True)
