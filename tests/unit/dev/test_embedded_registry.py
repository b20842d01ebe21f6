"""The embedded registry with malformed requests: an error in JSON, never a traceback."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from connector.dev.embedded.registry import CONTENT_TYPE, MAX_BODY_BYTES, create_registry
from connector.dev.embedded.subjects import Refused, Subjects

SCHEMA = {"type": "record", "name": "Order", "namespace": "example", "fields": [{"name": "wa_id", "type": "string"}]}
VERSIONS = "/subjects/orders-value/versions"


class Answer(Protocol):
    """The parts of a response that tests read, independent of the HTTP client behind Starlette's TestClient."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


@pytest.fixture
def registry() -> Iterator[TestClient]:
    # The client raises an endpoint's unhandled exceptions, so a traceback fails the test.
    with TestClient(create_registry()) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'"text"',
        b'{"schema": 5}',
        b'{"schema": ["string"]}',
        b'{"schema": "\\ud800"}',
        b'{"schema": "\xff"}',
        b'{"schema": "\\"string\\"", "schemaType": 1}',
        b'{"schema": "\\"string\\"", "references": "all"}',
        b'{"compatibility": 1, "schema": {}}',
        b'{"schema": "\\"string\\"", "metadata": ' + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize(
    "path", [VERSIONS, "/subjects/orders-value", f"/compatibility{VERSIONS}", f"/compatibility{VERSIONS}/latest"]
)
def test_body_of_a_wrong_form_is_400(registry: TestClient, path: str, body: bytes) -> None:
    answer = registry.post(path, content=body)
    assert refusal(answer) == (400, 400)
    assert registry.get("/subjects").json() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "1" * 5000,
        '"\\ud800"',
        "[" * 10_000,
        '{"type":' * 10_000,
        '{"type": "array", "items": ' * 450 + '"int"' + "}" * 450,
        '{"type": "record", "name": "\\ud800", "fields": []}',
        '{"type": "record", "name": 5, "fields": []}',
        '{"type": "record", "name": "A", "fields": 5}',
        '{"type": "record", "name": "A", "fields": [{"name": {}, "type": "int"}]}',
        '{"type": "enum", "name": "A", "symbols": 5}',
        '{"type": "fixed", "name": "A", "size": "large"}',
        '{"type": {}}',
        '{"type": "error_union", "declared_errors": 1}',
        "[[]]",
    ],
)
def test_text_that_breaks_a_parser_is_42201(registry: TestClient, text: str) -> None:
    for path in (VERSIONS, f"/compatibility{VERSIONS}/latest"):
        assert refusal(registry.post(path, json={"schema": text})) == (422, 42201)
    assert registry.get("/subjects").json() == []


def test_schema_the_rules_cannot_compare_is_42201(registry: TestClient) -> None:
    registry.put("/config", json={"compatibility": "FULL"})
    error = {"type": "error", "name": "Failed", "fields": []}
    assert registry.post(VERSIONS, json=body(error)).status_code == 200
    assert refusal(registry.post(VERSIONS, json=body(error | {"doc": "new"}))) == (422, 42201)


@pytest.mark.parametrize("schema_type", ["JSON", "PROTOBUF", "avro", ""])
def test_other_schema_types_are_42201(registry: TestClient, schema_type: str) -> None:
    assert refusal(registry.post(VERSIONS, json=body(SCHEMA) | {"schemaType": schema_type})) == (422, 42201)


def test_null_means_absent_and_unknown_keys_are_ignored(registry: TestClient) -> None:
    odd = {"schemaType": None, "references": None, "metadata": {"owner": "x"}, "ruleSet": None}
    assert registry.post(VERSIONS, json=body(SCHEMA) | odd).json() == {"id": 1}
    assert registry.post(VERSIONS, json=body(SCHEMA) | {"references": []}).json() == {"id": 1}


def test_body_at_the_limit_is_accepted_one_byte_more_is_413(registry: TestClient) -> None:
    text = json.dumps(body(SCHEMA)).encode()
    assert registry.post(VERSIONS, content=text.ljust(MAX_BODY_BYTES)).status_code == 200
    assert refusal(registry.post(VERSIONS, content=text.ljust(MAX_BODY_BYTES + 1))) == (413, 413)
    assert refusal(registry.put("/config", content=b" " * (MAX_BODY_BYTES + 1))) == (413, 413)


def test_body_without_end_is_read_no_further_than_the_limit() -> None:
    chunk, sent = b" " * 65536, 0
    answers: list[Message] = []

    async def receive() -> Message:
        nonlocal sent
        sent += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(create_registry()(post_scope(VERSIONS), receive, send))
    assert answers[0]["status"] == 413
    assert sent <= MAX_BODY_BYTES + len(chunk)


def test_client_that_disconnects_raises_nothing() -> None:
    parts: Iterator[Message] = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    answers: list[Message] = []

    async def receive() -> Message:
        return next(parts)

    async def send(message: Message) -> None:
        answers.append(message)

    asyncio.run(create_registry()(post_scope(VERSIONS), receive, send))
    assert answers[0]["status"] == 400


@pytest.mark.parametrize("body", [b"", b"[]", b'{"compatibility": 1}', b"{"])
def test_level_of_a_wrong_form_is_400(registry: TestClient, body: bytes) -> None:
    assert refusal(registry.put("/config", content=body)) == (400, 400)


