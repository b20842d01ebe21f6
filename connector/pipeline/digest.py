"""Parts of an event in, digests out: the same event, the same digest, whatever the order of its keys."""

import hashlib
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec

from connector.errors import NotDecodable
from connector.pipeline.reading import read_json
from connector.privacy.policy import plain_event_id
from connector.records import RawCallback

# Sorted keys: a second delivery can have them in another order.
_IDENTITY: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_FORM: Final = "application/x-www-form-urlencoded"


def digest(parts: tuple[Any, ...]) -> str:
    """Return 128 bits of SHA-256 over the JSON text of the parts: the same parts, the same digest."""
    return plain_event_id(identity_text(parts)).decode()


def identity_text(parts: tuple[Any, ...]) -> bytes:
    """Return the JSON text of the parts, with sorted keys."""
    try:
        return _IDENTITY.encode(parts)
    except RecursionError:
        return _IDENTITY.encode(_flattened(parts))


def request_parts(raw: RawCallback) -> tuple[str, str, str]:
    """Return method, query and a digest of the body: what identifies an event that belongs to no message.

    The pairs of a query or form, and the keys of JSON, count in any order.
    """
    query = "&".join(sorted(raw.query.split("&"))) if "&" in raw.query else raw.query
    return raw.method, query, _body_digest(raw.body, raw.content_type.lower().startswith(_FORM))


# A callback can have thousands of items that need it.
@lru_cache(maxsize=1)
def _body_digest(body: bytes, is_form: bool) -> str:  # noqa: FBT001 - a key of the cache
    if is_form:
        body = b"&".join(sorted(body.split(b"&")))
    else:
        # Of what is no JSON, the bytes are all that is known.
        with suppress(NotDecodable):
            body = identity_text((read_json(body)[0],))
    return hashlib.sha256(body).hexdigest()


def _flattened(parts: tuple[Any, ...]) -> list[Any]:
    """Return all values of a structure that is nested too deep to be written, with a marker for each object and list."""
    flat: list[Any] = []
    pending: list[Any] = [parts]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            flat.append(["object", len(part)])
            pending.extend(chain.from_iterable((name, part[name]) for name in sorted(part)))
        elif isinstance(part, list | tuple):
            flat.append(["list", len(part)])
            pending.extend(part)
        else:
            flat.append(part)
    return flat
