"""The bill of materials names all that the wheel brings, and the audit never takes silence for health."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connector import __version__
from supply.audit import judge
from supply.sbom import bill_of_materials, text_of, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return bill_of_materials()


def locked() -> dict[str, tuple[str, set[str]]]:
    """Every locked package: its version and its hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)((?:.*\\\n)*.*)", text, re.MULTILINE)
    return {name: (version, set(re.findall(r"sha256:([0-9a-f]{64})", rest))) for name, version, rest in blocks}


def hashes_of(component: dict[str, Any]) -> set[str]:
    return {one["content"] for reference in component["externalReferences"] for one in reference.get("hashes", ())}


def test_bill_holds_every_locked_package_with_its_hashes(bill: dict[str, Any]) -> None:
    found = {one["name"]: (one["version"], hashes_of(one)) for one in bill["components"]}
    assert len(found) > 30
    assert found == locked()


def test_bill_holds_all_dependencies_of_the_wheel(bill: dict[str, Any]) -> None:
    named = {one["name"] for one in bill["components"]}
    pending, seen = ["kaleyra-whatsapp-connector"], set()
    while pending:
        seen.add(name := pending.pop())
        for line in importlib.metadata.requires(name) or ():
            needed = re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line)[0]).lower()
            # What hangs on an extra or on another platform is the lock file's to decide.
            if ";" not in line and needed not in seen:
                assert needed in named, f"{name} needs {needed}"
                pending.append(needed)
    assert len(seen) > 20


def test_bill_has_this_version_and_its_direct_dependencies(bill: dict[str, Any]) -> None:
    ours = bill["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("kaleyra-whatsapp-connector", __version__)
    assert ours["licenses"][0]["license"]["id"] == "Apache-2.0"
    (asked_for,) = [entry["dependsOn"] for entry in bill["dependencies"] if entry["ref"] == ours["bom-ref"]]
    names = {one["bom-ref"]: one["name"] for one in bill["components"]}
    assert {"starlette", "confluent-kafka", "cryptography"} <= {names[ref] for ref in asked_for}


def test_same_lock_file_gives_the_same_bytes(bill: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path)
    assert file.name == f"kaleyra_whatsapp_connector-{__version__}.cdx.json"
    assert file.read_text(encoding="utf-8") == text_of(bill), "one is made as the other, a moment later"
    written = json.loads(file.read_text(encoding="utf-8"))
    assert {"serialNumber", "timestamp"}.isdisjoint({*written, *written["metadata"]})


SOUND = {"name": "a", "version": "1", "vulns": []}
SICK = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "exit_code", "line"),
    [
        ([SOUND], 0, "nothing is known against 1 packages"),
        ([SOUND, SICK, UNKNOWN], 1, "b 2: PYSEC-1, fixed in 3"),
        ([SOUND, UNKNOWN], 2, "1 of 2 packages could not be looked up"),
        ([], 2, "0 of 0 packages could not be looked up"),
    ],
)
def test_package_without_a_lookup_is_not_called_safe(packages: list[dict[str, Any]], exit_code: int, line: str) -> None:
    assert judge({"dependencies": packages}) == (exit_code, (line,))


def test_audit_without_an_advisory_service_fails(tmp_path: Path) -> None:
    # A proxy that is not there, and no cache of earlier answers.
    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-m", "supply.audit"],
        cwd=ROOT,
        env={**os.environ, **away, "NO_PROXY": "", "no_proxy": "", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "run it where pypi.org or api.osv.dev can be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
