"""Signed tokens that expire: issued for a client's secret, verified on each callback, stored nowhere.

Any worker and any instance with the same signing keys accepts them. One key signs and all keys verify, so that keys can be
rotated without downtime. Verified tokens are cached by digest until they expire, because a client sends the same token with
every callback.
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
"""Our tokens have at most 270 characters, because names and key ids are bounded."""
_MOST_CACHED: Final = 1024


class Tokens:
    """Issues and verifies tokens with the keys of the settings; `clock` returns seconds since 1970."""

    def __init__(self, settings: Oauth, clock: Callable[[], float] = time.time) -> None:
        self._keys = {
            key_id: OctKey.import_key(secret.get_secret_value(), {"kid": key_id})
            for key_id, secret in settings.signing_keys.items()
        }
        self._all = KeySet(list(self._keys.values()))
        self._signs = settings.signing_key_id()
        self._lifetime_seconds = settings.token_lifetime_seconds
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tokens({', '.join(self._keys)})"

    def issue(self, credential: str) -> tuple[str, int]:
        """Return a new token for a credential's name, and its lifetime in seconds."""
        claims = {"aud": _AUDIENCE, "sub": credential, "exp": int(self._clock()) + self._lifetime_seconds}
        header = {"alg": "HS256", "kid": self._signs}
        return jwt.encode(header, claims, self._keys[self._signs], algorithms=_ALGORITHMS), self._lifetime_seconds

    def credential_of(self, token: bytes) -> str | None:
        """Return the name of the credential that a token was issued for; None if the token is invalid or has expired."""
        if len(token) > _LONGEST_TOKEN:
            return None
        digest = hashlib.sha256(token).digest()
        now = self._clock()
        if cached := self._verified.get(digest):
            name, expires_at = cached
            if now < expires_at:
                self._verified.move_to_end(digest)
                return name
            del self._verified[digest]
        verified = self._verify(token, now)
        if verified:
            self._verified[digest] = verified
            if len(self._verified) > _MOST_CACHED:
                self._verified.popitem(last=False)
        return verified[0] if verified else None

    def _verify(self, token: bytes, now: float) -> tuple[str, float] | None:
        try:
            claims = jwt.decode(token, self._all, algorithms=_ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                now=int(now), aud={"essential": True, "value": _AUDIENCE}, exp={"essential": True}, sub={"essential": True}
            ).validate(claims)
            name, expires_at = str(claims["sub"]), float(claims["exp"])
        # For forged tokens the library also raises ValueError and RecursionError: wrong numbers or nesting in the JSON.
        except (JoseError, ValueError, RecursionError):
            return None
        return (name, expires_at) if now < expires_at else None
