"""Decides on the raw request whether Kaleyra sent it; compares in constant time, before anything is parsed.

Goes in: the headers, the last segment of the path and the peer's address. Comes out: the name of the credential that lets
the caller pass, or None. It never says why not.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from connector.auth.client_address import Network, is_within, source_of
from connector.auth.tokens import Tokens
from connector.records import Request
from connector.settings.tables import Authentication, Credential, Oauth

_AUTHORIZATION: Final = b"authorization"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets a caller in: a header and its value, a token in the URL, `named` ones, or `allow_anyone`.

    `tokens` checks those of the token endpoint; it is there when a credential is of the kind oauth.
    """

    header_name: bytes = b""
    header_value: bytes = field(default=b"", repr=False)
    url_token: bytes = field(default=b"", repr=False)
    allow_anyone: bool = False
    named: Mapping[str, Credential] = field(default_factory=dict, hash=False)
    proxies: tuple[Network, ...] = ()
    tokens: Tokens | None = field(default=None, compare=False)
    limit_per_second: int = 0

    @classmethod
    def of(cls, settings: Authentication, oauth: Oauth | None = None) -> "Credentials":
        """Take the credentials from the settings, which have checked that there are some."""
        has_clients = any(one.kind == "oauth" for one in settings.credentials.values())
        return cls(
            header_name=settings.header_name.lower().encode("ascii"),
            header_value=settings.header_value.get_secret_value().encode(),
            url_token=settings.url_token.get_secret_value().encode("ascii"),
            allow_anyone=settings.allow_anyone,
            named=settings.credentials,
            proxies=tuple(settings.trusted_proxies),
            tokens=Tokens(oauth) if oauth and has_clients else None,
            limit_per_second=settings.max_callbacks_per_second,
        )

    def limits(self) -> dict[str, int]:
        """Return each credential's name, with how many callbacks a second it may send; 0 is any number."""
        simple = {"header": self.header_name, "url_token": self.url_token, "anyone": self.allow_anyone}
        return {
            **{name: self.limit_per_second for name, is_set in simple.items() if is_set},
            **{name: one.max_callbacks_per_second or self.limit_per_second for name, one in self.named.items()},
        }


class Way(NamedTuple):
    """One way in: the credential's name, what must be shown, and the networks it must come from (none: any)."""

    name: str
    secret: bytes
    networks: Sequence[Network] = ()

    def is_open_to(self, request: Request, proxies: Sequence[Network]) -> bool:
        """Return whether the request comes from where it must."""
        if not self.networks:
            return True
        source = source_of(request, proxies)
        return source is not None and is_within(source, self.networks)

    def __repr__(self) -> str:
        return f"Way({self.name})"


class Gate:
    """The credentials, laid out by where they stand in a request, so that a request is looked at once."""

    def __init__(self, credentials: Credentials) -> None:
        self._proxies = credentials.proxies
        self._tokens = credentials.tokens
        self._allow_anyone = credentials.allow_anyone
        self._in_url: list[Way] = []
        self._in_header: dict[bytes, list[Way]] = {}
        # Of the header Authorization: what stands behind the scheme's name, which has no case.
        self._by_scheme: dict[bytes, list[Way]] = {}
        self._clients: dict[str, Way] = {}
        self._by_network: list[Way] = []
        if credentials.url_token:
            self._in_url.append(Way("url_token", credentials.url_token))
        if credentials.header_name:
            self._in_header[credentials.header_name] = [Way("header", credentials.header_value)]
        for name, one in credentials.named.items():
            self._add(one, Way(name, one.secret.get_secret_value().encode("ascii"), tuple(one.networks)))
        has_authorization = bool(self._by_scheme or self._clients)
        self._looked_at = frozenset(self._in_header) | ({_AUTHORIZATION} if has_authorization else frozenset())

    def _add(self, one: Credential, way: Way) -> None:
        match one.kind:
            case "header":
                self._in_header.setdefault(one.header_name.lower().encode("ascii"), []).append(way)
            case "basic":
                shown = base64.b64encode(f"{one.user}:".encode("ascii") + way.secret)
                self._by_scheme.setdefault(b"basic", []).append(way._replace(secret=shown))
            case "bearer":
                self._by_scheme.setdefault(b"bearer", []).append(way)
            case "url_token":
                self._in_url.append(way)
            case "oauth":
                self._clients[way.name] = way
            case "network":
                self._by_network.append(way)

    def credential_of(self, request: Request) -> str | None:
        """Return the name of the credential that stands in the request; None when there is none: the caller is a stranger."""
        if self._in_url and request.url_token and (way := self._shown(self._in_url, request.url_token.encode(), request)):
            return way.name
        looked_at = self._looked_at
        given = [pair for pair in request.headers if pair[0] in looked_at]
        for name, value in given:
            # A header twice is no request of Kaleyra's: which of the two a proxy has checked, nobody knows.
            if (len(given) == 1 or sum(name == other for other, _ in given) == 1) and (way := self._way(name, value, request)):
                return way.name
        for way in self._by_network:
            if way.is_open_to(request, self._proxies):
                return way.name
        return "anyone" if self._allow_anyone else None

    def _way(self, name: bytes, value: bytes, request: Request) -> Way | None:
        value = value.strip(b" \t")
        if (ways := self._in_header.get(name)) and (way := self._shown(ways, value, request)):
            return way
        if name != _AUTHORIZATION:
            return None
        scheme, _, shown = value.partition(b" ")
        scheme, shown = scheme.lower(), shown.strip(b" ")
        if (ways := self._by_scheme.get(scheme)) and (way := self._shown(ways, shown, request)):
            return way
        if scheme == b"bearer" and self._tokens and self._clients:
            # A credential that is gone from the settings takes its tokens with it.
            client = self._clients.get(self._tokens.credential_of(shown) or "")
            if client and client.is_open_to(request, self._proxies):
                return client
        return None

    def _shown(self, ways: Sequence[Way], shown: bytes, request: Request) -> Way | None:
        for way in ways:
            if hmac.compare_digest(shown, way.secret) and way.is_open_to(request, self._proxies):
                return way
        return None
