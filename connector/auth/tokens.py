"""Signed tokens that expire: given for a client's secret, checked on each callback, kept nowhere.

Any worker and any instance with the same signing keys knows them. One key signs, all are believed, so that a key can be
exchanged without a gap. What was checked once is remembered until it expires, by its digest: a sender shows the same token
with every callback.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from connector.settings.tables import Oauth

_ALGORITHMS: Final = ["HS256"]
_AUDIENCE: Final = "callbacks"
_LONGEST_TOKEN: Final = 512
"""Ours have at most 270 characters: names and key ids are bounded."""
_MOST_REMEMBERED: Final = 1024


class Tokens:
    """Gives and checks tokens with the keys of the settings; `clock` tells seconds since 1970."""

    def __init__(self, settings: Oauth, clock: Callable[[], float] = time.time) -> None:
        self._keys = {
            key_id: OctKey.import_key(secret.get_secret_value(), {"kid": key_id})
            for key_id, secret in settings.signing_keys.items()
        }
        self._all = KeySet(list(self._keys.values()))
        self._signs = settings.signing_key_id()
        self._lifetime_seconds = settings.token_lifetime_seconds
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tokens({', '.join(self._keys)})"

    def issue(self, credential: str) -> tuple[str, int]:
        """Return a new token for a credential's name, and its lifetime in seconds."""
        claims = {"aud": _AUDIENCE, "sub": credential, "exp": int(self._clock()) + self._lifetime_seconds}
        header = {"alg": "HS256", "kid": self._signs}
        return jwt.encode(header, claims, self._keys[self._signs], algorithms=_ALGORITHMS), self._lifetime_seconds

    def credential_of(self, token: bytes) -> str | None:
        """Return the name of the credential that a token was given for; None when it is not ours or has expired."""
        if len(token) > _LONGEST_TOKEN:
            return None
        digest = hashlib.sha256(token).digest()
        now = self._clock()
        if known := self._known.get(digest):
            name, expires_at = known
            if now < expires_at:
                self._known.move_to_end(digest)
                return name
            del self._known[digest]
        checked = self._checked(token, now)
        if checked:
            self._known[digest] = checked
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return checked[0] if checked else None

    def _checked(self, token: bytes, now: float) -> tuple[str, float] | None:
        try:
            claims = jwt.decode(token, self._all, algorithms=_ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                now=int(now), aud={"essential": True, "value": _AUDIENCE}, exp={"essential": True}, sub={"essential": True}
            ).validate(claims)
            name, expires_at = str(claims["sub"]), float(claims["exp"])
        # Of a stranger's token the library may find the numbers or the nesting of its JSON wrong, too.
        except (JoseError, ValueError, RecursionError):
            return None
        return (name, expires_at) if now < expires_at else None
