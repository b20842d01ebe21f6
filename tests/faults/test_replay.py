"""A replay that is killed or not authorised: nothing is lost, the next one continues, and the error is clear."""

import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka.admin._acl import AclOperation

from tests.stack.acl_broker import Guarded, credentials
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import body_of
from tests.support.servers import Process, TopicsReader, eventually, post

CALLBACKS = 600
RATE = 100


def own_keys(number: int) -> bytes:
    """A callback that is a text once the settings know its keys, else a dead letter."""
    return body_of({"sender": f"39333555{number % 50:04}", "type": "text", "words": "Ciao", "id": f"wamid.{number}"})


def test_killed_replay_continues_at_the_last_safe_position(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server, ThreadPoolExecutor(4) as threads:
        server.wait_until_ready()
        url = server.addresses.callback_url
        answers = threads.map(lambda number: post(url, own_keys(number)).status_code, range(CALLBACKS))
        assert set(answers) == {200}
    fixed = {**settings, "CONNECTOR_CALLBACKS__RENAMED_KEYS": json.dumps({"sender": "from", "words": "body"})}
    command = ("replay", "dead-letters", "--json")
    texts = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    for part in (1, 2):
        killed = Process([*command, "--rate", str(RATE)], fixed, tmp_path / f"killed-{part}.log")
        reached = texts.count() + RATE * 3 // 2
        eventually(lambda least=reached: texts.count() >= least, 20, killed.log)  # type: ignore[misc]
        killed.send_signal(signal.SIGKILL)
        assert killed.wait().exit_code == -signal.SIGKILL

    done = json.loads(servers.run(fixed, *command))

    records = texts.rest()
    texts.close()
    ids = Counter(record.value["message_id"] for record in records)
    assert set(ids) == {f"wamid.{number}" for number in range(CALLBACKS)}
    assert done["read"] == done["replayed"] < CALLBACKS, "it started from the beginning"
    # What a killed one had under way, about a second of it, is there twice, and equal.
    assert len(records) - CALLBACKS <= 2 * RATE
    assert len({(record.value["message_id"], record.header("ce_id")) for record in records}) == CALLBACKS
    assert json.loads(servers.run(fixed, *command))["read"] == 0


def test_missing_read_and_group_rights_are_reported(guarded_kafka: KafkaBroker, apicurio: ApicurioRegistry) -> None:
    guarded = Guarded(guarded_kafka, apicurio.url)
    settings = guarded.settings(credentials("bridge"))

    def reports(text: str) -> bool:
        done = servers.done(settings, "replay", "dead-letters")
        assert (done.exit_code, done.stdout) == (1, "")
        return text in done.stderr

    letters = guarded.topic("dead-letters")
    assert reports(f"not authorised for topics: {letters}; allow READ on them")
    guarded.allow(AclOperation.READ, [letters])
    eventually(lambda: reports("not authorised for the consumer group connector-replay-dead-letters; allow READ on it"), 30)
    guarded.forget([letters])


def test_kafka_outage_ends_a_replay_with_a_clear_message(tmp_path: Path) -> None:
    settings = servers.environment("unused:1", "http://unused")
    with servers.developing(settings, tmp_path) as (dev, addresses):
        assert {post(addresses.callback_url, b"no JSON %d" % number).status_code for number in range(CALLBACKS // 10)} == {200}
        mine = servers.environment(
            addresses.bootstrap_servers, addresses.registry_url, prefix=addresses.prefix, delivery_timeout_seconds=2
        )
        letters = TopicsReader(addresses, [f"{addresses.prefix}dead-letters"])
        replay = Process(["replay", "dead-letters", "--json", "--rate", "5"], mine, tmp_path / "replay.log")
        eventually(lambda: letters.count() > CALLBACKS // 10, 20, replay.log)
        dev.send_signal(signal.SIGKILL)
        letters.close()

        ended = replay.wait(60)

    assert ended.exit_code == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("connector: Kafka does not answer")
    (line,) = [json.loads(text) for text in ended.stderr.splitlines() if '"replayed"' in text]
    assert 0 < line["replayed"] <= line["read"] < CALLBACKS // 10
