"""Our schema ids and what a registry may do to them: go away, lose its data, be hidden by a proxy, keep other versions."""

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
    """Start one case after the other with the same folder."""
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


def test_ids_are_those_of_our_own_schemas_the_latest_or_not(registry: EmbeddedRegistry, start: Start) -> None:
    newer = [with_field(record_type, "later") for record_type in TYPES]
    registry.register(TYPES)
    before = start().find()
    registry.register(newer)
    assert start().find() == before
    assert not set(start(newer).find().values()) & set(before.values())


def test_registry_away_at_the_first_start_is_an_error(registry: EmbeddedRegistry, start: Start) -> None:
    registry.stop()
    with pytest.raises(RegistryFailed, match="does not answer"):
        start().find()


def test_start_while_the_registry_is_away_has_the_ids_of_the_last_one_and_says_so(
    registry: EmbeddedRegistry, start: Start
) -> None:
    registry.register(TYPES)
    ids = start().find()
    registry.stop()
    later = start()
    with capture_logs() as told:
        assert later.find() == ids
    assert [(line["event"], line["log_level"]) for line in told] == [("schema_ids_from_cache", "warning")]
    state = later.ids.state()
    assert (state["source"], "does not answer" in state["registry"]) == ("cache", True)
    assert state["confirmed_at"] == told[0]["confirmed_at"]
    assert later.gauge("connector_schema_ids_from_cache") == 1
    registry.start()
    assert later.check() == ""
    assert later.ids.state().keys() == {"source", "confirmed_at"}
    assert later.ids.state()["source"] == "registry"
    assert later.gauge("connector_schema_ids_from_cache") == 0
    assert later.ids.are_confirmed


def test_registry_that_answers_is_believed_not_the_cache(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    start().find()
    registry.lose_data()
    with pytest.raises(NotRegistered, match="`connector schemas register`"):
        start().find()
    registry.register(reversed(TYPES))
    again = start()
    with capture_logs() as told:
        ids = again.find()
    assert ids[TYPES[0].name] == len(TYPES)
    assert [(line["event"], line["log_level"]) for line in told] == [("schema_ids_changed", "warning")]
    assert set(told[0]["subjects"]) <= {record_type.subject for record_type in TYPES}
    assert again.check() == ""


def test_registry_away_while_running_changes_nothing_and_is_told_once(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.stop()
    with capture_logs() as told:
        assert [running.check() for _ in range(3)] == ["", "", ""]
    assert [line["event"] for line in told] == ["schema_ids_not_confirmed"]
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
def test_what_answers_in_place_of_the_registry_proves_nothing(
    registry: EmbeddedRegistry, start: Start, answer: Response
) -> None:
    registry.register(TYPES)
    running = start()
    ids = running.find()
    registry.intruder = answer
    assert running.check() == ""
    assert registry.url in running.ids.state()["registry"]
    assert start().find() == ids, "a start works from the cache"


def test_registry_started_anew_with_other_ids_stops_producing(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    registry.register(reversed(TYPES))
    with capture_logs() as told:
        wrong = running.check()
        assert running.check() == wrong
    assert f"id 1 of {TYPES[0].subject} is another schema" in wrong
    assert f"and {len(TYPES) - 3} more" in wrong
    assert "Restore the registry's data" in wrong
    assert [(line["event"], line["log_level"]) for line in told] == [("schema_ids_wrong", "error")]
    assert running.gauge("connector_schema_ids_wrong") == 1
    assert not running.ids.are_confirmed


def test_registry_started_anew_and_empty_stops_producing_until_the_ids_are_as_before(
    registry: EmbeddedRegistry, start: Start
) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    assert f"id 1 of {TYPES[0].subject} is unknown" in running.check()
    registry.stop()
    assert running.check(), "silence heals nothing"
    registry.start()
    registry.register(TYPES)
    with capture_logs() as told:
        assert running.check() == ""
    assert [line["event"] for line in told] == ["schema_ids_confirmed"]
    assert running.gauge("connector_schema_ids_wrong") == 0


def test_ids_that_turned_out_to_be_wrong_are_not_taken_from_the_cache(registry: EmbeddedRegistry, start: Start) -> None:
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
    assert start().find()["account_event"], "kept again once they were right again"


def test_start_from_the_cache_stops_when_the_registry_comes_back_with_other_ids(
    registry: EmbeddedRegistry, start: Start
) -> None:
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


def test_one_schema_that_changed_places_is_enough(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    registry.lose_data()
    *others, last = TYPES
    registry.register([*others, with_field(last, "later"), last])
    wrong = running.check()
    assert f"id {len(TYPES)} of {last.subject} is another schema" in wrong
    assert others[0].subject not in wrong


def test_subject_that_was_deleted_leaves_records_readable(registry: EmbeddedRegistry, start: Start) -> None:
    registry.register(TYPES)
    running = start()
    running.find()
    delete(registry, TYPES[0])
    assert running.check() == ""
    with pytest.raises(NotRegistered):
        start().find()


def test_newer_version_beside_ours_changes_nothing(registry: EmbeddedRegistry, start: Start) -> None:
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
    assert asked == [("POST", "/subjects")] * 2 * len(TYPES), "each check asks anew, and looks up only"


def delete(registry: EmbeddedRegistry, record_type: RecordType) -> None:
    answer = httpx.delete(f"{registry.url}/subjects/{record_type.subject}", trust_env=False)
    assert answer.status_code == 200, answer.text
