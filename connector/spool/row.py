"""A callback in, a row of the spool out, and back: MessagePack, encrypted as a whole where keys are set, with a checksum.

A row holds body, method, query, content type, trace, time of receipt and the credential's name; never another header, never a
secret.
"""

import zlib
from typing import Final, NamedTuple

import msgspec

from connector.records import RawCallback
from connector.seals import NO_KEYS, Seals


class StoredCallback(msgspec.Struct, frozen=True, array_like=True):
    """One callback as a row contains it."""

    method: str
    query: str
    content_type: str
    body: bytes
    received_at: int
    traceparent: str | None
    tracestate: str | None
    credential: str

    def __repr__(self) -> str:
        return f"StoredCallback({self.method}, {len(self.body)} bytes)"

    def raw(self) -> RawCallback:
        """Return the callback as it was received."""
        return RawCallback(
            self.method, self.query, self.content_type, self.body, self.received_at, self.traceparent, self.tracestate
        )


class Row(NamedTuple):
    """A row to be written: time of receipt (milliseconds), content, and the content's checksum."""

    received_at: int
    content: bytes
    checksum: int

    def __repr__(self) -> str:
        return f"Row({len(self.content)} bytes)"


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(StoredCallback).decode


def encode_row(raw: RawCallback, credential: str, seals: Seals | None) -> Row:
    """Return the row of a callback that the named credential authenticated, encrypted if there are keys."""
    content = _encode(
        StoredCallback(
            raw.method, raw.query, raw.content_type, raw.body, raw.received_at, raw.traceparent, raw.tracestate, credential
        )
    )
    if seals:
        content = seals.seal(content)
    return Row(raw.received_at, content, zlib.crc32(content))


def is_intact(content: object, checksum: object) -> bool:
    """Return whether a row's content is what was written."""
    return isinstance(content, bytes) and zlib.crc32(content) == checksum


def decode_content(content: bytes, seals: Seals | None) -> StoredCallback | None:
    """Return the callback in an intact row, or None if the content is not a callback.

    Raises:
        NotOpened: when it is encrypted, and our keys do not decrypt it.
    """
    try:
        # Our MessagePack never begins with a zero byte, so content that is not encrypted is returned unchanged.
        return _decode((seals or NO_KEYS).open(content))
    except msgspec.DecodeError:
        return None
