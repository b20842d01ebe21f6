"""One HTTP request in, in any dialect, one `Callback` out, or `NotDecodable` with a reason.

The body is JSON, or a form that says so; without a body the query is what was sent. `reading` makes keys of it,
`dialects.recognise` holds the table of shapes.
"""

from collections.abc import Mapping
from typing import Final

from connector.errors import NotDecodable
from connector.mapping.conversions import kind_of
from connector.pipeline.dialects.envelope import read_envelope
from connector.pipeline.dialects.recognise import Received, recognise
from connector.pipeline.reading import read_json, read_pairs
from connector.records import EMPTY, Callback, Json, RawCallback

_FORM: Final = "application/x-www-form-urlencoded"


def decode(raw: RawCallback, renamed_keys: Mapping[str, str] = EMPTY) -> Callback:
    """Read a callback; `renamed_keys` are the keys of a customer's own template and what Kaleyra calls them.

    Raises:
        NotDecodable: when nothing explains the bytes, or there is nothing in them.
    """
    try:
        root, surrogates = read_json(raw.body)
    except NotDecodable as refused:
        return recognise(_from_pairs(raw, renamed_keys, refused))
    if root.__class__ is not dict:
        raise NotDecodable("not_an_object", f"the body is {kind_of(root)}")
    envelope = root.get("meta_object")
    if envelope.__class__ is dict and envelope.get("value").__class__ is dict:
        # The table's first row, before anything is made for the others.
        return read_envelope(root, envelope, surrogates)
    return recognise(Received("body", _renamed(root, renamed_keys), surrogates))


def _from_pairs(raw: RawCallback, renamed_keys: Mapping[str, str], refused: NotDecodable) -> Received:
    """Return the keys of a form, or of a query without a body; otherwise raise the body's own error."""
    if raw.query and not raw.body.strip():
        # The listener has percent-encoded what was no ASCII; other servers read the request line as Latin-1.
        return Received("query", _renamed(read_pairs(raw.query.encode("latin-1", "replace"), "the query"), renamed_keys), 0)
    if refused.reason == "not_json" and raw.body.strip() and raw.content_type.lower().startswith(_FORM):
        return Received("form", _renamed(read_pairs(raw.body.strip(), "the form"), renamed_keys), 0)
    raise refused


def _renamed(keys: Json, renamed_keys: Mapping[str, str]) -> Json:
    if not renamed_keys:
        return keys
    kept = {name: value for name, value in keys.items() if name not in renamed_keys}
    return kept | {renamed_keys[name]: value for name, value in keys.items() if name in renamed_keys}
