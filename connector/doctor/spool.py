"""The spool's settings in, findings out: its file system, free space, and what waits in it. It changes nothing.

The bridge can be running: the file is opened read-only.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from connector.doctor.findings import Finding
from connector.settings.tables import Spool
from connector.spool.file import NAME, REFUSED, UNDECRYPTABLE

_CHECK: Final = "spool"
_MIB: Final = 1024 * 1024
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OF_A_CONTAINER: Final = frozenset({"overlay", "aufs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_UNPARK_ADVICE: Final = {
    REFUSED: "fix what Kafka refuses (`connector topics check`) and restart: they are retried",
    UNDECRYPTABLE: "add the missing key to privacy.seal_keys and restart: they are retried",
}


def check_spool(settings: Spool) -> Iterator[Finding]:
    """Check that the spool is on a persistent disk with enough space, and whether callbacks are in it."""
    if not settings.folder:
        yield Finding(_CHECK, "ok", "no spool is set (spool.folder): while Kafka is away, callbacks are answered 503")
        return
    folder = Path(settings.folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    yield place(str(folder), kind_of_mount(existing, _MOUNTS.read_text(encoding="utf-8") if _MOUNTS.exists() else ""))
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < settings.max_bytes:
        found = f"its disk has {free_bytes // _MIB} MiB left, less than spool.max_bytes ({settings.max_bytes // _MIB} MiB)"
        yield Finding(_CHECK, "warning", found, "free some space, or lower spool.max_bytes")
    if (folder / NAME).exists():
        yield from _content(folder / NAME)
    if damaged := sorted(path.name for path in folder.glob(f"damaged-*{NAME}")):
        advice = "they have callbacks that could not be read; delete them once those are not needed any more"
        yield Finding(_CHECK, "warning", f"damaged files were quarantined: {', '.join(damaged)}", advice)


def place(folder: str, kind: str) -> Finding:
    """Check the type of the file system that the folder is on."""
    if kind in _IN_MEMORY:
        advice = "name a folder on a disk: callbacks in memory are lost with the machine"
        return Finding(_CHECK, "warning", f"spool.folder {folder} is in memory ({kind})", advice)
    if kind in _OF_A_CONTAINER:
        advice = "name a folder on a volume: callbacks in a container's own layer are lost with the container"
        return Finding(_CHECK, "warning", f"spool.folder {folder} is in a container's own layer ({kind})", advice)
    return Finding(_CHECK, "ok", f"spool.folder {folder} is on a disk ({kind or 'unknown file system'})")


def kind_of_mount(path: Path, mounts: str) -> str:
    """Return the file system type of a path, from the text of `/proc/self/mountinfo`; empty if it is not there."""
    kinds: dict[str, str] = {}
    for line in mounts.splitlines():
        mounted, _, kind = line.partition(" - ")
        if kind:
            # Spaces in paths are escaped as \040.
            kinds[mounted.split(" ")[4].replace("\\040", " ")] = kind.split(" ")[0]
    resolved = path.resolve()
    return next((kinds[str(parent)] for parent in (resolved, *resolved.parents) if str(parent) in kinds), "")


def _content(file: Path) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            ((waiting,),) = connection.execute("SELECT callbacks FROM totals").fetchall()
            parked = connection.execute(
                "SELECT why, count(*) FROM parked WHERE NOT is_unparked GROUP BY why ORDER BY why"
            ).fetchall()
    except (sqlite3.Error, ValueError) as error:
        advice = "start the bridge: it quarantines a damaged file and salvages the readable callbacks"
        yield Finding(_CHECK, "error", f"{file} cannot be read ({error})", advice)
        return
    if waiting:
        advice = "the bridge delivers them once Kafka accepts them; see its log"
        yield Finding(_CHECK, "warning", f"{waiting} callback{'s wait' if waiting > 1 else ' waits'} for Kafka", advice)
    else:
        yield Finding(_CHECK, "ok", "no callbacks wait in it")
    for why, count in parked:
        advice = _UNPARK_ADVICE.get(why, "keep the file")
        yield Finding(
            _CHECK, "error", f"{count} callback{'s are' if count > 1 else ' is'} parked and cannot be delivered ({why})", advice
        )
