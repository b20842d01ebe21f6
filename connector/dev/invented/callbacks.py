"""Types, a count and a seed in, invented callbacks out; also malformed, duplicated and shuffled ones.

Type, running number and seed determine a callback: the same three give the same callback.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from connector.dev.invented.dialects import DIALECTS
from connector.dev.invented.event import Invented, event_of
from connector.dev.invented.messages import MESSAGES, message
from connector.dev.invented.statuses import STATUSES, status

TYPES: Final = (*MESSAGES, *STATUSES, *DIALECTS)
"""The types that can be invented."""

_EVERY: Final = 5
"""One of this many callbacks is followed by a broken one, or sent twice, beginning with the first."""
_WINDOW: Final = 100
"""Callbacks are shuffled within windows of this size."""

BROKEN: Final[dict[str, Callable[[bytes], bytes]]] = {
    "cut off": lambda body: body[: len(body) // 2],
    "empty": lambda _: b"",
    "no JSON": lambda _: b"<html>504 Gateway Time-out</html>",
    "not UTF-8": lambda body: body + b"\xff",
    "a list": lambda body: b"[" + body + b"]",
    "of unknown shape": lambda _: b'{"ping": "pong"}',
    "nothing in it": lambda _: b'{"meta_object": {"value": {}, "field": "messages"}}',
    "nested too deep": lambda _: b"[" * 100_000,
    "an item that is text": lambda _: b'{"meta_object": {"value": {"messages": ["Ciao"]}, "field": "messages"}}',
    "an item without an id": lambda _: b'{"meta_object": {"value": {"messages": [{"from": "393335550142"}]}}}',
}
"""Functions from a valid body to a malformed one; each becomes a dead letter."""


def callback(kind: str, number: int, seed: int = 0) -> Invented:
    """Return one callback of a type."""
    event = event_of(kind, number, seed)
    if kind in MESSAGES:
        return message(kind, event)
    return status(kind, event) if kind in STATUSES else DIALECTS[kind](event)


def callbacks(kinds: Sequence[str], count: int, seed: int = 0) -> Iterator[Invented]:
    """Yield `count` callbacks, cycling through the types."""
    for number in range(count):
        yield callback(kinds[number % len(kinds)], number, seed)


def with_malformed(given: Iterable[Invented]) -> Iterator[Invented]:
    """Yield the callbacks with malformed ones in between, cycling through the kinds of fault."""
    faults = list(BROKEN.values())
    for index, one in enumerate(given):
        yield one
        if index % _EVERY == 0:
            yield Invented("POST", "", faults[index // _EVERY % len(faults)](one.body or b"{}"))


def with_duplicates(given: Iterable[Invented]) -> Iterator[Invented]:
    """Yield the callbacks, some of them twice."""
    for index, one in enumerate(given):
        yield one
        if index % _EVERY == 0:
            yield one


def shuffled(given: Iterable[Invented], seed: int = 0) -> Iterator[Invented]:
    """Yield the callbacks in a different order, each near its original place."""
    chance = random.Random(seed)  # noqa: S311 - invented data, no secret
    remaining = iter(given)
    while window := list(islice(remaining, _WINDOW)):
        chance.shuffle(window)
        yield from window
