"""The examples say what is there: a command that starts, packages locked by hash, a README of five lines."""

import base64
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

from pydantic import SecretStr
from typer.core import TyperGroup
from typer.main import get_command

from connector.catalogue import read_catalogue
from connector.cli import app
from connector.commands.show import plain
from connector.privacy.policy import Policy
from connector.settings.tables import Privacy
from tests.support.callbacks import decoded, raw, translator

ROOT = Path(__file__).parents[2]
REVENUE = ROOT / "examples" / "revenue"


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


# Sealed dead letters


def test_example_opens_what_tail_prints(tmp_path: Path) -> None:
    keys = [f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for name in ("new", "old")]
    file = tmp_path / "seal_keys"
    file.write_text("\n".join(keys), encoding="utf-8")
    lines = []
    for order in (keys, keys[::-1], []):
        of = read_catalogue(policy=Policy.of(Privacy(seal_keys=SecretStr("\n".join(order)))))
        (letter,) = translator(of=of).translate(raw(b'{"strange": "caff\xc3\xa8"}', query="a=b"))
        lines.append(json.dumps({"topic": letter.topic, "value": plain(decoded(letter, of))}))
    assert "caff" not in lines[0] + lines[1]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "sealed" / "open.py"), str(file)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    opened = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["body"], one["query"]) for one in opened] == [('{"strange": "caffè"}', "a=b")] * 3
    assert {one["reason"] for one in opened} == {"unknown_shape"}


def test_command_of_its_readme_is_there() -> None:
    folder = ROOT / "examples" / "sealed"
    text = (folder / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^```\n(.*)\n```", text, re.MULTILINE)
    tail, opening = (shlex.split(part) for part in line.split("|"))
    assert (ROOT / opening[1]).samefile(folder / "open.py")
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    command.commands[tail[1]].make_context("tail", tail[2:])
