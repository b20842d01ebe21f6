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
    show.rows("Fields", _COLUMNS, rows, as_json=as_json)


def _rows(catalogue: Catalogue) -> Iterator[tuple[str, str, str, str, str | None]]:
    for record_type in catalogue:
        for one in catalogue.policy.decisions(record_type.name, record_type.schema):
            personal = one.pii.replace(NOT_PERSONAL, "")
            yield record_type.name, one.path, personal, one.outcome, f"privacy.{one.setting}" if one.setting else None
