"""A circuit breaker for Kafka, so that in an outage callbacks do not wait for the whole delivery timeout.

It opens when records are outstanding and Kafka has answered none of them for some seconds. While it is open, callbacks are
refused at once, to the spool or with 503, except for one probe a second. Kafka's first answer closes it.
"""

from typing import Final

_SILENT_SECONDS: Final = 3.0
"""Longer than an ordinary leader election or a garbage collection pause of a broker."""
_SILENT_AND_DOWN_SECONDS: Final = 1.0
"""The same while no broker is connected either."""
_PROBE_SECONDS: Final = 1.0


class CircuitBreaker:
    """Opens and closes by what `observe` gets; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.is_open = False
        self._answers = 0
        self._alive_at = 0.0
        self._probe_at = 0.0

    def observe(self, now: float, outstanding_records: int, answers: int, brokers_up: int) -> None:
        """Update the state; `answers` is the number of deliveries that Kafka has ever answered."""
        if answers != self._answers:
            self._answers = answers
            self._alive_at = now
            self.is_open = False
        elif not outstanding_records and not self.is_open:
            # Nothing is outstanding, so silence means nothing.
            self._alive_at = now
        elif not self.is_open and now - self._alive_at > (_SILENT_SECONDS if brokers_up else _SILENT_AND_DOWN_SECONDS):
            self.is_open = True
            # The next callback is a probe: perhaps only the outstanding records fail, as those of a missing topic do.
            self._probe_at = now

    def open(self, now: float) -> None:
        """Open it, because a start has found Kafka away."""
        self.is_open = True
        self._probe_at = now + _PROBE_SECONDS

    def close(self, now: float) -> None:
        """Close it, because Kafka has answered another producer: the one that drains the spool."""
        self.is_open = False
        self._alive_at = now

    def allows(self, now: float) -> bool:
        """Return whether a callback can be sent: always while closed, one a second while open."""
        if not self.is_open:
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + _PROBE_SECONDS
        return True
