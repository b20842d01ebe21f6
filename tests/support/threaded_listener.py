"""Serves an ASGI application in a thread of the test, behind the connector's own listener.

In go a listener and a socket; it serves within the `with`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from typing import Final

import uvloop

from connector.http.listener import Listener

_SECONDS: Final = 10.0


class ThreadedListener:
    """A listener that serves from `start` to `stop`."""

    def __init__(self, listener: Listener, listening: socket) -> None:
        self._listener = listener
        self._thread = threading.Thread(target=lambda: uvloop.run(listener.serve(sockets=[listening])))

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + _SECONDS
        while not self._listener.started:
            assert self._thread.is_alive(), "the server does not start"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._listener.should_exit = True
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive(), "the server does not stop"


@contextmanager
def serving(listener: Listener, listening: socket) -> Iterator[None]:
    """Serve within the `with`."""
    threaded = ThreadedListener(listener, listening)
    threaded.start()
    try:
        yield
    finally:
        threaded.stop()
