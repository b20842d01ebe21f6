"""Bytes in, decoded JSON or the pairs of a form out, or `NotDecodable` with a reason.

msgspec reads clean JSON. What it refuses may still be a real callback (a name cut in the middle of an emoji), so
it is read a second time, tolerantly: a byte order mark is passed over, lone surrogates become U+FFFD and are counted,
numbers of any length are kept. What is still not JSON is refused; nothing is guessed.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final, Never
from urllib.parse import unquote_to_bytes

import msgspec

from connector.errors import NotDecodable
from connector.records import Json

_LONGEST_PRICE: Final = 24
# A catalogue has a few prices, and many orders: the same text is the same number, which knows its hash already.
_price: Final = lru_cache(maxsize=4096)(Decimal)
_DECODER: Final = msgspec.json.Decoder(float_hook=lambda text: _price(text) if len(text) <= _LONGEST_PRICE else Decimal(text))
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_INT: Final = 4000
"""Python refuses to read integers of more than 4,300 digits; longer ones are kept as Decimal, which reads in linear time."""
MOST_PAIRS: Final = 1000
"""How many pairs a query, a form or an XML body can have."""
CHARSETS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "iso-8859-1": "iso-8859-1",
    "latin1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
}
"""The charsets that forms in parts and XML can name, and the codec of each."""


def read_json(body: bytes, what: str = "the body") -> tuple[Any, int]:
    """Return a decoded value and how many lone surrogates were replaced in it; `what` is its name in the refusal.

    Raises:
        NotDecodable: when the bytes are no JSON.
    """
    try:
        return _DECODER.decode(body), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return _read_tolerantly(body, what)


def read_pairs(text: bytes, what: str) -> Json:
    """Return the pairs of a query string or a form as an object of texts; of two equal keys the last wins, as in JSON.

    Raises:
        NotDecodable: when a percent-encoded part is not UTF-8, or there are too many pairs.
    """
    # Counted first: a body of separators would be split into millions of parts.
    is_long = text.count(b"&") > MOST_PAIRS
    pairs = [] if is_long else [pair.partition(b"=") for pair in text.split(b"&") if pair]
    if is_long or len(pairs) > MOST_PAIRS:
        raise NotDecodable("unknown_shape", f"{what} has over {MOST_PAIRS} pairs")
    try:
        return {_plain(name): _plain(value) for name, _, value in pairs}
    except UnicodeDecodeError:
        raise NotDecodable("not_utf8", f"{what} is not UTF-8") from None


def _plain(encoded: bytes) -> str:
    return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()


def _read_tolerantly(body: bytes, what: str) -> tuple[Any, int]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotDecodable("not_utf8", f"{what} is not UTF-8") from None
    try:
        value = json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse)
    except RecursionError:
        raise NotDecodable("too_deep", f"{what} is nested too deep") from None
    except ValueError:
        raise NotDecodable("not_json", f"{what} is not JSON" if text.strip() else f"{what} is empty") from None
    return _replace_surrogates(value)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # An exponent beyond what Decimal holds: no number of a callback, and JSON's grammar alone does not forbid it.
        raise ValueError("an exponent out of range") from None


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INT else Decimal(text)


def _refuse(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are no JSON")


def _replace_surrogates(value: Any) -> tuple[Any, int]:
    """Replace lone surrogates in all texts and names of a decoded value, without recursion; return how many."""
    holder = [value]
    count = 0
    pending: list[Any] = [holder]
    while pending:
        container = pending.pop()
        entries = list(container.items()) if container.__class__ is dict else list(enumerate(container))
        for name, part in entries:
            if part.__class__ is str:
                container[name], replaced = _LONE_SURROGATE.subn("\ufffd", part)
                count += replaced
            elif part.__class__ is dict or part.__class__ is list:
                pending.append(part)
            if name.__class__ is str and _LONE_SURROGATE.search(name):
                container[_LONE_SURROGATE.sub("\ufffd", name)] = container.pop(name)
                count += 1
    return holder[0], count
