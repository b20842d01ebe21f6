"""`connector privacy`: lists every field of every record, its class of personal data, and what the settings do with it."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer

from connector.catalogue import Catalogue, load_catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import open_settings
from connector.mapping.places import NOT_PERSONAL

_COLUMNS: Final = ("record_type", "field", "class", "outcome", "setting")
_Row = tuple[str, str, str, str, str | None]

app = typer.Typer()


@app.command()
def privacy(
    *,
    config: Config = None,
    every: Annotated[bool, typer.Option("--all", help="Also show fields that are neither personal nor changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every personal field, its class, and what the settings do with it."""
    catalogue = load_catalogue(open_settings(config))
    rows = [row for row in _rows(catalogue) if every or row[2] or row[3] != "keep"]
    if as_json:
        show.rows("Fields", _COLUMNS, rows, as_json=True)
        return
    for personal in sorted({row[2] for row in rows}, key=lambda name: (not name, name)):
        of_class = [row for row in rows if row[2] == personal]
        show.table(personal or "not personal", ("field", "outcome", "setting", "records"), _grouped(of_class, catalogue))


def _grouped(rows: list[_Row], catalogue: Catalogue) -> list[tuple[str | None, ...]]:
    """Return a row for each field that is treated alike in several records, with the names of these records."""
    groups: dict[tuple[str, str, str | None], list[str]] = {}
    for record_type, field, _, outcome, setting in rows:
        groups.setdefault((field, outcome, setting), []).append(record_type)
    messages = [record_type.name for record_type in catalogue if record_type.source == "messages"]
    return [(*group, ", ".join(_named(names, messages))) for group, names in groups.items()]


def _named(names: list[str], messages: list[str]) -> list[str]:
    """Return record types, with all those of messages as one."""
    if not set(messages) <= set(names):
        return names
    return [f"all {len(messages)} of messages", *(name for name in names if name not in messages)]


def _rows(catalogue: Catalogue) -> Iterator[_Row]:
    for record_type in catalogue:
        for one in catalogue.policy.decisions(record_type.name, record_type.schema):
            personal = one.pii.replace(NOT_PERSONAL, "")
            yield record_type.name, one.path, personal, one.outcome, f"privacy.{one.setting}" if one.setting else None
