"""The page on replay explains every reason of a dead letter."""

import re
from pathlib import Path

from connector.pipeline.translate import MAX_CALLBACK_BYTES, MAX_ITEMS
from connector.records import REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "replay.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    table = PAGE.partition("\n| reason | meaning | usual cause | what to do |\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[1:]]


def test_every_reason_is_explained_in_the_order_of_the_code() -> None:
    assert tuple(row[0].strip("`") for row in rows()) == REASONS


def test_every_reason_has_a_meaning_a_cause_and_an_action() -> None:
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []


def test_limits_on_the_page_are_those_of_the_code() -> None:
    (items,) = re.findall(r"more than ([\d,]+) items", PAGE)
    (mebibytes,) = re.findall(r"are over (\d+) MiB", PAGE)
    assert int(items.replace(",", "")) == MAX_ITEMS
    assert int(mebibytes) * 2**20 == MAX_CALLBACK_BYTES
