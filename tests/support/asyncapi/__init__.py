"""AsyncAPI's own parser in Node.js: a document in, its diagnostics out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.support import npm

_HERE: Final = Path(__file__).parent
_TIED: Final = _HERE.parents[1] / "stack" / "die_with_parent.py"
_SECONDS: Final = 120


def modules() -> Path:
    """Return the folder of the packages, fetched first if need be (55 MB).

    Raises:
        StackUnavailable: Node.js or npm is missing, or the packages could not be had.
    """
    return npm.modules(_HERE, "asyncapi")


def diagnostics(node_modules: Path, document: str) -> list[dict[str, Any]]:
    """Return what the parser has to say: `code`, `message`, `path` and `severity`, of which 0 is an error."""
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), node, str(_HERE / "parse.js")],
        input=document,
        env={**os.environ, "NODE_PATH": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found
