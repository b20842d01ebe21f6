"""The producers of a worker, as far as they need no Kafka."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.pipeline.producers import Producers

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


@pytest.fixture
def producers() -> Iterator[Producers]:
    made = Producers(NOWHERE)
    yield made
    made.drop()


@pytest.mark.skipif(sys.platform != "linux", reason="policies of threads are Linux's")
def test_threads_of_the_client_do_not_interrupt_the_event_loop(producers: Producers) -> None:
    before = tids()

    producers.start()

    started = tids() - before
    assert started, "the client has threads of its own"
    assert {os.sched_getscheduler(tid) for tid in started} == {os.SCHED_BATCH}
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


@pytest.mark.skipif(sys.platform != "linux", reason="policies of threads are Linux's")
def test_where_policies_may_not_be_set_the_client_starts_too(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)

    producers.start()

    assert producers.main is not None


def test_where_there_are_no_policies_the_client_starts_all_the_same(
    producers: Producers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)

    producers.start()

    assert producers.main is not None


def tids() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
