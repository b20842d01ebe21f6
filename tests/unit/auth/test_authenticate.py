"""Authentication of raw requests."""

import base64
from dataclasses import replace
from ipaddress import ip_network

import pytest

from connector.auth.authenticate import Authenticator, Credentials
from connector.records import Request
from connector.settings.tables import Authentication, Oauth

TOKEN = "an-invented-token-0001"
HEADER = Credentials(header_name=b"authorization", header_value=b"Bearer invented")
URL = Credentials(url_token=TOKEN.encode())
BOTH = Credentials(header_name=b"authorization", header_value=b"Bearer invented", url_token=TOKEN.encode())
NO_CREDENTIALS = Credentials()
ANYONE = Credentials(allow_anyone=True)

RIGHT = (b"authorization", b"Bearer invented")


def credential_of(credentials: Credentials, headers: list[tuple[bytes, bytes]], url_token: str | None) -> str | None:
    return Authenticator(credentials).credential_of(Request(headers, url_token))


@pytest.mark.parametrize(
    ("credentials", "headers", "url_token", "passes"),
    [
        (HEADER, [RIGHT], None, True),
        (HEADER, [(b"host", b"bridge.example"), RIGHT], None, True),
        (HEADER, [], None, False),
        (HEADER, [(b"authorization", b"")], None, False),
        (HEADER, [(b"authorization", b"Bearer invente")], None, False),
        (HEADER, [(b"authorization", b" Bearer invented\t")], None, True),
        (HEADER, [(b"authorization", b"Bearer  invented")], None, False),
        (HEADER, [(b"authorization", b"bearer invented")], None, False),
        (HEADER, [(b"x-authorization", b"Bearer invented")], None, False),
        (HEADER, [(b"authorization", b"\xff\xfe")], None, False),
        (HEADER, [], "Bearer invented", False),
        (URL, [], TOKEN, True),
        (URL, [], TOKEN[:-1], False),
        (URL, [], TOKEN.upper(), False),
        (URL, [], "", False),
        (URL, [], None, False),
        (URL, [], "perché", False),
        (URL, [(b"", b"")], None, False),
        (URL, [(b"authorization", TOKEN.encode())], None, False),
        (BOTH, [RIGHT], None, True),
        (BOTH, [], TOKEN, True),
        (BOTH, [RIGHT], "wrong", True),
        (BOTH, [(b"authorization", b"wrong")], TOKEN, True),
        (BOTH, [(b"authorization", b"wrong")], "wrong", False),
        (NO_CREDENTIALS, [RIGHT], TOKEN, False),
        (NO_CREDENTIALS, [(b"", b"")], "", False),
        (ANYONE, [], None, True),
    ],
)
def test_one_matching_credential_authenticates(
    credentials: Credentials, headers: list[tuple[bytes, bytes]], url_token: str | None, passes: bool
) -> None:
    assert (credential_of(credentials, headers, url_token) is not None) is passes


@pytest.mark.parametrize("second", [b"Bearer invented", b"wrong"])
def test_duplicate_header_does_not_authenticate(second: bytes) -> None:
    assert credential_of(HEADER, [RIGHT, (b"authorization", second)], None) is None
    assert credential_of(HEADER, [(b"authorization", second), RIGHT], None) is None


def test_header_name_in_settings_is_case_insensitive() -> None:
    settings = Authentication.model_validate({"header_name": "X-Callback-Secret", "header_value": "Basic invented"})

    credentials = Credentials.of(settings)

    assert credential_of(credentials, [(b"x-callback-secret", b"Basic invented")], None) == "header"


def test_credentials_never_show_a_secret() -> None:
    assert "invented" not in repr(BOTH)


def test_result_is_the_name_of_the_credential() -> None:
    assert credential_of(BOTH, [RIGHT], None) == "header"
    assert credential_of(BOTH, [], TOKEN) == "url_token"
    assert credential_of(ANYONE, [], None) == "anyone"


# Named credentials

SECRET = "an-invented-secret-0001"
OTHER = "an-invented-secret-0002"
KEY = "an-invented-key-of-32-characters-"


def named(**credentials: dict[str, object]) -> Credentials:
    settings = Authentication.model_validate({"credentials": credentials})
    oauth = Oauth.model_validate({"signing_keys": {"a": KEY}})
    return Credentials.of(settings, oauth)


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


