"""Steady callbacks to a bridge while something breaks, and what was answered to each."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

import httpx

from tests.support.callbacks import envelope, message
from tests.support.servers import Addresses, TopicsReader

SENDERS: Final = 4
_PAUSE_SECONDS: Final = 0.02


class Answered(NamedTuple):
    """One callback of one message: status 0 is a connection that was refused or cut."""

    message_id: str
    status: int
    has_retry_after: bool
    began: float
    seconds: float


class Load:
    """The answers so far."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self.stopping = threading.Event()

    def count(self, status: int, since: float = 0) -> int:
        """Return how many callbacks that began after `since` had this answer."""
        return sum(answer.status == status and answer.began > since for answer in list(self.answers))

    def ids(self, status: int) -> set[str]:
        """Return the ids of the messages that had this answer."""
        return {answer.message_id for answer in self.answers if answer.status == status}


@contextmanager
def load(callback_url: str, first: int = 0) -> Iterator[Load]:
    """Send from several senders at once until the end of the block; all answers are in by then.

    Each sender numbers its messages from `first` on, for its own person, and waits for each answer.
    """
    running = Load()
    with ThreadPoolExecutor(SENDERS) as threads:
        senders = [threads.submit(_send, callback_url, number, first, running) for number in range(SENDERS)]
        try:
            yield running
        finally:
            running.stopping.set()
    for sender in senders:
        sender.result()


def message_ids(addresses: Addresses) -> set[str]:
    """Return the ids of the messages in the topic of the load's texts."""
    reader = TopicsReader(addresses, [f"{addresses.prefix}texts"])
    try:
        return {record.value["message_id"] for record in reader.rest()}
    finally:
        reader.close()


def _send(callback_url: str, number: int, first: int, running: Load) -> None:
    with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
        for index in _forever(first, running.stopping.is_set):
            message_id = f"wamid.{number}.{index}"
            began = time.monotonic()
            try:
                answer = client.post(callback_url, content=envelope([message(f"39333555{number:04}", id=message_id)]))
                status, has_retry_after = answer.status_code, "retry-after" in answer.headers
            except httpx.TransportError:
                status, has_retry_after = 0, False
            running.answers.append(Answered(message_id, status, has_retry_after, began, time.monotonic() - began))
            time.sleep(_PAUSE_SECONDS)


def _forever(first: int, is_over: Callable[[], bool]) -> Iterator[int]:
    index = first
    while not is_over():
        yield index
        index += 1
