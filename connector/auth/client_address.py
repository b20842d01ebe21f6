"""A request in, the address of its client out: the peer's, or the one that a trusted proxy forwards; None if unknown.

It needs no body. X-Forwarded-For is trusted only from the proxies in the settings. The client is the right-most address that is
not a trusted proxy, because clients can forge the ones before it.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from connector.records import Request

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS: Final = 20


def source_of(request: Request, proxies: Sequence[Network]) -> Address | None:
    """Return the address of the client. A proxy that sends no X-Forwarded-For is the client itself."""
    peer = _address(request.peer)
    if peer is None or not is_within(peer, proxies):
        return peer
    forwarded = b",".join(value for name, value in request.headers if name == b"x-forwarded-for")
    hops = [hop for hop in forwarded.decode("latin-1").split(",") if hop.strip()]
    source: Address | None = peer
    for hop in reversed(hops[-_MOST_HOPS:]):
        source = _address(hop.strip())
        if source is None or not is_within(source, proxies):
            break
    return source


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of the networks; an IPv4 address is in no IPv6 network."""
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Parse an address, with or without a port, which some proxies add."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A listener on :: sees IPv4 clients with such addresses.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
