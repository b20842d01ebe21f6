"""Why Kafka cannot be seen, in words: each with what to check, and none mixed up with another."""

import pytest
from confluent_kafka import KafkaError

from connector.kafka import diagnosis as access


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (KafkaError._TRANSPORT, set(), ("does not answer (_TRANSPORT)", "bootstrap.servers", "security.protocol")),
        (KafkaError._TIMED_OUT, {"_TRANSPORT", "_RESOLVE"}, ("does not answer (_TIMED_OUT)", "bootstrap.servers")),
        (KafkaError._TRANSPORT, {"_RESOLVE", "_ALL_BROKERS_DOWN"}, ("its name is not known", "bootstrap.servers")),
        (KafkaError._TRANSPORT, {"_AUTHENTICATION", "_ALL_BROKERS_DOWN"}, ("does not let us in", "sasl.password")),
        (KafkaError.SASL_AUTHENTICATION_FAILED, set(), ("does not let us in", "sasl.username")),
        (KafkaError._TIMED_OUT, {"_SSL"}, ("TLS", "ssl.ca.location")),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, set(), ("not authorised (CLUSTER_AUTHORIZATION_FAILED)", "allow")),
    ],
)
def test_reason_is_told_in_words(code: int, told: set[str], words: tuple[str, ...]) -> None:
    text = str(access.unreachable(KafkaError(code), told))
    assert all(word in text for word in words)
    assert ("does not answer" in text) == ("does not answer" in words[0] or "name" in words[0])


def test_errors_of_connections_are_noted_by_name() -> None:
    told = access.Told()
    told.note(KafkaError(KafkaError._TRANSPORT))
    told.note(KafkaError(KafkaError._AUTHENTICATION))
    assert told.names == {"_TRANSPORT", "_AUTHENTICATION"}


@pytest.mark.parametrize(("name", "for_good"), [("_TRANSPORT", False), ("_AUTHENTICATION", True), ("_SSL", True)])
def test_what_no_waiting_heals_is_known(name: str, for_good: bool) -> None:
    told = access.Told()
    told.note(KafkaError(getattr(KafkaError, name)))
    assert told.for_good == for_good


def test_hidden_topics_are_not_told_to_be_made() -> None:
    assert "topics create" in str(access.missing(["orders"]))
    assert str(access.hidden(["orders", "texts"], "READ")) == "not authorised for topics: orders, texts; allow READ on them"
