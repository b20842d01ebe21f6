"""Our schema ids while a registry is away, loses its data, is hidden by a proxy, or has other versions."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from structlog.testing import capture_logs

from connector.catalogue import RecordType
from connector.errors import NotRegistered, RegistryFailed
from connector.metrics import Metrics
from connector.registry.client import RegistryClient
from connector.registry.id_cache import IdCache
from connector.registry.schema_ids import SchemaIds
from tests.support.callbacks import catalogue, counted
from tests.support.registries import EmbeddedRegistry

TYPES = list(catalogue())


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as started:
        yield started


class Case:
    """A bridge's view of a registry, with a cache in a folder."""

    def __init__(self, url: str, folder: Path, types: list[RecordType]) -> None:
        self.metrics = Metrics()
        self.registry = RegistryClient(url)
        self.cache = IdCache(folder, url, types)
        self.ids = SchemaIds(self.registry, types, self.cache, self.metrics)

    def find(self) -> dict[str, int]:
        return asyncio.run(self.ids.find())

    def check(self) -> str:
        asyncio.run(self.ids.check())
        return self.ids.wrong

    def gauge(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


Start = Callable[..., Case]


@pytest.fixture
def start(registry: EmbeddedRegistry, tmp_path: Path) -> Iterator[Start]:
    """Start one case after another with the same folder."""
    started: list[Case] = []

    def new(types: list[RecordType] = TYPES) -> Case:
        started.append(Case(registry.url, tmp_path, types))
        return started[-1]

    yield new
    for case in started:
        case.registry.close()


def with_field(record_type: RecordType, name: str) -> RecordType:
    schema = json.loads(record_type.published_text)
    schema["fields"].append({"name": name, "type": ["null", "string"], "default": None})
    return replace(record_type, published_text=json.dumps(schema))


def test_ids_are_those_of_our_schemas_latest_version_or_not(registry: EmbeddedRegistry, start: Start) -> None:
    newer = [with_field(record_type, "later") for record_type in TYPES]
    registry.register(TYPES)
    before = start().find()
    registry.register(newer)
    assert start().find() == before
    assert not set(start(newer).find().values()) & set(before.values())


def test_registry_away_at_first_start_is_an_error(registry: EmbeddedRegistry, start: Start) -> None:
    registry.stop()
    with pytest.raises(RegistryFailed, match="does not answer"):
        start().find()


def test_start_while_registry_is_away_uses_cache_and_logs_it(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    ids = start().find()
    registry.stop()
    later = start()
    with capture_logs() as logs:
        assert later.find() == ids
    assert [(line["event"], line["log_level"]) for line in logs] == [("schema_ids_from_cache", "warning")]
    state = later.ids.state()
    assert (state["source"], "does not answer" in state["registry"]) == ("cache", True)
    assert state["confirmed_at"] == logs[0]["confirmed_at"]
    assert later.gauge("connector_schema_ids_from_cache") == 1
    registry.start()
    assert later.check() == ""
    assert later.ids.state().keys() == {"source", "confirmed_at"}
    assert later.ids.state()["source"] == "registry"
    assert later.gauge("connector_schema_ids_from_cache") == 0
    assert later.ids.are_confirmed


def test_answering_registry_takes_precedence_over_cache(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    start().find()
    registry.lose_data()
    with pytest.raises(NotRegistered, match="`connector schemas register`"):
        start().find()
    registry.register(reversed(TYPES))
    again = start()
    with capture_logs() as logs:
        ids = again.find()
    assert ids[TYPES[0].name] == len(TYPES)
    assert [(line["event"], line["log_level"]) for line in logs] == [("schema_ids_changed", "warning")]
    assert set(logs[0]["subjects"]) <= {record_type.subject for record_type in TYPES}
    assert again.check() == ""


def test_outage_while_running_is_logged_once_and_changes_nothing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.stop()
    with capture_logs() as logs:
        assert [running.check() for _ in range(3)] == ["", "", ""]
    assert [line["event"] for line in logs] == ["schema_ids_not_confirmed"]
    assert "does not answer" in running.ids.state()["registry"]
    assert running.ids.state()["source"] == "registry"
    assert counted(running.metrics, "connector_schema_id_checks", outcome="no_answer") == 3
    registry.start()
    assert running.check() == ""
    assert counted(running.metrics, "connector_schema_id_checks", outcome="confirmed") == 2


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("default backend - 404", 404),
        PlainTextResponse("<html>Bad Gateway</html>", 502),
        PlainTextResponse("<html>We are back soon</html>", 200),
        JSONResponse({"status": 404, "error": "Not Found"}, 404),
        JSONResponse({}),
        JSONResponse([]),
        JSONResponse({"error_code": 401, "message": "Unauthorized"}, 401),
        JSONResponse({"error_code": 50001, "message": "Error in the backend data store"}, 500),
        Response(status_code=204),
    ],
    ids=["404", "502", "page", "404 json", "object", "list", "401", "500", "204"],
)
def test_answer_that_is_not_the_registrys_changes_nothing(registry: EmbeddedRegistry, start: Start, answer: Response) -> None:
    registry.register(TYPES)
    running = start()
    ids = running.find()
    registry.intruder = answer
    assert running.check() == ""
    assert registry.url in running.ids.state()["registry"]
    assert start().find() == ids, "a start uses the cache"


def test_registry_that_returns_with_other_ids_stops_producing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    registry.register(reversed(TYPES))
    with capture_logs() as logs:
        wrong = running.check()
        assert running.check() == wrong
    assert f"id 1 of {TYPES[0].subject} is another schema" in wrong
    assert f"and {len(TYPES) - 3} more" in wrong
    assert "Restore the registry's data" in wrong
    assert [(line["event"], line["log_level"]) for line in logs] == [("schema_ids_wrong", "error")]
    assert running.gauge("connector_schema_ids_wrong") == 1
    assert not running.ids.are_confirmed


def test_empty_registry_stops_producing_until_ids_are_restored(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    assert f"id 1 of {TYPES[0].subject} is unknown" in running.check()
    registry.stop()
    assert running.check(), "no answer changes nothing"
    registry.start()
    registry.register(TYPES)
    with capture_logs() as logs:
        assert running.check() == ""
    assert [line["event"] for line in logs] == ["schema_ids_confirmed"]
    assert running.gauge("connector_schema_ids_wrong") == 0


def test_wrong_ids_are_not_taken_from_the_cache(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    assert running.check()
    registry.stop()
    with pytest.raises(RegistryFailed):
        start().find()
    registry.start()
    registry.register(TYPES)
    running.check()
    registry.stop()
    assert start().find()["account_event"], "cached again once they are right again"


def test_start_from_cache_stops_producing_on_other_ids(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    start().find()
    registry.stop()
    running = start()
    running.find()
    registry.lose_data()
    registry.start()
    registry.register(reversed(TYPES))
    assert "is another schema" in running.check()
    assert running.ids.state()["source"] == "cache"


def test_one_wrong_id_is_enough_to_stop_producing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    *others, last = TYPES
    registry.register([*others, with_field(last, "later"), last])
    wrong = running.check()
    assert f"id {len(TYPES)} of {last.subject} is another schema" in wrong
    assert others[0].subject not in wrong


def test_deleted_subject_leaves_records_readable(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    delete(registry, TYPES[0])
    assert running.check() == ""
    with pytest.raises(NotRegistered):
        start().find()


def test_newer_version_changes_nothing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.register(with_field(record_type, "later") for record_type in TYPES)
    assert running.check() == ""


def test_checks_register_nothing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    registry.requests.clear()
    running = start()
    running.find()
    running.check()
    asked = [(method, path.rpartition("/")[0]) for method, path in registry.requests]
    assert asked == [("POST", "/subjects")] * 2 * len(TYPES), "each check sends requests, and only looks up"


def delete(registry: EmbeddedRegistry, record_type: RecordType) -> None:
    answer = httpx.delete(f"{registry.url}/subjects/{record_type.subject}", trust_env=False)
    assert answer.status_code == 200, answer.text
