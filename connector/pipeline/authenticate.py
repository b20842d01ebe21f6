"""Decides on the raw request whether Kaleyra sent it; compares in constant time, before anything is parsed.

Goes in: the headers and the last segment of the path. Comes out: the name of the credential that lets the caller pass, or
None. It never says why not.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from connector.settings import Authentication


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets a caller in: a header and its value, a token in the URL, or `allow_anyone`."""

    header_name: bytes = b""
    header_value: bytes = field(default=b"", repr=False)
    url_token: bytes = field(default=b"", repr=False)
    allow_anyone: bool = False

    @classmethod
    def of(cls, settings: Authentication) -> "Credentials":
        """Take the credentials from the settings, which have checked that there are some."""
        return cls(
            header_name=settings.header_name.lower().encode("ascii"),
            header_value=settings.header_value.get_secret_value().encode(),
            url_token=settings.url_token.get_secret_value().encode("ascii"),
            allow_anyone=settings.allow_anyone,
        )


def credential_of(credentials: Credentials, headers: Iterable[tuple[bytes, bytes]], url_token: str | None) -> str | None:
    """Return the name of the credential that stands in the request; None when there is none: the caller is a stranger."""
    if credentials.allow_anyone:
        return "anyone"
    if credentials.url_token and url_token and hmac.compare_digest(url_token.encode(), credentials.url_token):
        return "url_token"
    if not credentials.header_name:
        return None
    given = [value for name, value in headers if name == credentials.header_name]
    # The header twice is no request of Kaleyra's: which of the two a proxy has checked, nobody knows.
    is_right = len(given) == 1 and hmac.compare_digest(given[0].strip(b" \t"), credentials.header_value)
    return "header" if is_right else None
