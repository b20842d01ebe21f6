"""What the README says to type, to open and to expect is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from connector import __version__
from connector.cli import app
from tests.support.callbacks import whole_catalogue

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROMISE_PAGE = ROOT / "docs" / "explanation" / "promise.md"
PROMISE = PROMISE_PAGE.read_text(encoding="utf-8").partition("## The promise")[2].partition("\n## ")[0]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```\w*\n.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
LINES = [line for block in BLOCKS for line in block.splitlines()]


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def commands() -> list[list[str]]:
    """Every line of `connector …` in blocks and in prose, without what stands before it."""
    found = []
    for line in [*LINES, *CODE]:
        match = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?connector (?=[a-z-])(.*)", line)
        if match:
            found.append(words_of(match.group(1)))
    return found


def make_targets() -> set[str]:
    return {word for line in [*LINES, *CODE] if line.startswith("make ") for word in words_of(line)[1:] if "=" not in word}


def named_files() -> set[str]:
    """Paths of this repository, in links, in code and behind curl's @."""
    links = {target for target in re.findall(r"\]\(([^) ]+)[^)]*\)", README) if not re.match(r"[a-z]+:|#", target)}
    top = {path.name for path in ROOT.iterdir()}
    plain = {code for code in CODE if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", code) and code.split("/")[0] in top}
    posted = set(re.findall(r"@([\w./-]+)", "\n".join(LINES)))
    return links | plain | posted


def promised_tests() -> list[tuple[str, str]]:
    """The tests that the promise names: file and function."""
    return re.findall(r'\[test\]\(([^ )]+) "(\w+)"\)', PROMISE)


def test_every_row_and_sentence_of_the_promise_names_its_test() -> None:
    table, _, prose = PROMISE.strip().rpartition("|\n\n")
    rows = table.splitlines()[2:]
    assert all(row.count("[test](") == 1 for row in rows)
    sentences = re.split(r"\.\s+(?=[A-Z])", " ".join(prose.split()))
    assert len(sentences) == 3
    assert all(sentence.count("[test](") == 1 for sentence in sentences)


@pytest.mark.parametrize(("file", "name"), promised_tests())
def test_test_of_the_promise_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in (PROMISE_PAGE.parent / file).read_text(encoding="utf-8")


def test_readme_is_read_in_ten_minutes() -> None:
    assert len(README.split()) <= 900
    assert len(README.splitlines()) <= 130


def test_there_is_something_to_check() -> None:
    assert commands()
    assert promised_tests()
    assert {"run", "test"} <= make_targets()
    assert any(name.startswith("tests/samples/") and name.endswith(".json") for name in named_files())


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


def test_makefile_lists_its_targets_by_default() -> None:
    assert re.search(r"^\.DEFAULT_GOAL := help$", MAKEFILE, re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z-]+):.* ## \S", MAKEFILE, re.MULTILINE)), "a target without a text"
    assert targets == set(re.findall(r"^\.PHONY: ([a-z-]+)$", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_command_line_is_one(words: list[str]) -> None:
    command: Any = get_command(app)
    left = list(words)
    while isinstance(command, TyperGroup):
        assert left, "a group alone"
        assert left[0] in command.commands
        command = command.commands[left.pop(0)]
    # Reads the words as the command line does, and runs nothing.
    if left or words in ([*one] for one in map(words_of, LINES)):
        command.make_context(words[0], left)


@pytest.mark.parametrize("name", sorted(named_files()))
def test_named_file_exists(name: str) -> None:
    assert (ROOT / name.partition("#")[0]).exists()


def test_topics_are_those_of_the_catalogue() -> None:
    assert set(re.findall(r"^\| `(kaleyra\.whatsapp\.[a-z-]+)` \|", README, re.MULTILINE)) == {
        record_type.topic for record_type in whole_catalogue()
    }


def test_example_of_a_field_stands_in_a_schema() -> None:
    (example,) = re.findall(r'^\{"name": "(\w+)".*"source": "([\w.]+)"', README, re.MULTILINE)
    schema = (ROOT / "avro" / "document.avsc").read_text(encoding="utf-8")
    assert all(f'"{word}"' in schema for word in example)


def test_changelog_begins_with_the_version_of_the_code() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)
    assert versions[0] == __version__
    assert len(versions) == len(set(versions))


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.search(r"TODO|FIXME|XXX(?!X)|TBD", README)
