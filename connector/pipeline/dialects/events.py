"""What is said of the account and, as far as it was searched, of nobody: an object in, an event of one shape out."""

from decimal import Decimal
from typing import Any, Final

from connector.records import Json

_TEXTS: Final = (
    "event",
    "timestamp",
    "current_limit",
    "message_template_id",
    "message_template_name",
    "message_template_language",
    "reason",
)


MAY_NAME_SOMEBODY: Final = "may_name_somebody"
"""Marks an event that was not searched to its bottom: it must not be told where nobody expects a person."""


def event_of(kind: str, said: Json) -> Json:
    """Return `{"type": kind, "payload": said}` and the keys that every kind of event may have, where they are readable.

    What is not stays in the payload: an event is not refused for one odd key.
    """
    event: Json = {"type": kind}
    for name in _TEXTS:
        value = said.get(name)
        if value is not None and value != "" and value.__class__ in (str, int, Decimal):
            event[name] = value
    errors = said.get("errors")
    if _are_objects(errors):
        event["errors"] = errors
    event["payload"] = said
    return event


def _are_objects(errors: Any) -> bool:
    listed = [errors] if errors.__class__ is dict else errors
    return listed.__class__ is list and all(error.__class__ is dict for error in listed)
