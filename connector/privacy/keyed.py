"""Keyed hashes: the same value has the same hash on every topic, and values cannot be guessed without the key.

HMAC-SHA-256 (RFC 2104). The last few short values are cached with their hashes, because a number appears in a dozen places of
one callback. The cache cannot mix up callbacks: a hash depends only on the key and the value.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Final

_BLOCK_BYTES: Final = 64
HASH_BYTES: Final = 18
"""144 bits of the 256, which are 24 characters of base64url without padding."""
_CACHED: Final = 64
_CACHED_CHARACTERS: Final = 128
"""Bounds the values that stay in memory longer than their callback."""


class Keyed:
    """Hashes values with one key. Each hash contains the key's id, so that readers see a change of key."""

    def __init__(self, key: str, key_id: str) -> None:
        # Initialises both halves of HMAC once: copying them takes a third of the time of `hmac.digest`.
        self._inner, self._outer = _hmac_halves(key.encode())
        self._ids_inner, self._ids_outer = _hmac_halves(hmac.digest(key.encode(), b"ce_id", "sha256"))
        self._prefix = f"h:{key_id}:".encode()
        self._cached_hash = lru_cache(maxsize=_CACHED)(self._hash)

    def hash(self, value: str) -> bytes:
        """Return `h:<key id>:<24 characters of base64url>`."""
        return self._cached_hash(value) if len(value) <= _CACHED_CHARACTERS else self._hash(value)

    def _hash(self, value: str) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value.encode())
        outer.update(inner.digest())
        return self._prefix + urlsafe_b64encode(outer.digest()[:HASH_BYTES])

    def event_id(self, identity: bytes) -> bytes:
        """Return 128 bits in hexadecimal digits, with a separate derived key: an event's id never equals a value's hash."""
        inner, outer = self._ids_inner.copy(), self._ids_outer.copy()
        inner.update(identity)
        outer.update(inner.digest())
        return outer.hexdigest()[:32].encode()

    def __repr__(self) -> str:
        return f"Keyed({self._prefix.decode()})"


def _hmac_halves(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)), hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
