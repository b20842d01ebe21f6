"""Kaleyra's advanced authentication, for which the bridge is the customer's auth URL: a client's secret in, a token out.

The client credentials grant of RFC 6749, 4.4: id and secret by Basic, as a form or as JSON. Errors are answered with one
of its error words and no more. Requests are counted by where they come from, so that a stranger uses up his own allowance.
"""

import base64
import hmac
import ipaddress
import time
from collections.abc import Hashable
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from connector.auth.authenticate import CredentialRule, Credentials
from connector.auth.client_address import Address, source_of
from connector.auth.token_bucket import TokenBuckets
from connector.auth.tokens import Tokens
from connector.errors import NotDecodable
from connector.metrics import Metrics
from connector.pipeline.reading import read_json, read_pairs
from connector.records import Answer, RawCallback, Request
from connector.settings.tables import Oauth

LONGEST_BODY: Final = 8192
_MOST_SOURCES: Final = 4096
_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_CLOSE: Final = (b"connection", b"close")

# The names of RFC 6749, and as JSON is often written: Kaleyra's page names neither.
_ID_NAMES: Final = ("client_id", "clientId")
_SECRET_NAMES: Final = ("client_secret", "clientSecret")

INVALID_REQUEST: Final = Answer(400, (*_JSON, _CLOSE), b'{"error":"invalid_request"}', "token_malformed")
UNSUPPORTED_GRANT: Final = Answer(400, (*_JSON, _CLOSE), b'{"error":"unsupported_grant_type"}', "token_unsupported_grant")
INVALID_CLIENT: Final = Answer(
    401,
    (*_JSON, (b"www-authenticate", b'Basic realm="tokens"'), _CLOSE),
    b'{"error":"invalid_client"}',
    "token_not_authentic",
)
ONLY_POST: Final = Answer(405, ((b"allow", b"POST"), _CLOSE), refusal="token_wrong_method")
TOO_MANY_TOKENS: Final = Answer(429, ((b"retry-after", b"1"),), refusal="token_too_often")


class TokenIssuer:
    """Gives tokens to the clients of the settings; `path` is where it is asked."""

    def __init__(self, settings: Oauth, credentials: Credentials, tokens: Tokens, metrics: Metrics) -> None:
        self.path = settings.path
        self._tokens = tokens
        self._proxies = credentials.proxies
        self._clients = [
            (
                one.client_id.encode("ascii"),
                CredentialRule(name, one.secret.get_secret_value().encode("ascii"), tuple(one.networks)),
            )
            for name, one in credentials.named.items()
            if one.kind == "oauth"
        ]
        per_minute = settings.max_requests_per_minute
        self._allowances = TokenBuckets(per_minute / 60, per_minute, _MOST_SOURCES)
        self._issued = metrics.issued_tokens

    def refusal(self, request: Request) -> Answer | None:
        """Return the answer to a caller who asks too often, before the body is read; None lets it go on."""
        if self._allowances.take(_subscriber(source_of(request, self._proxies)), time.monotonic()):
            return None
        return TOO_MANY_TOKENS

    def answer(self, request: Request, asked: RawCallback) -> Answer:
        """Return the answer with a token, or with the error."""
        try:
            given = _pairs(asked.body)
        except NotDecodable:
            return INVALID_REQUEST
        if given.get("grant_type", "client_credentials") != "client_credentials":
            return UNSUPPORTED_GRANT
        shown = [value for name, value in request.headers if name == b"authorization"]
        pairs = _of_basic(shown) if shown else [(_first(given, _ID_NAMES), _first(given, _SECRET_NAMES))]
        for client_id, secret in pairs:
            if rule := self._client(client_id, secret, request):
                token, lifetime_seconds = self._tokens.issue(rule.name)
                self._issued.inc()
                issued = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime_seconds}
                return Answer(200, _JSON, msgspec.json.encode(issued))
        return INVALID_CLIENT

    def _client(self, client_id: bytes, secret: bytes, request: Request) -> CredentialRule | None:
        found = None
        for known_id, rule in self._clients:
            # Both are compared, even if the first differs: the time it takes reveals nothing.
            is_right = hmac.compare_digest(client_id, known_id) & hmac.compare_digest(secret, rule.secret)
            if is_right and rule.allows_source(request, self._proxies):
                found = found or rule
        return found


def _subscriber(source: Address | None) -> Hashable:
    """Return what identifies a caller: an IPv4 address, or the /64 network of an IPv6 subscriber."""
    return ipaddress.ip_network((source, 64), strict=False) if isinstance(source, ipaddress.IPv6Address) else source


def _pairs(body: bytes) -> dict[str, Any]:
    if not body.lstrip().startswith(b"{"):
        return read_pairs(body.strip(), "the body")
    value, _ = read_json(body)
    assert isinstance(value, dict)
    return value


def _first(given: dict[str, Any], names: tuple[str, ...]) -> bytes:
    values = [given[name] for name in names if isinstance(given.get(name), str)]
    return values[0].encode("utf-8", "replace") if values else b""


def _of_basic(shown: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return id and secret of a Basic header: as they are, and percent-decoded, as RFC 6749, 2.3.1, wants them."""
    scheme, _, encoded = shown[0].strip(b" \t").partition(b" ")
    if len(shown) > 1 or scheme.lower() != b"basic":
        return []
    try:
        client_id, _, secret = base64.b64decode(encoded.strip(b" "), validate=True).partition(b":")
    except ValueError:
        return []
    plain = tuple(unquote_plus(part.decode("latin-1"), "latin-1").encode("latin-1") for part in (client_id, secret))
    return [(client_id, secret), (plain[0], plain[1])]
