"""The alarm on the share of dead letters: when it goes on, when off, and that it is told once."""

from connector.alarm import DeadLetterAlarm
from connector.settings import DeadLetters


def alarm(share: float = 0.1, at_least: int = 10) -> DeadLetterAlarm:
    return DeadLetterAlarm(DeadLetters(alarm_share=share, alarm_at_least=at_least))


def test_goes_on_above_the_share_and_is_told_once() -> None:
    watched = alarm()
    assert not watched.read(90, 10)
    assert watched.read(100, 30)
    assert (watched.is_on, round(watched.share, 3)) == (True, 0.231)
    assert not watched.read(110, 40)


def test_few_dead_letters_are_no_alarm_whatever_their_share() -> None:
    watched = alarm()
    assert not watched.read(0, 9)
    assert (watched.is_on, watched.share) == (False, 1.0)
    assert watched.read(0, 10)


def test_goes_off_when_the_last_minute_is_clean() -> None:
    watched = alarm()
    watched.read(0, 50)
    told = [watched.read(second * 10, 50) for second in range(1, 62)]
    assert told.index(True) < 60, "the share of the minute falls"
    assert told.count(True) == 1
    assert (watched.is_on, watched.share) == (False, 0.0)


def test_nothing_at_all_is_no_alarm() -> None:
    watched = alarm(share=0)
    assert not watched.read(0, 0)
    assert watched.share == 0


def test_share_of_one_switches_it_off() -> None:
    watched = alarm(share=1)
    assert not watched.read(0, 1000)
    assert not watched.is_on
