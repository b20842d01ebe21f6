"""A network that can fail: a TCP proxy in front of a server, whose bytes are held back, in one direction or both, or cut off.

It listens on 127.0.0.1; `target` is the server's port, which may become known later. Held bytes come through at `resume`.
"""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

_CHUNK_BYTES = 65536


class Proxy:
    """A listener at `port` and its connections. As a context manager: started, then cut off."""

    def __init__(self) -> None:
        self.target = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._requests = threading.Event()
        self._answers = threading.Event()
        self._accepts = threading.Event()
        self._connections: set[socket.socket] = set()
        self._is_closed = False

    def __enter__(self) -> Self:
        self.resume()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self.resume()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._reset()

    def freeze(self) -> None:
        """Let nothing through; connections stay open."""
        self._requests.clear()
        self._answers.clear()

    def lose_answers(self) -> None:
        """Let through what clients send, and nothing that comes back."""
        self._answers.clear()

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._accepts.clear()
        self._reset()

    def resume(self) -> None:
        """Let everything through."""
        for gate in (self._requests, self._answers, self._accepts):
            gate.set()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self._accepts.is_set():
                _close_at_once(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                _close_at_once(client)
                continue
            server.settimeout(None)
            self._connections |= {client, server}
            for source, sink, gate in ((client, server, self._requests), (server, client, self._answers)):
                threading.Thread(target=self._carry, args=(source, sink, gate), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, gate: threading.Event) -> None:
        with suppress(OSError):
            while part := source.recv(_CHUNK_BYTES):
                gate.wait()
                sink.sendall(part)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._connections.discard(end)

    def _reset(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _close_at_once(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
