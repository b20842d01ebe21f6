"""Records that Kafka refuses for good: dead letters, while their siblings go through."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import contact, envelope, message
from tests.support.servers import TopicsReader, eventually, metric, post

SMALL_BYTES = 10_000


def test_record_too_large_for_its_topic_alone_is_a_dead_letter(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    documents = f"{settings['CONNECTOR_TOPICS__PREFIX']}documents"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    small = NewTopic(documents, num_partitions=1, config={"max.message.bytes": str(SMALL_BYTES)})
    admin.create_topics([small])[documents].result(timeout=10)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        answer = post(server.addresses.callback_url, callback_with_a_large_document())
        assert answer.status_code == 200
        reader = TopicsReader(server.addresses, [record_type.topic for record_type in server.addresses.catalogue()])
        records = reader.rest()
        reader.close()
        url = server.addresses.management_url
        assert metric(url, "connector_dead_letters_total", reason="refused_by_kafka") == 1
        eventually(lambda: metric(url, "connector_records_total", topic=documents) == 2)
    there = sorted((one.topic.rpartition(".")[2], one.value.get("message_id")) for one in records)
    assert there == [
        ("contacts", None),
        ("dead-letters", None),
        ("documents", "wamid.first"),
        ("documents", "wamid.last"),
        ("texts", "wamid.text"),
    ]
    (letter,) = [one for one in records if one.topic.endswith("dead-letters")]
    assert (letter.value["reason"], letter.value["step"]) == ("refused_by_kafka", "produce")
    assert letter.value["detail"] == "MSG_SIZE_TOO_LARGE"
    assert b"wamid.large" in letter.value["body"]
    assert b"wamid.first" not in letter.value["body"]


def test_dead_letter_too_large_for_its_topic_is_503_and_logged(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    letters = f"{settings['CONNECTOR_TOPICS__PREFIX']}dead-letters"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    small = NewTopic(letters, num_partitions=1, config={"max.message.bytes": str(SMALL_BYTES)})
    admin.create_topics([small])[letters].result(timeout=10)
    servers.prepare(settings)
    unreadable = random.Random(7).randbytes(2 * SMALL_BYTES)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        callback_url, url = server.addresses.callback_url, server.addresses.management_url
        for _ in range(3):
            answer = post(callback_url, unreadable)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert post(callback_url, b"not JSON").status_code == 200
        # Each was tried, as itself and as what Kafka refused, and no more: not a loop.
        assert metric(url, "connector_dead_letters_total", reason="refused_by_kafka") == 3
        eventually(lambda: metric(url, "connector_outstanding_records") == 0)
        (event,) = server.events("dead_letter_refused")
        assert (event["level"], event["topic"], event["error"]) == ("error", letters, "MSG_SIZE_TOO_LARGE")
        # What the log names helps.
        assert "max.message.bytes" in servers.done(settings, "topics", "check").stdout
        servers.run(settings, "topics", "create", "--alter")
        eventually(lambda: post(callback_url, unreadable).status_code == 200)
        reader = TopicsReader(server.addresses, [letters])
        bodies = [record.value["body"] for record in reader.rest()]
        reader.close()
        assert sorted(bodies, key=len) == [b"not JSON"] * 3 + [unreadable]


def test_many_dead_letters_raise_an_alarm_and_stop_nothing(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        for _ in range(12):
            assert post(server.addresses.callback_url, b"not JSON").status_code == 200
        eventually(lambda: worker(server)["dead_letters"] == {"share": 1.0, "alarm": True})
        assert server.readiness().status == 200
        eventually(lambda: metric(server.addresses.management_url, "connector_dead_letter_alarm") == 1)
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
        assert server.log().count('"dead_letter_alarm_') == 1


def worker(server: servers.Served) -> Mapping[str, Any]:
    (state,) = server.readiness().state["workers"]
    assert isinstance(state, dict)
    return state


def callback_with_a_large_document() -> bytes:
    # Random, so that no codec makes it small.
    caption = random.Random(7).randbytes(SMALL_BYTES).hex()
    large = message(message_type="document", id="wamid.large", document={"id": "1", "caption": caption})
    first, last = (message(message_type="document", id=f"wamid.{name}") for name in ("first", "last"))
    return envelope([first, large, message(id="wamid.text"), last], [contact()])
