"""Keyed hashes: the same value has the same hash on every topic, and nobody can try values without the key.

HMAC-SHA-256 (RFC 2104). The last few short values are kept with their hashes, since a number stands in a dozen places of one
callback. That can mix no callbacks up: a hash hangs on the key and the whole value, and on nothing else.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Final

_BLOCK_BYTES: Final = 64
HASH_BYTES: Final = 18
"""144 bits of the 256, which are 24 characters of base64url without padding."""
_KEPT: Final = 64
_KEPT_CHARACTERS: Final = 128
"""So much memory, and no more, holds values beyond their callback."""


class Keyed:
    """Hashes under one key. Its id stands in each hash, so that a reader sees when another key came into use."""

    def __init__(self, key: str, key_id: str) -> None:
        # The two halves of HMAC begun once: a copy of each is a third of what `hmac.digest` takes.
        self._inner, self._outer = _begun(key.encode())
        self._ids_inner, self._ids_outer = _begun(hmac.digest(key.encode(), b"ce_id", "sha256"))
        self._prefix = f"h:{key_id}:".encode()
        self._kept = lru_cache(maxsize=_KEPT)(self._hash)

    def hash(self, value: str) -> bytes:
        """Return `h:<key id>:<24 characters of base64url>`."""
        return self._kept(value) if len(value) <= _KEPT_CHARACTERS else self._hash(value)

    def _hash(self, value: str) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode())
        outer.update(inner.digest())
        return self._prefix + urlsafe_b64encode(outer.digest()[:HASH_BYTES])

    def event_id(self, identity: bytes) -> str:
        """Return 128 bits in hexadecimal digits, under a key of their own: no event's id is any value's hash."""
        inner, outer = self._ids_inner.copy(), self._ids_outer.copy()
        inner.update(identity)
        outer.update(inner.digest())
        return outer.hexdigest()[:32]

    def __repr__(self) -> str:
        return f"Keyed({self._prefix.decode()})"


def _begun(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)), hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
