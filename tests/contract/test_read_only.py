"""`serve` on a read-only file system, in a mount namespace as containers have one: which writable folder it needs."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from connector.errors import ConfigurationInvalid
from connector.temporary import make_own_folder
from tests.stack.ports import free_ports
from tests.support.servers import readiness

ROOT: Final = Path(__file__).parents[2]
_TIED: Final = ROOT / "tests" / "stack" / "die_with_parent.py"
_MOUNT: Final = """
set -e
mount --make-rprivate /
for folder in /var/tmp /dev/shm /tmp; do mount -t tmpfs -o size=32m none $folder; done
mkdir /tmp/cache
mount -t tmpfs -o size=32m none /tmp/cache
for folder in /var/tmp /dev/shm /tmp /tmp/cache; do [ $folder = "$WRITABLE" ] || mount -o remount,ro $folder; done
mount -o remount,bind,ro /
cd /
exec "$@"
"""


@contextmanager
def served(writable: str, log_file: Path, **settings: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Start `serve` where only these folders can be written, with no HOME; yield the process and its management URL."""
    namespace = [shutil.which("unshare") or "unshare", "--mount", "sh", "-c", _MOUNT, "sh"]
    if subprocess.run(
        [*namespace, "true"], env={"WRITABLE": "", "PATH": os.defpath}, capture_output=True, check=False
    ).returncode:
        assert "CI" not in os.environ, "no mount namespaces: run as root"
        pytest.skip("no mount namespaces: run as root")
    data, management = free_ports(2)
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WRITABLE": writable,
        "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true",
        "CONNECTOR_HTTP__PORT": str(data),
        "CONNECTOR_MANAGEMENT__PORT": str(management),
        "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CONNECTOR_REGISTRY__URL": "http://127.0.0.1:1",
        **{f"CONNECTOR_{name}": value for name, value in settings.items()},
    }
    tied = [sys.executable, "-I", "-S", str(_TIED), str(os.getpid())]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*tied, *namespace, sys.executable, "-m", "connector", "serve"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process, f"http://127.0.0.1:{management}"
        finally:
            process.terminate()
            process.wait(40)


@pytest.mark.parametrize(
    ("writable", "settings"),
    [
        ("/tmp", {}),
        ("/dev/shm", {}),
        ("/tmp/cache", {"REGISTRY__CACHE_FOLDER": "/tmp/cache/ids"}),
        ("/tmp/cache", {"REGISTRY__CACHE_FOLDER": "/tmp/cache/ids", "SPOOL__FOLDER": "/tmp/cache/spool"}),
    ],
    ids=["tmp", "shared memory", "cache folder", "cache folder and spool"],
)
def test_bridge_runs_with_one_writable_folder(writable: str, settings: dict[str, str], tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    with served(writable, log_file, **settings) as (process, url):
        deadline = time.monotonic() + 30
        # The worker has started and works: it has found out that the registry is away.
        while "schemas" not in readiness(url).reasons:
            assert process.poll() is None, log_file.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log_file.read_text(encoding="utf-8")
            time.sleep(0.1)
    assert process.returncode == 0
    assert "Traceback" not in log_file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "settings", [{}, {"REGISTRY__CACHE_FOLDER": "/tmp/cache"}], ids=["no folder set", "unwritable folder set"]
)
def test_without_a_writable_folder_one_line_says_what_to_mount(settings: dict[str, str], tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    with served("", log_file, **settings) as (process, _):
        assert process.wait(40) == 2
    (line,) = log_file.read_text(encoding="utf-8").splitlines()
    assert line.startswith("connector: no folder for temporary files can be written; mount a writable folder at /tmp")


def test_unwritable_spool_folder_is_one_line(tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    with served("/tmp", log_file, SPOOL__FOLDER="/var/lib/connector/spool") as (process, _):
        assert process.wait(40) == 2
    (line,) = log_file.read_text(encoding="utf-8").splitlines()
    assert line.startswith("connector: spool.folder: /var/lib/connector/spool: Read-only file system; name a folder")


def test_usual_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert make_own_folder("/nonexistent/cache").parent == tmp_path


def test_no_place_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ConfigurationInvalid, match="mount a writable folder at /tmp"):
        make_own_folder("")
