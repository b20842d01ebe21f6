"""`connector privacy`: every field of every record, its class of personal data, and what the settings make of it."""

from collections.abc import Iterator
from typing import Final

from connector.catalogue import Catalogue
from connector.commands import show
from connector.mapping.places import NOT_PERSONAL

_COLUMNS: Final = ("record_type", "field", "personal", "becomes", "by")


def run(catalogue: Catalogue, *, every: bool, as_json: bool) -> None:
    """Show the fields that are personal or treated; with `every` all of them."""
    rows = [row for row in _rows(catalogue) if every or row[2] or row[3] != "keep"]
    show.rows("Fields", _COLUMNS, rows, as_json=as_json)


def _rows(catalogue: Catalogue) -> Iterator[tuple[str, str, str, str, str | None]]:
    for record_type in catalogue:
        for one in catalogue.policy.decisions(record_type.name, record_type.schema):
            personal = one.pii.replace(NOT_PERSONAL, "")
            yield record_type.name, one.path, personal, one.outcome, f"privacy.{one.setting}" if one.setting else None
