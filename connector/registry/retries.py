"""When a request to the registry is sent again: after 429 and 5xx, with exponential backoff or as `Retry-After` asks.

A status, headers and the number of the try in; the seconds to wait out, or None when waiting is of no use.
"""

import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple


class Patience(NamedTuple):
    """How often a request is sent, and the longest `Retry-After` that is waited for: the error names a longer one."""

    tries: int
    longest_wait_seconds: float


ONCE: Final = Patience(1, 0.0)
"""For `serve`, which has its own loop and asks once in each turn."""
LONGEST_WAIT_SECONDS: Final = 60.0
COMMAND: Final = Patience(5, LONGEST_WAIT_SECONDS)
CHECK: Final = Patience(3, 5.0)
"""For `doctor`, whose checks have 30 s together."""

_FIRST_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 8.0
_TOO_MANY_REQUESTS: Final = 429


def is_temporary(status: int) -> bool:
    """Return whether an answer says that the same request can succeed later."""
    return status == _TOO_MANY_REQUESTS or 500 <= status <= 599


def asked_wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date), or None without a valid one."""
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        until = parsedate_to_datetime(asked).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, until - _now(headers))


def wait_seconds(patience: Patience, tries: int, asked_seconds: float | None) -> float | None:
    """Return how long to wait after so many tries; None after the last one, or if the registry asks for too long."""
    if tries >= patience.tries:
        return None
    if asked_seconds is not None:
        return asked_seconds if asked_seconds <= patience.longest_wait_seconds else None
    # Half of it at random: the instances of a deployment must not ask at the same moment again.
    backoff_seconds = min(_FIRST_SECONDS * 2.0 ** (tries - 1), _LONGEST_BACKOFF_SECONDS)
    return backoff_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it


def _now(headers: Mapping[str, str]) -> float:
    """Return the registry's time, as its own date is compared with it; ours if it sends none."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return time.time()
