"""`connector schemas`: our schemas against the registry."""

from connector.catalogue import Catalogue
from connector.commands import show
from connector.errors import OtherSideFailed, RegistryFailed
from connector.registry import Registered, Registry

_COLUMNS = ("record type", "subject", "id", "version", "state")


def list_schemas(catalogue: Catalogue, registry: Registry, *, as_json: bool) -> None:
    """Show what the registry knows of each of our schemas."""
    _print("Schemas", [(*registry.look_up(record_type), "") for record_type in catalogue], as_json=as_json)


def register(catalogue: Catalogue, registry: Registry, *, dry_run: bool, as_json: bool) -> None:
    """Register what is not registered, and say what was done.

    Raises:
        OtherSideFailed: when the registry refuses one; the others are still tried, and shown.
    """
    rows: list[tuple[str, str, int | None, int | None, str]] = []
    failures = []
    for record_type in catalogue:
        before = registry.look_up(record_type)
        if before.schema_id is not None:
            rows.append((*before, "unchanged"))
        elif dry_run:
            rows.append((*before, "would be registered"))
        else:
            try:
                rows.append((*registry.register(record_type), "registered"))
            except RegistryFailed as failed:
                failures.append(str(failed))
                rows.append((*before, "error"))
    _print("Schemas", rows, as_json=as_json)
    if failures:
        raise OtherSideFailed("\n".join(failures))


def _print(title: str, rows: list[tuple[str, str, int | None, int | None, str]], *, as_json: bool) -> None:
    stated = [(*row[:4], row[4] or ("registered" if Registered(*row[:4]).schema_id is not None else "missing")) for row in rows]
    if as_json:
        names = ("record_type", "subject", "id", "version", "state")
        show.as_json([dict(zip(names, row, strict=True)) for row in stated])
    else:
        show.table(title, _COLUMNS, stated)
