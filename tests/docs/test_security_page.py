"""The page of threats: each row says what stops it, and names tests that exist."""

import re
from pathlib import Path

from connector.settings.tables import Credential

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explanation" / "threat-model.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.partition("## Threats")[2].partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
TESTS = sorted(set(re.findall(r'\[test\]\(([^ )]+) "(\w+)"\)', PAGE)))


def test_every_threat_names_a_test() -> None:
    assert len(ROWS) >= 15
    assert all(row.count("|") == 5 and "[test](" in row for row in ROWS)


def test_every_module_of_the_security_suite_is_named() -> None:
    modules = {path.name for path in (DOCS.parent / "tests" / "security").glob("test_*.py")}
    assert modules <= {Path(file).name for file, _ in TESTS}


def test_every_kind_of_credential_has_a_row() -> None:
    kinds = Credential.model_fields["kind"].annotation
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(kinds.__args__)  # type: ignore[union-attr]
