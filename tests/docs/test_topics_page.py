"""The page of topics is what the schemas say, every field of them."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from connector.catalogue import RecordType, read_catalogue
from connector.cli import app, main
from connector.commands.schemas.docs import page
from connector.mapping.places import fields_within
from connector.privacy.policy import Policy
from connector.settings.tables import Privacy
from tests.support.callbacks import catalogue, whole_catalogue

FILE = Path(__file__).parents[2] / "docs" / "topics.md"
PRIVACY = FILE.with_name("privacy.md")


def sections() -> dict[str, str]:
    """The page's sections by their titles."""
    return {part.partition("\n")[0]: part for part in FILE.read_text(encoding="utf-8").split("\n## ")[1:]}


def test_page_is_the_one_that_the_schemas_make() -> None:
    assert page(whole_catalogue()) == FILE.read_text(encoding="utf-8"), "make docs"


@pytest.mark.parametrize("record_type", list(whole_catalogue()), ids=lambda record_type: record_type.name)
def test_every_field_of_a_record_stands_on_the_page_once(record_type: RecordType) -> None:
    own, common = sections()[record_type.schema["name"]], sections()["What every message has"]
    told = own + common if record_type.source == "messages" else own

    for field in record_type.schema["fields"]:
        assert told.count(f"| `{field['name']}` |") == 1
        assert field["doc"] in told
    assert f"`{record_type.topic}`" in own


def test_fields_within_lists_are_named_by_their_list() -> None:
    assert "| `cards[].phones[].wa_id` | string | `item.wa_id` | phone |" in sections()["ContactCard"]
    assert "| `product_items[].item_price` | decimal(18, 6) | `item.item_price` |" in sections()["Order"]


def test_page_of_privacy_names_commands_settings_and_fields_that_there_are() -> None:
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


def test_settings_on_the_page_of_privacy_are_taken() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PRIVACY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    given = tomllib.loads(block)["privacy"]
    policy = Policy.of(Privacy.model_validate({**given, "hash_key": "an invented key of 32 characters"}))
    assert not policy.keeps_all
    assert read_catalogue(policy=policy).policy is policy


def test_command_shows_what_the_settings_make_of_every_field(
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
