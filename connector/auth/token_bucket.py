"""Token buckets: a time in seconds in, whether one more call is allowed out. Each worker has its own."""

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
        """Take one token, unless the bucket is empty; `now` is the time of a monotonic clock."""
        self._left = min(self._size, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class TokenBuckets:
    """A token bucket for each key; only the `most` recently used keys are remembered."""

    def __init__(self, per_second: float, size: float, most: int) -> None:
        self._new = (per_second, size)
        self._most = most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Take one token of a key."""
        if key not in self._buckets:
            self._buckets[key] = TokenBucket(*self._new)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return self._buckets[key].take(now)
