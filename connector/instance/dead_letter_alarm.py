"""Watches the share of dead letters: a bad release must not drain a day into the dead-letter topic unnoticed.

In go the totals of callbacks' records, once a second; out comes the share over the last minute, and whether it is too high.
What is on goes off below half of the share that turned it on, or without any dead letter: near the share it does not flap.
It stops nothing: a dead letter is safe, and what to do about it is a person's decision.
"""

from collections import deque
from typing import Final

from connector.settings.tables import DeadLetters

_WINDOW: Final = 60
"""Readings that the share is taken over; one a second."""


class DeadLetterAlarm:
    """Takes readings of totals that only grow; `share` is that of dead letters, from 0 to 1; `is_on` when it is too high."""

    def __init__(self, settings: DeadLetters) -> None:
        self._settings = settings
        self._readings: deque[tuple[int, int]] = deque([(0, 0)], maxlen=_WINDOW + 1)
        self.share = 0.0
        self.is_on = False

    def read(self, records: int, dead_letters: int) -> bool:
        """Take one reading; return whether the alarm went on or off by it."""
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
