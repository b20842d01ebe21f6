"""`python -m supply.sbom FOLDER`: the bill of materials of the wheel, CycloneDX, from the lock file; its path is printed.

The same lock file and version give the same bytes: no time and no serial number.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

from connector import __version__

ROOT: Final = Path(__file__).parents[1]


def bill_of_materials() -> dict[str, Any]:
    """Return the bill: every locked package with its hashes, and ourselves with what we ask for."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sbom.json"
        arguments = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", str(file)]
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(ROOT / "requirements.lock"), *arguments]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise SystemExit(f"cyclonedx-py failed:\n{made.stderr}")
        bill: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    # Our version is in the code, where the tool does not look, and a lock file does not say which package requires which.
    ours = bill["metadata"]["component"]
    ours |= {"version": __version__, "purl": f"pkg:pypi/{ours['name']}@{__version__}"}
    refs = {component["name"]: component["bom-ref"] for component in bill["components"]}
    others = [entry for entry in bill["dependencies"] if entry["ref"] != ours["bom-ref"]]
    asked_for = sorted(refs[name] for name in direct_dependencies())
    bill["dependencies"] = [{"ref": ours["bom-ref"], "dependsOn": asked_for}, *others]
    return bill


def direct_dependencies() -> list[str]:
    """Return the packages that pyproject.toml asks for, by their normal names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in project["dependencies"]]
    return [re.sub(r"[-_.]+", "-", name).lower() for name in names]


def write(folder: Path) -> Path:
    """Write the bill into a folder, beside the wheel and named as it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"kaleyra_whatsapp_connector-{__version__}.cdx.json"
    file.write_text(text_of(bill_of_materials()), encoding="utf-8")
    return file


def text_of(bill: dict[str, Any]) -> str:
    """Return a bill as its file has it."""
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
