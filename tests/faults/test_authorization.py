"""A Kafka with authentication and ACLs: a missing right is reported and answered 503; a granted one is used at once.

The broker has ACLs. Its administrator makes the topics, grants and withdraws; the bridge is a user without further rights.
No callback becomes a dead letter for it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation

from tests.faults.load import Load, load
from tests.stack.acl_broker import PASSWORDS, WRONG_PASSWORD, Guarded, credentials
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.support import servers
from tests.support.callbacks import envelope, message, order
from tests.support.servers import TopicsReader, eventually, metric, post

DELIVERY_SECONDS: Final = 3.0
HEALED_SECONDS: Final = 10.0
"""The bridge uses a granted right at most this long after it was granted."""

DOCUMENT: Final = envelope([message(message_type="document", id="wamid.document")])
ORDER: Final = envelope([order({"product_retailer_id": "1", "quantity": 1, "item_price": "9.90"}, id="wamid.order")])


@pytest.fixture
def guarded(guarded_kafka: KafkaBroker, apicurio: ApicurioRegistry) -> Iterator[Guarded]:
    """Make topics and schemas of a bridge on a broker with ACLs."""
    found = Guarded(guarded_kafka, apicurio.url)
    yield found
    # The right to write to any topic gives a producer id for all.
    found.forget(found.topics())


def test_unauthorised_topic_fails_only_its_callbacks_until_allowed(guarded: Guarded, tmp_path: Path) -> None:
    orders = guarded.topic("orders")
    guarded.allow(AclOperation.WRITE, guarded.topics() - {orders})
    guarded.allow(AclOperation.DESCRIBE, [orders])
    with servers.served(guarded.settings(credentials("bridge")), tmp_path) as server:
        server.wait_until_ready()
        url = server.addresses.callback_url
        for _ in range(3):
            assert is_later(post(url, ORDER))
            assert post(url, DOCUMENT).status_code == 200
        # An operator has to know of it, and which topic it is; but not once a callback.
        assert unconfirmed(server, "TOPIC_AUTHORIZATION_FAILED") == 3
        assert [line for line in server.log().splitlines() if orders in line and "TOPIC_AUTHORIZATION_FAILED" in line]
        assert server.log().count('"delivery_unconfirmed"') == 1
        guarded.allow(AclOperation.WRITE, [orders])
        eventually(lambda: post(url, ORDER).status_code == 200, HEALED_SECONDS, server.log)
        assert message_ids(server, credentials("admin")) == {"documents": ["wamid.document"] * 3, "orders": ["wamid.order"]}
        assert server.stop().exit_code == 0


def test_withdrawn_authorisation_is_used_again_once_restored(guarded: Guarded, tmp_path: Path) -> None:
    texts = [guarded.topic("texts")]
    ways: tuple[Callable[[], None], ...] = (
        lambda: guarded.deny(AclOperation.WRITE, texts),
        lambda: guarded.forget(texts),
        lambda: guarded.forget(guarded.topics()),
    )
    guarded.allow(AclOperation.WRITE, guarded.topics())
    with servers.served(guarded.settings(credentials("bridge")), tmp_path) as server:
        server.wait_until_ready()
        with load(server.addresses.callback_url) as running:
            eventually(lambda: running.count(200) > 20)
            for withdraw in ways:
                withdrawn = time.monotonic()
                withdraw()
                eventually(partial(has_answers, running, 503, withdrawn), explain=server.log)
                # A right that is missing must not take every replica out of the load balancer.
                assert server.readiness().status == 200
                given_back = time.monotonic()
                guarded.forget(guarded.topics())
                guarded.allow(AclOperation.WRITE, guarded.topics())
                eventually(partial(has_answers, running, 200, given_back), HEALED_SECONDS, server.log)
        later = [answer for answer in running.answers if answer.status != 200]
        assert {answer.status for answer in later} == {503}
        assert all(answer.has_retry_after for answer in later)
        # What the broker refused was not written: the topics hold what was answered 200, each once.
        assert message_ids(server, credentials("admin")) == {"texts": sorted(running.ids(200))}
        assert server.stop().exit_code == 0


def test_missing_rights_are_reported_in_turn_until_writing_is_allowed(guarded: Guarded, tmp_path: Path) -> None:
    with servers.served(guarded.settings(credentials("bridge")), tmp_path) as server:
        # A topic that we cannot describe looks missing: creating it would not help.
        reason = server.wait_for_reason("not authorised for topics")
        assert all(topic in reason for topic in guarded.topics())
        assert "topics create" not in reason
        assert is_later(post(server.addresses.callback_url, DOCUMENT))
        guarded.allow(AclOperation.DESCRIBE, guarded.topics())
        reason = server.wait_for_reason("not authorised for a producer id")
        assert "allow WRITE on the topics" in reason
        assert is_later(post(server.addresses.callback_url, DOCUMENT))
        # No right on the cluster is needed.
        guarded.allow(AclOperation.WRITE, guarded.topics())
        server.wait_until_ready()
        assert post(server.addresses.callback_url, DOCUMENT).status_code == 200
        assert message_ids(server, credentials("admin")) == {"documents": ["wamid.document"]}
        assert server.stop().exit_code == 0


def test_wrong_password_is_reported_and_never_shown(guarded: Guarded, tmp_path: Path) -> None:
    guarded.allow(AclOperation.WRITE, guarded.topics())
    settings = guarded.settings(credentials("bridge", WRONG_PASSWORD), LOGS__LEVEL="debug")
    with servers.served(settings, tmp_path) as server:
        reason = server.wait_for_reason("rejects our credentials")
        assert "sasl.username" in reason
        assert "sasl.password" in reason
        assert is_later(post(server.addresses.callback_url, DOCUMENT))
        shown = (
            str(server.readiness())
            + httpx.get(f"{server.addresses.management_url}/metrics", trust_env=False, verify=False).text
        )
        ended = server.stop()
    assert ended.exit_code == 0
    assert "Invalid username or password" in ended.stderr
    for secret in (WRONG_PASSWORD, *PASSWORDS.values(), servers.TOKEN):
        assert secret not in ended.stderr
        assert secret not in shown


def test_deleted_topic_fails_only_its_callbacks_until_recreated(
    own_kafka: OwnKafka, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    # Kafka's default: the broker makes what a client asks for. That would be a topic with other settings.
    broker = own_kafka(**{"auto.create.topics.enable": "true"})
    settings = servers.environment(broker.bootstrap_servers, apicurio.url, delivery_timeout_seconds=DELIVERY_SECONDS)
    servers.prepare(settings)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        url, orders = server.addresses.callback_url, f"{server.addresses.prefix}orders"
        assert post(url, ORDER).status_code == 200
        admin.delete_topics([orders])[orders].result(timeout=10)
        for _ in range(3):
            assert is_later(post(url, ORDER))
            assert post(url, DOCUMENT).status_code == 200
        assert orders not in admin.list_topics(timeout=10).topics
        servers.run(settings, "topics", "create")
        eventually(lambda: post(url, ORDER).status_code == 200, HEALED_SECONDS, server.log)
        # The first order went with its topic.
        assert message_ids(server) == {"documents": ["wamid.document"] * 3, "orders": ["wamid.order"]}
        assert server.stop().exit_code == 0


def is_later(answer: httpx.Response) -> bool:
    """Return whether an answer is 503 with all that belongs to it."""
    return (answer.status_code, answer.content, answer.headers.get("retry-after")) == (503, b"", "5")


def has_answers(running: Load, status: int, since: float) -> bool:
    """Return whether many callbacks that began after `since` had this answer."""
    return running.count(status, since) > 20


def unconfirmed(server: servers.Served, error: str) -> float:
    """Return how many records were not confirmed for this error."""
    return metric(server.addresses.management_url, "connector_unconfirmed_records_total", error=error)


def message_ids(server: servers.Served, client: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Return the ids of the messages in the topics, each topic's sorted. A dead letter would show as its topic."""
    reader = TopicsReader(server.addresses, [record_type.topic for record_type in server.addresses.catalogue()], client)
    found: dict[str, list[str]] = {}
    for record in reader.rest():
        topic = record.topic.removeprefix(server.addresses.prefix)
        found.setdefault(topic, []).append(str(record.value.get("message_id")))
    reader.close()
    return {topic: sorted(names) for topic, names in found.items()}
