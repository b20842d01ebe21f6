"""One suite for the registry of `connector dev` and for the real Apicurio Registry.

`DIFFERENCES` lists where the two differ, each with both answers: a test looks up there what to expect of the registry
under test. Every test has its own subjects and record names, as Apicurio is shared.
"""

import json
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from connector.dev.embedded.registry import create_registry
from connector.http.listener import PlainServer
from tests.support.servers import NO_CERTIFICATES
from tests.support.threaded_listener import serving


class Difference(NamedTuple):
    """What each registry answers, and why."""

    embedded: object
    apicurio: object
    reason: str


DIFFERENCES = {
    "a changed doc is a new version": Difference(
        True, False, "Apicurio compares without doc, gives the same id and keeps the old text"
    ),
    "level of a subject without its own": Difference(
        (404, 40408), (200, "NONE"), "Apicurio falls back to the global level unasked"
    ),
    "level of an unknown subject": Difference(
        40408, 40401, "in Confluent's API a level needs no subject, in Apicurio it does unless it was set"
    ),
    "global level for an unknown subject": Difference(
        (200, "NONE"), (404, 40401), "Apicurio knows no level of an unknown subject, not even by defaultToGlobal"
    ),
    "clearing a level that is not set": Difference((404, 40408), (200, "NONE"), "Apicurio answers the global level"),
    "messages of the compatibility check": Difference(True, False, "Apicurio gives no reasons even if verbose"),
    "check of all versions of an unknown subject": Difference(
        (200, True), (404, 40401), "for the latest version alone Apicurio, too, says that all is compatible"
    ),
    "look up in a soft-deleted subject": Difference(40401, 40403, "Apicurio still finds the subject, not the schema"),
    "soft-deleted version by ?deleted=true": Difference(200, 404, "Apicurio lists it by number and hides its text"),
    "id read before it was deleted for good": Difference(404, 200, "Apicurio answers from a cache"),
    "status of a delete in the wrong state": Difference(
        404, 409, "Confluent's API has the codes 40405, 40406 and 40407 under 404"
    ),
    "empty text as a schema": Difference((422, 42201), (200, None), "Apicurio registers an empty version"),
    "body without a schema": Difference((422, 42201), (500, 0), "Apicurio fails on the missing text"),
    "unknown schema type": Difference((422, 42201), (500, 0), "Apicurio fails on the unknown type"),
    "registering in read-only mode": Difference((422, 42205), (200, None), "Apicurio keeps the mode and heeds it not"),
    "unknown mode": Difference(42204, 42201, "Apicurio has one code for all that is invalid"),
    "mode of a subject without its own": Difference((404, 40409), (200, "READWRITE"), "Apicurio clears what is not set"),
    "types of schemas": Difference(["AVRO"], ["AVRO", "JSON", "PROTOBUF"], "the embedded registry keeps Avro alone"),
    "names by prefix": Difference(True, False, "Apicurio reads over subjectPrefix"),
    "body over 1 MiB": Difference(413, 200, "the embedded registry bounds what it keeps in memory"),
}


class Registry:
    """One registry under test: raw HTTP and what is expected of it."""

    def __init__(self, name: str, http: httpx.Client) -> None:
        self.name = name
        self.http = http

    def expected(self, difference: str) -> object:
        return getattr(DIFFERENCES[difference], self.name)

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        answer = self.http.post(f"/subjects/{subject}/versions", json=body(schema))
        assert answer.status_code == 200, answer.text
        return int(answer.json()["id"])

    def set_level(self, subject: str, level: str) -> None:
        answer = self.http.put(f"/config/{subject}", json={"compatibility": level})
        assert answer.status_code == 200, answer.text
        assert answer.json()["compatibility"] == level


@pytest.fixture(scope="module", params=["embedded", pytest.param("apicurio", marks=pytest.mark.real)])
def registry_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def registry_url(registry_name: str, request: pytest.FixtureRequest) -> str:
    if registry_name == "embedded":
        return str(request.getfixturevalue("embedded_url"))
    return str(request.getfixturevalue("apicurio").url)


