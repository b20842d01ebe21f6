"""A raw request in, the name of the credential that authenticates it out, or None; never says why.

It uses the headers, the last segment of the path and the peer's address. Comparisons take constant time, and happen before
anything is parsed.
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
    """The credentials of the settings: a header and its value, a token in the URL, `named` ones, or `allow_anyone`.

    `tokens` checks the tokens of the token endpoint; None if no credential has the kind oauth.
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
        """Read the credentials from the settings, which require at least one."""
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
        """Return the limit of each credential by its name, in callbacks per second; 0: no limit."""
        simple = {"header": self.header_name, "url_token": self.url_token, "anyone": self.allow_anyone}
        return {
            **{name: self.limit_per_second for name, is_set in simple.items() if is_set},
            **{name: one.max_callbacks_per_second or self.limit_per_second for name, one in self.named.items()},
        }


class CredentialRule(NamedTuple):
    """What a request needs to match a credential: its secret, and a source in its networks (empty: any)."""

    name: str
    secret: bytes
    networks: Sequence[Network] = ()

    def allows_source(self, request: Request, proxies: Sequence[Network]) -> bool:
        """Return whether the request comes from an allowed network."""
        if not self.networks:
            return True
        source = source_of(request, proxies)
        return source is not None and is_within(source, self.networks)

    def __repr__(self) -> str:
        return f"CredentialRule({self.name})"


class Authenticator:
    """Authenticates requests; the rules are indexed by the part of a request that they check."""

    def __init__(self, credentials: Credentials) -> None:
        self._proxies = credentials.proxies
        self._tokens = credentials.tokens
        self._allow_anyone = credentials.allow_anyone
        self._in_url: list[CredentialRule] = []
        self._in_header: dict[bytes, list[CredentialRule]] = {}
        # For the header Authorization: rules for the value after the scheme, by its name in lower case.
        self._by_scheme: dict[bytes, list[CredentialRule]] = {}
        self._clients: dict[str, CredentialRule] = {}
        self._by_network: list[CredentialRule] = []
        if credentials.url_token:
            self._in_url.append(CredentialRule("url_token", credentials.url_token))
        if credentials.header_name:
            self._in_header[credentials.header_name] = [CredentialRule("header", credentials.header_value)]
        for name, one in credentials.named.items():
            self._add(one, CredentialRule(name, one.secret.get_secret_value().encode("ascii"), tuple(one.networks)))
        has_authorization = bool(self._by_scheme or self._clients)
        self._checked_headers = frozenset(self._in_header) | ({_AUTHORIZATION} if has_authorization else frozenset())

    def _add(self, one: Credential, rule: CredentialRule) -> None:
        match one.kind:
            case "header":
                self._in_header.setdefault(one.header_name.lower().encode("ascii"), []).append(rule)
            case "basic":
                encoded = base64.b64encode(f"{one.user}:".encode("ascii") + rule.secret)
                self._by_scheme.setdefault(b"basic", []).append(rule._replace(secret=encoded))
            case "bearer":
                self._by_scheme.setdefault(b"bearer", []).append(rule)
            case "url_token":
                self._in_url.append(rule)
            case "oauth":
                self._clients[rule.name] = rule
            case "network":
                self._by_network.append(rule)

    def credential_of(self, request: Request) -> str | None:
        """Return the name of the credential that the request matches, or None."""
        if (
            self._in_url
            and request.url_token
            and (rule := self._match_secret(self._in_url, request.url_token.encode(), request))
        ):
            return rule.name
        checked = self._checked_headers
        given = [pair for pair in request.headers if pair[0] in checked]
        for name, value in given:
            # Kaleyra never sends a header twice, and a proxy could have checked the other one.
            if (len(given) == 1 or sum(name == other for other, _ in given) == 1) and (
                rule := self._match_header(name, value, request)
            ):
                return rule.name
        for rule in self._by_network:
            if rule.allows_source(request, self._proxies):
                return rule.name
        return "anyone" if self._allow_anyone else None

    def _match_header(self, name: bytes, value: bytes, request: Request) -> CredentialRule | None:
        value = value.strip(b" \t")
        if (rules := self._in_header.get(name)) and (rule := self._match_secret(rules, value, request)):
            return rule
        if name != _AUTHORIZATION:
            return None
        scheme, _, secret = value.partition(b" ")
        scheme, secret = scheme.lower(), secret.strip(b" ")
        if (rules := self._by_scheme.get(scheme)) and (rule := self._match_secret(rules, secret, request)):
            return rule
        if scheme == b"bearer" and self._tokens and self._clients:
            # Tokens of a credential that is no longer in the settings are invalid.
            client = self._clients.get(self._tokens.credential_of(secret) or "")
            if client and client.allows_source(request, self._proxies):
                return client
        return None

    def _match_secret(self, rules: Sequence[CredentialRule], secret: bytes, request: Request) -> CredentialRule | None:
        for rule in rules:
            if hmac.compare_digest(secret, rule.secret) and rule.allows_source(request, self._proxies):
                return rule
        return None
