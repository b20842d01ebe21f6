"""The registry of `connector dev` in a thread of the test, at an address that it keeps: it counts, loses its data, goes away.

For what a bridge makes of a registry's moods; how registries answer is the contract suite's.
"""

import socket
from collections.abc import Iterable
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from connector.catalogue import RecordType
from connector.dev.embedded.registry import create_registry
from connector.http.listener import PlainServer
from connector.registry.client import RegistryClient
from tests.stack.ports import free_ports
from tests.support.threaded_listener import ThreadedListener


class EmbeddedRegistry:
    """A registry that a test controls. As a context manager: started, then stopped.

    `requests` are the method and path of all that it was asked; `intruder` answers in its place, as a proxy may.
    """

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.requests: list[tuple[str, str]] = []
        self.intruder: ASGIApp | None = None
        self._registry: ASGIApp = create_registry()
        self._server: ThreadedListener | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; what was registered is still there."""
        listening = socket.create_server(("127.0.0.1", self._port))
        self._server = ThreadedListener(PlainServer(self._answer), listening)
        self._server.start()

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self._server:
            self._server.stop()
            self._server = None

    def lose_data(self) -> None:
        """Forget everything, as a registry in memory does when it restarts."""
        self._registry = create_registry()

    def take_data(self, other: Self) -> None:
        """Take over the data of another one, in one step."""
        self._registry = other._registry

    def register(self, record_types: Iterable[RecordType]) -> None:
        """Register schemas in this order: ids are given one after the other."""
        registry = RegistryClient(self.url)
        for record_type in record_types:
            registry.register(record_type)
        registry.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append((scope["method"], scope["path"]))
        app = self.intruder or self._registry
        await app(scope, receive, send)
