"""Readiness in memory: reasons and scopes, what an instance shows, and that every waiter sees every change."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from connector.instance.readiness import DRAINING, STARTING, Changes, Readiness, instance_state

AWAY = "Kafka does not answer"
FULL = "the spool has no room"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await test()

    asyncio.run(bounded())


def worker(*, ready: bool, **reasons: str) -> dict[str, Any]:
    return {"ready": ready, "reasons": reasons}


def test_process_without_reasons_is_ready() -> None:
    readiness = Readiness()

    assert readiness.is_ready
    assert readiness.takes_callbacks
    assert readiness.reasons == {}


def test_starting_worker_takes_no_callbacks_and_says_why() -> None:
    readiness = Readiness({"starting": STARTING})

    assert not readiness.is_ready
    assert not readiness.takes_callbacks
    assert readiness.reasons == {"starting": STARTING}


def test_next_text_replaces_a_reason_and_empty_text_removes_it() -> None:
    readiness = Readiness({"starting": STARTING})

    readiness.update({"starting": "", "topics_and_producer": AWAY})
    assert readiness.reasons == {"topics_and_producer": AWAY}
    assert not readiness.takes_callbacks

    readiness.update({"topics_and_producer": "", "schema_ids": ""})
    assert readiness.is_ready
    assert readiness.takes_callbacks


def test_reasons_of_different_checks_do_not_remove_each_other() -> None:
    readiness = Readiness({"topics_and_producer": AWAY, "schema_ids": "id 7 is another schema"})

    readiness.update({"topics_and_producer": ""})

    assert readiness.reasons == {"schema_ids": "id 7 is another schema"}
    assert not readiness.takes_callbacks


def test_worker_with_full_spool_is_not_ready_and_takes_callbacks() -> None:
    readiness = Readiness({"spool": FULL})

    assert not readiness.is_ready
    assert readiness.takes_callbacks
    assert readiness.reasons == {"spool": FULL}


def test_spool_is_shown_only_for_a_worker_that_takes_callbacks() -> None:
    readiness = Readiness({"starting": STARTING, "spool": FULL})
    assert readiness.reasons == {"starting": STARTING}

    readiness.update({"starting": ""})
    assert readiness.reasons == {"spool": FULL}


def test_draining_worker_is_not_ready_and_takes_callbacks() -> None:
    readiness = Readiness()

    readiness.update({"draining": DRAINING})

    assert not readiness.is_ready
    assert readiness.takes_callbacks
    assert readiness.reasons == {"draining": DRAINING}


def test_draining_hides_what_the_start_waits_for() -> None:
    readiness = Readiness({"schemas": "not registered", "draining": DRAINING})

    assert readiness.reasons == {"draining": DRAINING}
    assert not readiness.takes_callbacks


def test_ready_agrees_with_the_reasons_shown() -> None:
    for reasons in ({}, {"schemas": "x"}, {"spool": "x"}, {"draining": "x"}, {"schemas": "x", "spool": "x", "draining": "x"}):
        readiness = Readiness(reasons)  # type: ignore[arg-type]
        assert readiness.is_ready == (not readiness.reasons)


def test_instance_is_ready_while_one_worker_is() -> None:
    state = instance_state(Readiness(), [worker(ready=False, starting=STARTING), worker(ready=True)])

    assert state["ready"]
    assert state["reasons"] == {"starting": STARTING}
    assert [one["ready"] for one in state["workers"]] == [False, True]


def test_instance_without_ready_workers_shows_the_reasons_of_all() -> None:
    state = instance_state(Readiness(), [worker(ready=False, schemas="a"), worker(ready=False, schemas="b", spool=FULL)])

    assert not state["ready"]
    assert state["reasons"] == {"schemas": "b", "spool": FULL}


def test_instance_without_workers_is_not_ready() -> None:
    assert instance_state(Readiness(), []) == {"ready": False, "reasons": {}, "workers": []}


def test_draining_instance_is_not_ready_whatever_its_workers_are() -> None:
    state = instance_state(Readiness({"draining": DRAINING}), [worker(ready=True), worker(ready=False, spool=FULL)])

    assert not state["ready"]
    assert state["reasons"] == {"draining": DRAINING}


def test_every_waiter_wakes_when_readiness_changes() -> None:
    async def waiters_wake() -> None:
        readiness = Readiness({"starting": STARTING})
        waiting = [asyncio.create_task(readiness.changes.until(lambda: readiness.is_ready)) for _ in range(3)]
        await asyncio.sleep(0)
        readiness.update({"starting": "", "schemas": "not registered"})
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        readiness.update({"schemas": ""})
        assert await asyncio.gather(*waiting) == [True, True, True]

    run(waiters_wake)


def test_update_that_changes_nothing_wakes_no_one() -> None:
    async def nothing_wakes() -> None:
        readiness = Readiness({"spool": FULL})
        waiting = asyncio.create_task(readiness.changes.wait())
        await asyncio.sleep(0)
        readiness.update({"spool": FULL, "schemas": ""})
        await asyncio.sleep(0.01)
        assert not waiting.done()
        readiness.update({"spool": "another text"})
        await waiting

    run(nothing_wakes)


def test_condition_that_is_true_already_is_not_waited_for() -> None:
    async def returns() -> None:
        assert await Changes().until(lambda: True, 0)

    run(returns)


def test_condition_that_stays_false_ends_the_wait_in_time() -> None:
    async def times_out() -> None:
        changes = Changes()
        changes.notify()
        assert not await changes.until(lambda: False, 0.01)
        await changes.wait(0.01)

    run(times_out)


def test_two_changes_in_one_turn_of_the_loop_are_both_seen() -> None:
    async def both_seen() -> None:
        changes, states = Changes(), list[int]()
        state = 0

        async def follow() -> None:
            while state < 2:
                await changes.wait()
                states.append(state)

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        for _ in range(2):
            state += 1
            changes.notify()
        await following
        assert states == [2]

    run(both_seen)
