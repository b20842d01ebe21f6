"""Watches the share of dead letters: a bad release must not turn a day of callbacks into dead letters unnoticed.

The totals of callbacks' records go in, once a second. The share over the last minute comes out, and whether it is too high.
Hysteresis: the alarm clears below half of its threshold, or without any dead letter, so that it does not flap.
It stops nothing: a dead letter is safe, and an operator decides what to do.
"""

from collections import deque
from typing import Final

from connector.settings.tables import DeadLetters

_WINDOW: Final = 60
"""Readings over which the share is calculated; one a second."""


class DeadLetterAlarm:
    """Takes readings of totals that only grow. `share` of dead letters is from 0 to 1; `is_on` while it is too high."""

    def __init__(self, settings: DeadLetters) -> None:
        self._settings = settings
        self._readings: deque[tuple[int, int]] = deque([(0, 0)], maxlen=_WINDOW + 1)
        self.share = 0.0
        self.is_on = False

    def read(self, records: int, dead_letters: int) -> bool:
        """Take one reading; return True if it turned the alarm on or off."""
        self._readings.append((records, dead_letters))
        first_records, first_letters = self._readings[0]
        letters = dead_letters - first_letters
        total = records - first_records + letters
        self.share = letters / total if total else 0.0
        before = self.is_on
        if before:
            self.is_on = letters > 0 and self.share >= self._settings.alarm_share / 2
        else:
            self.is_on = letters >= self._settings.alarm_at_least and self.share > self._settings.alarm_share
        return self.is_on != before
