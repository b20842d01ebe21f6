"""The senders of the outages, against a scripted server: the ledger has every callback and every answer."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.scenarios.invented import MARK
from tests.faults.scenarios.ledger import NO_ANSWER
from tests.faults.scenarios.sender import SENDERS, Load
from tests.support.servers import eventually

CUT = -1
"""As a status: the connection is closed instead."""


class Server:
    """Answers what `answer` says to the mark of a callback and how often it has come; `seen` is what came, in order."""

    def __init__(self, answer: Callable[[str, int], int]) -> None:
        self._answer = answer
        self.seen: list[str] = []
        self.url = ""
        self.is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callbacks"
        self.is_up.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            body = (await reader.readexactly(int(head.partition("content-length: ")[2]))).decode()
            (mark,) = set(MARK.findall(body))
            self.seen.append(mark)
            status = self._answer(mark, self.seen.count(mark))
            if status == CUT:
                break
            writer.write(f"HTTP/1.1 {status} Any\r\nContent-Length: 4\r\nRetry-After: 5\r\n\r\nciao".encode())
        writer.close()


async def read_head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@contextmanager
def serving(answer: Callable[[str, int], int]) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.is_up.wait(5)
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)


def number_of(mark: str) -> int:
    return int(mark.split("-")[2])


def test_ledger_has_every_callback_and_its_answer() -> None:
    with serving(lambda _mark, _time: 200) as server, Load(server.url, rate=500, fault=1) as load:
        load.goes_well(100, 20)
        load.stop()
    assert sorted(sent.mark for sent in load.ledger) == sorted(server.seen)
    assert {answer.status for sent in load.ledger for answer in sent.answers} == {200}
    assert len({sent.key for sent in load.ledger}) == SENDERS


def test_every_second_sender_retries_until_200() -> None:
    def answer(_mark: str, time: int) -> int:
        return {1: 503, 2: CUT}.get(time, 200)

    with serving(answer) as server, Load(server.url, rate=500, fault=1) as load:
        eventually(lambda: load.count(200) > 20, 20)
        load.stop()
    statuses = {sent.mark: [one.status for one in sent.answers] for sent in load.ledger}
    again = [found for mark, found in statuses.items() if number_of(mark) % 2 == 0]
    assert [503, NO_ANSWER, 200] in again
    assert all(found == [503] for mark, found in statuses.items() if number_of(mark) % 2)
    # As it is: the same body, and nothing of that person before it is answered.
    for number in range(0, SENDERS, 2):
        came = [mark for mark in server.seen if number_of(mark) == number]
        assert came == [mark for mark in dict.fromkeys(came) for _ in range(came.count(mark))]


def test_connection_that_is_refused_is_no_answer() -> None:
    with serving(lambda _mark, _time: 200) as server:
        url = server.url
    with Load(url, rate=500, fault=1) as load:
        eventually(lambda: load.count(NO_ANSWER) > 20, 20)
        load.stop()
    assert {answer.status for sent in load.ledger for answer in sent.answers} == {NO_ANSWER}
