"""Every page is true: what it says to type can be typed, what it names exists, its links work, and its English is plain.

The kinds of things that all pages have in common are checked here; what one page alone says, in the module of that page.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from connector.catalogue import load_catalogue
from connector.cli import app
from connector.errors import ConfigurationInvalid
from connector.metrics import Metrics, exposition
from connector.settings.load import is_variable, load_settings
from connector.settings.tables import PREFIX, Settings
from supply.reference.log_events import MEANINGS

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/**", "avro/released", "examples/*", "benchmarks")
PAGES = sorted({page.resolve() for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md")})
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

FENCE = re.compile(r"^ *(?P<marks>```|~~~)(?P<language>\w*).*?\n(?P<text>.*?)^ *(?P=marks)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\[]*\]\((?P<target>[^)\s]+)(?:\s+\"(?P<title>[^\"]*)\")?\)")
TO_AVOID = re.compile(
    r"\b(?:told|tells?|anew|whoever|set aside|put by|mend(?:s|ed|ing)?|of its own|so long|let in|let go|is begun|"
    r"somebody|nobody|everybody|what is wrong|looks? at)\b",
    re.IGNORECASE,
)
"""Words that readers stumble over: say logs, again, the client that, parked, fix, its own, for that long, admit, release,
starts, no one, the error, check."""
SOURCES = sorted(
    path
    for pattern in (
        "*.toml",
        "*.yml",
        "Makefile",
        "avro/*.avsc",
        "config/*",
        "deploy/**/*",
        "examples/*/*",
        ".github/**/*.yml",
        *(f"{folder}/**/*.py" for folder in ("benchmarks", "connector", "supply", "tests")),
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix not in (".lock", ".md") and path != Path(__file__)
)
"""Everything beside the pages whose texts people read."""
PLACEHOLDER = re.compile(r"[<>\[\]{}…]|\.\.\.|^N$")
"""A placeholder for a value in a command line."""
PACKAGE = re.compile(r"\bnpm install\b|\bfrom \"@")
"""A line with packages of npm, whose names look like the files that curl posts."""
HEADERS = {"connector_unfit"}
"""Record headers that are named like metrics."""
SUFFIXES = {"md", "py", "toml", "json", "sqlite", "avsc", "svg", "yml"}

HISTORY = ROOT / "CHANGELOG.md"
"""Names what no longer exists, too."""

current_page = pytest.mark.parametrize(
    "page", [page for page in PAGES if page != HISTORY], ids=lambda page: str(page.relative_to(ROOT))
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The code blocks of a page: language and text."""
    return [(block["language"], block["text"]) for block in FENCE.finditer(text_of(page))]


def prose(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def inline(page: Path) -> list[str]:
    """The inline code of a page, each as one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def lines(page: Path) -> list[str]:
    """The lines of the code blocks; one that ends in a backslash goes on in the next."""
    return [line.strip().removeprefix("$ ") for _, text in blocks(page) for line in text.replace("\\\n", " ").splitlines()]


def calls(page: Path, program: str) -> Iterator[list[str]]:
    """Every call of a program, as words without the program, up to a pipe, a redirection or the next command."""
    for line in [*lines(page), *inline(page)]:
        for part in re.split(r" (?:\|\|?|&&|;|>>?) ", line):
            match = re.match(rf"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?{program} (?=[a-z-])(.*)", part)
            if match:
                yield shlex.split(match[1], comments=True)


def slugs(page: Path) -> set[str]:
    """The anchors of a page as GitHub makes them, and as the site does (mkdocs.yml)."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text_of(page)))


def links(page: Path) -> list[tuple[str, str | None]]:
    """The links of a page to files of the repository: target and title."""
    found = [(link["target"], link["title"]) for link in LINK.finditer(re.sub(r"`[^`\n]*`", "``", prose(page)))]
    return [(target, title) for target, title in found if not re.match(r"[a-z]+:", target)]


def problems_of(settings: Path) -> list[str]:
    try:
        load_settings(settings, {})
    except ConfigurationInvalid as invalid:
        return list(invalid.problems)
    return []


def test_there_is_something_to_check() -> None:
    assert {
        ROOT / "README.md",
        ROOT / "docs" / "explanation" / "threat-model.md",
        ROOT / "docs" / "reference" / "http.md",
    } <= set(PAGES)
    assert any(list(calls(page, "connector")) for page in PAGES)
    assert any(list(calls(page, "make")) for page in PAGES)
    assert any(links(page) for page in PAGES)


@current_page
def test_commands_parse(page: Path) -> None:
    for words in calls(page, "connector"):
        command: Any = get_command(app)
        left = list(words)
        while isinstance(command, TyperGroup) and left and not left[0].startswith("-"):
            assert left[0] in command.commands, words
            command = command.commands[left.pop(0)]
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in left if word.startswith("--")}
        assert given - {"--help"} <= options, words
        if not isinstance(command, TyperGroup) and left and not any(PLACEHOLDER.search(word) for word in left):
            # Reads the words as the command line does, and runs nothing.
            command.make_context(words[0], left)


