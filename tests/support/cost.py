"""What a callback costs without a clock: bytecode instructions, calls into C, and the peak of memory, counted.

The same on every machine, for one minor version of Python and the locked libraries. `python -m tests.cost` (`make
guard-figures`) counts again and writes data/cost.json, which tests/contract/test_cost.py holds the code to.
"""

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import uvloop

from connector.auth.authenticate import Credentials
from connector.http.app import create_app
from connector.http.protocol import HttpProtocol, ListenerState
from connector.metrics import Metrics
from connector.records import RawCallback
from connector.settings.tables import Http
from tests.support.callbacks import RECEIVED_AT, MemorySink, contact, envelope, flow, message, order, raw, status, translator

FILE: Final = Path(__file__).parents[1] / "data" / "cost.json"
PYTHON: Final = "{}.{}".format(*sys.version_info[:2])
Cost = dict[str, int]
"""`instructions` of bytecode, `c_calls`, `peak_bytes` of Python's memory above what was taken before."""

_ITEM: Final = {"product_retailer_id": "sku-7", "quantity": 2, "item_price": 7.99, "currency": "EUR"}
BODIES: Final = {
    "document": envelope([message(message_type="document")], [contact()]),
    "order": envelope([order(_ITEM, {**_ITEM, "quantity": "3"})], [contact()]),
    "status": envelope(statuses=[status()]),
    "text": envelope([message()], [contact()]),
    "hundred statuses": envelope(statuses=[status(id=f"wamid.{number}") for number in range(100)]),
}
REQUEST: Final = "request"
"""A document over HTTP: protocol, router, endpoint and flow, with a transport and a sink that take everything at once."""
_WARM_UPS: Final = 5
_TOOL: Final = 4
"""One of the unassigned ids of sys.monitoring."""
_REPEATS: Final = 3


def counted() -> dict[str, Cost]:
    """Count every kind of callback; the least of some tries, since what is cached or collected may fall into one."""
    return uvloop.run(_counted())


async def _counted() -> dict[str, Cost]:
    steps = translator()

    async def translated(given: RawCallback) -> None:
        steps.translate(given)

    costs = {name: await _least(partial(translated, raw(body))) for name, body in BODIES.items()}
    # A stopped clock: how far the histogram of the answers' times is searched depends on what they took.
    with patch.object(time, "perf_counter", float):
        return {**costs, REQUEST: await _least(_request_of_a_connection())}


async def _least(call: Callable[[], Coroutine[Any, Any, None]]) -> Cost:
    for _ in range(_WARM_UPS):
        await call()
    tries = []
    for _ in range(_REPEATS):
        cost: Cost = {}
        for counting in (_instructions, _c_calls, _peak_bytes):
            # Coverage may be measuring, and takes memory.
            tracer = sys.gettrace()
            sys.settrace(None)
            gc.disable()
            with counting(cost):
                await call()
            gc.enable()
            sys.settrace(tracer)
        tries.append(cost)
    return {what: min(one[what] for one in tries) for what in tries[0]}


def instructions_of(call: Callable[[], object]) -> int:
    """Count the instructions of bytecode that a call takes; what it raises is not caught."""
    cost: Cost = {}
    with _instructions(cost):
        call()
    return cost["instructions"]


@contextmanager
def _instructions(into: Cost) -> Iterator[None]:
    with _monitored(into) if sys.version_info >= (3, 12) else _traced(into):
        yield


@contextmanager
def _monitored(into: Cost) -> Iterator[None]:
    """Count by sys.monitoring: from 3.12 on, tracing misses the instructions of functions that were traced before."""
    count = 0

    def counted(_code: object, _offset: int) -> None:
        nonlocal count
        count += 1

    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    instruction = monitoring.events.INSTRUCTION
    monitoring.use_tool_id(_TOOL, "cost")
    monitoring.register_callback(_TOOL, instruction, counted)
    monitoring.set_events(_TOOL, instruction)
    try:
        yield
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.register_callback(_TOOL, instruction, None)
        monitoring.free_tool_id(_TOOL)
    into["instructions"] = count


@contextmanager
def _traced(into: Cost) -> Iterator[None]:
    count = 0

    def trace(frame: Any, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)
    into["instructions"] = count


@contextmanager
def _c_calls(into: Cost) -> Iterator[None]:
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        if event == "c_call":
            count += 1

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
    into["c_calls"] = count


@contextmanager
def _peak_bytes(into: Cost) -> Iterator[None]:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        into["peak_bytes"] = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class _Transport(asyncio.Transport):
    """Takes what is written."""

    written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def resume_reading(self) -> None: ...


def _request_of_a_connection() -> Callable[[], Coroutine[Any, Any, None]]:
    metrics = Metrics()
    credentials = Credentials(header_name=b"x-callback-token", header_value=b"a-token-of-the-tests")
    carried = flow(_Forgetful(), credentials=credentials, metrics=metrics)
    app = create_app(Http(), lambda: carried, metrics, clock=lambda: RECEIVED_AT * 1_000_000)
    state = ListenerState(app, Http(), "http")
    protocol = HttpProtocol(state)
    transport = _Transport()
    protocol.connection_made(transport)
    head = b"POST /callbacks/kaleyra HTTP/1.1\r\nhost: here\r\nx-callback-token: a-token-of-the-tests\r\n"
    body = BODIES["document"]
    data = b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)

    async def request() -> None:
        transport.written = b""
        protocol.data_received(data)
        # To the end of its task: a part that comes after the answer's last byte is counted always, or never.
        for task in list(state.tasks):
            await task
        assert transport.written.startswith(b"HTTP/1.1 200"), transport.written

    return request


class _Forgetful(MemorySink):
    """Keeps nothing: a list that grows would count as the callback's memory."""

    async def send(self, messages: Any) -> Any:
        done = await super().send(messages)
        self.messages.clear()
        return done


def compared(now: dict[str, Cost], before: dict[str, Cost], most: float) -> list[str]:
    """Return what rose by more than a share, in words; and what is not in the stored figures."""
    worse = []
    for name, costs in now.items():
        for what, count in costs.items():
            stored = before.get(name, {}).get(what)
            if not stored:
                worse.append(f"{name}: {what} has no stored figure")
            elif count > stored * (1 + most):
                worse.append(f"{name}: {count:,} {what}, {count / stored - 1:+.0%} on {stored:,}")
    return worse


def stored() -> dict[str, dict[str, Cost]]:
    """Return the stored figures by version of Python."""
    figures: dict[str, dict[str, Cost]] = json.loads(FILE.read_text(encoding="utf-8"))["python"] if FILE.exists() else {}
    return figures


def main() -> None:
    """Count, and store the figures of this version of Python beside those of others."""
    now = counted()
    for line in compared(now, stored().get(PYTHON, {}), 0):
        sys.stdout.write(f"{line}\n")
    figures = {"why": "see tests/contract/test_cost.py", "python": {**stored(), PYTHON: now}}
    FILE.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: figures of Python {PYTHON} stored; say in the commit why they changed\n")


if __name__ == "__main__":
    main()
