"""The flat shapes of Kaleyra's callback profiles: an object of texts in, a `Callback` out.

A profile's body is a template that the customer writes: keys may be missing or renamed, values are texts, and a placeholder
that was not filled (`<body>`) is no value. The keys arrive as JSON, as a form, or as the query of a GET.
https://developers.kaleyra.io/docs/callback-profiles-in-accountssettings
"""

from typing import Any, Final

from connector.errors import NotDecodable
from connector.pipeline.dialects.events import event_of
from connector.pipeline.digest import digest
from connector.pipeline.people import comparable, text_of
from connector.pipeline.reading import read_json
from connector.records import EMPTY, PROFILE_KEYS, Callback, Json

_MEDIA: Final = frozenset({"image", "video", "audio", "voice", "document", "sticker"})
_WRITTEN_BY_PEOPLE: Final = frozenset({"body", "name", "message", "reason", "error", "custom_response", "other_info"})
"""Here a person may write `<3>`: only a placeholder that Kaleyra documents is taken for one."""
_ANSWERS: Final = {"button": "text", "interactive": "title"}
"""Where the record of an answer has its text."""
_NUMBERS: Final = frozenset({"from", "mobile", "wanumber", "phone_number", "display_phone_number"})
_OF_DELIVERY: Final = frozenset({"name", "trace_id", "callback_profile_id", "company_id"})
"""Keys that may differ in a second delivery; all others identify a message without an id."""
OF_A_PERSON: Final = ("from", "mobile", "phone_number", "body", "name", "media_url", "location", "contacts")
"""No notice of the account has these."""
_NOT_FAILED_CODE: Final = "0"
_FAILED: Final = frozenset({"failed", "0", "not-sent", "not_sent", "undelivered"})


def read_message(keys: Json, surrogates: int) -> Callback:
    """Read an incoming message of v1.

    https://developers.kaleyra.io/docs/create-callback-profile-for-incoming-whatsapp-messages
    """
    said = _filled(keys)
    identity = digest(("v1", *sorted((name, part) for name, part in said.items() if name not in _OF_DELIVERY)))
    kind, number, mobile = (said.pop(name, None) for name in ("type", "from", "mobile"))
    content = _content(text_of(kind) or "", said)
    # v1 has no content for this type: the message is kept with the keys that came.
    is_typed = content is not None
    message = {
        **(said if content is None else content),
        "id": said.pop("id", None) or f"v1:{identity}",
        "type": kind,
        "timestamp": said.pop("created_at", None),
        "from": number or mobile,
    }
    name = said.pop("name", None)
    return Callback(
        metadata=_metadata(said),
        contacts=[{"profile": {"name": name}, "wa_id": number or mobile}] if name else [],
        messages=[{name: part for name, part in message.items() if part is not None}],
        statuses=[],
        extra=said,
        root={},
        replaced_surrogates=surrogates,
        is_typed=is_typed,
    )


def _content(kind: str, said: Json) -> Json | None:
    """Take what a message says and return it where a message of its type has it; None for a type without content in v1.

    Only for the types that v1 documents, and for answers, whose text is the body. Nothing is invented for any other type.
    """
    given = {name: _json_or_text(said.get(name)) for name in ("location", "contacts")}
    parts = {name: part for name, part in given.items() if part.__class__ in (dict, list)}
    body, mime_type = said.get("body"), said.get("mime_type")
    # Absent ones stay, as null: the content of a message that says no more than its media_url is there all the same.
    content: Json | None = None
    if kind in _MEDIA:
        content = {kind: {"mime_type": mime_type, "caption": body}}
    elif kind == "text":
        content = {kind: {"body": body}}
    elif kind in _ANSWERS and body is not None:
        content = {kind: {_ANSWERS[kind]: body}}
    elif kind in parts and (kind == "contacts" or parts[kind].__class__ is dict):
        content = {"body": body, "mime_type": mime_type}
    if content is not None:
        for name in ("body", "mime_type", "location", "contacts"):
            said.pop(name, None)
        content = {**parts, **content}
    return content


def read_status(keys: Json, surrogates: int) -> Callback:
    """Read a status of v1.

    https://developers.kaleyra.io/docs/create-callback-profile-for-outgoing-whatsapp-messages
    """
    said = _filled(keys)
    mobile, phone_number = said.pop("mobile", None), said.pop("phone_number", None)
    # Both stay in `extra` too: Kaleyra's codes need not be numbers, which WhatsApp's are.
    code = text_of(said.get("error_code")) or ""
    error = {"code": code if code.isascii() and code.isdigit() else None, "title": said.get("error")}
    if code == _NOT_FAILED_CODE and (text_of(said.get("status")) or "").casefold() not in _FAILED:
        error = {}
    status = {
        "id": said.pop("id", None),
        "status": said.pop("status", None),
        "timestamp": said.pop("timestamp", None),
        "recipient_id": mobile or phone_number,
        "errors": [error] if any(error.values()) else None,
    }
    return Callback(
        metadata=_metadata(said),
        contacts=[],
        messages=[],
        statuses=[{name: part for name, part in status.items() if part is not None}],
        extra=said,
        root={},
        replaced_surrogates=surrogates,
    )


def read_template_status(keys: Json, surrogates: int) -> Callback:
    """Read the status of a message template.

    https://developers.kaleyra.io/docs/template-status-update
    """
    said = _filled(keys)
    return _event("template_status", {**said, "timestamp": said.get("timestamp", said.get("time"))}, keys, surrogates)


def read_quality(keys: Json, surrogates: int) -> Callback:
    """Read a notice about a number's rating and limit.

    https://developers.kaleyra.io/docs/receive-updates-about-rating-and-limits-using-webhooks
    """
    return _event("quality", _filled(keys), keys, surrogates)


def _event(kind: str, said: Json, keys: Json, surrogates: int) -> Callback:
    return Callback(
        metadata=_metadata(said),
        contacts=[],
        messages=[],
        statuses=[],
        extra={name: said[name] for name in ("waba_id", "trace_id") if name in said},
        root={},
        replaced_surrogates=surrogates,
        events=(event_of(kind, said, keys),),
    )


def _metadata(said: Json) -> Json:
    number = said.pop("display_phone_number", None) or said.pop("wanumber", None)
    return {"display_phone_number": number} if number else EMPTY


def _filled(keys: Json) -> Json:
    """Return the keys that have a value."""
    values = ((name, value_of(name, value)) for name, value in keys.items())
    return {name: value for name, value in values if value is not None}


def value_of(name: str, value: Any) -> Any:
    """Return the value of a key of a profile, None for no value.

    The `+` of a number that was not encoded is a blank once the form is read; a number of blanks alone is none.
    """
    if value is None or value is False or value == "" or _is_placeholder(name, value):
        return None
    if name in _NUMBERS and value.__class__ is str and not value.isalnum():
        if comparable(value) is None:
            return None
        if value[0] == " ":
            return "+" + value.strip()
    return value


def _is_placeholder(name: str, value: Any) -> bool:
    if value.__class__ is not str or value[0] != "<" or value[-1] != ">":
        return False
    inner = value[1:-1]
    return inner in PROFILE_KEYS or (name not in _WRITTEN_BY_PEOPLE and inner.replace("-", "_").isidentifier())


def _json_or_text(value: Any) -> Any:
    """Return what a text holds as JSON: an object or a list, else the text itself."""
    if value.__class__ is not str:
        return value
    try:
        inner, _ = read_json(value.encode())
    except NotDecodable:
        return value
    return inner if inner.__class__ in (dict, list) else value
