"""A network between clients and servers of this machine that can be made slow, or frozen with its connections open.

A separate process, `tests.stack.tcp_proxy_process`, does the work: a test that is busy must not slow it.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.stack.errors import ServerFailed

_STACK: Final = Path(__file__).parent
_START_SECONDS: Final = 20.0


class Network:
    """Carries connections from ports of 127.0.0.1 to other ones: `routes` are where it listens, and where that leads."""

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = dict(routes)
        self._process: subprocess.Popen[str] | None = None
        self._closed: set[int] = set()

    def address_of(self, number: int) -> str:
        """Return where the route of this number (from 1) begins."""
        return f"127.0.0.1:{list(self._routes)[number - 1]}"

    def start(self) -> None:
        """Start it, and return when it listens."""
        routes = [f"{listen}:{target}" for listen, target in self._routes.items()]
        tied = [sys.executable, "-I", "-S", str(_STACK / "die_with_parent.py"), str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied, sys.executable, str(_STACK / "tcp_proxy_process.py"), *routes],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not all(map(_listens, self._routes)):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise ServerFailed("the proxy between clients and brokers does not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and all connections that it carries."""
        if self._process:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin
            self._process.stdin.close()
            self._process = None

    def slow_down(self, seconds: float) -> None:
        """Add a delay to the round trip; 0 is none."""
        self._send(f"delay {seconds}")

    def freeze(self) -> None:
        """Forward nothing more; connections stay open."""
        self._send("freeze")

    def thaw(self) -> None:
        """Forward again, first what was held."""
        self._send("thaw")

    def close(self, number: int) -> None:
        """Refuse connections of the route of this number (from 1), and end those there are."""
        self._send(f"close {list(self._routes)[number - 1]}")
        self._closed.add(number)

    def open(self) -> None:
        """Accept connections of all routes again."""
        for number in self._closed:
            self._send(f"open {list(self._routes)[number - 1]}")
        self._closed = set()

    def forget(self) -> None:
        """Forward nothing more of the connections there are, without closing them, as a load balancer does with idle ones."""
        self._send("forget")

    def _send(self, line: str) -> None:
        assert self._process, "the network is not started"
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
