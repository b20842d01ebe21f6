"""The messages for failures of Kafka: each says what to check, and none is taken for another."""

import pytest
from confluent_kafka import KafkaError

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
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, set(), ("not authorised (CLUSTER_AUTHORIZATION_FAILED)", "allow")),
    ],
)
def test_message_says_what_failed_and_what_to_check(code: int, reported: set[str], words: tuple[str, ...]) -> None:
    errors = diagnosis.ClientErrors()
    for name in reported:
        errors.record(KafkaError(getattr(KafkaError, name)))
    text = str(diagnosis.unreachable(KafkaError(code), errors))
    assert all(word in text for word in words)
    assert ("does not answer" in text) == ("does not answer" in words[0] or "name" in words[0])


def test_client_errors_are_recorded_by_name() -> None:
    errors = diagnosis.ClientErrors()
    errors.record(KafkaError(KafkaError._TRANSPORT))
    errors.record(KafkaError(KafkaError._AUTHENTICATION))
    assert errors.names == {"_TRANSPORT", "_AUTHENTICATION"}


@pytest.mark.parametrize(
    ("text", "is_advertised"),
    [
        ("kafka-1.invalid:9092/1: Failed to resolve 'kafka-1.invalid:9092': Name or service not known", True),
        ("sasl_ssl://kafka-1.invalid:9092/1: Connect to ipv4#192.0.2.1:9092 failed: Connection refused", True),
        ("sasl_ssl://kafka-1.invalid:9092/bootstrap: Connect to ipv4#192.0.2.1:9092 failed: Connection refused", False),
        ("Failed to verify broker certificate", False),
    ],
)
def test_error_at_an_advertised_address_names_it_and_does_not_blame_bootstrap_servers(text: str, is_advertised: bool) -> None:
    errors = diagnosis.ClientErrors()
    errors.record(KafkaError(KafkaError._TRANSPORT, text))
    found = str(diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), errors))
    assert ("kafka-1.invalid:9092; check advertised.listeners" in found) == is_advertised
    assert ("check kafka.client bootstrap.servers" in found) != is_advertised


def test_brokers_that_never_answer_after_the_bootstrap_address_did_are_named() -> None:
    errors = diagnosis.ClientErrors()
    errors.brokers = {1: "kafka-1:9092", 2: "kafka-2:9092"}
    found = str(diagnosis.unreachable(KafkaError(KafkaError._TIMED_OUT), errors))
    assert "kafka-1:9092, kafka-2:9092; check advertised.listeners" in found


@pytest.mark.parametrize(("name", "is_permanent"), [("_TRANSPORT", False), ("_AUTHENTICATION", True), ("_SSL", True)])
def test_permanent_errors_are_recognised(name: str, is_permanent: bool) -> None:
    errors = diagnosis.ClientErrors()
    errors.record(KafkaError(getattr(KafkaError, name)))
    assert errors.is_permanent == is_permanent


def test_message_for_hidden_topics_does_not_say_create_them() -> None:
    assert "topics create" in str(diagnosis.missing(["orders"]))
    assert str(diagnosis.hidden(["orders", "texts"], "READ")) == "not authorised for topics: orders, texts; allow READ on them"