@current_page
def test_make_targets_exist(page: Path) -> None:
    for words in calls(page, "make"):
        for word in words:
            assert "=" in word or re.search(rf"^{re.escape(word)}:", MAKEFILE, re.MULTILINE), words


@current_page
def test_variables_exist(page: Path) -> None:
    for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b(?![<…])", text_of(page)):
        if not name.endswith("_"):
            assert is_variable(name) or is_variable(name.removesuffix("_FILE")), name


@current_page
def test_settings_exist(page: Path) -> None:
    for code in inline(page):
        if (named := re.fullmatch(r"([a-z_]+)\.([a-z_]+)(?: = .*)?", code)) and named[2] not in SUFFIXES:
            table = Settings.model_fields.get(named[1])
            if table:
                assert named[2] in table.annotation.model_fields, code  # type: ignore[union-attr]


@current_page
def test_examples_of_privacy_work(page: Path, tmp_path: Path) -> None:
    for language, text in blocks(page):
        if language == "toml" and "privacy" in tomllib.loads(text):
            file = tmp_path / "connector.toml"
            file.write_text(text, encoding="utf-8")
            secrets = {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true", "CONNECTOR_PRIVACY__HASH_KEY": "k" * 32}
            assert list(load_catalogue(load_settings(file, secrets)))


@current_page
def test_settings_in_toml_exist(page: Path, tmp_path: Path) -> None:
    for language, text in blocks(page):
        if language == "toml" and set(tomllib.loads(text)) & set(Settings.model_fields):
            file = tmp_path / "connector.toml"
            file.write_text(text, encoding="utf-8")
            # What else is missing, a secret for example, comes from the environment.
            assert [problem for problem in problems_of(file) if "no such setting" in problem] == []


@current_page
def test_metrics_exist(page: Path) -> None:
    there = exposition(Metrics()).decode()
    names = set(re.findall(r"# HELP (\w+)", there))
    suffixes = ("", "_bucket", "_sum", "_count")
    for name in re.findall(r"\bconnector_[a-z_]+[a-z]\b(?!\*|\.)", " ".join([*inline(page), *lines(page)])):
        assert name in HEADERS or any(name == family + suffix for family in names for suffix in suffixes), name


@current_page
def test_log_events_exist(page: Path) -> None:
    for name in re.findall(r"the log (?:says|has(?: the \w+)?) `(\w+)`", " ".join(prose(page).split())):
        assert name in MEANINGS, name


@every_page
def test_link_targets_exist(page: Path) -> None:
    for target, _ in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in slugs(file), target


@current_page
def test_named_files_exist(page: Path) -> None:
    """Paths in inline code, and files that curl posts; not those of a record type that the page itself adds as an example."""
    examples = {name for language, text in blocks(page) if language == "toml" for name in tomllib.loads(text)}
    top = {path.name for path in ROOT.iterdir()} - {"build", "dist"}
    named = {code for code in inline(page) if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+/?", code) and code.split("/")[0] in top}
    posted = {name for line in lines(page) if not PACKAGE.search(line) for name in re.findall(r"@([\w./-]+/[\w./-]+)", line)}
    missing = {name for name in named | posted if not (ROOT / name).exists()}
    assert {name for name in missing if not examples & {Path(name).stem, Path(name).parent.name}} == set()


@every_page
def test_tests_that_links_name_exist(page: Path) -> None:
    for target, title in links(page):
        file = (page.parent / target.partition("#")[0]).resolve()
        if file.suffix == ".py" and title and title.startswith("test_"):
            tree = ast.parse(text_of(file))
            assert title in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@every_page
def test_english_is_plain(page: Path) -> None:
    # The CHANGELOG names what is gone, in code.
    text = re.sub(r"`[^`\n]*`", "``", text_of(page)) if page == HISTORY else text_of(page)
    assert TO_AVOID.findall(" ".join(text.split())) == []


def test_english_of_the_sources_is_plain() -> None:
    found = {str(path.relative_to(ROOT)): TO_AVOID.findall(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 300
    assert {name: words for name, words in found.items() if words} == {}


@every_page
def test_pages_have_no_unfilled_placeholders(page: Path) -> None:
    assert not re.search(r"TODO|FIXME|XXX(?!X)|TBD", text_of(page))
