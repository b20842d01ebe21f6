"""The keys of a callback that no schema maps, for `connector explain`: what Kaleyra sends and nobody would see.

What belongs to one message, status or event is compared with the schema of its own record type; what belongs to the whole
callback, contacts included, with those of all its records. A key in whose place a schema takes something else is not
unmapped: its item is a dead letter that says so.
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

_OWN_ROOT: Final = {"messages": "message", "statuses": "status", "events": "event"}
_OF_ENVELOPE: Final = frozenset({"value", "field"})
_OF_VALUE: Final = frozenset({"messages", "statuses", "contacts", "metadata", "errors", "messaging_product"})


def unmapped(catalogue: Catalogue, raw: RawCallback, renamed_keys: Mapping[str, str]) -> list[str]:
    """Return the paths of a callback that no source path of its records takes; none of what cannot be decoded."""
    try:
        callback = decode(raw, renamed_keys)
    except NotDecodable:
        return []
    # What a contact is made of is looked at also when no record is made of it.
    shared = _Taken().add(catalogue, "contacts")
    found: set[str] = set()
    by_kind: dict[tuple[str, str], _Taken] = {}
    for item in split(callback, raw).items:
        kind = item.source, item.message_type
        if kind not in by_kind:
            by_kind[kind] = _Taken().add(catalogue, *kind)
            shared.add(catalogue, *kind)
        found |= {path for path in _own(item) if path not in by_kind[kind]}
    of_all = {"contact": callback.contacts, "metadata": callback.metadata, "extra": callback.extra, "callback": callback.root}
    found |= {path for name, part in of_all.items() for path in _leaves(name, part) if path not in shared}
    return sorted(found | set(_beside(raw)))


class _Taken:
    """The source paths of some record types; `in` says whether they look at a path, at what is around it or within it."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._parts: set[str] = set()

    def add(self, catalogue: Catalogue, source: Any, message_type: str = "") -> "_Taken":
        # One object where a list is meant is taken too.
        for path in catalogue.of(source, message_type).mapping.paths:
            self._paths.add(path.replace("[]", ""))
            self._parts.update(_prefixes(path.replace("[]", "")))
        return self

    def __contains__(self, path: str) -> bool:
        plain = path.replace("[]", "")
        return plain in self._parts or any(part in self._paths for part in _prefixes(plain))


def _prefixes(path: str) -> Iterator[str]:
    """Yield a path and all that it lies within."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _own(item: Item) -> Iterator[str]:
    root = _OWN_ROOT.get(item.source)
    return _leaves(root, getattr(item, root)) if root else iter(())


def _beside(raw: RawCallback) -> Iterator[str]:
    """Yield what stands in a V2 envelope and its value where nothing is looked for."""
    envelope = _json(raw.body).get(ENVELOPE)
    if isinstance(envelope, str):
        envelope = _json(envelope.encode("utf-8", "replace"))
    if not isinstance(envelope, dict):
        return
    yield from _leaves(ENVELOPE, {name: part for name, part in envelope.items() if name not in _OF_ENVELOPE})
    value = envelope.get("value")
    # Of another field, all of the value is in the payload of its records.
    if isinstance(value, dict) and envelope.get("field") in ("messages", None):
        yield from _leaves("value", {name: part for name, part in value.items() if name not in _OF_VALUE})


def _json(body: bytes) -> Json:
    try:
        value, _ = read_json(body)
    except NotDecodable:
        return EMPTY
    return value if isinstance(value, dict) else EMPTY


def _leaves(root: str, value: Any) -> Iterator[str]:
    """Yield the paths of all values that are neither null nor empty; the elements of the outermost list share one name."""
    pending: list[tuple[str, Any]] = [(root, part) for part in value] if isinstance(value, list) else [(root, value)]
    while pending:
        path, part = pending.pop()
        if isinstance(part, dict):
            pending += [(f"{path}.{name}", inner) for name, inner in part.items()]
        elif isinstance(part, list):
            pending += [(f"{path}[]", inner) for inner in part]
        elif part not in (None, "") and path != root:
            yield path
