"""A short fuzz, the same each time; `make fuzz` runs longer, with other seeds."""

import asyncio

from tests.fuzz.account import Account, run


def test_mutated_callbacks_become_records_dead_letters_or_counts() -> None:
    account = Account()

    asyncio.run(run(seed=7, cases=iter(range(900)), account=account))

    sums = account.sums
    assert sums["callbacks"] == 900
    assert all(sums[name] for name in ("verifications", "whole", "messages", "statuses", "contacts", "events", "left_out")), (
        sums
    )
    assert "came in" in account.table()
