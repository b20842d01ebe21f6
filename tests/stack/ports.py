"""Choose ports of 127.0.0.1 on which nothing listens now. They are not reserved: the first process that binds one has it."""

import random
import socket

# Below the range from which Linux takes the source ports of outgoing connections (32768 and up). A port from that range
# could be given away while a broker is stopped, even to a client that tries to reach that very broker: a connection to
# the same address and port that it comes from succeeds, and the broker cannot have its port back.
_RANGE = range(20_000, 32_768)


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports."""
    free: list[int] = []
    # Random, so that several test runs on one machine seldom choose the same.
    for port in random.sample(_RANGE, k=len(_RANGE)):
        if len(free) == count:
            break
        if _is_free(port):
            free.append(port)
    return tuple(free)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # What servers set too: the remains of closed connections do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
