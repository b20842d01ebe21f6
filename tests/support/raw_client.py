"""A connection that sends bytes as they are: client libraries do not send the malformed requests that tests need."""

import socket
import struct
from contextlib import suppress
from typing import NamedTuple


class Answer(NamedTuple):
    """A parsed HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection that sends bytes as they are and reads answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=8)
        self._received = b""

    def send(self, content: bytes) -> "Client":
        # The server may answer and close before it has taken everything; the answer can still be read.
        with suppress(ConnectionError):
            self.socket.sendall(content)
        return self

    def answer(self) -> Answer:
        while b"\r\n\r\n" not in self._received:
            assert self._read(), f"closed without an answer, after {self._received!r}"
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            assert self._read(), "closed within an answer"
        body, self._received = self._received[:length], self._received[length:]
        return Answer(int(first.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Whether the server closes without a further byte."""
        return not self._read() and not self._received

    def hang_up(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self) -> bool:
        try:
            got = self.socket.recv(65536)
        except ConnectionError:
            return False
        self._received += got
        return bool(got)
