"""Packages of npm: fetched once into the user's cache folder, as a package-lock.json says."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.stack.artifacts import cache_folder, fetched
from tests.stack.errors import StackUnavailable

_FILES: Final = ("package.json", "package-lock.json")
_TIMEOUT_SECONDS: Final = 600


def modules(here: Path, name: str) -> Path:
    """Return the node_modules of the package.json in a folder, fetched first if need be; `name` is for messages.

    Raises:
        StackUnavailable: Node.js or npm is missing, or the packages could not be had.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise StackUnavailable(f"{program} is needed for {name}: `apt-get install nodejs npm`")
    lock = (here / "package-lock.json").read_bytes()
    folder = cache_folder() / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    return fetched(folder, lambda target: _install(here, target, name)) / "node_modules"


def _install(here: Path, folder: Path, name: str) -> None:
    for file in _FILES:
        shutil.copy(here / file, folder)
    # The lock file is the whole answer; no package may run anything here.
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise StackUnavailable(f"npm did not end within {_TIMEOUT_SECONDS} s: is the network slow?") from None
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        reason = next((line for line in lines if "npm error" in line or "npm ERR!" in line), "no reason given")
        raise StackUnavailable(f"npm could not fetch {name}, is the network there? {reason[:300]}")
