"""When records do not move, a fresh producer takes over: only if Kafka serves their topic, and with backoff."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.kafka import stalled
from connector.kafka.backoff import Backoff
from connector.kafka.stalled import StallRecovery
from connector.kafka.statistics import Statistics, read_statistics

OURS = read_statistics(
    b'{"brokers": {"a": {"nodeid": 1, "state": "UP"}, "b": {"nodeid": 2, "state": "CONNECT"}},'
    b' "topics": {"orders": {"partitions": {"0": {"leader": 1}}}, "texts": {"partitions": {"0": {"leader": 2}}}}}'
)


class Client:
    """A client whose metadata is given: the leader of each topic's only partition, and how many of two copies are in sync."""

    def __init__(self, leaders: dict[str, int], in_sync: int) -> None:
        self._leaders = leaders
        self._in_sync = in_sync
        self._next: tuple[int, dict[str, int]] | None = None

    def forget_after(self, calls: int, leaders: dict[str, int]) -> None:
        self._next = calls, leaders

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        if self._next and self._next[0] == 0:
            self._leaders = self._next[1]
        elif self._next:
            self._next = self._next[0] - 1, self._next[1]
        if topic not in self._leaders:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        partition = SimpleNamespace(id=0, leader=self._leaders[topic], replicas=[1, 2], isrs=[1, 2][: self._in_sync])
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: partition})})


class Producers:
    """Producers that record what is replaced."""

    def __init__(self, leaders: dict[str, int], in_sync: int = 2) -> None:
        self.main: Any = Client(leaders, in_sync)
        self.statistics: Statistics = OURS
        self.replaced: list[tuple[str, list[str]]] = []

    def replace(self, failed: Any, reason: str, topics: Sequence[str]) -> None:
        assert failed is self.main
        self.replaced.append((reason, list(topics)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalled, "_CONFIRM_SECONDS", 0.02)


def recover(
    producers: Producers, *stalled_topics: str, times: int = 1, outstanding: int = 0, answers: Sequence[int] = ()
) -> list[tuple[str, list[str]]]:
    answers = list(answers)

    async def run() -> None:
        recovery = StallRecovery(producers, lambda: outstanding, lambda: answers.pop(0) if answers else 7, 10)  # type: ignore[arg-type]
        for _ in range(times):
            recovery.observe(set(stalled_topics))
            if outstanding:
                await asyncio.sleep(0.05)
                assert recovery.hold, "new records wait"
            await asyncio.sleep(0.2)
            assert recovery.hold is None
        recovery.cancel()

    asyncio.run(run())
    return producers.replaced


def test_topic_whose_leader_the_client_does_not_know_gets_a_fresh_producer() -> None:
    assert recover(Producers({"orders": 2, "texts": 2}), "orders", "texts") == [("stalled", ["orders"])]


def test_topic_that_kafka_serves_completely_gets_a_fresh_producer() -> None:
    assert recover(Producers({"orders": 1}), "orders") == [("stalled", ["orders"])]


@pytest.mark.parametrize(
    ("producers", "topic"),
    [
        (Producers({"orders": 1}, in_sync=1), "orders"),
        (Producers({"texts": 2}), "texts"),
        (Producers({"orders": -1}), "orders"),
        (Producers({}), "orders"),
    ],
    ids=["copies are not in sync", "the leader is not reached", "there is no leader", "Kafka does not answer"],
)
def test_records_that_wait_for_kafka_itself_get_no_other_producer(producers: Producers, topic: str) -> None:
    assert recover(producers, topic) == []


def test_producer_that_learns_the_leader_meanwhile_is_kept() -> None:
    producers = Producers({"orders": 2})
    producers.main.forget_after(1, {"orders": 1})
    assert recover(producers, "orders") == []


def test_producer_whose_records_are_acknowledged_meanwhile_is_kept() -> None:
    assert recover(Producers({"orders": 1}), "orders", answers=[7, 8]) == []


def test_nothing_is_replaced_while_records_move() -> None:
    assert recover(Producers({"orders": 2})) == []


def test_new_records_wait_until_those_that_move_are_acknowledged() -> None:
    assert recover(Producers({"orders": 2}), "orders", outstanding=3) == [("stalled", ["orders"])]


def test_replacement_is_not_repeated_at_once() -> None:
    assert len(recover(Producers({"orders": 2}), "orders", times=3)) == 1


def test_backoff_grows_while_replacements_do_not_help_and_starts_again_after_quiet_times() -> None:
    backoff = Backoff(stalled._BACKOFF_SECONDS)
    now = 0.0
    pauses = []
    for _ in range(7):
        due = backoff.next_after(now)
        pauses.append(due - now)
        now = due
    assert pauses == [30, 60, 120, 300, 600, 600, 600]
    assert backoff.next_after(now + 1000) - (now + 1000) == 30


@pytest.mark.parametrize(("timeout_seconds", "expected"), [(10, 8), (120, 8), (0, 8), (3, 2), (0.5, 1)])
def test_records_are_stalled_before_they_time_out(timeout_seconds: float, expected: float) -> None:
    assert StallRecovery(Producers({}), lambda: 0, lambda: 0, timeout_seconds).stalled_seconds == expected  # type: ignore[arg-type]
