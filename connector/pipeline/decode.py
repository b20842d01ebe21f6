"""One HTTP request in, in any dialect, one `Callback` out, or `NotDecodable` with a reason.

The body is JSON, whatever it says it is; else a form or flat XML that says so, or that is one by its content where the content
type says nothing. Without a body the query is what was sent. `reading`, `multipart` and `flat_xml` make keys of it,
`dialects.recognise` holds the table of shapes.
"""

from collections.abc import Mapping
from typing import Final, Literal

from connector.errors import NotDecodable
from connector.mapping.conversions import kind_of
from connector.pipeline.dialects.envelope import read_envelope
from connector.pipeline.dialects.recognise import Received, recognise
from connector.pipeline.flat_xml import read_flat_xml
from connector.pipeline.multipart import read_multipart
from connector.pipeline.reading import read_json, read_pairs
from connector.records import EMPTY, PROFILE_KEYS, Callback, Json, RawCallback

_FORM: Final = "application/x-www-form-urlencoded"
_XML: Final = ("application/xml", "text/xml")
_SAYS_NOTHING: Final = ("", "text/plain", "text/html", "application/octet-stream")
"""Content types under which callback profiles send what their template holds. It is read by its content."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def decode(raw: RawCallback, renamed_keys: Mapping[str, str] = EMPTY) -> Callback:
    """Read a callback; `renamed_keys` are the keys of a customer's own template and what Kaleyra calls them.

    Raises:
        NotDecodable: when nothing explains the bytes, or there is nothing in them.
    """
    try:
        root, surrogates = read_json(raw.body)
    except NotDecodable as refused:
        return recognise(_not_json(raw, renamed_keys, refused))
    if root.__class__ is not dict:
        raise NotDecodable("not_an_object", f"the body is {kind_of(root)}")
    envelope = root.get("meta_object")
    if envelope.__class__ is dict and envelope.get("value").__class__ is dict:
        # The table's first row, before anything is made for the others.
        return read_envelope(root, envelope, surrogates)
    return recognise(Received("body", _renamed(root, renamed_keys), surrogates))


def _not_json(raw: RawCallback, renamed_keys: Mapping[str, str], refused: NotDecodable) -> Received:
    """Return the keys of a form, of XML, or of a query without a body; otherwise raise the body's own error."""
    body, kind = raw.body.strip(), raw.content_type.partition(";")[0].strip().lower()
    if not body:
        if not raw.query:
            raise refused
        # The listener has percent-encoded what was no ASCII; other servers read the request line as Latin-1.
        return Received("query", _renamed(read_pairs(raw.query.encode("latin-1", "replace"), "the query"), renamed_keys), 0)
    if kind.startswith("multipart/"):
        return Received("form", _renamed(read_multipart(raw.body, raw.content_type), renamed_keys), 0)
    if kind in _XML or kind.endswith("+xml"):
        return Received("XML", _renamed(read_flat_xml(raw.body, raw.content_type), renamed_keys), 0)
    if refused.reason != "not_json":
        raise refused
    if kind.startswith(_FORM):
        return Received("form", _renamed(read_pairs(body, "the form"), renamed_keys), 0)
    if kind in _SAYS_NOTHING and (found := _by_content(body.removeprefix(_BYTE_ORDER_MARK), renamed_keys)):
        return found
    raise refused


def _by_content(body: bytes, renamed_keys: Mapping[str, str]) -> Received | None:
    """Return the keys of what looks like XML or a form and has a key that is known; None for any other text."""
    carrier: Literal["XML", "form"] = "XML" if body.startswith(b"<") else "form"
    try:
        keys = read_flat_xml(body, "") if carrier == "XML" else read_pairs(body, "the form")
    except NotDecodable:
        return None
    renamed = _renamed(keys, renamed_keys)
    return None if PROFILE_KEYS.isdisjoint(renamed) else Received(carrier, renamed, 0)


def _renamed(keys: Json, renamed_keys: Mapping[str, str]) -> Json:
    if not renamed_keys:
        return keys
    kept = {name: value for name, value in keys.items() if name not in renamed_keys}
    return kept | {renamed_keys[name]: value for name, value in keys.items() if name in renamed_keys}
