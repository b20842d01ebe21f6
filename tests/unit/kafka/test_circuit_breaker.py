"""The circuit breaker opens on silence, allows one probe a second, and closes on the first answer."""

from connector.kafka.circuit_breaker import CircuitBreaker


def opened() -> CircuitBreaker:
    circuit = CircuitBreaker()
    circuit.observe(0, 0, 0, 1)
    circuit.observe(0.25, 5, 0, 1)
    circuit.observe(3.5, 5, 0, 1)
    assert circuit.is_open
    return circuit


def test_silence_with_outstanding_records_opens_the_circuit() -> None:
    circuit = CircuitBreaker()
    circuit.observe(10, 0, 0, 1)
    circuit.observe(12.9, 5, 0, 1)
    assert not circuit.is_open
    circuit.observe(13.1, 5, 0, 1)
    assert circuit.is_open


def test_circuit_opens_sooner_without_a_connected_broker() -> None:
    circuit = CircuitBreaker()
    circuit.observe(10, 0, 0, 1)
    circuit.observe(11.1, 5, 0, 0)
    assert circuit.is_open


def test_silence_without_outstanding_records_keeps_it_closed() -> None:
    circuit = CircuitBreaker()
    for second in range(100):
        circuit.observe(second, 0, 0, 0)
    assert not circuit.is_open
    # The first record after a quiet night gets its full time.
    circuit.observe(99.5, 1, 0, 1)
    assert not circuit.is_open


def test_answers_keep_the_circuit_closed_under_any_load() -> None:
    circuit = CircuitBreaker()
    for second in range(100):
        circuit.observe(second, 20_000, second, 1)
    assert not circuit.is_open


def test_open_circuit_allows_one_probe_a_second() -> None:
    circuit = opened()
    passed = [moment for moment in range(3500, 7500, 10) if circuit.allows(moment / 1000)]
    assert passed == [3500, 4500, 5500, 6500]


def test_missing_topic_blocks_no_callback_for_other_topics() -> None:
    circuit = opened()
    assert circuit.allows(3.5), "a callback for another topic, right after"
    circuit.observe(3.75, 5, 1, 1)
    assert not circuit.is_open


def test_circuit_that_is_closed_from_outside_allows_callbacks_and_can_open_again() -> None:
    circuit = CircuitBreaker()
    circuit.open(0)

    circuit.close(10)

    assert circuit.allows(10)
    circuit.observe(12, outstanding_records=1, answers=0, brokers_up=1)
    assert not circuit.is_open
    circuit.observe(13.1, outstanding_records=1, answers=0, brokers_up=1)
    assert circuit.is_open


def test_circuit_opened_at_start_refuses_callbacks() -> None:
    circuit = CircuitBreaker()
    circuit.open(10)
    assert not circuit.allows(10.5)
    assert circuit.allows(11)


def test_open_circuit_closes_only_on_an_answer() -> None:
    circuit = opened()
    circuit.observe(20, 0, 0, 0)
    circuit.allows(20)
    assert not circuit.allows(20.1)
    circuit.observe(21, 1, 1, 1)
    assert all(circuit.allows(21) for _ in range(100))
