"""Whether Kafka is there: so that its outage does not hold each callback for the whole delivery timeout.

Open is what is known to be away: records wait, and for some time none of them was answered. Then callbacks are turned away
at once, to the spool or with 503, but for one now and then that tries. The first answer of Kafka closes it.
"""

from typing import Final

_SILENT_SECONDS: Final = 3.0
"""Longer than an ordinary change of leader, or a broker's pause for garbage, takes."""
_SILENT_AND_DOWN_SECONDS: Final = 1.0
"""The same while no broker is connected either."""
_TRY_SECONDS: Final = 1.0


class CircuitBreaker:
    """Opens and closes by what `look` is told; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.is_open = False
        self._answers = 0
        self._alive_at = 0.0
        self._try_at = 0.0

    def look(self, now: float, outstanding_records: int, answers: int, brokers_up: int) -> None:
        """Take note: how many records wait, how many deliveries Kafka has answered ever, and how many brokers are connected."""
        if answers != self._answers:
            self._answers = answers
            self._alive_at = now
            self.is_open = False
        elif not outstanding_records and not self.is_open:
            # Nobody asks, so silence says nothing.
            self._alive_at = now
        elif not self.is_open and now - self._alive_at > (_SILENT_SECONDS if brokers_up else _SILENT_AND_DOWN_SECONDS):
            self.is_open = True
            # The next one tries at once: it may be that only what waits goes nowhere, a missing topic's records.
            self._try_at = now

    def open(self, now: float) -> None:
        """Take note that Kafka is away, as a start has found."""
        self.is_open = True
        self._try_at = now + _TRY_SECONDS

    def lets_pass(self, now: float) -> bool:
        """Return whether a callback may be sent: always while closed, one in a second while open."""
        if not self.is_open:
            return True
        if now < self._try_at:
            return False
        self._try_at = now + _TRY_SECONDS
        return True
