"""Tricks with paths: what is not ours is 404 or 400, our own path needs a secret; never a redirect."""

import pytest

from tests.security.conftest import AUTHENTIC, BODY, PATH, SECRETS, Bridge, post

TOKEN = SECRETS["url"]
ENCODED = "".join(f"%{ord(letter):02x}" for letter in TOKEN)

OTHERS = [
    "//callbacks/kaleyra",
    "/callbacks//kaleyra",
    f"{PATH}//",
    f"{PATH}//{TOKEN}",
    "/callbacks%2fkaleyra%2fx%2fy",
    f"/callbacks/../callbacks/kaleyra/{TOKEN}",
    "/callbacks/./kaleyra",
    "/callbacks/x/../kaleyra",
    f"{PATH}/../kaleyra/{TOKEN}",
    f"{PATH}/%2e%2e/kaleyra/{TOKEN}",
    f"{PATH}/..%2f{TOKEN}",
    f"{PATH}/{TOKEN}/..",
    f"{PATH}/{TOKEN}%2f..",
    f"{PATH}/x%2f{TOKEN}",
    "/CALLBACKS/KALEYRA",
    f"{PATH};{TOKEN}",
    f"{PATH}.json",
    "/metrics",
    "/healthz",
    "/readyz/",
    "/oauth",
    "/oauth/token/",
    "/oauth/token/x",
    "/oauth//token",
    "/",
    "*",
]
WRONG_TOKENS = [
    f"{TOKEN}%00",
    f"%00{TOKEN}",
    f"{TOKEN}%20",
    f"{TOKEN}%0d%0a",
    f"%2e{TOKEN}",
    f"{TOKEN}%c0%80",
    f"{TOKEN}%ff",
    f"{TOKEN};x",
    f"{ENCODED}%",
    ENCODED.replace("%", "%25"),
    "..",
    ".",
    "%2e%2e",
    "%00",
    "%ff%fe",
    "{token}",
    "*",
    "x" * 60_000,
]


@pytest.mark.parametrize("path", OTHERS)
def test_other_path_is_404_without_a_redirect(bridge: Bridge, path: str) -> None:
    client = bridge.connect().send(post(BODY, AUTHENTIC, path=path))
    answer = client.answer()
    assert answer.status in (400, 404)
    assert "location" not in answer.headers
    assert TOKEN.encode() not in answer.body
    assert bridge.texts() == 0


@pytest.mark.parametrize("token", WRONG_TOKENS, ids=lambda token: token[:50])
def test_token_that_is_not_the_token_is_401(bridge: Bridge, token: str) -> None:
    for path in (f"{PATH}/{token}", f"{PATH}/{token}/"):
        answer = bridge.ask(post(BODY, path=path))
        assert answer.status in (401, 404)
        assert not {"location", "x-powered-by", "server"} & set(answer.headers)
        assert not answer.body or answer.status == 404
    assert bridge.texts() == 0


@pytest.mark.parametrize(
    "path", [f"{PATH}/{ENCODED}", f"{PATH}/{TOKEN}?a=/../..", f"http://other{PATH}/{TOKEN}", f"{PATH}/{TOKEN}#x"]
)
def test_other_spelling_of_the_right_url_is_the_right_url(bridge: Bridge, path: str) -> None:
    assert bridge.ask(post(BODY, path=path)).status == 200
    assert bridge.texts() == 1


@pytest.mark.parametrize(
    "path", [f"http://bridge{PATH}", f"//bridge{PATH}", f"http://user:{TOKEN}@bridge{PATH}", f"http://{TOKEN}{PATH}"]
)
def test_absolute_form_is_refused(bridge: Bridge, path: str) -> None:
    assert bridge.ask(post(BODY, path=path)).status in (400, 401, 404)
    assert bridge.texts() == 0


@pytest.mark.parametrize("byte", [0, 1, 9, 11, 27, 127])
def test_control_character_in_the_target_is_400(bridge: Bridge, byte: int) -> None:
    assert bridge.ask(post(BODY, AUTHENTIC, path=f"{PATH}/{chr(byte)}x")).status in (400, 404)
    assert bridge.texts() == 0
