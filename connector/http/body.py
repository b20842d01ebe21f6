"""An ASGI request in, a `RawCallback` or the answer that refuses its body out; bodies in flight are bounded in bytes."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from starlette.types import Message, Receive, Scope

from connector import answers
from connector.records import Answer, RawCallback

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
_LONGEST_CONTENT_TYPE: Final = 256
_COMPRESSIONS: Final = frozenset(
    {
        *("gzip", "x-gzip", "deflate", "x-deflate", "compress", "x-compress", "br", "brotli", "zstd", "x-zstd", "dcb", "dcz"),
        *("bzip2", "x-bzip2", "bz2", "lzma", "x-lzma", "xz", "x-xz", "lz4", "lzip", "zlib", "zip", "snappy", "x-snappy-framed"),
        *("exi", "pack200-gzip"),
    }
)
"""Codings that make a body smaller: those that IANA registers, and others that proxies and clients use.
https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding"""


class Disconnected(Exception):
    """The client hung up before its body had arrived."""


class Room:
    """How many bytes of bodies this worker can still take in flight."""

    __slots__ = ("bytes_left",)

    def __init__(self, size_bytes: int) -> None:
        self.bytes_left = size_bytes


class BodyReader(msgspec.Struct):
    """Reads the body of one request. `size_bytes` of the room are taken from the first byte until the answer."""

    room: Room
    limit_bytes: int
    scope: Scope
    receive: Receive
    clock: Callable[[], int]
    size_bytes: int = 0

    async def callback(self) -> RawCallback | Answer:
        """Return the callback, or the answer that refuses its body."""
        headers = dict(self.scope["headers"])
        if refusal := self._refusal(headers):
            return refusal
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body") and len(message["body"]) == self.size_bytes:
            # Nearly always: the whole body, as long as declared.
            body = message["body"]
        else:
            body = await self._joined(message)
            if isinstance(body, Answer):
                return body
        return _raw_callback(self.scope["method"], self.scope["query_string"], headers, body, self.clock())

    def _refusal(self, headers: Mapping[bytes, bytes]) -> Answer | None:
        """Return the answer to a body that is refused for its headers."""
        if b"content-encoding" in headers and _is_compressed(self.scope["headers"]):
            return answers.COMPRESSED
        # Blanks behind a value are no part of it, and the parser leaves them.
        declared = headers.get(b"content-length", b"0").strip(b" \t")
        length = int(declared[:20]) if declared.isdigit() else -1
        if not 0 <= length <= self.limit_bytes:
            return answers.TOO_LARGE
        return None if self._take(length) else answers.NO_ROOM

    async def _joined(self, message: Message) -> bytes | Answer:
        """Return the body that starts with a message and may continue in others."""
        parts, size_bytes = [], 0
        while True:
            if message["type"] != "http.request":
                raise Disconnected
            size_bytes += len(message["body"])
            if size_bytes > self.limit_bytes:
                return answers.TOO_LARGE
            if not self._take(size_bytes):
                return answers.NO_ROOM
            parts.append(message["body"])
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    def _take(self, size_bytes: int) -> bool:
        """Take room for so many bytes in all; a body with a declared length takes all of it at once."""
        more = size_bytes - self.size_bytes
        if more > 0:
            if more > self.room.bytes_left:
                return False
            self.room.bytes_left -= more
            self.size_bytes = size_bytes
        return True


def _is_compressed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether any Content-Encoding is a compression.

    Senders also put charsets and transfer encodings there (`UTF-8`, `binary`). Any coding that is no known compression is
    ignored: a body that it makes unreadable becomes a dead letter with its bytes, and a readable one is not lost.
    """
    given = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1").lower()
    return any(coding.partition(";")[0].strip(' \t"') in _COMPRESSIONS for coding in given.split(","))


def _raw_callback(method: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes, now_ns: int) -> RawCallback:
    traceparent = tracestate = None
    if (given := headers.get(b"traceparent")) and _TRACEPARENT.fullmatch(given):
        traceparent = given.decode("ascii")
        if (given := headers.get(b"tracestate")) and _TRACESTATE.fullmatch(given):
            tracestate = given.decode("ascii")
    content_type = headers.get(b"content-type", b"").decode("latin-1")[:_LONGEST_CONTENT_TYPE]
    return RawCallback(method, query.decode("latin-1"), content_type, bytes(body), now_ns // 1_000_000, traceparent, tracestate)
