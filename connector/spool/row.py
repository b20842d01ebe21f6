"""A callback as a row of the spool: MessagePack and a checksum.

In it are body, method, query, content type, trace, time of receipt and the name of the credential; never another header,
never a secret.
"""

import zlib
from typing import Final, NamedTuple

import msgspec

from connector.records import RawCallback


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One callback as it stands in a row."""

    method: str
    query: str
    content_type: str
    body: bytes
    received_at: int
    traceparent: str | None
    tracestate: str | None
    credential: str

    def __repr__(self) -> str:
        return f"Kept({self.method}, {len(self.body)} bytes)"

    def raw(self) -> RawCallback:
        """Return the callback as it was received."""
        return RawCallback(
            self.method, self.query, self.content_type, self.body, self.received_at, self.traceparent, self.tracestate
        )


class Row(NamedTuple):
    """A row on its way in: when it was received (milliseconds), its content and the checksum of that."""

    received_at: int
    content: bytes
    checksum: int

    def __repr__(self) -> str:
        return f"Row({len(self.content)} bytes)"


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Kept).decode


def row_of(raw: RawCallback, credential: str) -> Row:
    """Return the row of a callback that the named credential let in."""
    content = _encode(
        Kept(raw.method, raw.query, raw.content_type, raw.body, raw.received_at, raw.traceparent, raw.tracestate, credential)
    )
    return Row(raw.received_at, content, zlib.crc32(content))


def kept_of(content: object, checksum: object) -> Kept | None:
    """Return the callback in a row, or None when it is not what was written."""
    if not isinstance(content, bytes) or zlib.crc32(content) != checksum:
        return None
    try:
        return _decode(content)
    except msgspec.DecodeError:
        return None
