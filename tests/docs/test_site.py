"""The documentation builds as a site: no link is broken, and every page is in the navigation."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supply.docs_hooks import with_links_to_repository

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "http.md"
SECONDS = 120


def rewritten(markdown: str, repository: str | None) -> str:
    return with_links_to_repository(markdown, PAGE, ROOT / "docs", repository)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return the folder of the site: in CI the one that `make docs-site` has just built by the same command, else a new one."""
    if os.environ.get("CI"):
        built = ROOT / "build" / "site"
        made = (built / "index.html").stat().st_mtime if built.is_dir() else 0.0
        changed = max(file.stat().st_mtime for file in (ROOT / "mkdocs.yml", *(ROOT / "docs").rglob("*.md")))
        assert made >= changed, "the site is missing or older than its pages: run make docs-site first, as .ci/run does"
        return built
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: make docs-site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "site"


def test_site_builds_without_a_warning(site: Path) -> None:
    for page in ("reference/settings", "reference/topics", "explanation/threat-model"):
        assert (site / page / "index.html").is_file()


def test_link_out_of_the_docs_leads_to_the_repository() -> None:
    text = '[test](../../tests/conftest.py "name") [f](../../avro) [p](topics.md#order)'
    assert rewritten(text, "https://host/owner/name/") == (
        '[test](https://host/owner/name/blob/HEAD/tests/conftest.py "name") '
        "[f](https://host/owner/name/tree/HEAD/avro) [p](topics.md#order)"
    )


def test_link_out_of_the_docs_is_plain_text_without_a_repository() -> None:
    assert (
        rewritten('[test](../../tests/conftest.py "name"), [w](https://example.org)', None) == "test, [w](https://example.org)"
    )


def test_code_blocks_stay_as_they_are() -> None:
    block = "```\n[a](../../tests/conftest.py)\n```\n"
    assert rewritten(f"{block}[a](../../tests/conftest.py)", None) == f"{block}a"
