"""The documents for other tools, `connector asyncapi` and `connector openapi`: valid, complete, and true of what the code does.

AsyncAPI's own parser reads the first one in tests/integration/test_asyncapi.py.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from connector import answers
from connector.catalogue import read_catalogue
from connector.http import refusals, token_endpoint
from connector.privacy.policy import Policy
from connector.records import Answer, KafkaMessage
from connector.replay.selection import MAX_ATTEMPTS, Selection
from connector.settings.load import load_settings_for_tools
from connector.settings.tables import Privacy
from connector.topics.wanted import Wanted
from tests.support.callbacks import (
    OTHER_NUMBER,
    REJECTED,
    SAMPLES,
    envelope,
    message,
    messages_of,
    outcome,
    raw,
    translator,
    whole_catalogue,
)
from tests.support.commands import Runner, Settings

HTTP_PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
SECRETS = ("an-invented-password", "an-invented-secret-1", "an-invented-secret-2", "an-invented-signing-key-of-32-characters")
TRACED = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=b"}
CREDENTIALS: Settings = {
    "AUTHENTICATION__HEADER_NAME": "X-Kaleyra",
    "AUTHENTICATION__HEADER_VALUE": SECRETS[1],
    "AUTHENTICATION__URL_TOKEN": SECRETS[2],
    "AUTHENTICATION__CREDENTIALS": json.dumps(
        {
            "desk": {"kind": "oauth", "client_id": "kaleyra", "secret": SECRETS[1]},
            "office": {"kind": "network", "networks": ["10.0.0.0/8"]},
            "old": {"kind": "basic", "user": "kaleyra", "secret": SECRETS[2]},
        }
    ),
    "OAUTH__SIGNING_KEYS": json.dumps({"k1": SECRETS[3]}),
}


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest.fixture
def topics(run: Runner) -> Any:
    """Return the AsyncAPI document of all topics."""
    return run("asyncapi", settings={"TOPICS__RAW": "true", "TOPICS__ORDER_LINES": "true"}).json()


def message_of(document: Any, record: KafkaMessage) -> Any:
    """Return what the document says about a record."""
    (channel,) = [one for one in document["channels"].values() if one["address"] == record.topic]
    (name,) = [name for name in channel["messages"] if name.endswith("_deleted") != bool(record.value)]
    return document["components"]["messages"][name]


# AsyncAPI


def test_channels_are_the_topics_with_their_settings(topics: Any) -> None:
    wanted = Wanted.of(load_settings_for_tools())
    assert [channel["address"] for channel in topics["channels"].values()] == [one.topic for one in whole_catalogue()]
    for one, channel in zip(whole_catalogue(), topics["channels"].values(), strict=True):
        kafka = channel["bindings"]["kafka"]
        replicas = wanted.replicas_of(one)
        assert (kafka["topic"], kafka["partitions"], kafka["replicas"]) == (one.topic, wanted.partitions_of(one, ()), replicas)
        shown = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in kafka["topicConfiguration"].items()
        }
        assert shown == wanted.config_of(one, replicas)


def test_settings_for_topics_reach_the_document(run: Runner) -> None:
    settings = {"TOPICS__PARTITIONS": "12", "TOPICS__REPLICATION_FACTOR": "2", "TOPICS__PREFIX": "wa-1."}
    channels = run("asyncapi", settings=settings).json()["channels"]
    assert "raw" not in channels
    kafka = channels["contact-cards"]["bindings"]["kafka"]
    assert (kafka["topic"], kafka["partitions"], kafka["replicas"]) == ("wa-1.contact-cards", 12, 2)


def test_payloads_are_the_schemas_as_registered(topics: Any) -> None:
    for one in whole_catalogue():
        payload = topics["components"]["messages"][one.name]["payload"]
        assert payload["schemaFormat"] == "application/vnd.apache.avro;version=1.9.0"
        assert payload["schema"] == json.loads(one.published_text)


def test_headers_and_keys_are_those_of_the_records(topics: Any) -> None:
    seen = set()
    translate = translator(of=whole_catalogue()).translate
    for sample in SAMPLES + REJECTED:
        for record in translate(raw(sample.read_bytes(), **TRACED)):
            said = message_of(topics, record)
            headers = {name: value.decode() for name, value in record.headers}
            strict = {**said["headers"], "additionalProperties": False}
            Draft202012Validator(strict).validate(headers)
            key = record.key.decode() if record.key is not None else None
            Draft202012Validator(said["bindings"]["kafka"]["key"]).validate(key)
            seen.add(record.topic)
    assert seen == {one.topic for one in whole_catalogue()}


def test_tombstones_are_described(topics: Any) -> None:
    on = read_catalogue(policy=Policy.of(Privacy(forget_changed_numbers=True)))
    system = {"type": "user_changed_number", "wa_id": OTHER_NUMBER, "body": "changed"}
    records = translator(of=on).translate(raw(envelope([message(message_type="system", system=system)])))
    (tombstone,) = [record for record in records if not record.value]
    said = message_of(topics, tombstone)
    assert said["payload"] == {"type": "null"}
    Draft202012Validator({**said["headers"], "additionalProperties": False}).validate(
        {name: value.decode() for name, value in tombstone.headers}
    )


def test_only_compacted_topics_have_tombstones(topics: Any) -> None:
    named = {name.removesuffix("_deleted") for name in topics["components"]["messages"] if name.endswith("_deleted")}
    assert named == {one.name for one in whole_catalogue() if one.compacted}


def test_groups_are_those_of_a_replay(topics: Any) -> None:
    received = {name: one for name, one in topics["operations"].items() if one["action"] == "receive"}
    assert set(received) == {"replay_dead-letters", "replay_raw"}
    for operation in received.values():
        pattern = operation["bindings"]["kafka"]["groupId"]["pattern"]
        for what in ("dead-letters", "raw"):
            for since in (None, 5):
                assert re.match(pattern, Selection(what, since, None, (), MAX_ATTEMPTS, contacts=False).group())


def test_document_names_every_broker_and_no_secret(run: Runner) -> None:
    settings = {
        "KAFKA__CLIENT__BOOTSTRAP_SERVERS": "kafka1:9093, kafka2:9093",
        "KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__CLIENT__SASL_PASSWORD": SECRETS[0],
        "KAFKA__CLIENT__SASL_USERNAME": "connector",
        "REGISTRY__CLIENT__BASIC_AUTH_USER_INFO": f"connector:{SECRETS[0]}",
    }
    done = run("asyncapi", settings=settings)
    assert [(one["host"], one["protocol"]) for one in done.json()["servers"].values()] == [
        ("kafka1:9093", "kafka-secure"),
        ("kafka2:9093", "kafka-secure"),
    ]
    assert SECRETS[0] not in done.stdout


# OpenAPI


def test_openapi_is_valid(run: Runner) -> None:
    validate(run("openapi", "--every-credential").json())
    validate(run("openapi", settings=CREDENTIALS).json())


def test_openapi_without_credentials_says_what_to_do(run: Runner) -> None:
    done = run("openapi")
    assert done.exit_code == 2
    assert "no credential is set" in done.stderr


def test_paths_and_security_are_those_of_the_settings(run: Runner) -> None:
    settings = {**CREDENTIALS, "HTTP__PATH": "/in/whatsapp", "OAUTH__PATH": "/in/token"}
    document = run("openapi", settings=settings).json()
    assert set(document["paths"]) == {"/in/whatsapp", "/in/whatsapp/{token}", "/in/token", "/readyz"}
    schemes = document["components"]["securitySchemes"]
    assert schemes["header"] == {"type": "apiKey", "in": "header", "name": "X-Kaleyra"}
    assert schemes["old"] == {"type": "http", "scheme": "basic"}
    assert schemes["desk"]["flows"]["clientCredentials"]["tokenUrl"] == "/in/token"
    # Callers from the network need nothing.
    assert document["paths"]["/in/whatsapp"]["post"]["security"] == [{"desk": []}, {}, {"old": []}, {"header": []}]
    assert document["paths"]["/in/whatsapp/{token}"]["get"]["security"] == []


def test_only_a_token_in_the_url_leaves_no_other_path(run: Runner) -> None:
    document = run("openapi", settings={"AUTHENTICATION__URL_TOKEN": SECRETS[2]}).json()
    assert set(document["paths"]) == {"/callbacks/kaleyra/{token}", "/readyz"}


def test_client_certificates_are_needed_in_addition(run: Runner) -> None:
    tls = {"TLS__CERTIFICATE_PATH": "c.pem", "TLS__KEY_PATH": "k.pem", "TLS__CLIENT_CA_PATH": "ca.pem"}
    document = run("openapi", settings={**CREDENTIALS, **tls}).json()
    validate(document)
    needed = [*document["paths"]["/callbacks/kaleyra"]["post"]["security"]]
    needed += document["paths"]["/callbacks/kaleyra/{token}"]["post"]["security"]
    assert all("client_certificate" in one for one in needed)
    assert document["servers"] == [{"url": "https://localhost:8080"}]


def test_openapi_holds_no_secret(run: Runner) -> None:
    done = run("openapi", settings=CREDENTIALS)
    assert [secret for secret in SECRETS if secret in done.stdout] == []


def test_callers_url_is_the_server(run: Runner) -> None:
    document = run("openapi", "--every-credential", "--url", "https://hooks.example.org/").json()
    assert document["servers"] == [{"url": "https://hooks.example.org"}]


def statuses_on_page(*titles: str) -> set[str]:
    text = "".join(HTTP_PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in titles)
    return set(re.findall(r"^\| (\d{3}) \|", text, re.MULTILINE))


def test_statuses_are_those_of_the_reference(run: Runner) -> None:
    paths = run("openapi", "--every-credential").json()["paths"]
    # 404 is the answer of other paths.
    of_callbacks = statuses_on_page("Callbacks", "Listener") - {"404"}
    for path in ("/callbacks/kaleyra", "/callbacks/kaleyra/{token}"):
        for method in ("post", "put", "get", "delete"):
            assert set(paths[path][method]["responses"]) == of_callbacks
    also = {"413", "415", "503"}
    assert set(paths["/oauth/token"]["post"]["responses"]) == statuses_on_page("Token endpoint", "Listener") | also
    for method in ("get", "head"):
        assert set(paths["/readyz"][method]["responses"]) == statuses_on_page("Health path", "Listener")


def test_methods_are_those_that_the_endpoint_takes(run: Runner) -> None:
    paths = run("openapi", "--every-credential").json()["paths"]
    for path, answer in (
        ("/callbacks/kaleyra", answers.WRONG_METHOD),
        ("/oauth/token", token_endpoint.ONLY_POST),
        ("/readyz", answers.ONLY_GET),
    ):
        allowed = dict(answer.headers)[b"allow"].decode().lower().split(", ")
        assert set(paths[path]) == set(allowed)


@pytest.mark.parametrize("module", [answers, token_endpoint, refusals], ids=["callbacks", "tokens", "listener"])
def test_headers_and_bodies_of_every_answer_are_described(run: Runner, module: Any) -> None:
    paths = run("openapi", "--every-credential").json()["paths"]
    of_health = ("HEALTHY", "UNHEALTHY", "ONLY_GET")
    for name, answer in vars(module).items():
        if isinstance(answer, Answer) and name != "WRONG_PATH":
            path = "/oauth/token" if module is token_endpoint else "/readyz" if name in of_health else "/callbacks/kaleyra"
            responses = paths[path]["get" if path == "/readyz" else "post"]["responses"]
            response = responses[str(answer.status)]
            headers = {key.decode(): value.decode() for key, value in answer.headers}
            media = headers.pop("content-type", "").partition(";")[0]
            assert {key for key, value in headers.items() if value not in response["headers"][key]["schema"]["enum"]} == set()
            if answer.body:
                body = json.loads(answer.body) if media == "application/json" else answer.body.decode()
                assert body in [one["value"] for one in response["content"][media]["examples"].values()]


def test_examples_become_records(run: Runner) -> None:
    document = run("openapi", "--every-credential").json()
    schemas = {"$defs": document["components"]["schemas"]}
    content = document["paths"]["/callbacks/kaleyra"]["post"]["requestBody"]["content"]["application/json"]
    for name, example in content["examples"].items():
        records = messages_of(json.dumps(example["value"]).encode())
        assert records, name
        assert not [one for one in outcome(records) if "dead" in one], name
        named = json.loads(json.dumps({**content["schema"], **schemas}).replace("#/components/schemas/", "#/$defs/"))
        Draft202012Validator(named).validate(example["value"])
