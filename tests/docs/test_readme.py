"""What only the README, the Makefile and the CHANGELOG say; what all pages have in common is in test_pages.py."""

import re
from pathlib import Path

from connector import __version__
from tests.support.callbacks import whole_catalogue

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GUARANTEE = (ROOT / "docs" / "explanation" / "delivery-guarantee.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_can_be_read_in_ten_minutes() -> None:
    # A new message type adds a row to the table of topics: that must not cost words elsewhere.
    prose = "\n".join(line for line in README.splitlines() if not line.startswith("| `kaleyra.whatsapp."))
    assert len(prose.split()) <= 795
    assert len(README.splitlines()) <= 130


def test_every_row_and_sentence_of_the_guarantee_names_its_test() -> None:
    guarantee = GUARANTEE.partition("## The guarantee")[2].partition("\n## ")[0]
    table, _, prose = guarantee.strip().rpartition("|\n\n")
    rows = table.splitlines()[2:]
    assert all(row.count("[test](") == 1 for row in rows)
    sentences = re.split(r"\.\s+(?=[A-Z])", " ".join(prose.split()))
    assert len(sentences) == 3
    assert all(sentence.count("[test](") == 1 for sentence in sentences)


def test_makefile_lists_its_targets_by_default() -> None:
    assert re.search(r"^\.DEFAULT_GOAL := help$", MAKEFILE, re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z-]+):.* ## \S", MAKEFILE, re.MULTILINE)), "a target without a text"
    assert targets == set(re.findall(r"^\.PHONY: ([a-z-]+)$", MAKEFILE, re.MULTILINE))


def test_topics_are_those_of_the_catalogue() -> None:
    assert set(re.findall(r"^\| `(kaleyra\.whatsapp\.[a-z-]+)` \|", README, re.MULTILINE)) == {
        record_type.topic for record_type in whole_catalogue()
    }


def test_example_of_a_field_is_in_a_schema() -> None:
    (example,) = re.findall(r'^\{"name": "(\w+)".*"source": "([\w.]+)"', README, re.MULTILINE)
    schema = (ROOT / "avro" / "document.avsc").read_text(encoding="utf-8")
    assert all(f'"{word}"' in schema for word in example)


def test_changelog_starts_with_the_version_of_the_code() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)
    assert versions[0] == __version__
    assert len(versions) == len(set(versions))
