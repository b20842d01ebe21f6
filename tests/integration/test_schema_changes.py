"""The operator's page of the README on the real registry: a schema changes compatibly, then in ways that break readers.

What each command says is compared with what the registry then holds, by its own client.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from connector.catalogue import data_folder
from tests.stack.apicurio import ApicurioRegistry
from tests.support.commands import Done, Runner
from tests.support.servers import new_prefix

CHECK_SECONDS = 2.0
PRICE = "product_items[].item_price"
REFUSED_BY_ITSELF = {"another name of a record", "another namespace", "another unit", "no logical type"}
"""Our names, and the fields that all messages have, cannot change in one schema: there is nothing to compare it with yet."""

Schema = dict[str, Any]


class Deployment(NamedTuple):
    """A checkout's contract, the topics' prefix of one company, and its registry."""

    folder: Path
    prefix: str
    registry: str
    run: Runner

    def connector(self, *arguments: str) -> Done:
        settings = {"REGISTRY__URL": self.registry, "TOPICS__PREFIX": self.prefix, "CATALOGUE__FOLDER": str(self.folder)}
        return self.run("schemas", *arguments, settings=settings)

    def change(self, edit: Callable[[Schema], object], name: str = "order") -> None:
        file = self.folder / "avro" / f"{name}.avsc"
        schema = json.loads(file.read_text(encoding="utf-8"))
        edit(schema)
        file.write_text(json.dumps(schema), encoding="utf-8")

    def take_back(self) -> None:
        copy_contract(self.folder)

    def registered(self, topic: str = "orders") -> list[Schema]:
        """Return what the registry holds, the oldest version first."""
        url = f"{self.registry}/subjects/{self.prefix}{topic}-value/versions"
        with httpx.Client(trust_env=False, verify=False, timeout=10) as http:
            answer = http.get(url)
            numbers = answer.json() if answer.is_success else []
            return [json.loads(http.get(f"{url}/{number}").json()["schema"]) for number in numbers]

    def level(self, topic: str) -> str:
        url = f"{self.registry}/config/{self.prefix}{topic}-value"
        return str(httpx.get(url, trust_env=False, verify=False, timeout=10).json()["compatibilityLevel"])


def copy_contract(folder: Path) -> None:
    """Copy avro/ and config/ without the releases: the tests make their own."""
    for name in ("avro", "config"):
        ignore = shutil.ignore_patterns("released")
        shutil.copytree(data_folder() / name, folder / name, ignore=ignore, dirs_exist_ok=True)


@pytest.fixture
def deployment(apicurio: ApicurioRegistry, tmp_path: Path) -> Deployment:
    copy_contract(tmp_path)
    return Deployment(tmp_path, new_prefix(), apicurio.url, Runner())


def named(fields: list[Schema], name: str) -> Schema:
    (found,) = [one for one in fields if one["name"] == name]
    return found


def items_of(schema: Schema) -> list[Schema]:
    fields: list[Schema] = named(schema["fields"], "product_items")["type"]["items"]["fields"]
    return fields


def add_a_field(schema: Schema) -> None:
    doc = "A voucher that the person gave."
    field = {
        "name": "voucher",
        "type": ["null", "string"],
        "default": None,
        "source": "message.order.voucher",
        "pii": "none",
        "doc": doc,
    }
    schema["fields"].append(field)


def remove_a_field(schema: Schema) -> None:
    schema["fields"].remove(named(schema["fields"], "text"))


BREAKING: dict[str, tuple[Callable[[Schema], object], str]] = {
    # What registries refuse too.
    "another type": (lambda schema: named(schema["fields"], "text").update(type=["null", "long"]), "text: type stays"),
    "another name of a record": (lambda schema: schema.update(name="Orders"), "name stays"),
    # What registries accept.
    "another scale": (
        lambda schema: named(items_of(schema), "item_price")["type"][1].update(scale=8),
        f"{PRICE}: decimal stays",
    ),
    "another precision": (
        lambda schema: named(items_of(schema), "item_price")["type"][1].update(precision=9),
        f"{PRICE}: decimal stays",
    ),
    "another unit": (
        lambda schema: named(schema["fields"], "received_at")["type"].update(logicalType="timestamp-micros"),
        "received_at: logical type stays",
    ),
    "no logical type": (
        lambda schema: named(schema["fields"], "sent_at").update(type=["null", "long"]),
        "sent_at: logical type stays",
    ),
    "bytes for string": (lambda schema: named(schema["fields"], "text").update(type=["null", "bytes"]), "text: type stays"),
    "a removed field": (remove_a_field, "text: field stays"),
    "a renamed field": (lambda schema: named(schema["fields"], "text").update(name="words"), "text: field stays"),
    "another namespace": (lambda schema: schema.update(namespace="kaleyra"), "name stays"),
}


def test_compatible_change_goes_through_check_diff_and_register(deployment: Deployment) -> None:
    first = deployment.connector("register", "--json")
    assert first.exit_code == 0
    assert {row["state"] for row in first.json()} == {"registered"}
    assert {deployment.level(topic) for topic in ("orders", "documents", "dead-letters")} == {"FULL_TRANSITIVE"}

    deployment.change(add_a_field)
    started = time.monotonic()
    assert deployment.connector("check").exit_code == 0
    assert time.monotonic() - started < CHECK_SECONDS
    assert deployment.connector("check", "--registry").exit_code == 0
    (difference,) = deployment.connector("diff", "order", "--json").json()
    assert difference["changes"] == [{"path": "voucher", "change": "added", "registered": None, "ours": "null or string"}]
    planned = {row["record_type"]: row["state"] for row in deployment.connector("register", "--dry-run", "--json").json()}
    assert [name for name, state in planned.items() if state == "would be registered"] == ["order"]
    assert len(deployment.registered()) == 1

    done = {row["record_type"]: row for row in deployment.connector("register", "--json").json()}
    assert (done["order"]["state"], done["order"]["version"]) == ("registered", 2)
    assert {row["state"] for name, row in done.items() if name != "order"} == {"unchanged"}
    assert [field["name"] for field in deployment.registered()[1]["fields"]][-1] == "voucher"
    assert {row["state"] for row in deployment.connector("list", "--json").json()} == {"registered"}
    assert "order: same fields as version 2" in deployment.connector("diff").stdout

    # A roll-back: the bridge of before still finds its own schema.
    deployment.take_back()
    before = {row["record_type"]: row for row in deployment.connector("list", "--json").json()}["order"]
    assert (before["version"], before["latest_version"], before["state"]) == (1, 2, "registered")
    assert {row["state"] for row in deployment.connector("register", "--json").json()} == {"unchanged"}


def test_changed_doc_needs_no_new_version(deployment: Deployment) -> None:
    deployment.connector("register")
    deployment.change(lambda schema: schema.update(doc="An order, said otherwise."))
    assert deployment.connector("check", "--registry").exit_code == 0
    assert "order: same fields as version 1" in deployment.connector("diff").stdout
    assert deployment.connector("register").exit_code == 0


@pytest.mark.parametrize("is_released", [True, False], ids=["released", "registered"])
def test_breaking_change_is_refused_by_check_and_register(deployment: Deployment, *, is_released: bool) -> None:
    deployment.connector("register")
    if is_released:
        assert deployment.connector("release", "1.0.0").exit_code == 0
    check = ["check"] if is_released else ["check", "--registry"]
    against = "(against 1.0.0)" if is_released else "(against registered version 1)"
    for what, (edit, said) in BREAKING.items():
        if what in REFUSED_BY_ITSELF and not is_released:
            continue
        deployment.change(edit)
        for command in (check, ["register"]):
            done = deployment.connector(*command)
            assert done.exit_code == 2, what
            matching = [problem for problem in done.problems() if said in problem and against in problem]
            assert len(matching) == 1, (what, done.problems())
            assert matching[0].startswith("avro/order.avsc")
        deployment.take_back()
    assert len(deployment.registered()) == 1


def test_registry_accepts_changes_that_our_rules_refuse(deployment: Deployment) -> None:
    """Show that the rules are needed: under FULL_TRANSITIVE the registry accepts each of these."""
    deployment.connector("register")
    for what in ("another scale", "another precision", "another unit", "no logical type", "a removed field", "a renamed field"):
        (schema, *_) = deployment.registered()
        BREAKING[what][0](schema)
        url = f"{deployment.registry}/compatibility/subjects/{deployment.prefix}orders-value/versions/latest"
        answer = httpx.post(url, json={"schema": json.dumps(schema)}, trust_env=False, verify=False, timeout=10)
        assert answer.json()["is_compatible"] is True, what


def test_registry_that_refuses_one_schema_keeps_the_others(deployment: Deployment) -> None:
    """Another client has registered a schema of another kind under our subject, which our rules cannot compare."""
    url = f"{deployment.registry}/subjects/{deployment.prefix}orders-value/versions"
    assert httpx.post(url, json={"schema": '"string"'}, trust_env=False, verify=False, timeout=10).is_success
    done = deployment.connector("register")
    assert done.exit_code == 2
    assert "full transitive" in done.problems()[0]
    assert deployment.registered("documents") == []


def test_export_is_what_the_registry_holds(deployment: Deployment) -> None:
    deployment.connector("register")
    deployment.change(add_a_field)
    deployment.connector("register")
    target = deployment.folder / "export"
    index = deployment.connector("export", str(target), "--json").json()
    orders = [entry for entry in index if entry["record_type"] == "order"]
    assert [json.loads((target / entry["file"]).read_text(encoding="utf-8")) for entry in orders] == deployment.registered()
    url = f"{deployment.registry}/schemas/ids/{orders[1]['id']}"
    by_id = httpx.get(url, trust_env=False, verify=False, timeout=10).json()["schema"]
    assert json.loads(by_id) == deployment.registered()[1]
