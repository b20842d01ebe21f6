"""The requests of one connection, answered in the order in which they arrived.

One request at a time is with the application. Those pipelined behind it wait, and the connection is not read meanwhile.
"""

import asyncio
from collections import deque
from typing import Final

from starlette.types import ASGIApp

from connector.http.exchange import Exchange
from connector.http.flow_control import FlowControl
from connector.http.refusals import Refuse

_MAX_WAITING: Final = 32


class QueueFull(Exception):
    """More requests wait than the bound allows: they take memory."""


class RequestQueue:
    """Starts requests one after the other. The body that arrives is that of the `latest`; the last answer was `answered_at`."""

    def __init__(
        self,
        app: ASGIApp,
        tasks: set[asyncio.Task[None]],
        transport: asyncio.Transport,
        flow_control: FlowControl,
        refuse: Refuse,
    ) -> None:
        self.latest: Exchange | None = None
        self.answered_at = 0.0
        self._current: Exchange | None = None
        self._ready: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._app = app
        self._refuse = refuse
        self._tasks = tasks
        self._transport = transport
        self._flow_control = flow_control
        self._loop = asyncio.get_running_loop()

    def add(self, exchange: Exchange) -> None:
        """Append a request: it waits for its turn, or for `start_ready`.

        Raises:
            QueueFull: if too many requests wait.
        """
        if self.latest and not self.latest.is_answered:
            if len(self._waiting) >= _MAX_WAITING:
                raise QueueFull
            self._flow_control.pause_reading()
            self._waiting.append(exchange)
        else:
            self._ready = exchange
        self.latest = exchange

    def start_ready(self) -> None:
        """Start the request that need not wait. Called once the data at hand is parsed: as a rule its body is complete then."""
        if self._ready:
            ready, self._ready = self._ready, None
            self._start(ready)

    def on_answer(self) -> None:
        """Start the next request; read again once none waits."""
        if self._transport.is_closing():
            return
        self.answered_at = self._loop.time()
        if self._waiting:
            self._start(self._waiting.popleft())
        if not self._waiting:
            self._flow_control.resume_reading()

    def is_answering(self) -> bool:
        """Return whether a request has no answer yet."""
        return self.latest is not None and not self.latest.is_answered

    def is_waiting(self) -> bool:
        """Return whether requests wait behind another: then the connection is not read."""
        return bool(self._waiting)

    def end_after_complete(self) -> bool:
        """End the connection after the answers to complete requests, and drop the rest; return False if there are none."""
        before = self._ready or self._current
        if before is None or before.is_answered or not before.is_complete:
            self._ready = None
            return False
        self._waiting = deque(exchange for exchange in self._waiting if exchange.is_complete)
        self.latest = self._waiting[-1] if self._waiting else before
        self.latest.keep_alive = False
        return True

    def disconnect(self) -> None:
        """Report to the application that the peer is gone."""
        for exchange in (self._current, self.latest):
            if exchange:
                exchange.disconnect()
        # A request refers to this object, too.
        self._current = self.latest = None
        self._waiting.clear()

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        task = self._loop.create_task(exchange.run(self._app, self._refuse))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
