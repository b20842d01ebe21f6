"""Token buckets: a time in seconds in, whether one more call is allowed out. Each worker counts alone."""

from collections import OrderedDict
from collections.abc import Hashable


class TokenBucket:
    """A token bucket of `size` calls that refills by `per_second`."""

    __slots__ = ("_at", "_left", "_per_second", "_size")

    def __init__(self, per_second: float, size: float) -> None:
        self._per_second = per_second
        self._size = self._left = size
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take one token, unless the bucket is empty; `now` is of a monotonic clock."""
        self._left = min(self._size, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class TokenBuckets:
    """A token bucket for each caller; only the `most` recent callers are remembered."""

    def __init__(self, per_second: float, size: float, most: int) -> None:
        self._new = (per_second, size)
        self._most = most
        self._of: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, who: Hashable, now: float) -> bool:
        """Take one token of a caller."""
        if who not in self._of:
            self._of[who] = TokenBucket(*self._new)
            if len(self._of) > self._most:
                self._of.popitem(last=False)
        self._of.move_to_end(who)
        return self._of[who].take(now)
