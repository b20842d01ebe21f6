"""The page of threats: each row says what stops it, and names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

from connector.settings.tables import Credential

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.partition("## Threats")[2].partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
TESTS = sorted(set(re.findall(r'\[test\]\(([^ )]+) "(\w+)"\)', PAGE)))


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_threat_names_a_test() -> None:
    assert len(ROWS) >= 15
    assert all(row.count("|") == 5 and "[test](" in row for row in ROWS)


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name for _, name in TESTS])
def test_named_test_exists(file: str, name: str) -> None:
    assert name in functions_of(DOCS / file)


def test_every_module_of_the_security_suite_is_named() -> None:
    modules = {path.name for path in (DOCS.parent / "tests" / "security").glob("test_*.py")}
    assert modules <= {Path(file).name for file, _ in TESTS}


def test_every_kind_of_credential_has_a_row() -> None:
    kinds = Credential.model_fields["kind"].annotation
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(kinds.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("file", ["docs/security.md", "SECURITY.md"])
def test_links_lead_somewhere(file: str) -> None:
    path = DOCS.parent / file
    for target in re.findall(r"\]\(([^) ]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
