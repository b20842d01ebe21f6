"""Recognises the values that a callback profile's encryption (`enc`) leaves: the bridge does not decrypt them.

Kaleyra encrypts each value alone, by AES in CFB or GCM, and documents no form; base64 and hexadecimal are what others use.
https://developers.kaleyra.io/docs/callback-encryption
"""

import re
from typing import Any, Final

from connector.records import Json

DETAIL: Final = (
    "values look encrypted, and the bridge does not decrypt them: switch encryption off in Kaleyra's callback profile, "
    "and keep HTTPS"
)

_OF_DIGITS: Final = (
    "from",
    "mobile",
    "wanumber",
    "phone_number",
    "display_phone_number",
    "created_at",
    "timestamp",
    "time",
    "message_template_id",
)
"""Keys whose plain value is a number or a time: nothing else that is documented looks like a cipher's text there."""

_LONGEST: Final = 4096
_CIPHER_TEXT: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])(?:[0-9A-Fa-f]{32,}|[A-Za-z0-9+/]{22,}={0,2})")
"""The shortest has one block, or an initialisation vector and a digit: 16 bytes and more."""


def has_encrypted_values(keys: Json) -> bool:
    """Return whether a number or a time among the keys of a profile looks encrypted."""
    return any(is_cipher_text(keys.get(name)) for name in _OF_DIGITS)


def is_cipher_text(value: Any) -> bool:
    """Return whether a value is base64 or hexadecimal with the length of a cipher's text; the `+` of a query is a blank."""
    return (
        value.__class__ is str
        and len(value) <= _LONGEST
        and _CIPHER_TEXT.fullmatch(value.strip().replace(" ", "+")) is not None
    )
