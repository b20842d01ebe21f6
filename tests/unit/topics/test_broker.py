"""The admin client without a Kafka: new topics are waited for, and not every unreadable setting is denied."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.errors import KafkaFailed
from connector.topics import broker
from connector.topics.broker import Broker, Cluster
from connector.topics.deviations import DescribedTopics, TopicState

SHOWN = TopicState(partitions=6, replicas=3, in_sync=3, config={}, operations=None)
NO_LEADER = replace(SHOWN, in_sync=0)
NOTHING = DescribedTopics({}, frozenset())


class Scripted(Broker):
    """Three brokers that show topics one after the other; the last answer is repeated."""

    def __init__(self, *answers: DescribedTopics) -> None:
        super().__init__({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self.answers = list(answers)
        self.asked = 0

    def cluster(self) -> Cluster:
        return Cluster("id", 3)

    def describe(self, topics: Sequence[str]) -> DescribedTopics:
        assert topics == ["orders"]
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_SHOWN_POLL_SECONDS", 0.001)


def shows(state: TopicState) -> DescribedTopics:
    return DescribedTopics({"orders": state}, frozenset())


def test_new_topic_is_shown_after_one_answer_for_each_broker_in_a_row() -> None:
    kafka = Scripted(NOTHING, shows(SHOWN), NOTHING, shows(NO_LEADER), shows(SHOWN))
    kafka.wait_until_shown(["orders"])
    assert kafka.asked == 4 + 3


def test_topic_that_we_may_create_but_not_see_is_not_waited_for() -> None:
    kafka = Scripted(DescribedTopics({}, frozenset({"orders"})))
    kafka.wait_until_shown(["orders"])
    assert kafka.asked == 3


def test_topic_that_is_never_shown_is_an_error_in_time() -> None:
    with pytest.raises(KafkaFailed, match=r"not shown by all brokers after 0\.05 s: orders; .*topics check"):
        Scripted(NOTHING).wait_until_shown(["orders"], timeout_seconds=0.05)


@pytest.mark.parametrize("code", [KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE])
def test_broker_that_knows_no_request_for_settings_reports_none(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Scripted(NOTHING)

    def refuse(_future: object) -> None:
        raise KafkaException(KafkaError(code))

    monkeypatch.setattr(kafka, "_await", refuse)
    assert kafka._configs(["orders"]) is None
