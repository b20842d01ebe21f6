"""Exponential backoff for the restart of a worker: 0.25 s after the first crash, doubled for each further one, up to 30 s."""

from typing import Final

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 30.0
_HEALTHY_SECONDS: Final = 60.0
"""A worker that ran this long was healthy; its next crash starts a new backoff."""


class Backoff:
    """The crashes of one worker; `deaths` counts those in a row."""

    def __init__(self) -> None:
        self.deaths = 0

    def after(self, lived_seconds: float) -> float:
        """Return how many seconds to wait before the restart of a worker that ran for `lived_seconds`."""
        self.deaths = 1 if lived_seconds >= _HEALTHY_SECONDS else self.deaths + 1
        # Bounded before it is raised: after a week of crashes the power would overflow a float.
        return min(_FIRST_SECONDS * 2.0 ** min(self.deaths - 1, 30), _LONGEST_SECONDS)
