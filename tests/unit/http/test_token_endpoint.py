"""The token endpoint: who gets a token, the errors for others, and the rate limit."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from connector.auth.authenticate import Credentials
from connector.http.app import create_app
from connector.http.token_endpoint import TokenIssuer
from connector.metrics import Metrics
from connector.settings.tables import Authentication, Http, Oauth
from tests.support.callbacks import MemorySink, counted, envelope, flow, message

SECRET = "an-invented: secret+%2F0001"
OTHER = "an-invented-secret-0002"
CLIENTS = {
    "new": {"kind": "oauth", "client_id": "kaleyra", "secret": SECRET},
    "old": {"kind": "oauth", "client_id": "kaleyra", "secret": OTHER},
    "near": {"kind": "oauth", "client_id": "near", "secret": OTHER, "networks": ["192.0.2.0/24"]},
    "static": {"kind": "bearer", "secret": OTHER},
}
RIGHT = {"client_id": "kaleyra", "client_secret": SECRET}
FORM = {"content-type": "application/x-www-form-urlencoded"}
PATH = "/oauth/token"


class Bridge:
    """An application with a token endpoint, whose callers come from an address of ours."""

    def __init__(self, *, per_minute: int = 1000, peer: str = "198.51.100.1") -> None:
        oauth = Oauth.model_validate({"signing_keys": {"a": "k" * 32}, "max_requests_per_minute": per_minute})
        settings = Authentication.model_validate({"credentials": CLIENTS, "trusted_proxies": ["198.51.100.9"]})
        credentials = Credentials.of(settings, oauth)
        assert credentials.tokens
        self.metrics = Metrics()
        self.sink = MemorySink()
        self.peer = peer
        carrier = flow(self.sink, credentials=credentials, metrics=self.metrics)
        desk = TokenIssuer(oauth, credentials, credentials.tokens, self.metrics)
        self.app = create_app(Http(), lambda: carrier, self.metrics, desk)

    def ask(
        self, content: Any, headers: dict[str, str] | None = None, *, method: str = "POST", path: str = PATH
    ) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.peer, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as http:
                return await http.request(method, path, content=content, headers=headers)

        return asyncio.run(run())

    def issued(self) -> float:
        return counted(self.metrics, "connector_issued_tokens")

    def refused(self, reason: str) -> float:
        return counted(self.metrics, "connector_refused_requests", reason=reason)


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (json.dumps(RIGHT), {"content-type": "application/json"}),
        (json.dumps({**RIGHT, "grant_type": "client_credentials", "scope": "x"}), {}),
        (json.dumps({"clientId": "kaleyra", "clientSecret": SECRET}), {}),
        (urlencode(RIGHT), FORM),
        (urlencode({**RIGHT, "grant_type": "client_credentials"}), FORM),
        ("grant_type=client_credentials", {**FORM, **basic("kaleyra", SECRET)}),
        ("", basic("kaleyra", SECRET)),
        ("", basic("kaleyra", "an-invented%3A+secret%2B%252F0001")),
        (json.dumps({"client_id": "x"}), basic("kaleyra", SECRET)),
    ],
    ids=[
        "json",
        "json with more",
        "camel case",
        "form",
        "form with grant",
        "basic and form",
        "basic",
        "basic encoded",
        "basic wins",
    ],
)
def test_right_secret_gets_a_token_that_lets_callbacks_in(bridge: Bridge, content: str, headers: dict[str, str]) -> None:
    answer = bridge.ask(content, headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert (issued["token_type"], issued["expires_in"], set(issued)) == (
        "Bearer",
        3600,
        {"access_token", "token_type", "expires_in"},
    )
    shown = {"authorization": f"Bearer {issued['access_token']}"}
    assert bridge.ask(envelope([message()]), shown, path="/callbacks/kaleyra").status_code == 200
    assert counted(bridge.metrics, "connector_callbacks_by_credential", credential="new") == 1
    assert bridge.issued() == 1


def test_old_secret_is_believed_beside_the_new(bridge: Bridge) -> None:
    assert bridge.ask(json.dumps({"client_id": "kaleyra", "client_secret": OTHER})).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        ("", {}),
        ("{}", {}),
        (json.dumps({"client_id": "kaleyra"}), {}),
        (json.dumps({"client_secret": SECRET}), {}),
        (json.dumps({**RIGHT, "client_secret": ""}), {}),
        (json.dumps({**RIGHT, "client_secret": SECRET + "x"}), {}),
        (json.dumps({**RIGHT, "client_id": "near"}), {}),
        (json.dumps({**RIGHT, "client_id": "perché"}), {}),
        (json.dumps({**RIGHT, "client_id": "\ud800"}), {}),
        (json.dumps({**RIGHT, "client_secret": [SECRET]}), {}),
        (json.dumps({**RIGHT, "client_secret": None}), {}),
        (json.dumps({"client_id": "near", "client_secret": OTHER}), {}),
        (json.dumps({"client_id": "static", "client_secret": OTHER}), {}),
        (json.dumps(RIGHT), basic("kaleyra", "wrong")),
        (json.dumps(RIGHT), {"authorization": "Bearer x"}),
        (json.dumps(RIGHT), {"authorization": "Basic \u00e9"}),
        (json.dumps(RIGHT), {"authorization": ""}),
        (urlencode({**RIGHT, "client_secret": "wrong"}), FORM),
        ("x" * 8192, FORM),
    ],
)
def test_wrong_secret_is_401_with_a_short_error(bridge: Bridge, content: str, headers: dict[str, str]) -> None:
    answer = bridge.ask(content, {name: value.encode("latin-1") for name, value in headers.items()})  # type: ignore[misc]
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    assert answer.headers["www-authenticate"] == 'Basic realm="tokens"'
    assert (bridge.refused("token_not_authentic"), bridge.issued()) == (1, 0)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{", "invalid_request"),
        (b"{" * 5000, "invalid_request"),
        (b'{"client_id": "\xff"}', "invalid_request"),
        (b"client_id=%ff", "invalid_request"),
        (b"&a" * 2000, "invalid_request"),
        (json.dumps({**RIGHT, "grant_type": "password"}), "unsupported_grant_type"),
        (json.dumps({**RIGHT, "grant_type": ["client_credentials"]}), "unsupported_grant_type"),
    ],
)
def test_invalid_token_request_is_400(bridge: Bridge, content: bytes, error: str) -> None:
    answer = bridge.ask(content)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert bridge.refused("token_malformed" if error == "invalid_request" else "token_unsupported_grant") == 1


def test_secret_in_the_query_is_none(bridge: Bridge) -> None:
    assert bridge.ask(b"", path=f"{PATH}?{urlencode(RIGHT)}").status_code == 401
    for method in ("GET", "PUT", "HEAD"):
        answer = bridge.ask(b"", method=method, path=f"{PATH}?{urlencode(RIGHT)}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert bridge.refused("token_wrong_method") == 3


def test_large_or_compressed_body_is_refused_unread(bridge: Bridge) -> None:
    assert bridge.ask(b"x" * 8193).status_code == 413
    assert bridge.ask(b"x", {"content-encoding": "gzip"}).status_code == 415
    assert (bridge.refused("too_large"), bridge.refused("compressed")) == (1, 1)


def test_networks_of_a_client_count_for_its_tokens_too() -> None:
    content = json.dumps({"client_id": "near", "client_secret": OTHER})
    assert Bridge(peer="192.0.2.4").ask(content).status_code == 200
    behind = Bridge(peer="198.51.100.9")
    assert behind.ask(content, {"x-forwarded-for": "192.0.2.4"}).status_code == 200
    assert behind.ask(content, {"x-forwarded-for": "192.0.2.4, 203.0.113.1"}).status_code == 401


def test_only_the_client_that_asks_too_often_gets_429() -> None:
    bridge = Bridge(per_minute=3)
    assert [bridge.ask("{}").status_code for _ in range(3)] == [401] * 3
    answer = bridge.ask(json.dumps(RIGHT))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert bridge.refused("token_too_often") == 1
    bridge.peer = "198.51.100.2"
    assert bridge.ask(json.dumps(RIGHT)).status_code == 200


def test_subscriber_of_ipv6_is_one_caller_with_all_addresses() -> None:
    bridge = Bridge(per_minute=2, peer="2001:db8::1")
    assert bridge.ask("{}").status_code == 401
    bridge.peer = "2001:db8::ffff:2"
    assert bridge.ask("{}").status_code == 401
    bridge.peer = "2001:db8::3"
    assert bridge.ask("{}").status_code == 429
    bridge.peer = "2001:db8:0:1::3"
    assert bridge.ask("{}").status_code == 401


def test_token_path_is_no_path_of_a_bridge_without_clients() -> None:
    carrier = flow()
    app = create_app(Http(), lambda: carrier, Metrics())

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as http:
            return await http.post(PATH, json=RIGHT)

    assert asyncio.run(run()).status_code == 404
