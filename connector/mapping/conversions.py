"""A JSON value in, a value of its Avro type out; `None` if the callback says "no value".

Besides absent values and `null`, which never reach these functions, that is `""`, and `false` wherever no boolean is meant: PHP
writes it for absent objects, lists and texts. A value that does not fit raises `Misfit` with the source path and the kind of
fault, never the value. Numbers are in `numbers`.
"""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec

from connector.errors import Misfit
from connector.records import EMPTY, Json

_SECONDS_TEXT: Final = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?", re.ASCII)

_MILLIS_FROM: Final = 10**11
"""Times from this value on are milliseconds: as seconds, this one would be in the year 5138."""

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01. Some readers overflow on extreme times, and no callback is older than WhatsApp."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01."""

AHEAD_MS: Final = 5 * 60 * 1000
"""How far the time of an event can be ahead of its receipt: clocks differ, but an event is not received before it happens."""

_LONGEST_TIME_TEXT: Final = 40

LONGEST_DECIMAL_TEXT: Final = 40
"""A double printed with 17 digits and an exponent has at most 25 characters; longer literals are not plausible."""

_JSON: Final = msgspec.json.Encoder(decimal_format="number")


def kind_of(value: object) -> str:  # noqa: PLR0911 - a table
    """Name the JSON kind of a value, for messages."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int() | Decimal():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
        case None:
            return "null"
    return type(value).__name__


def as_object(value: Any, path: str) -> Json:
    """Return the object at `path`; an empty one for no value and for `[]` (PHP's empty object)."""
    if value.__class__ is dict:
        return value
    if value is None or value is False or value in ("", []):
        return EMPTY
    raise Misfit(path, f"is {kind_of(value)}, expected an object")


def as_object_or_empty(value: Any, path: str, unfit: list[str]) -> Json:
    """Return the object at `path`, or an empty one if it is none; adds its path to `unfit`."""
    try:
        return as_object(value, path)
    except Misfit:
        unfit.append(path)
        return EMPTY


def or_none(convert: Callable[..., Any], value: Any, path: str, unfit: list[str], *arguments: int) -> Any:
    """Return the converted value, or None for one that does not fit; adds its path to `unfit`, where it is counted."""
    try:
        return convert(value, path, *arguments)
    except Misfit as misfit:
        unfit.append(misfit.path)
        return None


def to_text(value: Any, path: str) -> str | None:
    """Return text; numbers become their JSON text."""
    if value.__class__ is str:
        return value or None
    if value.__class__ is int or value.__class__ is Decimal:
        return json_text(value)
    if value is False:
        return None
    raise Misfit(path, f"is {kind_of(value)}, expected text")


def to_boolean(value: Any, path: str) -> bool | None:
    """Return a boolean; accepts `"true"` and `"false"`."""
    if value.__class__ is bool:
        return value
    if value.__class__ is str:
        if value in ("true", "false"):
            return bool(value == "true")
        if not value:
            return None
    raise Misfit(path, f"is {kind_of(value)}, expected true or false")


def to_millis(value: Any, path: str) -> int | None:
    """Return milliseconds since 1970; seconds as number or text, milliseconds from 10^11 on, ISO 8601 with an offset."""
    millis: int | None = None
    if value.__class__ is str:
        if not value:
            return None
        millis = _millis_of_text(value) if len(value) <= _LONGEST_TIME_TEXT else None
    elif value.__class__ is int:
        millis = value if value >= _MILLIS_FROM else value * 1000
    elif value.__class__ is Decimal and value.adjusted() <= 13 and len(str(value)) <= LONGEST_DECIMAL_TEXT:
        millis = _millis_of_number(value)
    elif value is False:
        return None
    if millis is None or not EARLIEST_MS <= millis < LATEST_MS:
        raise Misfit(path, "is not a time between 2000 and 2100")
    return millis


# Callbacks of the same second share their times.
@lru_cache(maxsize=4096)
def _millis_of_text(value: str) -> int | None:
    if value.isascii() and value.isdigit() and len(value) <= 13:
        seconds = int(value)
        return seconds if seconds >= _MILLIS_FROM else seconds * 1000
    if _SECONDS_TEXT.fullmatch(value):
        return _millis_of_number(Decimal(value))
    return _millis_of_iso_text(value)


def _millis_of_number(number: Decimal) -> int:
    return int(number if number >= _MILLIS_FROM else number * 1000)


def _millis_of_iso_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        # Without an offset, the moment is ambiguous.
        return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def to_millis_or_none(value: Any, path: str, unfit: list[str]) -> int | None:
    """Return milliseconds, or None for a time that does not fit; adds its path to `unfit`, where it is counted."""
    if value.__class__ is str and len(value) <= _LONGEST_TIME_TEXT:
        # Nearly every time.
        millis = _millis_of_text(value)
        if millis is not None and EARLIEST_MS <= millis < LATEST_MS:
            return millis
    try:
        return to_millis(value, path)
    except Misfit:
        unfit.append(path)
        return None


def to_binary(value: Any, path: str) -> bytes:
    """Return bytes. Only the bridge's own values are bytes; JSON has none."""
    if value.__class__ is bytes:
        return value
    raise Misfit(path, f"is {kind_of(value)}, expected bytes")


def listed(value: Json) -> list[Json]:
    """Return the list that an object in the place of a list represents.

    It is the only element, or a list that PHP wrote with its indexes (`{"1": {...}, "2": {...}}`): then its values, in their
    order. An empty object is an empty list.
    """
    if all(name.isdigit() and part.__class__ is dict for name, part in value.items()):
        return list(value.values())
    return [value]


def to_elements(value: Any, path: str) -> list[Json]:
    """Return the list at `path` as objects; a single object becomes a list (see `listed`), no value an empty list."""
    if value.__class__ is dict:
        return listed(value)
    if value == "" or value is False:
        return []
    if value.__class__ is not list:
        raise Misfit(path, f"is {kind_of(value)}, expected a list")
    for index, element in enumerate(value):
        if element.__class__ is not dict:
            raise Misfit(f"{path}[{index}]", f"is {kind_of(element)}, expected an object")
    return value


def json_text(value: Any) -> str:
    """Return the JSON text of a decoded value. Of the values that `decode` returns, it fails only on too deep ones."""
    return _JSON.encode(value).decode()


def to_json(value: Any, path: str) -> str | None:
    """Return the value at `path` as JSON text, for fields marked `raw`."""
    if value == "" or value is False:
        return None
    try:
        return json_text(value)
    except RecursionError:
        raise Misfit(path, "is nested too deep") from None


def to_json_or_text(value: Any, path: str) -> str | None:
    """Return text as it is, and any other value as JSON text, for fields marked `"raw": "unless text"`."""
    return (value or None) if value.__class__ is str else to_json(value, path)
