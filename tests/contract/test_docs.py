"""The page of topics is what the schemas say, every field of them."""

from pathlib import Path

import pytest

from connector.catalogue import RecordType
from connector.cli import main
from connector.commands.docs import page
from tests.callbacks import whole_catalogue

FILE = Path(__file__).parents[2] / "docs" / "topics.md"


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


def test_command_prints_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["connector", "schemas", "docs"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8")
