"""How long to wait before a worker is started anew: hardly at all, and longer each time that it dies soon after."""

from typing import Final

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 30.0
_HEALTHY_SECONDS: Final = 60.0
"""Who has lived so long had another reason to die than the one before."""


class Backoff:
    """The deaths of one worker after another; `deaths` counts those in a row."""

    def __init__(self) -> None:
        self.deaths = 0

    def after(self, lived_seconds: float) -> float:
        """Return how many seconds to wait after a worker has died that lived so long."""
        self.deaths = 1 if lived_seconds >= _HEALTHY_SECONDS else self.deaths + 1
        # Bounded before it is raised: in a week of deaths the power would have no float.
        return min(_FIRST_SECONDS * 2.0 ** min(self.deaths - 1, 30), _LONGEST_SECONDS)
