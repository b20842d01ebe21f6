"""The backlog on a broker that has just started: what coordinators and leaders refuse for a moment is asked again."""

import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connector.errors import KafkaAway, KafkaFailed
from connector.kafka import diagnosis
from connector.replay import backlog as backlog_module
from connector.replay.backlog import Backlog

TOPIC, END = "dead-letters", 40


class YoungConsumer:
    """Refuses each call with the codes in `refusals`, one after the other; then it answers: offset 7 of 40 is committed.

    An error is raised, or is in the answer of a partition where the name ends with " partition".
    """

    def __init__(self, refusals: dict[str, list[int]]) -> None:
        self.refusals = refusals
        self.assigned: list[TopicPartition] = []
        self.done: list[TopicPartition] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        codes = self.refusals.get("list_topics", [])
        error = KafkaError(codes.pop(0)) if codes else None
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions=[] if error else [0])})

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert (place.topic, timeout > 0) == (TOPIC, True)
        self._refuse("get_watermark_offsets")
        return 0, END

    def committed(self, places: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        return self._answer("committed", places, 7)

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        return self._answer("offsets_for_times", places, 12)

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> list[Any]:
        assert not asynchronous
        answer = self._answer("commit", offsets, 0)
        self.done = [] if answer[0].error else offsets
        return answer

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = places

    def consume(self, count: int, timeout: float) -> list[Any]:
        assert (count, timeout > 0) == (1, True)
        return []

    def _answer(self, name: str, places: list[TopicPartition], offset: int) -> list[Any]:
        self._refuse(name)
        codes = self.refusals.get(f"{name} partition", [])
        error = KafkaError(codes.pop(0)) if codes else None
        return [SimpleNamespace(partition=one.partition, offset=-1 if error else offset, error=error) for one in places]

    def _refuse(self, name: str) -> None:
        if codes := self.refusals.get(name):
            raise KafkaException(KafkaError(codes.pop(0)))


Opened = Callable[[dict[str, list[int]]], tuple[Backlog, YoungConsumer]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Return a backlog and its consumer; nothing is waited for longer than half a second."""

    def open_(refusals: dict[str, list[int]]) -> tuple[Backlog, YoungConsumer]:
        consumer = YoungConsumer(refusals)
        monkeypatch.setattr(backlog_module, "Consumer", lambda *_, **__: consumer)
        monkeypatch.setattr(backlog_module, "_TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(diagnosis, "_AGAIN_SECONDS", 0.01)
        return Backlog({}, TOPIC, "replay", lambda _: ""), consumer

    return open_


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("list_topics", KafkaError.LEADER_NOT_AVAILABLE),
        ("get_watermark_offsets", KafkaError.NOT_LEADER_FOR_PARTITION),
        ("committed", KafkaError.NOT_COORDINATOR),
        ("committed", KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
        ("committed partition", KafkaError.UNSTABLE_OFFSET_COMMIT),
        ("offsets_for_times", KafkaError.LEADER_NOT_AVAILABLE),
        ("offsets_for_times partition", KafkaError.LEADER_NOT_AVAILABLE),
    ],
)
def test_young_broker_is_asked_again(name: str, code: int, opened: Opened) -> None:
    backlog, consumer = opened({name: [code, code]})

    assert backlog.open(since=1000, from_beginning=False) == END - 7

    assert not consumer.refusals[name]
    assert [place.offset for place in consumer.assigned] == [7]


@pytest.mark.parametrize("name", ["commit", "commit partition"])
def test_commit_is_repeated_while_the_coordinator_moves(name: str, opened: Opened) -> None:
    backlog, consumer = opened({name: [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE]})

    backlog.commit({0: 20})

    assert [place.offset for place in consumer.done] == [20]


@pytest.mark.parametrize("name", ["committed", "commit", "list_topics"])
def test_coordinator_that_is_never_elected_is_reported_in_time(name: str, opened: Opened) -> None:
    backlog, _ = opened({name: 1000 * [KafkaError.COORDINATOR_NOT_AVAILABLE]})
    call = partial(backlog.commit, {0: 20}) if name == "commit" else partial(backlog.open, None, from_beginning=False)
    began = time.monotonic()

    with pytest.raises(KafkaAway, match=r"not ready \(COORDINATOR_NOT_AVAILABLE\).*run the command again"):
        call()

    assert time.monotonic() - began < 2


def test_missing_right_is_not_waited_for(opened: Opened) -> None:
    codes = [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED]
    backlog, consumer = opened({"committed": codes})

    with pytest.raises(KafkaFailed, match="not authorised for the consumer group replay"):
        backlog.open(None, from_beginning=False)

    assert len(consumer.refusals["committed"]) == 1


def test_broker_without_times_is_read_from_its_oldest_record(opened: Opened) -> None:
    backlog, consumer = opened({"offsets_for_times partition": [KafkaError.UNSUPPORTED_VERSION]})

    assert backlog.open(since=1000, from_beginning=True) == END

    assert [place.offset for place in consumer.assigned] == [0]
