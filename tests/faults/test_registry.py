"""The registry unreachable, restarted, and with other schema ids while the bridge runs; broker and registry are embedded."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from connector.dev.embedded.broker import EmbeddedBroker
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import Served, eventually, metric, post

PREFIX = "kaleyra.whatsapp."
CATALOGUE = servers.Addresses("", "", "", "", PREFIX).catalogue()
TYPES = list(CATALOGUE)
TEXTS = f"{PREFIX}texts"
ID_OF_TEXT = 1 + TYPES.index(CATALOGUE.by_message_type["text"])

Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as started:
        started.register(TYPES)
        started.requests.clear()
        yield started


@pytest.fixture(scope="module")
def broker() -> EmbeddedBroker:
    started = EmbeddedBroker()
    started.create_topics(record_type.topic for record_type in TYPES)
    return started


@pytest.fixture
def serve(broker: EmbeddedBroker, registry: EmbeddedRegistry, tmp_path: Path) -> Serve:
    """Serve with a cache in the same folder each time, and a registry that is asked every half second."""

    def served(workers: int = 1, **more: str) -> AbstractContextManager[Served]:
        given: dict[str, Any] = {
            "REGISTRY__VERIFY_INTERVAL_SECONDS": "0.5",
            "REGISTRY__CACHE_FOLDER": str(tmp_path / "cache"),
            **more,
        }
        environment = servers.environment(broker.bootstrap_servers, registry.url, prefix=PREFIX, **given)
        return servers.served(environment, tmp_path, workers)

    return served


def send(server: Served, message_id: str = "wamid.x") -> int:
    return post(server.addresses.callback_url, envelope([message(id=message_id)])).status_code


def schema_ids(server: Served) -> list[dict[str, Any]]:
    """What each worker says of its ids."""
    return [worker["schema_ids"] for worker in server.readiness().state["workers"]]


def figure(server: Served, name: str, **labels: str) -> float:
    return metric(server.addresses.management_url, name, **labels)


def logged(server: Served, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log().splitlines()]
    return [line for line in lines if line["event"] == name]


def ids_of_texts(server: Served) -> Counter[int]:
    """Count the records of the topic of texts by schema id, read as bytes: the ids may belong to any schema."""
    consumer = Consumer({"bootstrap.servers": server.addresses.bootstrap_servers, "group.id": "bytes", "log_level": 0})
    places = [
        TopicPartition(TEXTS, number, OFFSET_BEGINNING) for number in consumer.list_topics(TEXTS).topics[TEXTS].partitions
    ]
    ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
    consumer.assign(places)
    values: list[bytes] = []
    while len(values) < sum(ends):
        values += [record.value() or b"" for record in consumer.consume(sum(ends) - len(values), 1)]
    consumer.close()
    return Counter(int.from_bytes(value[1:5], "big") for value in values)


def wait_until_stopped(server: Served, text: str) -> str:
    """Wait until a bridge that was ready reports why it no longer is."""
    eventually(lambda: server.readiness().status == 503)
    return server.wait_for_reason(text)


def test_callbacks_send_no_request_to_the_registry(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve(REGISTRY__VERIFY_INTERVAL_SECONDS="600") as server:
        server.wait_until_ready()
        assert len(registry.requests) == len(TYPES)
        assert {send(server, f"wamid.{number}") for number in range(200)} == {200}
        assert len(registry.requests) == len(TYPES), "asked at the start, and then no more"
    assert not [path for _, path in registry.requests if path.endswith("/versions")]


def test_start_without_the_registry_is_ready_and_logs_a_warning(
    serve: Serve, registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    with serve() as server:
        server.wait_until_ready()
    registry.stop()
    with serve() as server:
        server.wait_until_ready()
        assert send(server) == 200
        (ids,) = schema_ids(server)
        assert ids["source"] == "cache"
        assert registry.url in ids["registry"]
        assert figure(server, "connector_schema_ids_from_cache") == 1
        (line,) = logged(server, "schema_ids_from_cache")
        assert (line["level"], line["confirmed_at"]) == ("warning", ids["confirmed_at"])
        registry.start()
        eventually(lambda: schema_ids(server)[0]["source"] == "registry")
        eventually(lambda: figure(server, "connector_schema_ids_from_cache") == 0)
        assert logged(server, "schema_ids_confirmed")
        assert send(server) == 200
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_first_start_while_the_registry_is_away_is_not_ready(serve: Serve, registry: EmbeddedRegistry) -> None:
    registry.stop()
    with serve() as server:
        server.wait_for_reason("does not answer")
        assert send(server) == 503
        registry.start()
        server.wait_until_ready()


@pytest.mark.parametrize("content", ["", "{}", "damaged"])
def test_damaged_cache_is_reported_and_waits_for_the_registry(
    serve: Serve, registry: EmbeddedRegistry, tmp_path: Path, content: str
) -> None:
    with serve() as server:
        server.wait_until_ready()
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text(content, encoding="utf-8")
    registry.stop()
    with serve() as server:
        server.wait_for_reason("does not answer")
        assert logged(server, "schema_id_cache_unreadable")[0]["reason"] == "it is damaged"
        registry.start()
        server.wait_until_ready()


def test_unwritable_cache_is_reported_and_stops_nothing(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with serve(REGISTRY__CACHE_FOLDER=str(tmp_path / "file" / "cache")) as server:
        server.wait_until_ready()
        assert send(server) == 200
        assert "Not a directory" in schema_ids(server)[0]["cache"]
        assert logged(server, "schema_id_cache_unwritable")[0]["see"] == "registry.cache_folder"


def test_registry_away_while_running_changes_nothing(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve() as server:
        server.wait_until_ready()
        registry.stop()
        eventually(lambda: figure(server, "connector_schema_id_checks_total", outcome="no_answer") >= 3)
        assert server.readiness().status == 200
        assert send(server) == 200
        assert len(logged(server, "schema_ids_not_confirmed")) == 1
        registry.start()
        eventually(lambda: "registry" not in schema_ids(server)[0])
        assert send(server) == 200


def test_killed_worker_restarts_without_registry_or_cache_setting(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve(REGISTRY__CACHE_FOLDER="") as server:
        server.wait_until_ready()
        registry.stop()
        (worker,) = server.children()
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: server.readiness().status == 503)
        server.wait_until_ready()
        assert schema_ids(server)[0]["source"] == "cache"
        assert send(server) == 200


def test_workers_share_the_cache(serve: Serve, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with serve(3) as server:
        server.wait_until_ready(workers=3)
        eventually(lambda: figure(server, "connector_schema_id_checks_total", outcome="confirmed") > 12)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    registry.stop()
    with serve(3) as server:
        server.wait_until_ready(workers=3)
        assert [ids["source"] for ids in schema_ids(server)] == ["cache"] * 3
        assert figure(server, "connector_schema_ids_from_cache") == 3


def test_changed_schema_ids_stop_producing_until_they_are_restored(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve(2) as server:
        server.wait_until_ready(workers=2)
        before = ids_of_texts(server)
        assert send(server, "wamid.before") == 200
        lose_data(registry, list(reversed(TYPES)))
        reason = wait_until_stopped(server, "is another schema")
        assert "Restore the registry's data" in reason
        answer = post(server.addresses.callback_url, envelope([message(id="wamid.during")]))
        assert (answer.status_code, answer.content) == (503, b"")
        assert "retry-after" in answer.headers
        assert figure(server, "connector_schema_ids_wrong") == 2
        assert figure(server, "connector_ready") == 0
        assert {line["level"] for line in logged(server, "schema_ids_wrong")} == {"error"}
        lose_data(registry, TYPES)
        server.wait_until_ready(workers=2)
        assert figure(server, "connector_schema_ids_wrong") == 0
        assert send(server, "wamid.after") == 200
        assert ids_of_texts(server) - before == {ID_OF_TEXT: 2}


def test_new_schema_ids_of_a_registry_need_a_restart(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve() as server:
        server.wait_until_ready()
        lose_data(registry, list(reversed(TYPES)))
        wait_until_stopped(server, "is another schema")
    with serve() as server:
        server.wait_until_ready()
        before = ids_of_texts(server)
        assert send(server) == 200
        assert ids_of_texts(server) - before == {len(TYPES) + 1 - ID_OF_TEXT: 1}


def test_wrong_schema_ids_are_not_used_after_a_restart(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve() as server:
        server.wait_until_ready()
        lose_data(registry, [])
        wait_until_stopped(server, "is unknown")
    registry.stop()
    with serve() as server:
        server.wait_for_reason("does not answer")
        assert send(server) == 503


def test_bridge_that_stops_does_not_take_callbacks_again(serve: Serve, registry: EmbeddedRegistry) -> None:
    with serve() as server:
        server.wait_until_ready()
        lose_data(registry, [])
        wait_until_stopped(server, "is unknown")
        registry.register(TYPES)
        ended = server.stop()
    assert ended.exit_code == 0, ended.stderr


def lose_data(registry: EmbeddedRegistry, types: Sequence[Any]) -> None:
    """Restart the registry with these schemas registered one after the other, in one step."""
    with EmbeddedRegistry() as other:
        other.register(types)
        registry.take_data(other)
