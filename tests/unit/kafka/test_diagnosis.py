"""The messages for failures of Kafka: each says what to check, and none is taken for another."""

import json
import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from connector.kafka import diagnosis


@pytest.mark.parametrize(
    ("code", "reported", "words"),
    [
        (KafkaError._TRANSPORT, set(), ("does not answer (_TRANSPORT)", "bootstrap.servers", "security.protocol")),
        (KafkaError._TIMED_OUT, {"_TRANSPORT", "_RESOLVE"}, ("does not answer (_TIMED_OUT)", "bootstrap.servers")),
        (KafkaError._TRANSPORT, {"_RESOLVE", "_ALL_BROKERS_DOWN"}, ("its host name cannot be resolved", "bootstrap.servers")),
        (KafkaError._TRANSPORT, {"_AUTHENTICATION", "_ALL_BROKERS_DOWN"}, ("rejects our credentials", "sasl.password")),
        (KafkaError.SASL_AUTHENTICATION_FAILED, set(), ("rejects our credentials", "sasl.username")),
        (KafkaError._TIMED_OUT, {"_SSL"}, ("TLS", "ssl.ca.location")),
        (KafkaError.NOT_COORDINATOR, set(), ("Kafka is not ready (NOT_COORDINATOR)", "run the command again", "brokers")),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, set(), ("not authorised (CLUSTER_AUTHORIZATION_FAILED)", "allow")),
    ],
)
def test_message_says_what_failed_and_what_to_check(code: int, reported: set[str], words: tuple[str, ...]) -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    for name in reported:
        errors.record(KafkaError(getattr(KafkaError, name)))
    text = str(diagnosis.unreachable(KafkaError(code), errors))
    assert all(word in text for word in words)
    assert ("does not answer" in text) == ("does not answer" in words[0] or "name" in words[0])


def test_client_errors_are_recorded_by_name() -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    errors.record(KafkaError(KafkaError._TRANSPORT))
    errors.record(KafkaError(KafkaError._AUTHENTICATION))
    assert errors.names == {"_TRANSPORT", "_AUTHENTICATION"}


def brokers(*states: tuple[int, str, str]) -> str:
    known = [{"nodeid": id_, "nodename": name, "state": state} for id_, name, state in states]
    return json.dumps({"brokers": {str(index): one for index, one in enumerate(known)}})


BOOTSTRAP = (-1, "boot:9092", "UP")


@pytest.mark.parametrize(
    ("statistics", "named"),
    [
        (brokers(BOOTSTRAP, (1, "kafka-1:9092", "CONNECT"), (2, "kafka-2:9092", "UP")), "kafka-1:9092"),
        (brokers((1, "kafka-1:9092", "DOWN"), (2, "kafka-2:9092", "APIVERSION_QUERY")), "kafka-1:9092, kafka-2:9092"),
    ],
    ids=["one of two", "none, and the bootstrap address is forgotten"],
)
def test_brokers_that_the_bootstrap_address_led_to_are_named_if_they_do_not_answer(statistics: str, named: str) -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    errors.read(statistics)
    text = str(diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), errors))
    assert f"cannot be reached at the addresses that they advertise: {named}; check advertised.listeners" in text
    assert "check kafka.client bootstrap.servers" not in text


def test_unresolvable_advertised_names_are_called_so() -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    errors.read(brokers((1, "kafka-1.invalid:9092", "TRY_CONNECT")))
    errors.record(KafkaError(KafkaError._RESOLVE))
    assert "cannot be resolved at" in str(diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), errors))


@pytest.mark.parametrize("server", ["kafka-1", "kafka-1:9092", "SASL_SSL://kafka-1:9092, kafka-9:9092"])
def test_outage_of_a_broker_that_bootstrap_servers_names_is_no_fault_of_its_advertised_address(server: str) -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": server})
    errors.read(brokers((1, "kafka-1:9092", "DOWN"), (2, "kafka-2:9092", "DOWN")))
    errors.record(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    for error in (KafkaError._TRANSPORT, KafkaError._WAIT_COORD):
        assert str(diagnosis.unreachable(KafkaError(error), errors)).startswith("Kafka does not answer")


def test_bootstrap_address_that_never_answered_is_blamed_itself() -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    errors.read(brokers((-1, "boot:9092", "CONNECT")))
    assert "check kafka.client bootstrap.servers" in str(diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), errors))


@pytest.mark.parametrize(("name", "is_permanent"), [("_TRANSPORT", False), ("_AUTHENTICATION", True), ("_SSL", True)])
def test_permanent_errors_are_recognised(name: str, is_permanent: bool) -> None:
    errors = diagnosis.ClientErrors({"bootstrap.servers": "boot:9092"})
    errors.record(KafkaError(getattr(KafkaError, name)))
    assert errors.is_permanent == is_permanent


def test_message_for_hidden_topics_does_not_say_create_them() -> None:
    assert "topics create" in str(diagnosis.missing(["orders"]))
    assert str(diagnosis.hidden(["orders", "texts"], "READ")) == "not authorised for topics: orders, texts; allow READ on them"


def failing(*codes: int) -> Any:
    """Return a call that fails with these codes, one after the other, then succeeds; it collects the seconds it gets."""
    left, seconds = list(codes), []

    def call(seconds_left: float) -> list[float]:
        seconds.append(seconds_left)
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return seconds

    return call


def test_call_is_repeated_while_a_coordinator_or_leader_is_elected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_AGAIN_SECONDS", 0.01)
    call = failing(KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR, KafkaError.LEADER_NOT_AVAILABLE)

    seconds = diagnosis.retried(call, 5.0)

    assert len(seconds) == 4
    assert seconds == sorted(seconds, reverse=True)
    assert max(seconds) == 5.0


@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._TIMED_OUT, KafkaError._TRANSPORT])
def test_other_errors_are_not_repeated(code: int) -> None:
    with pytest.raises(KafkaException) as failed:
        diagnosis.retried(failing(code), 5.0)
    assert failed.value.args[0].code() == code


def test_temporary_error_that_lasts_ends_with_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_AGAIN_SECONDS", 0.02)
    began = time.monotonic()
    with pytest.raises(KafkaException):
        diagnosis.retried(failing(*1000 * [KafkaError.NOT_COORDINATOR]), 0.2)
    assert time.monotonic() - began <= 0.25