@pytest.fixture(scope="module")
def embedded_url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening, serving(PlainServer(create_registry()), listening):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def registry(registry_name: str, registry_url: str) -> Iterator[Registry]:
    with httpx.Client(base_url=registry_url, trust_env=False, verify=False, timeout=30) as http:
        yield Registry(registry_name, http)


@pytest.fixture
def client(registry_url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry_url, **NO_CERTIFICATES}) as opened:
        yield opened


@pytest.fixture
def subject() -> str:
    return f"orders-{uuid.uuid4()}-value"


@pytest.fixture
def schema() -> dict[str, Any]:
    return record({"name": "wa_id", "type": "string"})


# Registering and reading back


def test_client_registers_and_reads_back(client: SchemaRegistryClient, subject: str, schema: dict[str, Any]) -> None:
    schema_id = client.register_schema(subject, avro(schema))
    latest = client.get_latest_version(subject)
    assert (latest.subject, latest.version, latest.schema_id) == (subject, 1, schema_id)
    assert json.loads(schema_text(client.get_schema(schema_id))) == schema
    assert json.loads(schema_text(client.get_version(subject, 1).schema)) == schema
    assert client.get_versions(subject) == [1]
    assert subject in client.get_subjects()


def test_client_looks_up_its_own_schema(client: SchemaRegistryClient, subject: str, schema: dict[str, Any]) -> None:
    schema_id = client.register_schema(subject, avro(schema))
    client.register_schema(subject, avro(with_field(schema, "later")))
    own = client.lookup_schema(subject, avro(schema))
    assert (own.subject, own.version, own.schema_id) == (subject, 1, schema_id)


def test_registering_twice_makes_one_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    assert registry.register(subject, schema) == registry.register(subject, schema)
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1]


def test_an_older_schema_again_keeps_its_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    first = registry.register(subject, schema)
    registry.register(subject, with_field(schema, "later"))
    assert registry.register(subject, schema) == first
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1, 2]


def test_same_schema_has_one_id_under_every_subject(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    assert registry.register(f"{subject}-2", schema) == schema_id
    uses = registry.http.get(f"/schemas/ids/{schema_id}/versions").json()
    expected = [{"subject": subject, "version": 1}, {"subject": f"{subject}-2", "version": 1}]
    assert sorted(uses, key=lambda use: str(use["subject"])) == expected
    assert sorted(registry.http.get(f"/schemas/ids/{schema_id}/subjects").json()) == [subject, f"{subject}-2"]


def test_white_space_and_key_order_do_not_count(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    other_text = {"schema": json.dumps(schema, indent=4, sort_keys=True)}
    assert other_text != body(schema)
    assert registry.http.post(f"/subjects/{subject}/versions", json=other_text).json() == {"id": schema_id}
    assert registry.http.post(f"/subjects/{subject}", json=other_text).json()["version"] == 1


@pytest.mark.parametrize("normalize", ["true", "false"])
def test_spelling_does_not_count_normalized_or_not(
    registry: Registry, subject: str, schema: dict[str, Any], normalize: str
) -> None:
    schema_id = registry.register(subject, schema)
    full_name = f"{schema['namespace']}.{schema['name']}"
    long_form = {"type": "record", "name": full_name, "fields": [{"name": "wa_id", "type": {"type": "string"}}]}
    for path in (f"/subjects/{subject}/versions", f"/subjects/{subject}"):
        answer = registry.http.post(path, params={"normalize": normalize}, json=body(long_form))
        assert (answer.status_code, answer.json()["id"]) == (200, schema_id)
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1]
    kept = registry.http.get(f"/subjects/{subject}/versions/1/schema").json()
    assert kept == schema


def test_client_normalizes_what_it_registers_and_looks_up(
    client: SchemaRegistryClient, subject: str, schema: dict[str, Any]
) -> None:
    schema_id = client.register_schema(subject, avro(schema), normalize_schemas=True)
    assert client.lookup_schema(subject, avro(schema), normalize_schemas=True).schema_id == schema_id


def test_changed_doc(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    documented = schema | {"doc": "What a customer ordered."}
    makes_version = registry.register(subject, documented) != schema_id
    assert makes_version is registry.expected("a changed doc is a new version")
    assert registry.http.get(f"/subjects/{subject}/versions").json() == ([1, 2] if makes_version else [1])
    kept = json.loads(registry.http.get(f"/subjects/{subject}/versions/latest").json()["schema"])
    assert kept == (documented if makes_version else schema)


def test_changed_unknown_attribute_is_a_new_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    assert registry.register(subject, schema) != registry.register(subject, schema | {"source": "order"})
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1, 2]


def test_latest_is_the_newest_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    newer = with_field(schema, "later")
    schema_id = registry.register(subject, newer)
    latest = registry.http.get(f"/subjects/{subject}/versions/latest").json()
    assert (latest["subject"], latest["version"], latest["id"]) == (subject, 2, schema_id)
    assert registry.http.get(f"/subjects/{subject}/versions/latest/schema").json() == newer
    assert registry.http.get(f"/subjects/{subject}/versions/1/schema").json() == schema


def test_a_subject_may_contain_a_slash(client: SchemaRegistryClient, subject: str, schema: dict[str, Any]) -> None:
    slashed = f"{subject}/versions"
    schema_id = client.register_schema(slashed, avro(schema))
    assert client.get_latest_version(slashed).schema_id == schema_id
    assert client.lookup_schema(slashed, avro(schema)).version == 1


def test_concurrent_registrations_give_one_id_and_one_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: registry.register(subject, schema), range(16)))
    assert len(ids) == 1
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1]


