"""Counts and logs every request that is refused; and the answers of the listener itself, before a request reaches a path.

A log line has the reason, the method and the network of the client, never its address, a path, a header or a body.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final, Protocol, get_args

from connector.auth.client_address import Address, Network, source_of
from connector.logs import RateLimitedEvent
from connector.metrics import Metrics
from connector.records import Answer, Request
from connector.refusals import Refusal

_CLOSE: Final = ((b"connection", b"close"),)

MALFORMED_HTTP: Final = Answer(400, _CLOSE, refusal="malformed_http")
"""The request is not valid HTTP, or a proxy in front could read it in another way."""
TOO_MANY_PIPELINED: Final = Answer(400, _CLOSE, refusal="too_many_pipelined")
"""More than 32 requests wait on the connection. Those before are answered; this one and what follows are not read."""
HEADERS_TOO_SLOW: Final = Answer(408, _CLOSE, refusal="headers_too_slow")
"""Headers took longer than http.header_timeout_seconds."""
BODY_TOO_SLOW: Final = Answer(408, _CLOSE, refusal="body_too_slow")
"""The body took longer than http.body_timeout_seconds."""
HEADERS_TOO_LARGE: Final = Answer(431, _CLOSE, refusal="headers_too_large")
"""The headers are larger than 64 KiB, or there are more than 128."""
FAILED: Final = Answer(500, _CLOSE, refusal="internal_error")
"""An error in the bridge. A callback is answered 503 instead."""
TOO_MANY_CONNECTIONS: Final = Answer(503, ((b"retry-after", b"5"), *_CLOSE), refusal="too_many_connections")
"""The worker has http.max_connections connections already."""

NOTHING_KNOWN: Final = Request([], None)
"""A request of which nothing arrived."""

_MOST_LINES: Final = 10
_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 48
_LONGEST_METHOD: Final = 10


class Refuse(Protocol):
    """Counts one refused request."""

    def __call__(self, reason: Refusal, request: Request, method: str = "", error: str = "") -> None:
        """Count it: what is known of it, its method, and a library's own word for the cause; empty where not known."""
        ...


class Refusals:
    """Counts refused requests by reason and logs them.

    Strangers can send as many as they like, from many networks: at most ten lines a minute for a reason.
    """

    def __init__(self, metrics: Metrics, proxies: Sequence[Network] = ()) -> None:
        self._proxies = proxies
        # All from the start: a series that begins at zero shows its first refusal as a rise.
        self._tallies = {reason: metrics.tally(metrics.refused_requests.labels(reason)) for reason in get_args(Refusal)}
        self._refused = RateLimitedEvent("request_refused", by="reason", most=_MOST_LINES)

    def add(self, reason: Refusal, request: Request, method: str = "", error: str = "") -> None:
        """Count a refused request and log it."""
        self._tallies[reason].count += 1
        method = method if method.isalpha() and len(method) <= _LONGEST_METHOD else ""
        network = network_of(source_of(request, self._proxies))
        if error:
            self._refused.event(reason=reason, network=network, method=method, error=error)
        else:
            self._refused.event(reason=reason, network=network, method=method)


def network_of(address: Address | None) -> str:
    """Return the network of an address as text, too large to name a person: a /24 of IPv4, a /48 of IPv6."""
    if address is None:
        return "unknown"
    prefix = _IPV4_PREFIX if isinstance(address, ipaddress.IPv4Address) else _IPV6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))


def count_nothing(reason: Refusal, request: Request, method: str = "", error: str = "") -> None:
    """Do nothing: for listeners of which no one counts the refused requests."""
