"""Typed values in, Avro binary out: the functions that the compiled code calls.

A field `["null", T]` is `NULL`, or `SOME` followed by the value. fastavro is the oracle: property tests read and write the
same bytes with it. The encoding is https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

import struct
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

NULL: Final = b"\0"
"""The first branch of a union; also an array without elements."""
SOME: Final = b"\2"
"""The second branch of a union."""
join: Final = b"".join


_ONE_BYTE: Final = [bytes((rest,)) for rest in range(0x80)]


def long(value: int) -> bytes:
    """Return a 64-bit integer as a zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return _ONE_BYTE[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


int32: Final = long
"""Return a 32-bit integer: the same bytes."""

# Callbacks of the same second share their times, and times are the slowest numbers to encode.
millis: Final = lru_cache(maxsize=4096)(long)
"""Return a time in milliseconds since 1970."""

TABLE_SIZE: Final = 1024
TEXT: Final = [long(length) for length in range(TABLE_SIZE)]
"""The encoded length of a text, indexed by its size in bytes."""
SOME_TEXT: Final = [NULL, *(SOME + length for length in TEXT[1:])]
"""The same for optional texts; an empty text is null."""


def text(content: bytes) -> bytes:
    """Return a text, passed as UTF-8: its length in bytes, then its bytes."""
    return long(len(content)) + content


def some_text(content: bytes) -> bytes:
    """Return an optional text that is not null, passed as UTF-8."""
    return SOME + long(len(content)) + content


def text_or_null(value: str | None) -> bytes:
    """Return an optional text."""
    return some_text(value.encode()) if value else NULL


def boolean(value: bool) -> bytes:  # noqa: FBT001 - it is the value to encode
    """Return a boolean."""
    return b"\1" if value else b"\0"


def double(value: float) -> bytes:
    """Return a double, little-endian."""
    return struct.pack("<d", value)


binary: Final = text
"""Return bytes: their number, then the bytes."""


@lru_cache(maxsize=4096)
def decimal(value: Decimal, scale: int) -> bytes:
    """Return a decimal that fits its scale: the unscaled number as the shortest big-endian two's complement."""
    unscaled = int(value.scaleb(scale))
    return text(unscaled.to_bytes((unscaled + (unscaled < 0)).bit_length() // 8 + 1, "big", signed=True))


def array(elements: Sequence[bytes]) -> bytes:
    """Return an array: one block with all elements, then the empty block that ends it."""
    return join((long(len(elements)), *elements, NULL)) if elements else NULL
