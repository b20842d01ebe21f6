"""Who calls, by the credential that let them in: counted under its name, and held to its limit.

In goes nothing but the fact of a call; out comes whether it may go on. The name is of the settings, never of a request.
"""

import time

from connector.auth.token_bucket import TokenBucket
from connector.metrics import Metrics


class Caller:
    """A credential's callbacks. `limit_per_second` is of this worker alone, with a second's worth at once; 0 is no limit."""

    __slots__ = ("_allowance", "_limited", "_tally")

    def __init__(self, name: str, limit_per_second: int, metrics: Metrics) -> None:
        self._tally = metrics.authenticated(name)
        self._limited = metrics.rate_limited_callbacks.labels(name)
        self._allowance = TokenBucket(limit_per_second, limit_per_second) if limit_per_second else None

    def may_call(self) -> bool:
        """Count a call; return False when it is one too many."""
        self._tally.count += 1
        if self._allowance is None or self._allowance.take(time.monotonic()):
            return True
        self._limited.inc()
        return False
