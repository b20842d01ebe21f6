"""The scheduling policy of the threads that a Kafka client starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def batch_scheduling() -> Iterator[None]:
    """Give the threads that are started here, and those that they start, the scheduling policy SCHED_BATCH.

    The client's threads wake for each answer of Kafka, thousands of times a second. On the event loop's core they would
    preempt it in the middle of a callback; with SCHED_BATCH (sched(7)) they run when it waits or its time slice ends.
    """
    is_changed = False
    # Only Linux has it, a sandbox may forbid it, and a policy that an operator has set stays.
    with suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            is_changed = True
    try:
        yield
    finally:
        if is_changed:
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
