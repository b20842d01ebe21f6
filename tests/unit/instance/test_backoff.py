"""Exponential backoff between the crashes of a worker; a healthy run starts it again."""

from connector.instance.backoff import Backoff


def test_backoff_doubles_from_250_ms_to_30_s() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.deaths == 10


def test_healthy_run_resets_the_backoff() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert backoff.after(60.0) == 0.25
    assert backoff.deaths == 1
    assert backoff.after(59.0) == 0.5


def test_thousands_of_crashes_do_not_overflow() -> None:
    backoff = Backoff()
    assert {backoff.after(0.1) for _ in range(5000)} == {0.25, 0.5, 1, 2, 4, 8, 16, 30}
