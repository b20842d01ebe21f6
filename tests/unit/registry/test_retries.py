"""When a registry is asked again, and how long that waits."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from connector.registry.retries import CHECK, COMMAND, ONCE, asked_wait_seconds, is_temporary, wait_seconds


@pytest.mark.parametrize(
    ("status", "expected"), [(429, True), (500, True), (503, True), (599, True), (404, False), (200, False)]
)
def test_too_many_requests_and_server_errors_are_temporary(status: int, expected: bool) -> None:
    assert is_temporary(status) is expected


def test_backoff_doubles_and_half_of_it_is_random() -> None:
    longest = [0.5, 1.0, 2.0, 4.0]
    for tries, seconds in enumerate(longest, start=1):
        waits = [wait_seconds(COMMAND, tries, None) or 0 for _ in range(50)]
        assert seconds / 2 <= min(waits) <= max(waits) <= seconds
        assert len(set(waits)) > 1


@pytest.mark.parametrize(("patience", "tries"), [(ONCE, 1), (CHECK, 3), (COMMAND, 5)])
def test_nothing_is_waited_for_after_the_last_try(patience: tuple[int, float], tries: int) -> None:
    assert wait_seconds(patience, tries, None) is None  # type: ignore[arg-type]
    assert wait_seconds(patience, tries, 0.0) is None  # type: ignore[arg-type]


def test_asked_wait_is_kept_unless_it_is_too_long() -> None:
    assert wait_seconds(COMMAND, 1, 60.0) == 60
    assert wait_seconds(COMMAND, 1, 61.0) is None
    assert wait_seconds(CHECK, 1, 6.0) is None


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1.5", "99999999999999999999", "Mon, 99 Foo 2026"])
def test_invalid_retry_after_is_ignored(asked: str) -> None:
    assert asked_wait_seconds({"retry-after": asked}) is None


def test_date_is_compared_with_the_registrys_clock() -> None:
    # An hour behind ours: only the difference counts.
    theirs = datetime.now(UTC) - timedelta(hours=1)
    headers = {
        "date": format_datetime(theirs, usegmt=True),
        "retry-after": format_datetime(theirs + timedelta(seconds=7), usegmt=True),
    }
    assert asked_wait_seconds(headers) == 7
    assert asked_wait_seconds({**headers, "retry-after": headers["date"]}) == 0


def test_date_is_compared_with_our_clock_without_theirs() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert asked_wait_seconds({"retry-after": format_datetime(soon, usegmt=True)}) == pytest.approx(30, abs=2)
    assert asked_wait_seconds({"retry-after": "3"}) == 3
