"""A worker that dies again and again is started ever later, up to a bound; one that lived well, at once."""

from connector.instance.backoff import Backoff


def test_first_death_is_hardly_waited_for_and_further_ones_twice_as_long_up_to_half_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.deaths == 10


def test_healthy_time_lets_it_begin_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert backoff.after(60.0) == 0.25
    assert backoff.deaths == 1
    assert backoff.after(59.0) == 0.5


def test_deaths_without_end_are_waited_for_all_the_same() -> None:
    backoff = Backoff()
    assert {backoff.after(0.1) for _ in range(5000)} == {0.25, 0.5, 1, 2, 4, 8, 16, 30}
