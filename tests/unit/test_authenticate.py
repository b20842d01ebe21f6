"""Who may call, decided on the raw request."""

import pytest

from connector.pipeline.authenticate import Credentials, credential_of
from connector.settings import Authentication

TOKEN = "an-invented-token-0001"
HEADER = Credentials(header_name=b"authorization", header_value=b"Bearer invented")
URL = Credentials(url_token=TOKEN.encode())
BOTH = Credentials(header_name=b"authorization", header_value=b"Bearer invented", url_token=TOKEN.encode())
NOBODY = Credentials()
ANYONE = Credentials(allow_anyone=True)

RIGHT = (b"authorization", b"Bearer invented")


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
        (NOBODY, [RIGHT], TOKEN, False),
        (NOBODY, [(b"", b"")], "", False),
        (ANYONE, [], None, True),
    ],
)
def test_any_one_credential_that_is_set_lets_the_caller_in(
    credentials: Credentials, headers: list[tuple[bytes, bytes]], url_token: str | None, passes: bool
) -> None:
    assert (credential_of(credentials, headers, url_token) is not None) is passes


@pytest.mark.parametrize("second", [b"Bearer invented", b"wrong"])
def test_header_that_stands_there_twice_lets_nobody_in(second: bytes) -> None:
    assert credential_of(HEADER, [RIGHT, (b"authorization", second)], None) is None
    assert credential_of(HEADER, [(b"authorization", second), RIGHT], None) is None


def test_header_name_of_the_settings_is_compared_in_lower_case() -> None:
    settings = Authentication.model_validate({"header_name": "X-Callback-Secret", "header_value": "Basic invented"})

    credentials = Credentials.of(settings)

    assert credential_of(credentials, [(b"x-callback-secret", b"Basic invented")], None) == "header"


def test_credentials_never_show_a_secret() -> None:
    assert "invented" not in repr(BOTH)


def test_credential_is_told_by_its_name_and_never_by_its_value() -> None:
    assert credential_of(BOTH, [RIGHT], None) == "header"
    assert credential_of(BOTH, [], TOKEN) == "url_token"
    assert credential_of(ANYONE, [], None) == "anyone"
