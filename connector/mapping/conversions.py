"""A JSON value in, a value of its Avro type out; `None` if the callback says "no value" (`""`).

Absent values and `null` never reach these functions. A value that does not fit raises `Misfit` with the source path and the
kind of fault, never the value. Nothing here does arithmetic on a number before its digits and exponent are checked.
"""

import re
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any, Final

import msgspec

from connector.errors import Misfit
from connector.records import EMPTY, Json

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1
_LONG_TEXT: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER_TEXT: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_SECONDS_TEXT: Final = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?", re.ASCII)

_MILLIS_FROM: Final = 10**11
"""Times from this value on are milliseconds: as seconds, this one would be in the year 5138."""

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01. Some readers overflow on extreme times, and no callback is older than WhatsApp."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01."""

_LONGEST_TIME_TEXT: Final = 40

_LONGEST_DECIMAL_TEXT: Final = 40
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
    """Return the object at `path`; an empty one for absent, `null`, `""` and `[]` (PHP's empty object)."""
    if value.__class__ is dict:
        return value
    if value is None or value in ("", []):
        return EMPTY
    raise Misfit(path, f"is {kind_of(value)}, expected an object")


def to_text(value: Any, path: str) -> str | None:
    """Return text; numbers become their JSON text."""
    if value.__class__ is str:
        return value or None
    if value.__class__ is int or value.__class__ is Decimal:
        return json_text(value)
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


def to_long(value: Any, path: str) -> int | None:
    """Return a 64-bit integer; accepts digits in text and numbers without a fraction."""
    if value.__class__ is str:
        if not value:
            return None
        if not _LONG_TEXT.fullmatch(value):
            raise Misfit(path, "is text that is not a whole number")
        value = int(value)
    elif value.__class__ is Decimal:
        # adjusted() is the exponent of the first digit: no arithmetic on 1e3000000.
        if len(str(value)) > _LONGEST_DECIMAL_TEXT or value.adjusted() > 18 or value != value.to_integral_value():
            raise Misfit(path, "is a number with a fraction or out of range, expected a whole number")
        value = int(value)
    elif value.__class__ is not int:
        raise Misfit(path, f"is {kind_of(value)}, expected a whole number")
    if not _LONG_MIN <= value <= _LONG_MAX:
        raise Misfit(path, "is out of the range of 64 bits")
    return int(value)


def to_double(value: Any, path: str) -> float | None:
    """Return a finite double; accepts numeric text."""
    if value.__class__ is str:
        if not value:
            return None
        if not _NUMBER_TEXT.fullmatch(value):
            raise Misfit(path, "is text that is not a number")
        return float(value)
    if value.__class__ is not Decimal and value.__class__ is not int:
        raise Misfit(path, f"is {kind_of(value)}, expected a number")
    number = Decimal(value)
    if number.adjusted() > 307:
        raise Misfit(path, "is out of the range of a double")
    return float(number)


def to_decimal(value: Any, path: str, precision: int, scale: int) -> Decimal | None:
    """Return the exact number, checked against precision and scale before any arithmetic.

    A literal with more digits than the scale becomes the shortest text of its double, if that fits: PHP prints 7.99
    as 7.9900000000000002.
    """
    if value.__class__ is str:
        if not value:
            return None
        if not _NUMBER_TEXT.fullmatch(value):
            raise Misfit(path, "is text that is not a number of at most 18 digits before and after the point")
        value = Decimal(value)
    elif value.__class__ is int:
        if not _LONG_MIN <= value <= _LONG_MAX:
            raise Misfit(path, f"does not fit decimal({precision}, {scale})")
        value = _whole_number(value)
    elif value.__class__ is not Decimal:
        raise Misfit(path, f"is {kind_of(value)}, expected a number")
    if len(str(value)) > _LONGEST_DECIMAL_TEXT or value.adjusted() >= precision - scale:
        raise Misfit(path, f"does not fit decimal({precision}, {scale})")
    exact = _scaled(value, precision, scale) or _scaled(Decimal(repr(float(value))), precision, scale)
    # 1e-400 is not zero, although its double is.
    if exact is None or (not exact and value):
        raise Misfit(path, f"has more than {scale} digits behind the point")
    return exact


# Like prices with a fraction (`reading`): a Decimal that is reused has its hash cached.
_whole_number: Final = lru_cache(maxsize=4096)(Decimal)


# A catalogue has a few thousand prices. Equal numbers have equal results, whatever their text.
@lru_cache(maxsize=4096)
def _scaled(value: Decimal, precision: int, scale: int) -> Decimal | None:
    context = Context(prec=precision, traps=[Inexact, InvalidOperation])
    try:
        return value.quantize(Decimal(1).scaleb(-scale), context=context)
    except (Inexact, InvalidOperation):
        return None


def to_millis(value: Any, path: str) -> int | None:
    """Return milliseconds since 1970; seconds as number or text, milliseconds from 10^11 on, ISO 8601 with an offset."""
    millis: int | None = None
    if value.__class__ is str:
        if not value:
            return None
        millis = _millis_of_text(value) if len(value) <= _LONGEST_TIME_TEXT else None
    elif value.__class__ is int:
        millis = value if value >= _MILLIS_FROM else value * 1000
    elif value.__class__ is Decimal and value.adjusted() <= 13 and len(str(value)) <= _LONGEST_DECIMAL_TEXT:
        millis = _millis_of_number(value)
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
    """Return the list at `path` as objects; a single object becomes a list (see `listed`), `""` an empty list."""
    if value.__class__ is dict:
        return listed(value)
    if value == "":
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
    if value == "":
        return None
    try:
        return json_text(value)
    except RecursionError:
        raise Misfit(path, "is nested too deep") from None
