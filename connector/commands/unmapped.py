"""A callback in, its unmapped keys out: what Kaleyra sends and no schema maps, for `connector explain`.

The keys of a message, status or event are compared with the schema of its record type; those of the whole callback, including
contacts, with the schemas of all its records. A key whose value has the wrong form for its schema is not unmapped: its item
becomes a dead letter that reports it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from connector.catalogue import Catalogue
from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.dialects.envelope import ENVELOPE
from connector.pipeline.reading import read_json
from connector.pipeline.split import split
from connector.records import EMPTY, Item, Json, RawCallback

_ROOT_OF_ITEM: Final = {"messages": "message", "statuses": "status", "events": "event"}
_KNOWN_IN_ENVELOPE: Final = frozenset({"value", "field"})
_KNOWN_IN_VALUE: Final = frozenset({"messages", "statuses", "contacts", "metadata", "errors", "messaging_product"})


def unmapped(catalogue: Catalogue, raw: RawCallback, renamed_keys: Mapping[str, str]) -> list[str]:
    """Return the paths of a callback that no source path of its records maps; none if it cannot be decoded."""
    try:
        callback = decode(raw, renamed_keys)
    except NotDecodable:
        return []
    # The paths of a contact count as mapped even if no contact record is produced.
    shared = _Mapped().add(catalogue, "contacts")
    found: set[str] = set()
    by_kind: dict[tuple[str, str], _Mapped] = {}
    for item in split(callback, raw).items:
        kind = item.source, item.message_type
        if kind not in by_kind:
            by_kind[kind] = _Mapped().add(catalogue, *kind)
            shared.add(catalogue, *kind)
        found |= {path for path in _inside_item(item) if path not in by_kind[kind]}
    parts = {"contact": callback.contacts, "metadata": callback.metadata, "extra": callback.extra, "callback": callback.root}
    found |= {path for name, part in parts.items() for path in _leaves(name, part) if path not in shared}
    return sorted(found | set(_outside_items(raw)))


class _Mapped:
    """The source paths of some record types; `in` is true for a mapped path, its parents and everything inside it."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._parts: set[str] = set()

    def add(self, catalogue: Catalogue, source: Any, message_type: str = "") -> "_Mapped":
        # A list may also arrive as a single object.
        for path in catalogue.of(source, message_type).mapping.paths:
            self._paths.add(path.replace("[]", ""))
            self._parts.update(_prefixes(path.replace("[]", "")))
        return self

    def __contains__(self, path: str) -> bool:
        plain = path.replace("[]", "")
        return plain in self._parts or any(part in self._paths for part in _prefixes(plain))


def _prefixes(path: str) -> Iterator[str]:
    """Yield a path and its parents."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _inside_item(item: Item) -> Iterator[str]:
    root = _ROOT_OF_ITEM.get(item.source)
    return _leaves(root, getattr(item, root)) if root else iter(())


def _outside_items(raw: RawCallback) -> Iterator[str]:
    """Yield the paths of a V2 envelope and its value that are outside all items."""
    envelope = _json(raw.body).get(ENVELOPE)
    if isinstance(envelope, str):
        envelope = _json(envelope.encode("utf-8", "replace"))
    if not isinstance(envelope, dict):
        return
    yield from _leaves(ENVELOPE, {name: part for name, part in envelope.items() if name not in _KNOWN_IN_ENVELOPE})
    value = envelope.get("value")
    # For any other field, the payload of its records holds the whole value.
    if isinstance(value, dict) and envelope.get("field") in ("messages", None):
        yield from _leaves("value", {name: part for name, part in value.items() if name not in _KNOWN_IN_VALUE})


def _json(body: bytes) -> Json:
    try:
        value, _ = read_json(body)
    except NotDecodable:
        return EMPTY
    return value if isinstance(value, dict) else EMPTY


def _leaves(root: str, value: Any) -> Iterator[str]:
    """Yield the paths of all values that are neither null nor empty; elements of the outermost list share one path."""
    pending: list[tuple[str, Any]] = [(root, part) for part in value] if isinstance(value, list) else [(root, value)]
    while pending:
        path, part = pending.pop()
        if isinstance(part, dict):
            pending += [(f"{path}.{name}", inner) for name, inner in part.items()]
        elif isinstance(part, list):
            pending += [(f"{path}[]", inner) for inner in part]
        elif part not in (None, "") and path != root:
            yield path
