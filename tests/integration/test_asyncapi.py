"""The document of `connector asyncapi` in AsyncAPI's own parser, which also reads its Avro schemas."""

import json
from pathlib import Path

import pytest

from tests.support import asyncapi
from tests.support.commands import Runner

ERROR = 0
VERSION = "asyncapi-latest-version"


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest.mark.parametrize("optional", ["false", "true"], ids=["usual", "with optional topics"])
def test_document_is_valid_asyncapi(run: Runner, asyncapi_modules: Path, optional: str) -> None:
    brokers = {"KAFKA__CLIENT__BOOTSTRAP_SERVERS": "kafka1:9092, SSL://kafka2:9093"}
    done = run("asyncapi", settings={"TOPICS__RAW": optional, "TOPICS__ORDER_LINES": optional, **brokers})
    found = asyncapi.diagnostics(asyncapi_modules, done.stdout)
    # 3.0 is what most tools read; the parser recommends the newest version.
    assert [(one["code"], one["message"], one["path"]) for one in found if one["code"] != VERSION] == []


def test_parser_finds_a_wrong_schema_and_a_wrong_binding(run: Runner, asyncapi_modules: Path) -> None:
    document = json.loads(run("asyncapi").stdout)
    del document["components"]["messages"]["text"]["payload"]["schema"]["fields"]
    document["channels"]["orders"]["bindings"]["kafka"]["partitions"] = "six"
    found = asyncapi.diagnostics(asyncapi_modules, json.dumps(document))
    assert {tuple(one["path"][:3]) for one in found if one["severity"] == ERROR} >= {
        ("channels", "orders", "bindings"),
        ("components", "messages", "text"),
    }
