"""The generated pages of docs/reference are what the code makes, and leave nothing out."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from typer.core import TyperGroup

from connector import answers
from connector.http import answer_texts, refusals, token_endpoint
from connector.instance.readiness import Reason
from connector.metrics import Metrics, exposition
from connector.records import Answer
from connector.refusals import REFUSALS, Refusal
from connector.settings.load import environment_names
from supply.reference import commands, http_answers, log_events, metrics, settings
from supply.reference.pages import FOLDER, PAGES

TEXTS = {name: (FOLDER / name).read_text(encoding="utf-8") for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_page_equals_the_generated_one(name: str) -> None:
    assert PAGES[name]() == TEXTS[name], "make docs"


def test_every_page_is_generated_or_has_its_own_test() -> None:
    written = {path.name for path in FOLDER.glob("*.md")} - set(PAGES)
    assert written == {"headers.md"}, "test_reference_headers.py"


def test_every_setting_is_on_the_page() -> None:
    # A section of the page: each credential is a table.
    names = environment_names() - {"CONNECTOR_AUTHENTICATION__CREDENTIALS"}
    assert {name for name in names if f"`{name}`" not in TEXTS["settings.md"]} == set()
    assert "## [authentication.credentials]" in TEXTS["settings.md"]


def test_no_setting_is_without_a_meaning() -> None:
    empty = [f"{table.name}.{entry.name}" for table in settings.tables() for entry in table.entries if not entry.lines]
    assert not empty


def test_every_command_and_option_is_on_the_page() -> None:
    for path, command in commands.commands():
        if not isinstance(command, TyperGroup):
            section = TEXTS["commands.md"].partition(f"\n## connector {' '.join(path)}\n")[2].partition("\n## ")[0]
            missing = [
                name for one in command.params for name in one.opts if name.startswith("-") and f"`{name}`" not in section
            ]
            assert not missing, path


def test_metrics_of_the_page_are_those_of_the_exposition() -> None:
    text = exposition(Metrics()).decode()
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    shown = {line.split("`")[1] for line in TEXTS["metrics.md"].splitlines() if line.startswith("| `connector_")}
    assert shown == {name for name in families if not name.endswith("_created")}


def test_every_kind_of_adjusted_value_has_a_meaning() -> None:
    assert set(metrics.ADJUSTED) == set(Metrics().adjusted)


def test_every_event_has_a_meaning_and_every_meaning_an_event() -> None:
    assert set(log_events.events()) == set(log_events.MEANINGS), "add it to supply/reference/log_events.py"


def test_event_is_found_with_level_and_fields(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "class One:\n"
        "    def __init__(self):\n"
        "        self._seldom = RateLimitedEvent('seldom', 'error')\n"
        "    def run(self):\n"
        "        self._seldom.event(topic=1)\n"
        "        event('here' if self else 'there', 'info', number=2)\n"
        "        logs.event('plain', seconds_left=3)\n"
        "        _log.warning('of_a_logger', extra={'error': 4})\n",
        encoding="utf-8",
    )
    found = log_events.events(tmp_path)
    assert {name: (one.levels, one.fields, one.is_rate_limited) for name, one in found.items()} == {
        "seldom": ({"error"}, ["times", "topic"], True),
        "here": ({"info"}, ["number"], False),
        "there": ({"info"}, ["number"], False),
        "plain": ({"error"}, ["seconds_left"], False),
        "of_a_logger": ({"warning"}, ["error"], False),
    }


def test_event_whose_name_is_computed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("event(name)\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not a literal"):
        log_events.events(tmp_path)


def test_every_rate_limited_event_of_the_source_is_found() -> None:
    made = set()
    for file in log_events.PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="RateLimitedEvent"), args=[ast.Constant(value=name), *_]):
                    made.add(name)
    assert made == {name for name, one in log_events.events().items() if one.is_rate_limited}


def test_every_answer_has_a_meaning() -> None:
    for module in (answers, refusals):
        texts = answer_texts.texts(module)
        assert set(texts) == {name for name, value in vars(module).items() if isinstance(value, Answer)}
        assert [name for name, text in texts.items() if not text] == []
    assert set(answer_texts.TOKEN_ENDPOINT) == set(answer_texts.token_answers())
    assert answer_texts.token_answers().items() <= vars(token_endpoint).items()


def test_every_reason_of_a_refusal_is_in_the_table_and_on_the_pages() -> None:
    assert set(REFUSALS) == set(get_args(Refusal))
    for reason in get_args(Refusal):
        assert f"| `{reason}` |" in TEXTS["metrics.md"]
        assert f"`{reason}`" in TEXTS["http.md"]


def test_every_answer_but_200_has_a_reason() -> None:
    every = [
        value for module in (answers, refusals, token_endpoint) for value in vars(module).values() if isinstance(value, Answer)
    ]
    assert len(every) > 20
    # A health check is no request that could be refused.
    assert not [one for one in every if (one.refusal is None) != (one.status == 200) and one is not answers.UNHEALTHY]
    without_answer = set(get_args(Refusal)) - {one.refusal for one in every}
    assert without_answer == {"tls_handshake", "body_incomplete"}


def test_every_reason_of_readyz_has_a_meaning() -> None:
    assert set(http_answers.READINESS) == set(get_args(Reason))
