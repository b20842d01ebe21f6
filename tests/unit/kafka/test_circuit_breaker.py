"""The circuit opens on silence, closes on the first answer, and lets one try a second meanwhile."""

from connector.kafka.circuit_breaker import CircuitBreaker


def opened() -> CircuitBreaker:
    circuit = CircuitBreaker()
    circuit.look(0, 0, 0, 1)
    circuit.look(0.25, 5, 0, 1)
    circuit.look(3.5, 5, 0, 1)
    assert circuit.is_open
    return circuit


def test_silence_with_records_under_way_opens_it() -> None:
    circuit = CircuitBreaker()
    circuit.look(10, 0, 0, 1)
    circuit.look(12.9, 5, 0, 1)
    assert not circuit.is_open
    circuit.look(13.1, 5, 0, 1)
    assert circuit.is_open


def test_without_a_broker_it_opens_sooner() -> None:
    circuit = CircuitBreaker()
    circuit.look(10, 0, 0, 1)
    circuit.look(11.1, 5, 0, 0)
    assert circuit.is_open


def test_silence_without_records_says_nothing() -> None:
    circuit = CircuitBreaker()
    for second in range(100):
        circuit.look(second, 0, 0, 0)
    assert not circuit.is_open
    # The first record after a quiet night has its full time.
    circuit.look(99.5, 1, 0, 1)
    assert not circuit.is_open


def test_answers_keep_it_closed_however_many_records_wait() -> None:
    circuit = CircuitBreaker()
    for second in range(100):
        circuit.look(second, 20_000, second, 1)
    assert not circuit.is_open


def test_open_it_turns_away_but_one_a_second() -> None:
    circuit = opened()
    passed = [moment for moment in range(3500, 7500, 10) if circuit.lets_pass(moment / 1000)]
    assert passed == [3500, 4500, 5500, 6500]


def test_records_of_a_missing_topic_alone_turn_nobody_else_away() -> None:
    circuit = opened()
    assert circuit.lets_pass(3.5), "a callback for another topic, right behind"
    circuit.look(3.75, 5, 1, 1)
    assert not circuit.is_open


def test_found_away_at_the_start_it_lets_nobody_wait() -> None:
    circuit = CircuitBreaker()
    circuit.open(10)
    assert not circuit.lets_pass(10.5)
    assert circuit.lets_pass(11)


def test_it_stays_open_when_nothing_waits_any_more_and_closes_on_an_answer() -> None:
    circuit = opened()
    circuit.look(20, 0, 0, 0)
    circuit.lets_pass(20)
    assert not circuit.lets_pass(20.1)
    circuit.look(21, 1, 1, 1)
    assert all(circuit.lets_pass(21) for _ in range(100))