HEADERS = named(
    old={"kind": "header", "header_name": "X-Key", "secret": OTHER},
    new={"kind": "header", "header_name": "x-key", "secret": SECRET},
)
BASIC = named(ours={"kind": "basic", "user": "kaleyra", "secret": SECRET})
BEARER = named(old={"kind": "bearer", "secret": OTHER}, new={"kind": "bearer", "secret": SECRET})
IN_URL = named(old={"kind": "url_token", "secret": OTHER}, new={"kind": "url_token", "secret": SECRET})
CLIENT = named(client={"kind": "oauth", "client_id": "kaleyra", "secret": SECRET})
ALL = named(
    a={"kind": "header", "header_name": "x-key", "secret": "short"},
    b={"kind": "header", "header_name": "Authorization", "secret": "Own words"},
    c={"kind": "basic", "user": "kaleyra", "secret": "p:w"},
    d={"kind": "bearer", "secret": SECRET},
    e={"kind": "url_token", "secret": SECRET},
    f={"kind": "oauth", "client_id": "kaleyra", "secret": SECRET},
    g={"kind": "network", "networks": ["192.0.2.0/24"]},
)
LONG = b"x" * 60_000


def authorization(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value)]


def token_of(credentials: Credentials, name: str = "client") -> bytes:
    assert credentials.tokens
    return credentials.tokens.issue(name)[0].encode()


@pytest.mark.parametrize(
    ("credentials", "headers", "url_token", "name"),
    [
        (HEADERS, [(b"x-key", SECRET.encode())], None, "new"),
        (HEADERS, [(b"x-key", OTHER.encode())], None, "old"),
        (HEADERS, [(b"x-key", OTHER.encode()), (b"x-key", SECRET.encode())], None, None),
        (HEADERS, [(b"x-key", b"")], None, None),
        (HEADERS, [(b"x-key", LONG)], None, None),
        (HEADERS, [(b"x-key", "perché".encode())], None, None),
        (BASIC, authorization(basic("kaleyra", SECRET)), None, "ours"),
        (BASIC, authorization(basic("kaleyra", SECRET).replace(b"Basic", b"bASIC  ")), None, "ours"),
        (BASIC, authorization(basic("Kaleyra", SECRET)), None, None),
        (BASIC, authorization(basic("kaleyra", SECRET + "x")), None, None),
        (BASIC, authorization(basic("kaleyra", "")), None, None),
        (BASIC, authorization(basic("", SECRET)), None, None),
        (BASIC, authorization(basic("kaleyra", "perché")), None, None),
        (BASIC, authorization(b"Basic"), None, None),
        (BASIC, authorization(b"Basic \xff\xfe"), None, None),
        (BASIC, authorization(b"Basic " + LONG), None, None),
        (BASIC, authorization(f"Basic kaleyra:{SECRET}".encode()), None, None),
        (BASIC, authorization(basic("kaleyra", SECRET)) * 2, None, None),
        (BASIC, [], SECRET, None),
        (BEARER, authorization(f"Bearer {SECRET}".encode()), None, "new"),
        (BEARER, authorization(f"bearer {OTHER}".encode()), None, "old"),
        (BEARER, authorization(f"Bearer{SECRET}".encode()), None, None),
        (BEARER, authorization(f"Bearer {SECRET} {SECRET}".encode()), None, None),
        (BEARER, authorization(f"Basic {SECRET}".encode()), None, None),
        (BEARER, authorization(SECRET.encode()), None, None),
        (BEARER, authorization(b"Bearer "), None, None),
        (BEARER, authorization(b"Bearer \xc3\xa9"), None, None),
        (BEARER, authorization(b"Bearer " + LONG), None, None),
        (IN_URL, [], SECRET, "new"),
        (IN_URL, [], OTHER, "old"),
        (IN_URL, [], SECRET[:-1], None),
        (IN_URL, [], "é" * 40_000, None),
        (IN_URL, authorization(f"Bearer {SECRET}".encode()), None, None),
        (CLIENT, authorization(b"Bearer " + token_of(CLIENT)), None, "client"),
        (CLIENT, authorization(b"Bearer " + token_of(CLIENT, "gone")), None, None),
        (CLIENT, authorization(b"Bearer " + token_of(CLIENT)[:-2]), None, None),
        (CLIENT, authorization(b"Bearer " + token_of(CLIENT) + b"=" * 60_000), None, None),
        (CLIENT, authorization(f"Bearer {SECRET}".encode()), None, None),
        (CLIENT, authorization(basic("kaleyra", SECRET)), None, None),
        (ALL, [(b"x-key", b"short")], None, "a"),
        (ALL, authorization(b"Own words"), None, "b"),
        (ALL, authorization(basic("kaleyra", "p:w")), None, "c"),
        (ALL, authorization(f"Bearer {SECRET}".encode()), None, "d"),
        (ALL, [(b"x-key", b"wrong")], SECRET, "e"),
        (ALL, authorization(b"Bearer " + token_of(ALL, "f")), None, "f"),
        (ALL, [(b"x-key", b"wrong"), *authorization(b"own words")], "wrong", None),
        (ALL, [(b"x-key", b"wrong"), *authorization(f"Bearer {SECRET}".encode())], "wrong", "d"),
    ],
)  # fmt: skip
def test_named_credential_authenticates_under_its_name(
    credentials: Credentials, headers: list[tuple[bytes, bytes]], url_token: str | None, name: str | None
) -> None:
    assert credential_of(credentials, headers, url_token) == name


