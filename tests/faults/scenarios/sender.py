"""Senders that keep a ledger: each for one person, waiting for each answer before the next callback.

Every second one is patient: what was not answered 200 it sends again, as it is, until it was. The others go on to the next.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from tests.faults.scenarios.invented import Invented, Person
from tests.faults.scenarios.ledger import NO_ANSWER, Answer, Sent
from tests.support.servers import eventually

SENDERS: Final = 24
ANSWER_SECONDS: Final = 40.0
"""How long a sender waits for an answer."""
_AGAIN_SECONDS: Final = 0.25
"""A patient sender's pause; Retry-After asks for more, but not all heed it."""
_STOP_SECONDS: Final = 60.0
_PAUSE_POLL_SECONDS: Final = 0.05


class Load:
    """Callbacks at a rate (a second, all senders together) to a URL, from its start to its end. `fault` numbers them."""

    def __init__(self, url: str, rate: float, fault: int) -> None:
        self._url = url
        self._pause_seconds = SENDERS / rate
        self._fault = fault
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="senders")
        self.ledger: list[Sent] = []
        self._defects: list[BaseException] = []
        self._is_paused = False
        self._under_way = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; all answers are in by then."""
        self._stopping.set()
        if self._thread.ident is None:
            # The bridge did not even start.
            return
        self._thread.join(_STOP_SECONDS)
        assert not self._thread.is_alive(), "the senders do not end"
        if self._defects:
            raise self._defects[0]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing in the block; all answers are in when it begins."""
        self._is_paused = True
        try:
            eventually(lambda: not self._under_way, 2 * ANSWER_SECONDS, lambda: f"{self._under_way} answers are missing")
            yield
        finally:
            self._is_paused = False

    def count(self, status: int, since: float = 0.0) -> int:
        """Return how many sendings that began after `since` had this answer."""
        return sum(answer.status == status and answer.began > since for one in list(self.ledger) for answer in one.answers)

    def goes_well(self, answers: int = 30, timeout_seconds: float = 60.0) -> None:
        """Wait until so many callbacks sent from now on were answered 200: whatever was wrong has healed."""
        now = time.monotonic()
        eventually(lambda: self.count(200, now) >= answers, timeout_seconds, lambda: f"{self.count(200, now)} answered 200")

    async def _run(self) -> None:
        try:
            await asyncio.gather(*(self._send_all(number) for number in range(SENDERS)))
        except BaseException as defect:  # raised again where the load is stopped
            self._defects.append(defect)
            raise

    async def _send_all(self, number: int) -> None:
        person = Person(self._fault, number)
        is_patient = number % 2 == 0
        connection = Connection(self._url)
        # Spread: not all at once.
        await asyncio.sleep(self._pause_seconds * number / SENDERS)
        while not self._stopping.is_set():
            callback = person.next()
            sent = Sent(callback.mark, callback.key, callback.topics)
            self.ledger.append(sent)
            await self._send(connection, callback, sent)
            while is_patient and sent.accepted_at() is None and not self._stopping.is_set():
                await asyncio.sleep(_AGAIN_SECONDS)
                await self._send(connection, callback, sent)
            taken = sent.answers[-1].ended - sent.answers[-1].began
            await asyncio.sleep(max(0.0, self._pause_seconds - taken))
        connection.close()

    async def _send(self, connection: "Connection", callback: Invented, sent: Sent) -> None:
        while self._is_paused and not self._stopping.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(_PAUSE_POLL_SECONDS)
        self._under_way += 1
        began = time.monotonic()
        try:
            status = await connection.post(callback.body)
        finally:
            self._under_way -= 1
        sent.answers.append(Answer(status, began, time.monotonic()))


class Connection:
    """A client of HTTP/1.1 with one connection, as cheap as can be: the machine's processors are for the bridge."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._host, self._port = parts.hostname, parts.port
        self._head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\ncontent-length: "
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send a body and return the status; `NO_ANSWER` when the connection is refused or cut, or no answer comes in time."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._exchange(body)
        except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
            self.close()
            return NO_ANSWER

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, body: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            self.close()
        return status
