"""Back-pressure of one connection, in both directions: its transport is paused and resumed here."""

import asyncio


class FlowControl:
    """Pauses reading when requests pile up, and makes answers wait while the peer does not read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_reading_paused = False
        self.is_writing_paused = False
        self._writable = asyncio.Event()

    def pause_reading(self) -> None:
        """Stop reading from the peer."""
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the peer again."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Make answers wait: the transport's write buffer is full."""
        self.is_writing_paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """Release the answers: the write buffer has room again, or the connection is gone."""
        self.is_writing_paused = False
        self._writable.set()

    async def wait_until_writable(self) -> None:
        """Wait for `resume_writing`."""
        await self._writable.wait()
