"""What is to be said of the spool: where it lies, its room, and what waits in it. Nothing is changed.

It may be in use: it is read as it is, beside the bridge.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from connector.doctor.findings import Finding
from connector.settings.tables import Spool
from connector.spool.file import NAME

_WHAT: Final = "spool"
_MIB: Final = 1024 * 1024
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OF_A_CONTAINER: Final = frozenset({"overlay", "aufs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")


def check_spool(settings: Spool) -> Iterator[Finding]:
    """Tell whether the spool would outlive what it is for, has room, and holds something."""
    if not settings.folder:
        yield Finding(_WHAT, "ok", "is off (spool.folder): while Kafka is away callbacks are answered 503")
        return
    folder = Path(settings.folder).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    yield place(str(folder), kind_of_mount(there, _MOUNTS.read_text(encoding="utf-8") if _MOUNTS.exists() else ""))
    free_bytes = shutil.disk_usage(there).free
    if free_bytes < settings.max_bytes:
        found = f"its disk has {free_bytes // _MIB} MiB left, less than spool.max_bytes ({settings.max_bytes // _MIB} MiB)"
        yield Finding(_WHAT, "warning", found, "make room, or lower spool.max_bytes")
    if (folder / NAME).exists():
        yield from _content(folder / NAME)
    if damaged := sorted(path.name for path in folder.glob(f"damaged-*{NAME}")):
        advice = "they hold callbacks that could not be read; keep them until nobody needs those, then delete them"
        yield Finding(_WHAT, "warning", f"damaged files were set aside: {', '.join(damaged)}", advice)


def place(folder: str, kind: str) -> Finding:
    """Judge the kind of file system that the folder lies on."""
    if kind in _IN_MEMORY:
        advice = "name a folder on a disk: what waits in memory is lost with the machine"
        return Finding(_WHAT, "warning", f"spool.folder {folder} lies in memory ({kind})", advice)
    if kind in _OF_A_CONTAINER:
        advice = "name a folder on a volume: what waits in a container's own layer is lost with the container"
        return Finding(_WHAT, "warning", f"spool.folder {folder} lies in a container's own layer ({kind})", advice)
    return Finding(_WHAT, "ok", f"spool.folder {folder} lies on a disk ({kind or 'of an unknown kind'})")


def kind_of_mount(path: Path, mounts: str) -> str:
    """Return the kind of file system that a path is on, from what `/proc/self/mountinfo` says; empty when it does not say."""
    kinds: dict[str, str] = {}
    for line in mounts.splitlines():
        mounted, _, kind = line.partition(" - ")
        if kind:
            # Blanks in paths stand there as \040.
            kinds[mounted.split(" ")[4].replace("\\040", " ")] = kind.split(" ")[0]
    resolved = path.resolve()
    return next((kinds[str(parent)] for parent in (resolved, *resolved.parents) if str(parent) in kinds), "")


def _content(file: Path) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            ((waiting,),) = connection.execute("SELECT callbacks FROM totals").fetchall()
            aside = connection.execute(
                "SELECT why, count(*) FROM parked WHERE NOT is_unparked GROUP BY why ORDER BY why"
            ).fetchall()
    except (sqlite3.Error, ValueError) as error:
        advice = "start the bridge, which sets a damaged file aside and takes over what can be read"
        yield Finding(_WHAT, "error", f"{file} cannot be read ({error})", advice)
        return
    if waiting:
        advice = "the bridge delivers them by itself once Kafka takes them; see its log"
        yield Finding(_WHAT, "warning", f"{waiting} callbacks wait for Kafka", advice)
    else:
        yield Finding(_WHAT, "ok", "nothing waits in it")
    for why, count in aside:
        advice = (
            "mend what Kafka refuses (topics check) and restart: they are tried again" if why != "damaged" else "keep the file"
        )
        yield Finding(_WHAT, "error", f"{count} callbacks cannot be delivered ({why})", advice)
