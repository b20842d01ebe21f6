"""Kaleyra's V2 envelope and the old on-premises body: a `value` with its lists in, a `Callback` out.

`fields` reads what a value holds beside messages, statuses and contacts.
"""

from typing import Any, Final

from connector.errors import Misfit, NotDecodable
from connector.mapping.conversions import as_object, kind_of, listed
from connector.pipeline.dialects.fields import KNOWN, NO_OTHER_FIELD, OtherField, read_other_field
from connector.pipeline.reading import read_json
from connector.records import EMPTY, Callback, Json

ENVELOPE: Final = "meta_object"
EXTRA: Final = "extra_info"
_LISTS: Final = ("messages", "statuses", "contacts")
_BESIDE_VALUE: Final = frozenset({"contacts", "messages", "statuses", "metadata", "errors", EXTRA})


def read_envelope(root: Json, envelope: Json, surrogates: int) -> Callback:
    """Read `{"meta_object": {"value": {...}, "field": ...}, "extra_info": {...}}`.

    Raises:
        NotDecodable: when one of its parts is of another kind, or there is nothing in it.
    """
    value, field = envelope["value"], envelope.get("field")
    # Nearly all callbacks are of this field. Other fields, errors of the account, and unknown keys need a closer look.
    is_usual = field == "messages" and not value.get("errors") and KNOWN.issuperset(value)
    other = NO_OTHER_FIELD if is_usual else read_other_field(value, field)
    extra = root.get(EXTRA)
    if extra.__class__ is str:
        extra, more = _out_of_quotes(extra)
        surrogates += more
    beside = EMPTY
    if len(root) > 1 + (extra is not None):
        beside = {name: part for name, part in root.items() if name not in (ENVELOPE, EXTRA)}
        if "messages" in root or "statuses" in root or "contacts" in root:
            value, beside = _joined(value, beside)
    return _callback(value, extra, beside, other, surrogates)


def _joined(value: Json, beside: Json) -> tuple[Json, Json]:
    """Return a value joined with the messages, statuses and contacts beside its envelope, and the other keys there."""
    lists = {name: beside[name] for name in _LISTS if beside.get(name).__class__ in (list, dict)}
    try:
        joined = {name: _list(value, name) + _list(lists, name) for name in lists}
    except Misfit as misfit:
        raise NotDecodable("unknown_shape", str(misfit)) from None
    return {**value, **joined}, {name: part for name, part in beside.items() if name not in lists}


def read_bare(root: Json, surrogates: int) -> Callback:
    """Read the old on-premises body: `{"contacts": [...], "messages": [...], "statuses": [...]}` without an envelope.

    Raises:
        NotDecodable: as `read_envelope`.
    """
    beside = {name: part for name, part in root.items() if name not in _BESIDE_VALUE}
    errors: Json = {name: root[name] for name in ("metadata", "errors") if name in root}
    return _callback(root, root.get(EXTRA), beside, read_other_field(errors, None), surrogates)


def _out_of_quotes(extra: str) -> tuple[Any, int]:
    """Return what `extra_info` holds as JSON text, and its lone surrogates; a placeholder that was not filled is nothing."""
    text = extra.strip()
    if not text or (text[0] == "<" and text[-1] == ">"):
        return None, 0
    # Text that is not JSON stays text, and is refused like every extra_info that is not an object.
    return read_json(text.encode("utf-8", "surrogatepass"), EXTRA) if text[0] in "{[" else (extra, 0)


def _callback(value: Json, extra: Any, root: Json, other: OtherField, surrogates: int) -> Callback:
    try:
        metadata = as_object(value.get("metadata"), "metadata")
        callback = Callback(
            metadata={**other.metadata, **metadata} if other.metadata else metadata,
            contacts=_list(value, "contacts"),
            messages=_list(value, "messages"),
            statuses=_list(value, "statuses"),
            extra=as_object(extra, "extra"),
            root=root,
            replaced_surrogates=surrogates,
            others=other.people,
            events=other.events,
        )
    except Misfit as misfit:
        raise NotDecodable("unknown_shape", str(misfit)) from None
    if not (callback.messages or callback.statuses or callback.contacts or callback.others or callback.events):
        detail = "there are no messages, statuses or contacts"
        raise NotDecodable("nothing_in_it", detail, callback.metadata, callback.extra)
    return callback


def _list(value: Json, name: str) -> list[Any]:
    part = value.get(name)
    if part.__class__ is list:
        return part
    if part is None or part is False or part == "":
        return []
    if part.__class__ is dict:
        return listed(part)
    raise Misfit(name, f"is {kind_of(part)}, expected a list")
