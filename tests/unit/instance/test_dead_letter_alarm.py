"""The alarm on the share of dead letters: when it turns on, when off, and that each change is reported once."""

from connector.instance.dead_letter_alarm import DeadLetterAlarm
from connector.settings.tables import DeadLetters


def alarm(share: float = 0.1, at_least: int = 10) -> DeadLetterAlarm:
    return DeadLetterAlarm(DeadLetters(alarm_share=share, alarm_at_least=at_least))


def test_turns_on_above_the_share_and_reports_it_once() -> None:
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


def test_alarm_clears_after_a_clean_minute() -> None:
    watched = alarm()
    watched.read(0, 50)
    changes = [watched.read(second * 10, 50) for second in range(1, 62)]
    assert changes.index(True) < 60, "the share of the minute falls"
    assert changes.count(True) == 1
    assert (watched.is_on, watched.share) == (False, 0.0)


def test_no_callbacks_raise_no_alarm() -> None:
    watched = alarm(share=0)
    assert not watched.read(0, 0)
    assert watched.share == 0


def test_share_of_one_switches_it_off() -> None:
    watched = alarm(share=1)
    assert not watched.read(0, 1000)
    assert not watched.is_on


def test_does_not_flap_while_the_share_swings_around_its_bound() -> None:
    watched = alarm()
    changes, records, letters = 0, 0, 0
    for second in range(300):
        # Of a hundred a second, between 6 and 14 dead letters a minute long.
        bad = 14 if second // 60 % 2 == 0 else 6
        records, letters = records + 100 - bad, letters + bad
        changes += watched.read(records, letters)
    assert (changes, watched.is_on) == (1, True)


def test_alarm_clears_below_half_of_the_threshold() -> None:
    watched = alarm()
    assert watched.read(80, 20)
    assert not watched.read(380, 20), "exactly half"
    assert watched.read(381, 20)
    assert not watched.is_on


def test_few_dead_letters_keep_a_raised_alarm() -> None:
    watched = alarm()
    watched.read(0, 50)
    for _ in range(58):
        watched.read(0, 50)
    assert not watched.read(0, 51)
    assert not watched.read(0, 51)
    assert watched.is_on, "one of one in the last minute"
