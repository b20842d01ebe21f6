"""How long the warm-up waits between two tries."""

import pytest

from connector.errors import KafkaAway, OtherSideFailed, RegistryFailed
from connector.instance.bridge import _pause_seconds


def busy(wait_seconds: float) -> RegistryFailed:
    failed = RegistryFailed("busy")
    failed.wait_seconds = wait_seconds
    return failed


@pytest.mark.parametrize(
    ("failed", "seconds"),
    [(KafkaAway("away"), 2), (RegistryFailed("away"), 2), (busy(1), 2), (busy(30), 30), (busy(3600), 60)],
)
def test_pause_is_two_seconds_or_what_the_registry_asks_for_up_to_a_minute(failed: OtherSideFailed, seconds: float) -> None:
    assert _pause_seconds(failed) == seconds