def test_concurrent_versions_have_a_number_and_an_id_each(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.set_level(subject, "FULL_TRANSITIVE")
    others = [with_field(schema, f"later_{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        ids = list(threads.map(lambda other: registry.register(subject, other), others))
    assert len(set(ids)) == 6
    numbers = registry.http.get(f"/subjects/{subject}/versions").json()
    assert numbers == list(range(1, 8))
    listed = {registry.http.get(f"/subjects/{subject}/versions/{number}").json()["id"] for number in numbers[1:]}
    assert listed == set(ids)


def test_schema_of_an_id_alone(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    assert registry.http.get(f"/schemas/ids/{schema_id}/schema").json() == schema


def test_names_by_prefix(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.register(f"other-{subject}", schema)
    names = registry.http.get("/subjects", params={"subjectPrefix": subject}).json()
    assert subject in names
    assert (names == [subject]) is registry.expected("names by prefix")


def test_types_of_schemas(registry: Registry) -> None:
    assert sorted(registry.http.get("/schemas/types").json()) == registry.expected("types of schemas")


# Missing subjects, versions and ids


@pytest.mark.parametrize("path", ["/subjects/{}/versions", "/subjects/{}/versions/latest", "/subjects/{}/versions/1"])
def test_unknown_subject_is_40401(registry: Registry, subject: str, path: str) -> None:
    assert refusal(registry.http.get(path.format(subject))) == (404, 40401)


def test_unknown_subject_is_40401_for_look_up_and_delete(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    assert refusal(registry.http.post(f"/subjects/{subject}", json=body(schema))) == (404, 40401)
    assert refusal(registry.http.delete(f"/subjects/{subject}")) == (404, 40401)


@pytest.mark.parametrize("version", ["2", "0", "first"])
def test_unknown_version_is_40402(registry: Registry, subject: str, schema: dict[str, Any], version: str) -> None:
    registry.register(subject, schema)
    assert refusal(registry.http.get(f"/subjects/{subject}/versions/{version}")) == (404, 40402)


@pytest.mark.parametrize("path", ["/schemas/ids/987654321", "/schemas/ids/987654321/versions", "/schemas/ids/0"])
def test_unknown_id_is_40403(registry: Registry, path: str) -> None:
    assert refusal(registry.http.get(path)) == (404, 40403)


def test_schema_not_under_the_subject_is_40403(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.register(f"{subject}-2", with_field(schema, "later"))
    answer = registry.http.post(f"/subjects/{subject}", json=body(with_field(schema, "later")))
    assert refusal(answer) == (404, 40403)


def test_client_raises_with_the_error_code(client: SchemaRegistryClient, subject: str) -> None:
    with pytest.raises(SchemaRegistryError) as raised:
        client.get_latest_version(subject)
    assert (raised.value.http_status_code, raised.value.error_code) == (404, 40401)


# Invalid schemas


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "5",
        "{}",
        '{"type": "no such type"}',
        '{"type": "record", "name": "a name", "fields": []}',
        '{"type": "record", "name": "Order", "fields": [{"name": "a", "type": "example.Missing"}]}',
        '{"type": "record", "name": "Order", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}',
        '{"type": "record", "name": "Order", "fields": [{"name": "a", "type": "int", "default": "one"}]}',
        '{"type": "record", "name": "Order", "fields": [{"name": "a", "type": "string", "default": null}]}',
    ],
)
def test_text_that_is_no_avro_schema_is_42201(registry: Registry, subject: str, text: str) -> None:
    assert refusal(registry.http.post(f"/subjects/{subject}/versions", json={"schema": text})) == (422, 42201)
    assert refusal(registry.http.get(f"/subjects/{subject}/versions")) == (404, 40401)


def test_unknown_logical_type_is_accepted(registry: Registry, subject: str) -> None:
    odd = record({"name": "at", "type": {"type": "long", "logicalType": "fortnight"}})
    schema_id = registry.register(subject, odd)
    assert json.loads(registry.http.get(f"/schemas/ids/{schema_id}").json()["schema"]) == odd


def test_schema_type_may_be_avro_and_nothing_else(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    path = f"/subjects/{subject}/versions"
    assert refusal(registry.http.post(path, json=body(schema) | {"schemaType": "JSON"})) == (422, 42201)
    assert registry.http.post(path, json=body(schema) | {"schemaType": "AVRO"}).status_code == 200


def test_reference_to_another_subject_is_refused(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    reference = {"name": "example.Item", "subject": f"{subject}-2", "version": 1}
    answer = registry.http.post(f"/subjects/{subject}/versions", json=body(schema) | {"references": [reference]})
    assert refusal(answer) == (422, 42201)


def test_body_that_is_no_json_is_400(registry: Registry, subject: str) -> None:
    headers = {"content-type": "application/json"}
    answer = registry.http.post(f"/subjects/{subject}/versions", content=b"not json", headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("difference", "sent"),
    [
        ("empty text as a schema", {"schema": ""}),
        ("body without a schema", {}),
        ("unknown schema type", {"schema": '"string"', "schemaType": "YAML"}),
    ],
)
def test_body_the_registries_take_differently(registry: Registry, subject: str, difference: str, sent: dict[str, str]) -> None:
    answer = registry.http.post(f"/subjects/{subject}/versions", json=sent)
    assert (answer.status_code, answer.json().get("error_code")) == registry.expected(difference)


def test_body_over_one_mebibyte(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    large = body(schema | {"filler": "x" * 1024 * 1024})
    answer = registry.http.post(f"/subjects/{subject}/versions", json=large)
    assert answer.status_code == registry.expected("body over 1 MiB")


# Compatibility


def test_incompatible_schema_is_409_and_names_the_place(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.set_level(subject, "FULL_TRANSITIVE")
    answer = registry.http.post(f"/subjects/{subject}/versions", json=body(retyped(schema)))
    assert refusal(answer) == (409, 409)
    assert "/fields/0/type" in answer.json()["message"]
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1]


def test_client_raises_409_for_an_incompatible_schema(
    client: SchemaRegistryClient, subject: str, schema: dict[str, Any]
) -> None:
    client.register_schema(subject, avro(schema))
    client.set_compatibility(subject, "FULL_TRANSITIVE")
    assert not client.test_compatibility(subject, avro(retyped(schema)))
    assert client.test_compatibility(subject, avro(with_field(schema, "later")))
    with pytest.raises(SchemaRegistryError) as raised:
        client.register_schema(subject, avro(retyped(schema)))
    assert (raised.value.http_status_code, raised.value.error_code) == (409, 409)


def test_added_nullable_field_is_compatible(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.set_level(subject, "FULL_TRANSITIVE")
    registry.register(subject, with_field(schema, "later"))
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1, 2]


def test_level_none_accepts_everything(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.set_level(subject, "NONE")
    registry.register(subject, schema)
    assert registry.register(subject, retyped(schema))


@pytest.mark.parametrize(
    ("level", "added", "removed"),
    [("BACKWARD", 409, 200), ("FORWARD", 200, 409), ("FULL", 409, 409), ("NONE", 200, 200)],
)
def test_required_field_added_or_removed(
    registry: Registry, subject: str, schema: dict[str, Any], level: str, added: int, removed: int
) -> None:
    larger = schema | {"fields": [*schema["fields"], {"name": "price", "type": "double"}]}
    for name, old, new, status in ((f"{subject}-a", schema, larger, added), (f"{subject}-r", larger, schema, removed)):
        registry.register(name, old)
        registry.set_level(name, level)
        assert registry.http.post(f"/subjects/{name}/versions", json=body(new)).status_code == status


@pytest.mark.parametrize(("level", "status"), [("BACKWARD", 200), ("BACKWARD_TRANSITIVE", 409)])
def test_transitive_level_looks_further_back_than_the_latest(
    registry: Registry, subject: str, schema: dict[str, Any], level: str, status: int
) -> None:
    # The third reads the second, which always has the field, and not the first, which never has it.
    required = schema | {"fields": [*schema["fields"], {"name": "later", "type": "string"}]}
    defaulted = schema | {"fields": [*schema["fields"], {"name": "later", "type": "string", "default": ""}]}
    registry.set_level(subject, level)
    registry.register(subject, schema)
    registry.register(subject, defaulted)
    assert registry.http.post(f"/subjects/{subject}/versions", json=body(required)).status_code == status


def test_decimal_scale_and_lost_logical_type_pass_both(registry: Registry, subject: str) -> None:
    def price(**logical: object) -> dict[str, Any]:
        return {"name": "price", "type": {"type": "bytes"} | logical}

    first = record(price(logicalType="decimal", precision=18, scale=2))
    registry.register(subject, first)
    registry.set_level(subject, "FULL_TRANSITIVE")
    registry.register(subject, first | {"fields": [price(logicalType="decimal", precision=18, scale=4)]})
    registry.register(subject, first | {"fields": [price()]})


@pytest.mark.parametrize("versions", ["versions/latest", "versions/1", "versions"])
def test_compatibility_check(registry: Registry, subject: str, schema: dict[str, Any], versions: str) -> None:
    registry.register(subject, schema)
    registry.set_level(subject, "FULL_TRANSITIVE")
    path = f"/compatibility/subjects/{subject}/{versions}"
    assert registry.http.post(path, json=body(with_field(schema, "later"))).json()["is_compatible"] is True
    refused = registry.http.post(path, params={"verbose": "true"}, json=body(retyped(schema)))
    assert (refused.status_code, refused.json()["is_compatible"]) == (200, False)
    has_messages = any("/fields/0/type" in message for message in refused.json().get("messages", []))
    assert has_messages is registry.expected("messages of the compatibility check")
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [1]


def test_compatibility_check_against_a_missing_version(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    path = f"/compatibility/subjects/{subject}/versions"
    assert registry.http.post(f"{path}/latest", json=body(schema)).json()["is_compatible"] is True
    assert refusal(registry.http.post(f"{path}/1", json=body(schema))) == (404, 40402)
    of_all = registry.http.post(path, json=body(schema))
    answer = (of_all.status_code, of_all.json().get("is_compatible", of_all.json().get("error_code")))
    assert answer == registry.expected("check of all versions of an unknown subject")


def test_compatibility_check_of_an_invalid_schema(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    answer = registry.http.post(f"/compatibility/subjects/{subject}/versions/latest", json={"schema": "{"})
    assert refusal(answer) == (422, 42201)


# Levels and mode


def test_global_level_of_a_new_registry_is_none(registry: Registry) -> None:
    assert registry.http.get("/config").json() == {"compatibilityLevel": "NONE"}


def test_global_level_is_restored(registry: Registry) -> None:
    before = registry.http.get("/config").json()["compatibilityLevel"]
    # The level it has already: another would hold for the other tests of a shared registry.
    answer = registry.http.put("/config", json={"compatibility": before})
    assert (answer.status_code, answer.json()["compatibility"]) == (200, before)
    assert registry.http.get("/config").json() == {"compatibilityLevel": before}
    assert refusal(registry.http.put("/config", json={"compatibility": "SOMETIMES"})) == (422, 42203)


@pytest.mark.parametrize(
    "level", ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]
)
def test_level_is_set_before_the_first_version(registry: Registry, subject: str, level: str) -> None:
    registry.set_level(subject, level)
    assert registry.http.get(f"/config/{subject}").json() == {"compatibilityLevel": level}


def test_cleared_level_gives_way_to_the_global_one(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.set_level(subject, "FULL")
    assert registry.http.delete(f"/config/{subject}").json() == {"compatibilityLevel": "FULL"}
    in_force = registry.http.get(f"/config/{subject}", params={"defaultToGlobal": "true"})
    assert in_force.json() == {"compatibilityLevel": "NONE"}
    assert registry.register(subject, retyped(schema))


def test_subject_without_a_level(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    read = registry.http.get(f"/config/{subject}")
    assert level_or_code(read) == registry.expected("level of a subject without its own")
    cleared = registry.http.delete(f"/config/{subject}")
    assert level_or_code(cleared) == registry.expected("clearing a level that is not set")


def test_unknown_subject_without_a_level(registry: Registry, subject: str) -> None:
    unknown = registry.expected("level of an unknown subject")
    assert refusal(registry.http.get(f"/config/{subject}")) == (404, unknown)
    assert refusal(registry.http.delete(f"/config/{subject}")) == (404, unknown)
    by_default = registry.http.get(f"/config/{subject}", params={"defaultToGlobal": "true"})
    assert level_or_code(by_default) == registry.expected("global level for an unknown subject")


def test_unknown_level_is_42203(registry: Registry, subject: str) -> None:
    answer = registry.http.put(f"/config/{subject}", json={"compatibility": "SOMETIMES"})
    assert refusal(answer) == (422, 42203)


def test_mode_is_readwrite(registry: Registry, subject: str) -> None:
    assert registry.http.get("/mode").json() == {"mode": "READWRITE"}
    assert registry.http.get(f"/mode/{subject}").json() == {"mode": "READWRITE"}


def test_mode_is_set_and_cleared_per_subject(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    path = f"/mode/{subject}"
    assert registry.http.put(path, json={"mode": "READONLY"}).json() == {"mode": "READONLY"}
    assert registry.http.get(path).json() == {"mode": "READONLY"}
    assert registry.http.get("/mode").json() == {"mode": "READWRITE"}
    later = registry.http.post(f"/subjects/{subject}/versions", json=body(with_field(schema, "later")))
    assert (later.status_code, later.json().get("error_code")) == registry.expected("registering in read-only mode")
    assert registry.register(subject, schema), "a registered schema is still returned"
    assert registry.http.delete(path).json() == {"mode": "READONLY"}
    assert registry.http.get(path).json() == {"mode": "READWRITE"}
    assert registry.register(subject, with_field(schema, "later"))


def test_global_mode_holds_for_subjects_without_their_own(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    try:
        assert registry.http.put("/mode", json={"mode": "READONLY"}).json() == {"mode": "READONLY"}
        assert registry.http.get(f"/mode/{subject}").json() == {"mode": "READONLY"}
    finally:
        assert registry.http.put("/mode", json={"mode": "READWRITE"}).json() == {"mode": "READWRITE"}
    assert registry.http.get(f"/mode/{subject}").json() == {"mode": "READWRITE"}


def test_mode_that_is_not_set_or_not_known(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    cleared = registry.http.delete(f"/mode/{subject}")
    report = cleared.json()
    answer = (cleared.status_code, report.get("mode", report.get("error_code")))
    assert answer == registry.expected("mode of a subject without its own")
    unknown = registry.http.put(f"/mode/{subject}", json={"mode": "SOMETIMES"})
    assert refusal(unknown) == (422, registry.expected("unknown mode"))


def test_cleared_global_level_is_none(registry: Registry) -> None:
    before = registry.http.get("/config").json()
    # It has this level already: another would hold for the other tests of a shared registry.
    assert before == {"compatibilityLevel": "NONE"}
    assert registry.http.delete("/config").json() == before
    assert registry.http.get("/config").json() == before


# Deleting


def test_soft_deleted_subject_is_gone_and_its_id_stays(
    client: SchemaRegistryClient, registry: Registry, subject: str, schema: dict[str, Any]
) -> None:
    schema_id = client.register_schema(subject, avro(schema))
    assert client.delete_subject(subject) == [1]
    assert subject not in registry.http.get("/subjects").json()
    assert subject in registry.http.get("/subjects", params={"deleted": "true"}).json()
    assert refusal(registry.http.get(f"/subjects/{subject}/versions")) == (404, 40401)
    assert json.loads(registry.http.get(f"/schemas/ids/{schema_id}").json()["schema"]) == schema
    assert registry.http.get(f"/schemas/ids/{schema_id}/versions").json() == []


def test_soft_deleted_subject_is_listed_only_on_request(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.http.delete(f"/subjects/{subject}")
    deleted = {"deleted": "true"}
    assert registry.http.get(f"/subjects/{subject}/versions", params=deleted).json() == [1]
    assert registry.http.post(f"/subjects/{subject}", params=deleted, json=body(schema)).json()["version"] == 1
    looked_up = refusal(registry.http.post(f"/subjects/{subject}", json=body(schema)))
    assert looked_up == (404, registry.expected("look up in a soft-deleted subject"))
    read = registry.http.get(f"/subjects/{subject}/versions/1", params=deleted)
    assert read.status_code == registry.expected("soft-deleted version by ?deleted=true")


def test_schema_after_soft_delete_is_a_new_version_with_same_id(
    registry: Registry, subject: str, schema: dict[str, Any]
) -> None:
    schema_id = registry.register(subject, schema)
    registry.http.delete(f"/subjects/{subject}")
    assert registry.register(subject, schema) == schema_id
    assert registry.http.get(f"/subjects/{subject}/versions").json() == [2]


def test_hard_delete_follows_a_soft_one(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    wrong_state = registry.expected("status of a delete in the wrong state")
    hard = {"permanent": "true"}
    assert refusal(registry.http.delete(f"/subjects/{subject}", params=hard)) == (wrong_state, 40405)
    registry.http.delete(f"/subjects/{subject}")
    assert refusal(registry.http.delete(f"/subjects/{subject}")) == (404, 40404)
    assert registry.http.delete(f"/subjects/{subject}", params=hard).json() == [1]
    assert refusal(registry.http.delete(f"/subjects/{subject}", params=hard)) == (404, 40401)
    assert subject not in registry.http.get("/subjects", params={"deleted": "true"}).json()


def test_client_deletes_softly_then_for_good(client: SchemaRegistryClient, subject: str, schema: dict[str, Any]) -> None:
    client.register_schema(subject, avro(schema))
    assert client.delete_subject(subject) == [1]
    assert client.delete_subject(subject, permanent=True) == [1]
    assert subject not in client.get_subjects(deleted=True)


def test_hard_delete_removes_the_level_and_the_id(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    registry.set_level(subject, "FULL")
    registry.http.delete(f"/subjects/{subject}")
    registry.http.delete(f"/subjects/{subject}", params={"permanent": "true"})
    assert refusal(registry.http.get(f"/schemas/ids/{schema_id}")) == (404, 40403)
    assert refusal(registry.http.get(f"/schemas/ids/{schema_id}/versions")) == (404, 40403)
    assert registry.register(subject, schema) == schema_id
    in_force = registry.http.get(f"/config/{subject}", params={"defaultToGlobal": "true"})
    assert in_force.json() == {"compatibilityLevel": "NONE"}


def test_id_read_before_its_hard_delete(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    assert registry.http.get(f"/schemas/ids/{schema_id}").status_code == 200
    registry.http.delete(f"/subjects/{subject}")
    registry.http.delete(f"/subjects/{subject}", params={"permanent": "true"})
    by_id = registry.http.get(f"/schemas/ids/{schema_id}")
    assert by_id.status_code == registry.expected("id read before it was deleted for good")


def test_one_version_is_deleted_softly_then_for_good(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    registry.register(subject, with_field(schema, "later"))
    path, hard = f"/subjects/{subject}/versions", {"permanent": "true"}
    wrong_state = registry.expected("status of a delete in the wrong state")
    assert refusal(registry.http.delete(f"{path}/1", params=hard)) == (wrong_state, 40407)
    assert registry.http.delete(f"{path}/1").json() == 1
    assert refusal(registry.http.delete(f"{path}/1")) == (wrong_state, 40406)
    assert refusal(registry.http.get(f"{path}/1")) == (404, 40402)
    assert registry.http.get(path).json() == [2]
    assert registry.http.get(path, params={"deleted": "true"}).json() == [1, 2]
    assert registry.http.delete(f"{path}/1", params=hard).json() == 1
    assert registry.http.get(path, params={"deleted": "true"}).json() == [2]


def test_latest_after_the_newest_is_deleted_is_the_one_before(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    schema_id = registry.register(subject, schema)
    registry.register(subject, with_field(schema, "later"))
    assert registry.http.delete(f"/subjects/{subject}/versions/latest").json() == 2
    assert registry.http.get(f"/subjects/{subject}/versions/latest").json()["id"] == schema_id


def test_deleting_an_unknown_version_is_40402(registry: Registry, subject: str, schema: dict[str, Any]) -> None:
    registry.register(subject, schema)
    assert refusal(registry.http.delete(f"/subjects/{subject}/versions/7")) == (404, 40402)


def test_each_difference_is_one() -> None:
    assert all(difference.embedded != difference.apicurio for difference in DIFFERENCES.values())


def record(*fields: dict[str, Any]) -> dict[str, Any]:
    """Return a record schema that no other test has registered."""
    return {"type": "record", "name": f"Order_{uuid.uuid4().hex}", "namespace": "example", "fields": list(fields)}


def with_field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema with one more nullable field, which is compatible both ways."""
    added = {"name": name, "type": ["null", "string"], "default": None}
    return schema | {"fields": [*schema["fields"], added]}


def retyped(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its first field of another type, which is compatible neither way."""
    first, *others = schema["fields"]
    return schema | {"fields": [first | {"type": "int"}, *others]}


def body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": json.dumps(schema)}


def avro(schema: dict[str, Any]) -> Schema:
    return Schema(json.dumps(schema), "AVRO")


def schema_text(schema: Schema) -> str:
    assert schema.schema_str is not None
    return schema.schema_str


def refusal(answer: httpx.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["error_code"]


def level_or_code(answer: httpx.Response) -> tuple[int, object]:
    content = answer.json()
    return answer.status_code, content.get("compatibilityLevel", content.get("error_code"))
