"""Tokens: issued, valid until they expire, and refused if they are not ours."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from connector.auth.tokens import Tokens
from connector.settings.tables import Oauth

KEYS = {"a": "an-invented-key-of-32-characters-a", "b": "an-invented-key-of-32-characters-b"}
NOW = 1_800_000_000.0


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def tokens(signs_with: str = "a", *, keys: dict[str, str] = KEYS, clock: Callable[[], float] | None = None) -> Tokens:
    settings = Oauth.model_validate({"signing_keys": keys, "signs_with": signs_with, "token_lifetime_seconds": 60})
    return Tokens(settings, clock or Clock())


def made(header: Any, claims: Any, key: str = KEYS["a"]) -> bytes:
    return jwt.encode(header, claims, OctKey.import_key(key), algorithms=["HS256", "HS512"]).encode()


def unsigned(header: object, claims: object) -> bytes:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    return b".".join([*parts, b""])


GOOD = {"aud": "callbacks", "sub": "kaleyra", "exp": int(NOW) + 60}
HEADER = {"alg": "HS256", "kid": "a"}


def test_token_names_its_credential_until_it_expires() -> None:
    clock = Clock()
    ours = tokens(clock=clock)
    token, lifetime_seconds = ours.issue("kaleyra")
    assert lifetime_seconds == 60
    for _ in range(2):
        assert ours.credential_of(token.encode()) == "kaleyra"
    clock.now += 59.9
    assert ours.credential_of(token.encode()) == "kaleyra"
    clock.now += 0.2
    assert ours.credential_of(token.encode()) is None
    assert tokens(clock=clock).credential_of(token.encode()) is None, "also if it was not cached"


def test_other_instances_with_the_key_accept_the_token() -> None:
    token, _ = tokens().issue("kaleyra")
    assert tokens().credential_of(token.encode()) == "kaleyra"


def test_signing_key_is_rotated_without_downtime() -> None:
    old, _ = tokens("a").issue("kaleyra")
    both = tokens("b")
    new, _ = both.issue("kaleyra")
    assert both.credential_of(old.encode()) == both.credential_of(new.encode()) == "kaleyra"
    assert tokens("a").credential_of(new.encode()) == "kaleyra", "instances that do not sign with it yet"
    only_new = tokens("b", keys={"b": KEYS["b"]})
    assert only_new.credential_of(new.encode()) == "kaleyra"
    assert only_new.credential_of(old.encode()) is None


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b".",
        b"..",
        b"a.b.c",
        b"a.b.c.d.e",
        b"\xff.\xff.\xff",
        b"x" * 513,
        b"x" * 100_000,
        unsigned({"alg": "none"}, GOOD),
        unsigned({"alg": "none", "kid": "a"}, GOOD),
        unsigned(HEADER, GOOD),
        unsigned([], GOOD),
        unsigned({"alg": "HS256", "kid": ["a"]}, GOOD),
        made({"alg": "HS256"}, GOOD),
        made({**HEADER, "kid": "c"}, GOOD),
        made({**HEADER, "kid": "b"}, GOOD),
        made({**HEADER, "alg": "HS512"}, GOOD),
        made(HEADER, GOOD, "another-key-that-has-32-characters"),
        made(HEADER, {**GOOD, "aud": "others"}),
        made(HEADER, {**GOOD, "exp": int(NOW) - 1}),
        made(HEADER, {"aud": "callbacks", "sub": "kaleyra"}),
        made(HEADER, {"aud": "callbacks", "exp": int(NOW) + 60}),
        made(HEADER, {"sub": "kaleyra", "exp": int(NOW) + 60}),
        made(HEADER, {**GOOD, "exp": "soon"}),
    ],
)
def test_forged_token_is_refused(token: bytes) -> None:
    ours = tokens()
    assert ours.credential_of(token) is None
    assert not ours._verified, "and nothing is cached"


def test_token_with_expected_claims_is_valid() -> None:
    assert tokens().credential_of(made(HEADER, GOOD)) == "kaleyra"


@given(st.binary(max_size=512) | st.lists(st.binary(max_size=150), min_size=3, max_size=3).map(
    lambda parts: b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)))  # fmt: skip
def test_no_token_raises(token: bytes) -> None:
    assert tokens().credential_of(token) is None


def test_deeply_nested_header_is_refused() -> None:
    assert tokens().credential_of(base64.urlsafe_b64encode(b'{"a":' + b"[" * 300) + b".e30.AAAA") is None


def test_number_of_cached_tokens_is_bounded() -> None:
    ours = tokens()
    for number in range(1100):
        token, _ = ours.issue(f"k{number}")
        assert ours.credential_of(token.encode()) == f"k{number}"
    assert len(ours._verified) == 1024
    assert all(len(digest) == 32 for digest in ours._verified), "digests, not tokens"
