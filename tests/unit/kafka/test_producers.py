"""The producers of a worker, without Kafka."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from connector.kafka.producers import Producers
from connector.kafka.sink import KafkaSink

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "delivery.timeout.ms": 1000}


@pytest.fixture
def producers() -> Iterator[Producers]:
    made = Producers(NOWHERE)
    yield made
    made.drop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has scheduling policies of threads")
def test_threads_of_the_client_do_not_interrupt_the_event_loop(producers: Producers) -> None:
    before = tids()

    producers.start()

    started = tids() - before
    assert started, "the client has its own threads"
    assert {os.sched_getscheduler(tid) for tid in started} == {os.SCHED_BATCH}
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has scheduling policies of threads")
def test_client_starts_where_scheduling_policies_are_forbidden(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)

    producers.start()

    assert producers.main is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has scheduling policies of threads")
def test_scheduling_policy_of_an_operator_is_kept(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: os.SCHED_FIFO)
    chosen: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda _pid, policy, _parameter: chosen.append(policy))

    producers.start()

    assert not chosen


def test_client_starts_where_scheduling_policies_do_not_exist(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setscheduler", raising=False)

    producers.start()

    assert producers.main is not None


def test_failed_replacement_of_a_producer_is_retried(producers: Producers, monkeypatch: pytest.MonkeyPatch) -> None:
    producers.start()
    failed = producers.main
    assert failed is not None
    with monkeypatch.context() as patched:
        patched.setattr(producers, "_make", refuse)
        producers.replace(failed, "fatal_error")
        assert producers.main is failed

    producers.replace(failed, "fatal_error")

    assert producers.main is not failed
    assert producers.replaced == 1


def test_producers_that_fail_one_after_the_other_are_replaced_with_pauses(
    producers: Producers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    producers.start()
    times = []
    while now < 1010:
        assert producers.main is not None
        before = producers.replaced
        producers.replace(producers.main, "fatal_error")
        producers.poll()
        if producers.replaced > before:
            times.append(round(now - 1000, 1))
        now += 0.1
    assert times[:5] == [0.0, 0.2, 0.6, 1.4, 3.0]
    assert len(times) <= 9, "then every two seconds"


def test_polling_continues_after_a_failed_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = 0

    async def run() -> None:
        sink = KafkaSink(NOWHERE | {"queue.buffering.max.messages": 10, "queue.buffering.max.kbytes": 10})
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)

        def poll() -> None:
            nonlocal polls
            polls += 1
            raise RuntimeError

        monkeypatch.setattr(sink.producers, "poll", poll)
        sink.start()
        async with asyncio.timeout(5):
            while polls < 2:  # noqa: ASYNC110 - any condition
                await asyncio.sleep(0.01)
        await sink.close(0)

    asyncio.run(run())


def refuse(_properties: object) -> Producer:
    raise KafkaException(KafkaError(KafkaError._INVALID_ARG))


def tids() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
