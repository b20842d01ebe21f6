"""Every test is in exactly one of two runs: `make test`, which needs Python alone, and `make test-real`."""

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def markers_of(target: str) -> str:
    """Return the expression by which a target chooses its tests."""
    (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    (expression,) = re.findall(r'-m "([^"]+)"', recipe)
    return str(expression)


def test_every_test_is_in_exactly_one_run() -> None:
    expressions = [markers_of("test"), markers_of("test-real")]
    names = set(re.findall(r"\w+", " ".join(expressions))) - {"not", "or", "and"}

    assert names == {"real", "slow"}
    # An expression of markers is one of Python, with a truth value for each name.
    for values in product((False, True), repeat=2):
        markers = dict(zip(("real", "slow"), values, strict=True))
        assert [bool(eval(expression, {}, markers)) for expression in expressions].count(True) == 1, markers


def test_markers_are_registered(pytestconfig: pytest.Config) -> None:
    registered = {line.partition(":")[0] for line in pytestconfig.getini("markers")}

    assert {"real", "slow"} <= registered


def test_no_fault_is_in_the_run_before_a_commit() -> None:
    arguments = ["--collect-only", "-q", "-p", "no:cacheprovider", "-m", markers_of("test"), "tests/faults"]
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    assert "deselected" in done.stdout


def test_ci_runs_lint_the_site_and_both_runs() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if line.startswith("make ")] == [
        "make lint",
        "make docs-site",
        "make test",
        "make test-real",
    ]
