"""An object that names no person in, an event of the account out."""

from decimal import Decimal
from typing import Any, Final

from connector.records import AccountEvent, Json

_TEXTS: Final = (
    "event",
    "timestamp",
    "current_limit",
    "message_template_id",
    "message_template_name",
    "message_template_language",
    "reason",
)


def event_of(kind: str, said: Json, payload: Json | None = None, *, is_too_deep: bool = False) -> AccountEvent:
    """Return the event with the keys that every kind of event may have, as far as they are readable.

    An unreadable key stays in the payload only: an event is not refused for one odd key. The payload is `said` unless given.
    """
    event: Json = {"type": kind}
    for name in _TEXTS:
        value = said.get(name)
        if value is not None and value != "" and value.__class__ in (str, int, Decimal):
            event[name] = value
    errors = said.get("errors")
    if _are_objects(errors):
        event["errors"] = errors
    event["payload"] = said if payload is None else payload
    return AccountEvent(event, is_too_deep)


def _are_objects(errors: Any) -> bool:
    listed = [errors] if errors.__class__ is dict else errors
    return listed.__class__ is list and all(error.__class__ is dict for error in listed)
