"""How long to wait before a producer is replaced again, so that what makes it fail can last without a loop."""

from collections.abc import Sequence


class Backoff:
    """Waits longer after each event, by `steps` in seconds, unless the one before was long ago.

    Long ago is twice its wait, or its wait and `quiet_seconds`, whichever is later. Times are those of one clock.
    """

    def __init__(self, steps: Sequence[float], quiet_seconds: float = 0.0) -> None:
        self._steps = steps
        self._quiet_seconds = quiet_seconds
        self._last = float("-inf")
        self._step = 0

    def next_after(self, now: float) -> float:
        """Return when the next event may be, after one at this time."""
        waited = self._steps[self._step]
        is_repeated = now < self._last + waited + max(waited, self._quiet_seconds)
        self._step = min(self._step + 1, len(self._steps) - 1) if is_repeated else 0
        self._last = now
        return now + self._steps[self._step]
