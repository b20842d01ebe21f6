"""The bridge on the oldest and the newest release of Kafka that docs/how-to/kafka.md names; all other tests use one between."""

from collections import Counter
from pathlib import Path

from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.stack.versions import KAFKA_VERSION, OTHER_KAFKAS
from tests.support import servers
from tests.support.callbacks import SAMPLES, raw, translator
from tests.support.servers import TopicsReader, post

ROOT = Path(__file__).parents[2]


def test_every_sample_arrives_and_topics_are_as_wanted(
    other_kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(other_kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    checked = servers.done(settings, "topics", "check", "--json")
    assert checked.exit_code == 0, checked.stdout
    findings = servers.done(settings, "doctor", "--json").json()
    # The producer id is what an idempotent producer asks for.
    states = {one["check"]: one["state"] for one in findings if one["check"] in ("kafka", "topics", "producer id", "schemas")}
    assert states == dict.fromkeys(("kafka", "topics", "producer id", "schemas"), "ok"), findings
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        catalogue = server.addresses.catalogue()
        expected: Counter[str] = Counter()
        for sample in SAMPLES:
            assert post(server.addresses.callback_url, sample.read_bytes()).status_code == 200, sample
            expected.update(message.topic for message in translator(of=catalogue).translate(raw(sample.read_bytes())))
        reader = TopicsReader(server.addresses, [record_type.topic for record_type in catalogue])
        try:
            found = reader.rest()
        finally:
            reader.close()
        assert Counter(record.topic for record in found) == expected
        assert server.stop().exit_code == 0
    # The keyed topic of profiles is compacted: a tombstone replaces the record.
    (record, *_) = [record for record in found if record.topic.endswith("contacts")]
    assert record.key is not None
    done = servers.done(settings, "forget", record.key.decode(), "--json")
    assert done.exit_code == 0, done.stderr


def test_docs_name_the_tested_releases() -> None:
    text = (ROOT / "docs" / "how-to" / "kafka.md").read_text(encoding="utf-8")
    for version in (KAFKA_VERSION, *(release.version for release in OTHER_KAFKAS)):
        assert f"Apache Kafka {version}" in text
