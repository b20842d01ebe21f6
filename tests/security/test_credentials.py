"""Authentication: each kind of credential right, wrong, missing, twice, empty, over-long and with what is no ASCII."""

import base64
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.security.conftest import AUTHENTIC, BODY, PATH, SECRETS, Bridge, post
from tests.support.servers import eventually

Case = tuple[str, list[str], str, str]
"""What is tried: in words, headers, the segment behind the path, and the credential that admits it (empty for none)."""


def basic(pair: str) -> str:
    return "Authorization: Basic " + base64.b64encode(pair.encode("latin-1")).decode()


def cases() -> Iterator[Case]:
    secret = SECRETS["old"]
    forms: dict[str, Callable[[str], tuple[list[str], str]]] = {
        "header_old": lambda shown: ([f"X-Kaleyra-Key: {shown}"], ""),
        "basic": lambda shown: ([basic(f"kaleyra:{shown}")], ""),
        "bearer": lambda shown: ([f"Authorization: Bearer {shown}"], ""),
        "in_url": lambda shown: ([], f"/{shown}"),
    }
    right = {"header_old": secret, "basic": secret, "bearer": SECRETS["bearer"], "in_url": SECRETS["url"]}
    for name, form in forms.items():
        shown = right[name]
        yield (f"{name} right", *form(shown), name)
        yield (f"{name} wrong", *form("another-secret-0123456789"), "")
        yield (f"{name} cut", *form(shown[:-1]), "")
        yield (f"{name} and more", *form(f"{shown}x"), "")
        yield (f"{name} in other letters", *form(shown.upper()), "")
        yield (f"{name} empty", *form(""), "")
        yield (f"{name} over-long", *form(shown + "x" * 40_000), "")
        yield (f"{name} no ASCII", *form(shown[:-1] + "\xe9"), "")
        headers, behind = form(shown)
        if headers:
            yield (f"{name} twice", headers * 2, behind, "")
            yield (f"{name} behind a wrong one", [*form("wrong")[0], *headers], behind, "")
            yield (f"{name} joined by a comma", [f"{headers[0]}, {shown}"], behind, "")
    yield ("missing", [], "", "")
    yield ("basic without a scheme", [basic(f"kaleyra:{secret}").replace("Basic ", "")], "", "")
    yield ("basic of another user", [basic(f"kaleyrb:{secret}")], "", "")
    yield ("basic that is no base64", ["Authorization: Basic \xff\xfe"], "", "")
    yield ("secret of one kind in another's place", [f"X-Kaleyra-Key: {SECRETS['bearer']}"], "", "")
    yield ("secret of a client as a token", [f"Authorization: Bearer {SECRETS['client']}"], "", "")
    yield ("header in a network that a proxy reports", ["X-Forwarded-For: 192.0.2.7"], "", "near")
    yield ("network that the caller claims", ["X-Forwarded-For: 192.0.2.7, 203.0.113.5"], "", "")
    yield ("network in another header", ["Forwarded: for=192.0.2.7", "X-Real-IP: 192.0.2.7"], "", "")
    yield ("second of two secrets", [AUTHENTIC], "", "header_new")
    yield ("wrong header beside the right URL", ["X-Kaleyra-Key: wrong"], f"/{SECRETS['url']}", "in_url")


@pytest.mark.parametrize(("headers", "behind", "name"), [case[1:] for case in cases()], ids=[case[0] for case in cases()])
def test_credential(bridge: Bridge, headers: list[str], behind: str, name: str) -> None:
    client = bridge.connect().send(post(BODY, *headers, path=PATH + behind))
    answer = client.answer()
    assert (answer.status, answer.body) == (200 if name else 401, b"")
    assert bridge.texts() == (1 if name else 0)
    if name:
        series = f'connector_callbacks_by_credential_total{{credential="{name}"}}'
        eventually(lambda: bridge.metrics().get(series, 0) >= 1, explain=bridge.metrics)
    else:
        assert answer.headers["www-authenticate"] == 'Bearer realm="callbacks"'
        assert client.is_closed()


def token(bridge: Bridge) -> str:
    asked = json.dumps({"client_id": "kaleyra", "client_secret": SECRETS["client"]}).encode()
    answer = bridge.ask(post(asked, "Content-Type: application/json", path="/oauth/token"))
    assert answer.status == 200
    return str(json.loads(answer.body)["access_token"])


def test_issued_token_is_accepted_and_a_changed_one_is_refused(bridge: Bridge) -> None:
    ours = token(bridge)
    head, claims, signature = ours.split(".")
    assert bridge.ask(post(BODY, f"Authorization: Bearer {ours}")).status == 200
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"a"}').decode().rstrip("=")
    later = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(claims + "==").replace(b'"exp":1', b'"exp":9')
    ).decode().rstrip("=")  # fmt: skip
    for wrong in (
        f"{head}.{claims}.",
        f"{none}.{claims}.",
        f"{head}.{later}.{signature}",
        f"{ours}x",
        f"{ours}.{ours}",
        ours[1:],
    ):
        assert bridge.ask(post(BODY, f"Authorization: Bearer {wrong}")).status == 401
    assert bridge.ask(post(BODY, *[f"Authorization: Bearer {ours}"] * 2)).status == 401
    assert bridge.texts() == 1


@pytest.mark.parametrize(
    "asked", [b"", b"{", b"[]", b'{"client_id": "kaleyra"}', b"client_id=kaleyra&client_secret=x", b"\xff", b"{" * 8000]
)
def test_unauthenticated_client_gets_no_token(bridge: Bridge, asked: bytes) -> None:
    answer = bridge.ask(post(asked, path="/oauth/token"))
    assert answer.status in (400, 401)
    assert json.loads(answer.body) in ({"error": "invalid_request"}, {"error": "invalid_client"})


def test_guessing_a_secret_is_429_soon(bridge: Bridge) -> None:
    # An address reported by the trusted proxy, so that the limit does not apply to the other tests.
    one = post(b"{}", "X-Forwarded-For: 203.0.113.77", path="/oauth/token")
    started = time.monotonic()
    statuses = [bridge.ask(one).status]
    while statuses[-1] == 401 and len(statuses) < 500:
        statuses.append(bridge.ask(one).status)
    # A hundred at once, and a hundred a minute after that: a slow machine is admitted a few more.
    refilled = (time.monotonic() - started) * 100 / 60
    assert statuses == [401] * (len(statuses) - 1) + [429]
    assert 100 <= statuses.count(401) <= 100 + refilled
    assert token(bridge)


def test_credential_over_its_limit_is_429_and_the_others_are_not(bridge: Bridge) -> None:
    statuses = [bridge.ask(post(BODY, f"Authorization: Bearer {SECRETS['slow']}")).status for _ in range(5)]
    assert statuses[0] == 200
    assert statuses.count(429) >= 3
    assert bridge.is_well()


def test_compressed_body_is_415_or_401_if_unauthenticated(bridge: Bridge) -> None:
    assert bridge.ask(post(b"\x1f\x8b", AUTHENTIC, "Content-Encoding: gzip")).status == 415
    assert bridge.ask(post(b"\x1f\x8b", "Content-Encoding: gzip")).status == 401
    assert not bridge.texts()
