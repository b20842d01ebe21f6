"""A program: carries TCP connections, slowly or not at all, as lines on its stdin say: `delay SECONDS`, `freeze`, `thaw`.

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
        try:
            with suppress(OSError):
                while chunk := await reader.read(_CHUNK_BYTES):
                    await under_way.put((loop.time() + self._delay_seconds / 2, chunk))
        finally:
            handing_on.cancel()

    async def _hand_on(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._flows.wait()
            writer.write(chunk)
            await writer.drain()

    def obey(self, line: str) -> None:
        """Do what a line says."""
        word, _, value = line.strip().partition(" ")
        if word == "delay":
            self._delay_seconds = float(value)
        elif word == "freeze":
            self._flows.clear()
        elif word == "thaw":
            self._flows.set()
        else:
            sys.exit(f"no such word: {word}")


async def run(routes: list[tuple[int, int]]) -> None:
    """Carry connections until stdin ends."""
    proxy = Proxy()
    for listen, target in routes:

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int = target) -> None:
            await proxy.carry(reader, writer, target)

        await asyncio.start_server(carry, "127.0.0.1", listen)
    while line := await asyncio.to_thread(sys.stdin.readline):
        proxy.obey(line)


if __name__ == "__main__":
    asyncio.run(run([(int(listen), int(target)) for listen, target in (route.split(":") for route in sys.argv[1:])]))
