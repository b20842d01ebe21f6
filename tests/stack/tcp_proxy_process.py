"""A program: carries TCP connections, slowly or not at all, as lines on its stdin say.

The lines: `delay SECONDS`, `freeze`, `thaw`, `close PORT` (refuse connections at this port, and end those there are),
`open PORT`, `forget` (forward nothing more of the connections there are, without closing them; carry new ones).

Its arguments are routes, LISTEN:TARGET, both ports of 127.0.0.1. It imports nothing of the project. It ends with its stdin.
"""

import asyncio
import sys
from contextlib import suppress

_CHUNK_BYTES = 65536
_CHUNKS_UNDER_WAY = 1000


class Proxy:
    """Carries connections. Half of the delay is on the way there, half on the way back."""

    def __init__(self) -> None:
        self._delay_seconds = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._servers: dict[int, asyncio.Server] = {}
        self._targets: dict[int, int] = {}
        self._carried: dict[int, set[asyncio.StreamWriter]] = {}
        self._handing_on: set[asyncio.Task[None]] = set()
        self._forgotten: set[asyncio.Task[None]] = set()

    async def listen(self, port: int, target: int) -> None:
        """Carry connections from a port to another."""
        self._targets[port] = target
        carried = self._carried[port] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            carried.add(writer)
            await self.carry(reader, writer, target)
            carried.discard(writer)

        self._servers[port] = await asyncio.start_server(accept, "127.0.0.1", port)

    def _close(self, port: int) -> None:
        self._servers.pop(port).close()
        for writer in self._carried[port]:
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        """Carry one connection until either end closes it."""
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        ways = [asyncio.create_task(self._take(reader, back)), asyncio.create_task(self._take(there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, back):
            end.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what comes; each piece is handed on when its time has come, so that many can be under way."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        handing_on = asyncio.create_task(self._hand_on(under_way, writer))
        self._handing_on.add(handing_on)
        try:
            with suppress(OSError):
                while chunk := await reader.read(_CHUNK_BYTES):
                    await under_way.put((loop.time() + self._delay_seconds / 2, chunk))
        finally:
            handing_on.cancel()
            self._handing_on.discard(handing_on)
            self._forgotten.discard(handing_on)

    async def _hand_on(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flows.wait()
            if asyncio.current_task() in self._forgotten:
                continue
            writer.write(chunk)
            await writer.drain()

    async def obey(self, line: str) -> None:
        """Do what a line says."""
        word, _, value = line.strip().partition(" ")
        if word == "delay":
            self._delay_seconds = float(value)
        elif word == "freeze":
            self._flows.clear()
        elif word == "thaw":
            self._flows.set()
        elif word == "close":
            self._close(int(value))
        elif word == "open":
            await self.listen(int(value), self._targets[int(value)])
        elif word == "forget":
            self._forgotten |= self._handing_on
        else:
            sys.exit(f"no such word: {word}")


async def run(routes: list[tuple[int, int]]) -> None:
    """Carry connections until stdin ends."""
    proxy = Proxy()
    for listen, target in routes:
        await proxy.listen(listen, target)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await proxy.obey(line)


if __name__ == "__main__":
    asyncio.run(run([(int(listen), int(target)) for listen, target in (route.split(":") for route in sys.argv[1:])]))
