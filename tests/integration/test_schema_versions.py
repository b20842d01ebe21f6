"""Versions of a schema side by side, and a registry that goes away, on the real Kafka and Apicurio: an operator's pages."""

import json
import shutil
from pathlib import Path

import pytest

from connector.catalogue import read_catalogue
from connector.registry.client import RegistryClient
from tests.stack.apicurio import ApicurioRegistry, OwnApicurio
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import Environment, Served, TopicsReader, eventually, post

ROOT = Path(__file__).parents[2]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A catalogue of the next release: texts have one more field."""
    folder = tmp_path / "newer"
    for name in ("avro", "config"):
        shutil.copytree(ROOT / name, folder / name)
    file = folder / "avro" / "text.avsc"
    schema = json.loads(file.read_text(encoding="utf-8"))
    field = {
        "name": "body_again",
        "type": ["null", "string"],
        "default": None,
        "source": "message.text.body",
        "pii": "content",
        "doc": "The text.",
    }
    schema["fields"].append(field)
    file.write_text(json.dumps(schema), encoding="utf-8")
    return folder


def of(environment: Environment, folder: Path) -> Environment:
    return {**environment, "CONNECTOR_CATALOGUE__FOLDER": str(folder)}


def send(server: Served, message_id: str) -> None:
    assert post(server.addresses.callback_url, envelope([message(id=message_id)])).status_code == 200


def read(server: Served, count: int) -> dict[str, tuple[int, str | None]]:
    """Each record of texts by its message's id: its schema's id, and the field that only the newer one has."""
    reader = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    try:
        records = reader.read(count)
        assert reader.rest() == []
    finally:
        reader.close()
    assert {record.value["body"] for record in records} == {"Ciao"}
    return {record.value["message_id"]: (record.schema_id, record.value.get("body_again")) for record in records}


def test_roll_out_keeps_the_running_bridge_and_both_versions_are_read(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, newer: Path, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, REGISTRY__VERIFY_INTERVAL_SECONDS="0.5")
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as old:
        old.wait_until_ready()
        send(old, "before")
        servers.run(of(settings, newer), "schemas", "register")
        with servers.served(of(settings, newer), tmp_path) as new:
            new.wait_until_ready()
            confirmed = confirmed_times(old)
            eventually(lambda: confirmed_times(old) > confirmed + 1)
            send(new, "new")
            send(old, "old")
            found = read(new, 3)
            assert old.readiness().status == 200
    assert found["before"] == found["old"] == (found["old"][0], None)
    assert found["new"] == (found["new"][0], "Ciao")
    assert found["new"][0] != found["old"][0]


def test_roll_back_uses_its_own_version_instead_of_the_latest(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, newer: Path, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    servers.run(of(settings, newer), "schemas", "register")
    with servers.served(of(settings, newer), tmp_path) as new:
        new.wait_until_ready()
        send(new, "new")
    with servers.served(settings, tmp_path) as old:
        old.wait_until_ready()
        send(old, "old")
        found = read(old, 2)
    subject = f"{settings['CONNECTOR_TOPICS__PREFIX']}texts-value"
    text = next(one for one in read_catalogue(None, settings["CONNECTOR_TOPICS__PREFIX"]) if one.subject == subject)
    registry = RegistryClient(apicurio.url)
    known = registry.look_up(text)
    registry.close()
    assert (known.schema_id, known.version) == (found["old"][0], 1)
    assert (found["old"][1], found["new"][1]) == (None, "Ciao")


def test_registry_away_at_a_restart(kafka: KafkaBroker, own_apicurio: OwnApicurio, tmp_path: Path) -> None:
    registry = own_apicurio(keeps_data=True)
    settings = servers.environment(
        kafka.bootstrap_servers,
        registry.url,
        REGISTRY__CACHE_FOLDER=str(tmp_path / "cache"),
        REGISTRY__VERIFY_INTERVAL_SECONDS="1",
    )
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        send(server, "before")
    registry.stop()
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        assert sources(server) == {"cache"}
        send(server, "while it is away")
        registry.start()
        eventually(lambda: sources(server) == {"registry"}, 30, server.log)
        send(server, "after")
        found = read(server, 3)
    assert found.keys() == {"before", "while it is away", "after"}
    assert len({schema_id for schema_id, _ in found.values()}) == 1


def test_registry_that_hangs_at_a_restart(kafka: KafkaBroker, own_apicurio: OwnApicurio, tmp_path: Path) -> None:
    registry = own_apicurio()
    cache = {"REGISTRY__CACHE_FOLDER": str(tmp_path / "cache"), "REGISTRY__CLIENT__TIMEOUT": "2"}
    settings = servers.environment(kafka.bootstrap_servers, registry.url, prefix=None, delivery_timeout_seconds=5, **cache)
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
    registry.freeze()
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        assert sources(server) == {"cache"}
        send(server, "while it hangs")
        assert server.stop().exit_code == 0
    registry.resume()


def test_in_memory_registry_restarted_with_another_subject_order(
    kafka: KafkaBroker, own_apicurio: OwnApicurio, tmp_path: Path
) -> None:
    registry = own_apicurio()
    settings = servers.environment(kafka.bootstrap_servers, registry.url, REGISTRY__VERIFY_INTERVAL_SECONDS="1")
    servers.prepare(settings)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        send(server, "before")
        registry.restart()
        register_the_other_way_round(registry, server.addresses.prefix)
        eventually(lambda: server.readiness().status == 503, 30, server.log)
        assert "was changed" in server.wait_for_reason("is another schema")
        for number in range(5):
            assert post(server.addresses.callback_url, envelope([message(id=f"{number}")])).status_code == 503
        assert written(server) == 1, "nothing after the registry was restarted"
        # As before: the heal of an operator who has no backup, and has the order of the first time.
        registry.restart()
        servers.run(settings, "schemas", "register")
        server.wait_until_ready()
        send(server, "after")
        assert read(server, 2).keys() == {"before", "after"}


def confirmed_times(server: Served) -> float:
    return servers.metric(server.addresses.management_url, "connector_schema_id_checks_total", outcome="confirmed")


def sources(server: Served) -> set[str]:
    return {worker["schema_ids"]["source"] for worker in server.readiness().state["workers"]}


def register_the_other_way_round(registry: ApicurioRegistry, prefix: str) -> None:
    client = RegistryClient(registry.url)
    for record_type in reversed(list(read_catalogue(None, prefix))):
        client.register(record_type)
    client.close()


def written(server: Served) -> int:
    reader = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    try:
        return reader.count()
    finally:
        reader.close()
