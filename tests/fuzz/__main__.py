"""`python -m tests.fuzz`."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator

from connector import logs
from connector.settings.tables import Logs
from tests.fuzz.account import Account, run


def _until(seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    case = 0
    while time.monotonic() < end:
        yield case
        case += 1


def main() -> None:
    """Fuzz for a while, and print the account."""
    arguments = argparse.ArgumentParser(description="Mutated callbacks, all accounted for.")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments.add_argument("--case", type=int)
    given = arguments.parse_args()
    logs.configure(Logs(level="error"))
    account = Account()
    sys.stdout.write(f"seed {given.seed}\n")
    cases = _until(given.seconds) if given.case is None else iter((given.case,))
    asyncio.run(run(given.seed, cases, account))
    sys.stdout.write(f"{account.table()}\n")


if __name__ == "__main__":
    main()
