"""Whole callbacks in, sealed ones out, and back: AES-256-GCM for dead letters, raw callbacks and the spool, by key id.

Sealed bytes are a zero byte, `s1:<key id>:`, a nonce of 12 bytes, then ciphertext and tag. Neither JSON nor forms start with a
zero byte. Sealed text is `s1:<key id>:` and the base64url of the same. The additional authenticated data is `bytes` or `text`.
"""

import binascii
import re
import secrets
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connector.errors import NotOpened

_NONCE_BYTES: Final = 12
_SEALED_BYTES: Final = re.compile(rb"\0s1:([A-Za-z0-9._-]{1,32}):(.*)", re.DOTALL)
_SEALED_TEXT: Final = re.compile(r"s1:([A-Za-z0-9._-]{1,32}):([A-Za-z0-9_=-]*)", re.ASCII)
_KEY: Final = re.compile(r"([A-Za-z0-9._-]{1,32}):([A-Za-z0-9+/_-]{43}=?)", re.ASCII)


class Seals:
    """Encryption keys by id: the first one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._key_id = next(iter(keys), "")

    def seal(self, content: bytes) -> bytes:
        """Encrypt bytes."""
        return b"\0s1:%s:%s" % (self._key_id.encode(), self._sealed(content, b"bytes"))

    def seal_text(self, content: str) -> str:
        """Encrypt text."""
        return f"s1:{self._key_id}:{urlsafe_b64encode(self._sealed(content.encode(), b'text')).decode()}"

    def open(self, content: bytes) -> bytes:
        """Decrypt sealed bytes; return other bytes unchanged.

        Raises:
            NotOpened: if the key is unknown or differs, or the bytes were changed.
        """
        found = _SEALED_BYTES.fullmatch(content)
        return self._opened(found[1].decode(), found[2], b"bytes") if found else content

    def open_text(self, content: str) -> str:
        """Decrypt sealed text; return other text unchanged."""
        found = _SEALED_TEXT.fullmatch(content)
        return self._opened(found[1], _decoded(found[2]), b"text").decode() if found else content

    def open_printed(self, content: bytes) -> bytes:
        """Decrypt sealed bytes, given as bytes or in the form of `printable`."""
        found = _SEALED_TEXT.fullmatch(content.decode("latin-1").strip())
        return self._opened(found[1], _decoded(found[2]), b"bytes") if found else self.open(content)

    def _sealed(self, content: bytes, kind: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._keys[self._key_id].encrypt(nonce, content, kind)

    def _opened(self, key_id: str, content: bytes, kind: bytes) -> bytes:
        key = self._keys.get(key_id)
        if key is None:
            raise NotOpened(f"it is sealed with the key {key_id}, which is not among privacy.seal_keys")
        try:
            return key.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], kind)
        except (InvalidTag, ValueError):
            raise NotOpened(f"it was sealed with a different key {key_id}, or changed since") from None

    def __repr__(self) -> str:
        return f"Seals({', '.join(self._keys)})"


NO_KEYS: Final = Seals({})
"""Opens nothing; its errors name the key that is needed."""


def read_keys(text: str) -> dict[str, bytes]:
    """Parse keys, `<key id>:<base64 of 32 bytes>`, separated by blanks or line breaks.

    Raises:
        ValueError: if the text has another form; the message contains none of it.
    """
    keys: dict[str, bytes] = {}
    for number, word in enumerate(text.split(), start=1):
        found = _KEY.fullmatch(word)
        if not found:
            raise ValueError(f"key {number} is not <key id>:<base64 of 32 bytes>; create one with `openssl rand -base64 32`")
        if found[1] in keys:
            raise ValueError(f"two keys have the id of key {number}")
        keys[found[1]] = b64decode(found[2].rstrip("=") + "=", altchars=b"-_" if {"-", "_"} & set(found[2]) else None)
    return keys


def open_sealed(record: Mapping[str, Any], seals: Seals | None) -> dict[str, Any]:
    """Return a decoded dead letter or raw callback with its body and query decrypted; leave unsealed ones unchanged.

    Raises:
        NotOpened: if a sealed value cannot be opened.
    """
    opener = seals or NO_KEYS
    opened = dict(record)
    if isinstance(body := record.get("body"), bytes):
        opened["body"] = opener.open(body)
    if isinstance(query := record.get("query"), str):
        opened["query"] = opener.open_text(query)
    return opened


def printable(content: bytes) -> str | None:
    """Return sealed bytes as text that can be copied; None for other bytes."""
    found = _SEALED_BYTES.fullmatch(content)
    return f"s1:{found[1].decode()}:{urlsafe_b64encode(found[2]).decode()}" if found else None


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text)
    except binascii.Error:
        raise NotOpened("it is sealed, but incomplete") from None
