"""Where a request comes from: the peer's address, or the one that a trusted proxy tells.

In goes what is known of a request before its body; out comes an address, or None when it cannot be told. A forwarded address is
believed only of the proxies that the settings name: the right-most that is none of them, since a caller can write the others.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from connector.records import Request

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS: Final = 20


def source_of(request: Request, proxies: Sequence[Network]) -> Address | None:
    """Return the address of the caller. A proxy that forwards for nobody is the caller itself."""
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
    """Return whether an address is of one of the networks; an IPv4 address is of no IPv6 network."""
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Read an address, also one with a port behind it, as some proxies write it."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A listener on :: sees IPv4 callers by such addresses.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
