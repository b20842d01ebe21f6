"""A JSON number or numeric text in, a number of its Avro type out; like `conversions`, whose rules apply.

Nothing here does arithmetic on a number before its digits and exponent are checked.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from connector.errors import Misfit
from connector.mapping.conversions import LONGEST_DECIMAL_TEXT, kind_of

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1
_LONG_TEXT: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER_TEXT: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_DIGITS_OF_DOUBLE: Final = 17
"""A double never needs more digits: a literal with more was not printed from one."""
_DIGITS_OF_PRICE: Final = 15
"""Any decimal with so many digits survives the way through a double and back."""


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
        if len(str(value)) > LONGEST_DECIMAL_TEXT or value.adjusted() > 18 or value != value.to_integral_value():
            raise Misfit(path, "is a number with a fraction or out of range, expected a whole number")
        value = int(value)
    elif value is False:
        return None
    elif value.__class__ is not int:
        raise Misfit(path, f"is {kind_of(value)}, expected a whole number")
    if not _LONG_MIN <= value <= _LONG_MAX:
        raise Misfit(path, "is out of the range of 64 bits")
    return int(value)


def to_int32(value: Any, path: str) -> int | None:
    """Return a 32-bit integer; accepts what `to_long` does."""
    number = to_long(value, path)
    if number is not None and not -(2**31) <= number < 2**31:
        raise Misfit(path, "is out of the range of 32 bits")
    return number


def to_double(value: Any, path: str) -> float | None:
    """Return a finite double; accepts numeric text."""
    if value.__class__ is str:
        if not value:
            return None
        if not _NUMBER_TEXT.fullmatch(value):
            raise Misfit(path, "is text that is not a number")
        return float(value)
    if value is False:
        return None
    if value.__class__ is not Decimal and value.__class__ is not int:
        raise Misfit(path, f"is {kind_of(value)}, expected a number")
    number = Decimal(value)
    if number.adjusted() > 307:
        raise Misfit(path, "is out of the range of a double")
    return float(number)


def to_decimal(value: Any, path: str, precision: int, scale: int) -> Decimal | None:
    """Return the exact number, checked against precision and scale before any arithmetic.

    A literal with more digits than the scale is rejected, since money must not change silently, unless its excess digits are
    the noise of a double: see `_without_noise`.
    """
    if value == "" or value is False:
        return None
    number = _number(value, path)
    if number is not None and len(literal := str(number)) > LONGEST_DECIMAL_TEXT:
        number = _without_zeros(literal)
    if number is None or number.adjusted() >= precision - scale:
        raise Misfit(path, f"does not fit decimal({precision}, {scale})")
    exact = _scaled(number, precision, scale)
    if exact is None:
        exact = _without_noise(number, precision, scale)
    if exact is None:
        raise Misfit(path, f"has more than {scale} digits behind the point")
    return exact


def _number(value: Any, path: str) -> Decimal | None:
    """Return the number that a value is; None for an integer of more than 64 bits."""
    if value.__class__ is Decimal:
        number: Decimal = value
        return number
    if value.__class__ is int:
        return _whole_number(value) if _LONG_MIN <= value <= _LONG_MAX else None
    if value.__class__ is not str:
        raise Misfit(path, f"is {kind_of(value)}, expected a number")
    if not _NUMBER_TEXT.fullmatch(value):
        raise Misfit(path, "is text that is not a number of at most 18 digits before and after the point")
    return Decimal(value)


def _without_zeros(literal: str) -> Decimal | None:
    """Return the number of a long literal without the zeros at its end, None if it is long without them too."""
    plain = literal.rstrip("0") if "." in literal and literal[-1] == "0" and "E" not in literal else literal
    return Decimal(plain) if len(plain) <= LONGEST_DECIMAL_TEXT else None


def _without_noise(value: Decimal, precision: int, scale: int) -> Decimal | None:
    """Return what was meant by a double printed with all its digits: PHP prints 7.99 as 7.9900000000000002.

    That is the shortest text of the double, if the literal has the digits of a double and the text those of a price.
    """
    if _digits(value) > _DIGITS_OF_DOUBLE:
        return None
    shortest = Decimal(repr(float(value)))
    # 1e-400 is not zero, although its double is.
    return _scaled(shortest, precision, scale) if shortest and _digits(shortest) <= _DIGITS_OF_PRICE else None


def _digits(value: Decimal) -> int:
    """Return the number of significant digits, without zeros at the end."""
    digits = "".join(map(str, value.as_tuple().digits))
    return len(digits.rstrip("0"))


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
