"""`connector replay` against a broker and a registry: records are replayed once, and the position is stored.

The same tests run against `connector serve` with a real Kafka and registry, and against `connector dev`.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import servers
from tests.support.callbacks import body_of, contact, envelope, message
from tests.support.commands import Done, run_here
from tests.support.servers import Addresses, ReadRecord, TopicsReader, post

OWN_KEYS = {"sender": "from", "words": "body"}


def own_keys(number: int) -> bytes:
    """A callback that is a text once the settings know its keys, else a dead letter."""
    return body_of({"sender": "393335550142", "type": "text", "words": "Ciao", "id": f"wamid.{number}"})


class Bridge:
    """A running bridge that keeps callbacks as received, and the command beside it."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses

    def send(self, *bodies: bytes) -> None:
        """Send callbacks that are all answered 200."""
        assert {post(self.addresses.callback_url, body).status_code for body in bodies} == {200}

    def replay(self, *arguments: str, with_fix: bool = False) -> dict[str, Any]:
        """Run `connector replay … --json`, which must succeed; `with_fix` sets the renamed keys."""
        done = self.done(*arguments, with_fix=with_fix)
        assert done.exit_code == 0, done.stderr
        report: dict[str, Any] = done.json()
        return report

    def done(self, *arguments: str, with_fix: bool = False) -> Done:
        more = {"CALLBACKS__RENAMED_KEYS": json.dumps(OWN_KEYS)} if with_fix else {}
        environment = servers.environment(
            self.addresses.bootstrap_servers,
            self.addresses.registry_url,
            prefix=self.addresses.prefix,
            delivery_timeout_seconds=10,
            TOPICS__RAW="true",
            **more,
        )
        return run_here(environment, "replay", *arguments, "--json")

    def records(self, *topics: str) -> list[ReadRecord]:
        """Return all records of topics, named without the prefix."""
        reader = TopicsReader(self.addresses, [f"{self.addresses.prefix}{topic}" for topic in topics])
        found = reader.rest()
        reader.close()
        return found

    def topics(self, counts: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Return counts by topic as a replay reports them."""
        return {f"{self.addresses.prefix}{topic}": count for topic, count in counts}


@pytest.fixture(params=[pytest.param("serve", marks=pytest.mark.real), "dev"])
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bridge]:
    if request.param == "dev":
        settings = servers.environment("unused:1", "http://unused", delivery_timeout_seconds=10, TOPICS__RAW="true")
        with servers.developing(settings, tmp_path) as (_, addresses):
            yield Bridge(addresses)
        return
    kafka, apicurio = request.getfixturevalue("kafka"), request.getfixturevalue("apicurio")
    settings = servers.environment(
        kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10, TOPICS__RAW="true", TOPICS__PARTITIONS="2"
    )
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        yield Bridge(server.addresses)


def test_fixed_dead_letters_are_replayed_once(bridge: Bridge) -> None:
    bridge.send(*map(own_keys, range(20)), b"no JSON")
    received = {record.header("ce_id"): record.value["received_at"] for record in bridge.records("dead-letters")}

    dry = bridge.replay("dead-letters", "--dry-run", "--reason", "unknown_shape", with_fix=True)
    done = bridge.replay("dead-letters", "--reason", "unknown_shape", with_fix=True)

    assert {**dry, "dry_run": False} == done
    assert (done["read"], done["replayed"], done["skipped"]) == (21, 20, {"other_reason": 1})
    assert done["records"] == bridge.topics([("texts", 20)])
    texts = bridge.records("texts")
    assert sorted(one.value["message_id"] for one in texts) == sorted(f"wamid.{number}" for number in range(20))
    assert all(one.header("replayed_at") for one in texts)
    assert {one.value["received_at"] for one in texts} <= set(received.values())
    # The position is stored for this selection alone.
    assert bridge.replay("dead-letters", "--reason", "unknown_shape", with_fix=True)["read"] == 0
    again = ("--from-beginning", "--dry-run")
    assert bridge.replay("dead-letters", *again, "--reason", "unknown_shape", with_fix=True)["replayed"] == 20
    assert bridge.replay("dead-letters", "--group", "another", "--dry-run", with_fix=True)["replayed"] == 21
    bridge.send(own_keys(20))
    assert bridge.replay("dead-letters", "--reason", "unknown_shape", with_fix=True)["replayed"] == 1


def test_dead_letters_of_a_replay_are_replayed_up_to_a_limit(bridge: Bridge) -> None:
    bridge.send(b"no JSON", b"\xff")

    done = [bridge.replay("dead-letters", "--max-attempts", "3") for _ in range(4)]

    assert [(one["read"], one["replayed"]) for one in done] == [(2, 2), (2, 2), (2, 0), (0, 0)]
    assert done[0]["dead_letters"] == {"not_json": 1, "not_utf8": 1}
    assert done[2]["skipped"] == {"too_many_attempts": 2}
    letters = bridge.records("dead-letters")
    assert sorted(one.value["attempts"] for one in letters) == [1, 1, 2, 2, 3, 3]
    assert len({one.header("ce_id") for one in letters}) == 2
    assert [one.value["attempts"] for one in letters if one.value["replayed_at"] is None] == [1, 1]


def test_time_span_is_replayed_from_raw_callbacks(bridge: Bridge) -> None:
    bridge.send(envelope([message(id="wamid.before")], [contact()]), b"no JSON")
    kept = bridge.records("raw")
    border = max(record.value["received_at"] for record in kept) + timedelta(milliseconds=1)
    while datetime.now(UTC) <= border:
        pass
    bridge.send(envelope([message(id="wamid.after")], [contact()]))
    day = timedelta(days=1)
    span = ("--from", (border - day).isoformat(), "--to", border.isoformat())

    done = bridge.replay("raw", *span)

    assert (done["read"], done["replayed"]) == (3, 2)
    assert done["skipped"] == {"outside_time_range": 1}
    assert done["records"] == bridge.topics([("dead-letters", 1), ("texts", 1)])
    by_id: dict[str, list[ReadRecord]] = {}
    for record in bridge.records("texts"):
        by_id.setdefault(record.value["message_id"], []).append(record)
    assert len(by_id["wamid.after"]) == 1
    first, second = by_id["wamid.before"]
    assert first.header("ce_id") == second.header("ce_id")
    assert first.value == second.value
    assert len(bridge.records("raw")) == 3
    later = bridge.replay("raw", "--from", border.isoformat(), "--to", (border + day).isoformat(), "--contacts")
    assert later["records"] == bridge.topics([("contacts", 1), ("texts", 1)])
