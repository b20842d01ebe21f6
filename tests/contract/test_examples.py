"""The examples say what is there: a command that starts, packages locked by hash, a README of five lines."""

import os
import re
from pathlib import Path

REVENUE = Path(__file__).parents[2] / "examples" / "revenue"


def text_of(name: str) -> str:
    return (REVENUE / name).read_text(encoding="utf-8")


def test_readme_is_five_lines_and_one_command() -> None:
    _, prose, block = text_of("README.md").split("\n\n")
    assert len(prose.splitlines()) == 5
    (command,) = block.splitlines()
    program, *options = command.split()
    assert (REVENUE.parents[1] / program).samefile(REVENUE / "run")
    assert os.access(REVENUE / "run", os.X_OK)
    assert all(f'"{option}"' in text_of("revenue.py") for option in options if option.startswith("--"))


def test_whatever_its_command_fetches_is_locked_by_hash() -> None:
    (install,) = re.findall(r"pip install (.*)", text_of("run").replace("\\\n", ""))
    assert {"--no-deps", "--require-hashes", "--only-binary", "requirements.lock"} <= set(install.split())
    wanted = set(re.findall(r"^([a-z0-9-]+)", text_of("requirements.in"), re.MULTILINE))
    locked = set(re.findall(r"^([a-z0-9-]+)==\S+.*\\\n +--hash=", text_of("requirements.lock"), re.MULTILINE))
    assert wanted
    assert wanted <= locked


def test_no_float_can_come_into_a_sum() -> None:
    code = text_of("revenue.py").replace('"--until-idle", type=float', "")
    assert "float" not in code.partition('"""\n')[2]
