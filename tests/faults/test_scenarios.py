"""A few of the faults of `make faults`, on three brokers: nothing that was answered 200 is missing."""

from collections.abc import Iterator

import pytest

from tests.faults.scenarios.faults import FAULTS, Fault
from tests.faults.scenarios.suite import Suite, suite
from tests.stack.cluster import KafkaCluster

RATE = 60.0
SECONDS = 4.0
SHORT = ("one broker killed", "bridge killed in an outage", "clock jumps")


@pytest.fixture(scope="module")
def outages(kafka_cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with suite(kafka_cluster, tmp_path_factory.mktemp("outages"), RATE, SECONDS) as running:
        yield running


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SHORT], ids=lambda fault: fault.name)
def test_every_callback_answered_200_is_in_the_topics(outages: Suite, fault: Fault) -> None:
    row = outages.run(fault)
    assert row.problems == (), f"see {row.folder}"
    assert row.verdict.answered_200 > 50
    assert row.verdict.records >= row.verdict.answered_200


def test_short_form_names_faults_that_there_are() -> None:
    assert set(SHORT) <= {fault.name for fault in FAULTS}
