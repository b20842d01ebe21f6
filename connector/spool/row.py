"""A callback as a row of the spool: MessagePack, sealed as a whole where keys are set, and a checksum.

In it are body, method, query, content type, trace, time of receipt and the name of the credential; never another header,
never a secret.
"""

import zlib
from typing import Final, NamedTuple

import msgspec

from connector.records import RawCallback
from connector.seals import NO_KEYS, Seals


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


def row_of(raw: RawCallback, credential: str, seals: Seals | None) -> Row:
    """Return the row of a callback that the named credential let in, sealed if there are keys."""
    content = _encode(
        Kept(raw.method, raw.query, raw.content_type, raw.body, raw.received_at, raw.traceparent, raw.tracestate, credential)
    )
    if seals:
        content = seals.seal(content)
    return Row(raw.received_at, content, zlib.crc32(content))


def is_sound(content: object, checksum: object) -> bool:
    """Return whether the content of a row is what was written."""
    return isinstance(content, bytes) and zlib.crc32(content) == checksum


def kept_of(content: bytes, seals: Seals | None) -> Kept | None:
    """Return the callback in a row that is sound, or None when it is none.

    Raises:
        NotOpened: when it is sealed, and our keys do not open it.
    """
    try:
        # MessagePack of ours begins with no zero byte: what is not sealed is returned as it is.
        return _decode((seals or NO_KEYS).open(content))
    except msgspec.DecodeError:
        return None