@pytest.mark.parametrize("level", ["", "full", "FULL ", "ALL"])
def test_invalid_level_is_42203_and_changes_nothing(registry: TestClient, level: str) -> None:
    for path in ("/config", "/config/orders-value"):
        assert refusal(registry.put(path, json={"compatibility": level})) == (422, 42203)
    assert refusal(registry.put("/config", json={})) == (422, 42203)
    assert registry.get("/config").json() == {"compatibilityLevel": "NONE"}
    assert refusal(registry.get("/config/orders-value")) == (404, 40408)


def test_global_level_applies_to_subjects_without_a_level(registry: TestClient) -> None:
    registry.post(VERSIONS, json=body(SCHEMA))
    assert registry.put("/config", json={"compatibility": "BACKWARD"}).json() == {"compatibility": "BACKWARD"}
    in_force = registry.get("/config/orders-value", params={"defaultToGlobal": "true"})
    assert in_force.json() == {"compatibilityLevel": "BACKWARD"}
    required = SCHEMA | {"fields": [{"name": "price", "type": "double"}]}
    assert refusal(registry.post(VERSIONS, json=body(required))) == (409, 409)
    registry.put("/config/orders-value", json={"compatibility": "NONE"})
    assert registry.post(VERSIONS, json=body(required)).json() == {"id": 2}


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/subjects/",
        "/subjects//versions",
        "/subjects/a/b/versions",
        f"{VERSIONS}/",
        "/schemas/ids/",
        "/%",
    ],
)
def test_unknown_path_is_404(registry: TestClient, path: str) -> None:
    assert refusal(registry.get(path)) == (404, 404)


def test_unknown_method_is_405(registry: TestClient) -> None:
    assert refusal(registry.patch("/subjects")) == (405, 405)
    assert refusal(registry.delete("/mode")) == (405, 405)


@pytest.mark.parametrize(
    "subject", ["a%2Fb", "a%2Fversions", "%2e%2e", "%C3%A9", "a%20b", "%FF", "%00", "a%3Fb", "a%25b", "%F0%9F%98%80"]
)
def test_encoded_subject_is_one_subject(registry: TestClient, subject: str) -> None:
    assert registry.post(f"/subjects/{subject}/versions", json=body(SCHEMA)).json() == {"id": 1}
    (name,) = registry.get("/subjects").json()
    answer = registry.get(f"/subjects/{subject}/versions/latest").json()
    assert (answer["subject"], answer["version"]) == (name, 1)
    assert registry.post(f"/subjects/{subject}", json=body(SCHEMA)).json()["subject"] == name


@pytest.mark.parametrize("number", ["0", "-2", "1.5", "one", "%20", "9" * 5000, "%D9%A1", "%C2%B9", "1_0", "+1"])
def test_odd_numbers_are_unknown_versions_and_ids(registry: TestClient, number: str) -> None:
    registry.post(VERSIONS, json=body(SCHEMA))
    assert refusal(registry.get(f"{VERSIONS}/{number}")) == (404, 40402)
    assert refusal(registry.delete(f"{VERSIONS}/{number}")) == (404, 40402)
    assert refusal(registry.post(f"/compatibility{VERSIONS}/{number}", json=body(SCHEMA))) == (404, 40402)
    assert refusal(registry.get(f"/schemas/ids/{number}")) == (404, 40403)


def test_subject_is_deleted_with_its_last_version(registry: TestClient) -> None:
    registry.post(VERSIONS, json=body(SCHEMA))
    registry.put("/config/orders-value", json={"compatibility": "FULL"})
    assert registry.delete(f"{VERSIONS}/1").json() == 1
    assert registry.delete(f"{VERSIONS}/1", params={"permanent": "true"}).json() == 1
    assert registry.get("/subjects", params={"deleted": "true"}).json() == []
    assert refusal(registry.get("/config/orders-value")) == (404, 40408)
    assert refusal(registry.delete(f"{VERSIONS}/1")) == (404, 40401)


def test_answers_carry_the_registry_content_type(registry: TestClient) -> None:
    assert registry.get("/").json() == {}
    for path in ("/", "/subjects", "/nope", "/subjects/orders-value/versions"):
        assert registry.get(path).headers["content-type"] == CONTENT_TYPE


def test_registries_do_not_share_state(registry: TestClient) -> None:
    registry.post(VERSIONS, json=body(SCHEMA))
    with TestClient(create_registry()) as other:
        assert other.get("/subjects").json() == []


def test_incompatibilities_name_reader_and_writer() -> None:
    subjects = Subjects()
    subjects.set_level("orders-value", "FULL")
    subjects.register("orders-value", json.dumps(SCHEMA))
    unlike = SCHEMA | {"fields": [{"name": "price", "type": "double"}]}
    assert subjects.incompatibilities("orders-value", json.dumps(unlike)) == [
        "the new schema cannot read version 1: reader_field_missing_default_value at /fields/0 (price)",
        "version 1 cannot read the new schema: reader_field_missing_default_value at /fields/0 (wa_id)",
    ]


def test_refused_schema_takes_no_id() -> None:
    subjects = Subjects()
    subjects.set_level("orders-value", "FULL")
    subjects.register("orders-value", json.dumps(SCHEMA))
    with pytest.raises(Refused) as refused:
        subjects.register("orders-value", '"string"')
    assert refused.value.error_code == 409
    assert subjects.register("contacts-value", '"int"') == 2


def body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": json.dumps(schema)}


def refusal(answer: Answer) -> tuple[int, int]:
    assert answer.headers["content-type"] == CONTENT_TYPE
    content = answer.json()
    assert set(content) == {"error_code", "message"}
    return answer.status_code, content["error_code"]


def post_scope(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
