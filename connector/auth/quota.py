"""A callback in, whether it is within the quota of its credential out; also counts the callbacks of each credential.

The name of the credential comes from the settings, never from a request.
"""

import time

from connector.auth.token_bucket import TokenBucket
from connector.metrics import Metrics


class Quota:
    """The rate limit of one credential.

    `limit_per_second` applies to this worker only, with a burst of one second; 0: no limit.
    """

    __slots__ = ("_bucket", "_limited", "_tally")

    def __init__(self, name: str, limit_per_second: int, metrics: Metrics) -> None:
        self._tally = metrics.authenticated(name)
        self._limited = metrics.rate_limited_callbacks.labels(name)
        self._bucket = TokenBucket(limit_per_second, limit_per_second) if limit_per_second else None

    def admit(self) -> bool:
        """Count a callback; return False if it is over the limit."""
        self._tally.count += 1
        if self._bucket is None or self._bucket.take(time.monotonic()):
            return True
        self._limited.inc()
        return False
