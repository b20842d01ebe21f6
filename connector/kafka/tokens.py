"""Tokens for Kafka clients: `token.provider` among a client's properties in, the library's callback out.

The client calls it in its own thread, at its creation and before each token expires, so fetching credentials delays no
callback. Its constructor waits for the first token, for one second at least: do not call it on the event loop.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from connector.errors import ConfigurationInvalid
from connector.logs import RateLimitedEvent

PROPERTY: Final = "token.provider"
"""Set by the settings (settings/tables.py): the provider's name and, after a blank, the region if a setting names it."""
_AWS: Final = "aws-msk-iam"
_PACKAGE: Final = "aws_msk_iam_sasl_signer"
_MSK_HOST: Final = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")

Token = tuple[str, float]
"""A token, and when it expires, in seconds since 1970."""


def takes_tokens(properties: Mapping[str, Any]) -> bool:
    """Return whether clients with these properties need tokens of ours, so that their constructor blocks."""
    return PROPERTY in properties


def with_tokens(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's properties as the library takes them.

    Raises:
        ConfigurationInvalid: if the provider's package is not installed, or the region is not known.
    """
    rest = {name: value for name, value in properties.items() if name != PROPERTY}
    if PROPERTY not in properties:
        return rest
    _, _, region = str(properties[PROPERTY]).partition(" ")
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ConfigurationInvalid(
            [f"kafka.token_provider: {_AWS} needs a further package: pip install 'kaleyra-whatsapp-connector[msk]'"]
        )
    region = region or _region(str(properties.get("bootstrap.servers", "")))
    if not region:
        raise ConfigurationInvalid(["kafka.aws_region: set the AWS region of the cluster: bootstrap.servers does not name it"])
    return {**rest, "oauth_cb": AwsTokens(region)}


class AwsTokens:
    """Called by the client for a token for Amazon MSK: a signed URL, valid for 15 minutes. AWS' own chain finds credentials."""

    def __init__(self, region: str, sign: "Callable[[str], tuple[str, int]] | None" = None) -> None:
        self._region = region
        self._sign = sign or _sign
        self._failed = RateLimitedEvent("kafka_token_failed", "error")

    def __call__(self, _config: str | None) -> Token:
        """Return a token; an error makes the client ask again after ten seconds."""
        try:
            token, expires_at_ms = self._sign(self._region)
        except Exception as error:
            # Without its text, which may quote an answer of AWS.
            self._failed.event(error=type(error).__name__, see="the AWS credentials of the process")
            raise
        return token, expires_at_ms / 1000


def _sign(region: str) -> tuple[str, int]:
    # The extra `msk`; its imports take a second, which only its users wait for.
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415

    token, expires_at_ms = MSKAuthTokenProvider.generate_auth_token(region)
    return str(token), int(expires_at_ms)


def _region(bootstrap_servers: str) -> str:
    found = _MSK_HOST.search(bootstrap_servers)
    return found[1] if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
