"""The page of threats: each row says what stops it, and names tests that exist."""

import ast
import re
from pathlib import Path

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


def test_named_tests_exist() -> None:
    functions = {file: functions_of(DOCS / file) for file, _ in TESTS}
    assert [name for file, name in TESTS if name not in functions[file]] == []


def test_every_module_of_the_security_suite_is_named() -> None:
    modules = {path.name for path in (DOCS.parent / "tests" / "security").glob("test_*.py")}
    assert modules <= {Path(file).name for file, _ in TESTS}


def test_every_kind_of_credential_has_a_row() -> None:
    kinds = Credential.model_fields["kind"].annotation
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(kinds.__args__)  # type: ignore[union-attr]


def test_links_of_both_pages_are_not_broken() -> None:
    for page in (DOCS / "security.md", DOCS.parent / "SECURITY.md"):
        targets = re.findall(r"\]\(([^) ]+)", page.read_text(encoding="utf-8"))
        assert [target for target in targets if not (page.parent / target).exists()] == [], page.name
