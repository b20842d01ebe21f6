"""The callbacks of a fault: of every kind that the pipeline treats differently, each with a mark in all its records."""

import random
import re
import time
from typing import Any, Final, NamedTuple

from tests.support.callbacks import contact, envelope, message, order, status

MARK: Final = re.compile(r"mark-\d+-\d+-\d+-end")
"""Fault, key, number. It has an end, so that none is found within another."""

_KINDS: Final = ("text", "document", "order", "status", "broken")
_WEIGHTS: Final = (9, 5, 4, 5, 1)


class Invented(NamedTuple):
    """A callback to send."""

    mark: str
    key: str
    topics: frozenset[str]
    body: bytes


class Person:
    """A person whose callbacks come one after the other. `fault` and `number` determine the key and the random seed."""

    def __init__(self, fault: int, number: int) -> None:
        self._prefix = f"mark-{fault}-{number}"
        self.key = f"393{fault:05}{number:04}"
        self._dice = random.Random(self._prefix)
        self._sent = 0

    def next(self) -> Invented:
        """Return the next callback."""
        mark = f"{self._prefix}-{self._sent}-end"
        self._sent += 1
        (kind,) = self._dice.choices(_KINDS, _WEIGHTS)
        contacts = [contact(f"Giulia {mark}", self.key)] if self._dice.random() < 0.5 else [contact(None, self.key)]
        # Now, since Kafka keeps records by their time.
        common = {"id": mark, "timestamp": str(int(time.time()))}
        texts: dict[str, Any] = {**common, "number": self.key}
        match kind:
            case "broken":
                return Invented(mark, self.key, frozenset({"dead-letters"}), b'{"meta_object": {"broken": "' + mark.encode())
            case "status":
                # Its recipient has no profile: no contact.
                return Invented(mark, self.key, frozenset({"statuses"}), envelope(statuses=[status(self.key, **common)]))
            case "order":
                item = {"product_retailer_id": "sku-7", "quantity": "2", "item_price": "7.99", "currency": "EUR"}
                entry = order(item, **texts)
            case _:
                entry = message(message_type=kind, **texts)
        topics = {f"{kind}s", "contacts"} if "profile" in contacts[0] else {f"{kind}s"}
        return Invented(mark, self.key, frozenset(topics), envelope([entry], contacts))
