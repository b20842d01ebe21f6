"""The page of topics is what the schemas say, every field of them."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from connector.catalogue import read_catalogue
from connector.cli import app, main
from connector.commands.schemas.docs import page
from connector.mapping.places import fields_within
from connector.privacy.policy import Policy
from connector.settings.tables import Privacy
from tests.support.callbacks import catalogue, whole_catalogue

FILE = Path(__file__).parents[2] / "docs" / "reference" / "topics.md"
PRIVACY = FILE.parents[1] / "explanation" / "privacy.md"


def sections() -> dict[str, str]:
    """The page's sections by their titles."""
    return {part.partition("\n")[0]: part for part in FILE.read_text(encoding="utf-8").split("\n## ")[1:]}


def test_page_matches_the_schemas() -> None:
    assert page(whole_catalogue()) == FILE.read_text(encoding="utf-8"), "make docs"


def test_every_field_of_a_record_is_on_the_page_once() -> None:
    for record_type in whole_catalogue():
        own, common = sections()[record_type.schema["name"]], sections()["What every message has"]
        text = own + common if record_type.source == "messages" and not record_type.each else own
        fields = record_type.schema["fields"]
        wrong = [one["name"] for one in fields if text.count(f"| `{one['name']}` |") != 1 or one["doc"] not in text]
        assert wrong == [], record_type.name
        assert f"`{record_type.topic}`" in own


def test_fields_in_a_list_are_named_after_the_list() -> None:
    assert "| `cards[].phones[].wa_id` | string | `item.wa_id` | phone |" in sections()["ContactCard"]
    assert "| `product_items[].item_price` | decimal(18, 6) | `item.item_price` |" in sections()["Order"]


def test_commands_settings_and_fields_on_the_privacy_page_exist() -> None:
    text = PRIVACY.read_text(encoding="utf-8")
    commands = re.findall(r"`connector ([a-z]+)", text)
    assert {"forget", "privacy", "explain", "doctor", "schemas"} <= set(commands)
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert set(commands) <= set(group.commands)
    options = {option for one in group.commands["forget"].params for option in one.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= options
    assert set(re.findall(r"privacy\.([a-z_]+)", text)) - {"md"} <= set(Privacy.model_fields)
    fields = {path.rpartition(".")[2] for record_type in catalogue() for path, _ in fields_within(record_type.schema)}
    for named in ("record_key", "group_id", "interactive_json", "payment_json", "payload", "vcard"):
        assert named in text
        assert named in fields


def test_settings_on_the_privacy_page_are_valid() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PRIVACY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    given = tomllib.loads(block)["privacy"]
    policy = Policy.of(Privacy.model_validate({**given, "hash_key": "an invented key of 32 characters"}))
    assert not policy.keeps_all
    assert read_catalogue(policy=policy).policy is policy


def test_privacy_command_lists_every_field_and_its_rule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTOR_PRIVACY__CONTENT", "mask")
    monkeypatch.setenv("CONNECTOR_PRIVACY__FIELDS", '{"order.text": "drop", "ref1": "mask"}')
    monkeypatch.setattr("sys.argv", ["connector", "privacy", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    rows = {(one["record_type"], one["field"]): one for one in json.loads(capsys.readouterr().out)}
    personal = {
        (record_type.name, path): field["pii"]
        for record_type in catalogue()
        for path, field in fields_within(record_type.schema)
        if field.get("pii", "none") != "none"
    }
    assert {place: row["class"] for place, row in rows.items() if row["class"]} == personal
    assert (rows["text", "body"]["outcome"], rows["text", "body"]["setting"]) == ("mask", "privacy.content")
    assert (rows["order", "text"]["outcome"], rows["order", "text"]["setting"]) == ("drop", 'privacy.fields."order.text"')
    assert (rows["order", "ref1"]["outcome"], rows["order", "ref1"]["class"]) == ("mask", "")
    assert (rows["text", "wa_id"]["outcome"], rows["text", "wa_id"]["setting"]) == ("keep", None)
    assert rows["dead_letter", "body"]["outcome"] == "keep"


def test_command_prints_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["connector", "schemas", "docs"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8")