@pytest.mark.parametrize(
    ("peer", "forwarded", "name"),
    [
        ("192.0.2.7", [], "g"),
        ("::ffff:192.0.2.7", [], "g"),
        ("192.0.3.7", [], None),
        ("2001:db8::1", [], None),
        ("", [], None),
        ("192.0.3.7", [b"192.0.2.7"], None),
        ("10.0.0.1", [], None),
        ("10.0.0.1", [b"192.0.2.7"], "g"),
        ("10.0.0.1", [b"192.0.2.7:4711"], "g"),
        ("10.0.0.1", [b"8.8.8.8, 192.0.2.7"], "g"),
        ("10.0.0.1", [b"192.0.2.7, 8.8.8.8"], None),
        ("10.0.0.1", [b"192.0.2.7", b"8.8.8.8"], None),
        ("10.0.0.1", [b"192.0.2.7, 10.0.0.9"], "g"),
        ("10.0.0.1", [b"192.0.2.7, unknown, 10.0.0.9"], None),
        ("10.0.0.1", [b"192.0.2.7, \xff"], None),
        ("10.0.0.1", [b"192.0.2.7" + b", 10.0.0.9" * 5000], None),
        ("fd00::1", [b"[::ffff:192.0.2.7]:80"], "g"),
    ],
)
def test_network_rule_checks_peer_or_right_most_untrusted_hop(peer: str, forwarded: list[bytes], name: str | None) -> None:
    credentials = replace(ALL, proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    assert Authenticator(credentials).credential_of(Request(headers, None, peer)) == name


@pytest.mark.parametrize("kind", [{"kind": "bearer", "secret": SECRET}, {"kind": "oauth", "client_id": "k", "secret": SECRET}])
def test_credential_with_networks_needs_secret_and_network(kind: dict[str, object]) -> None:
    credentials = named(client={**kind, "networks": ["192.0.2.0/24"]})
    shown = SECRET.encode() if kind["kind"] == "bearer" else token_of(credentials)
    authenticator = Authenticator(credentials)
    assert authenticator.credential_of(Request(authorization(b"Bearer " + shown), None, "192.0.2.1")) == "client"
    assert authenticator.credential_of(Request(authorization(b"Bearer " + shown), None, "192.0.3.1")) is None
    assert authenticator.credential_of(Request(authorization(b"Bearer wrong"), None, "192.0.2.1")) is None


def test_anyone_applies_without_any_other_credential() -> None:
    both = replace(HEADER, allow_anyone=True)
    assert credential_of(both, [RIGHT], None) == "header"
    assert credential_of(both, [], None) == "anyone"


def test_every_credential_has_a_limit() -> None:
    settings = Authentication.model_validate(
        {
            "header_name": "x",
            "header_value": "y",
            "max_callbacks_per_second": 7,
            "credentials": {
                "one": {"kind": "bearer", "secret": SECRET, "max_callbacks_per_second": 3},
                "two": {"kind": "bearer", "secret": OTHER},
            },
        }
    )
    assert Credentials.of(settings).limits() == {"header": 7, "one": 3, "two": 7}
    assert ANYONE.limits() == {"anyone": 0}


def test_named_credentials_never_show_a_secret() -> None:
    for value in (ALL, Authenticator(ALL), *Authenticator(ALL)._clients.values(), ALL.named["c"], ALL.tokens):
        assert SECRET not in repr(value)
        assert "p:w" not in repr(value)
        assert KEY not in repr(value)
