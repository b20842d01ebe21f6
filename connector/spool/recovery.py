"""Makes the spool ready at the start of an instance: its folder, its lock, and the file, which is checked, mended or refused.

Refused with one line, and left untouched, is what an operator must decide: a file of a newer version or of another program, a
disk that cannot be written, a folder of another instance. A damaged file is set aside under another name, and what can be
read of it is taken over.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from connector.errors import ConfigurationInvalid
from connector.logs import event
from connector.settings.tables import Spool
from connector.spool.file import APPLICATION_ID, NAME, VERSION, File, create, sync
from connector.spool.reserve import Reserve
from connector.spool.row import Row, is_sound
from connector.spool.shared_flags import Shared

_TAKING_OVER: Final = "taking-over"
"""The file that names a damaged one, until all that can be read of it is taken over."""
# The file itself is the last: with it the others would be another file's.
_BESIDE: Final = ("-wal", "-shm", "")
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_TAKE_OVER_ROWS: Final = 500
_FORWARDS: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id > ? ORDER BY id"
_BACKWARDS: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id > ? ORDER BY id DESC"
_ONE: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id = ?"
_LARGEST_GAP: Final = 100_000
"""So many places are tried one by one where rows cannot be read."""


class Prepared:
    """A spool that belongs to this process until it ends."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def release(self) -> None:
        """Let another instance have it."""
        os.close(self._lock)


def prepare(settings: Spool) -> Prepared:
    """Lock, check and open the spool, before the workers use it.

    Raises:
        ConfigurationInvalid: when it cannot be used; the file is left as it was.
    """
    folder = Path(settings.folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "instance.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _refused(folder, f"{error.strerror}; make it a folder that the connector's user can write") from None
    try:
        _lock(folder, lock)
        _open(folder, settings.max_bytes)
    except BaseException:
        os.close(lock)
        raise
    return Prepared(lock)


def _lock(folder: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise _refused(folder, "another instance uses it; give each instance a folder of its own") from None


def _open(folder: Path, max_bytes: int) -> None:
    file = folder / NAME
    try:
        # On a full disk nothing could be opened without it; `try_room` takes it again before any callback is taken in.
        Reserve(folder, max_bytes).release()
        damaged = _unfinished(folder)
        if damaged:
            # Nothing but a part of what the last start took over: no worker has seen it.
            _remove(file)
        elif file.exists() and not _is_sound(folder, file):
            damaged = _put_by(folder, file)
        if not file.exists():
            create(file)
        with closing(Shared(folder)) as shared, closing(File(folder, max_bytes, shared)) as opened:
            if damaged:
                _take_over(damaged, opened)
                # Before any callback is taken in: the next start would remove it as a part of the taking over.
                (folder / _TAKING_OVER).unlink()
                sync(folder)
            # Also the proof that it can be written.
            opened.take_back()
            if opened.begin():
                # Something waits: that is delivered, whether or not there is room for more.
                with suppress(sqlite3.OperationalError):
                    opened.try_room()
            else:
                opened.try_room()
    except (sqlite3.Error, OSError) as error:
        raise _refused(folder, f"cannot be written ({_words(error)}); see whether its disk has room and is writable") from None


def _is_sound(folder: Path, file: Path) -> bool:
    """Return whether a spool's file is as it should be.

    Raises:
        ConfigurationInvalid: when it is a newer version's, or no spool at all.
    """
    with file.open("rb") as opened:
        header = opened.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return False
    version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID:
        raise _refused(folder, f"{file.name} belongs to another program; name a folder of the connector's own")
    if version > VERSION:
        advice = "start the release that made it, or a newer one, until it is empty"
        raise _refused(folder, f"{file.name} was made by a newer release (version {version}, known is {VERSION}); {advice}")
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("SELECT callbacks, bytes FROM totals").fetchone()
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return False
        raise
    return bool(answer == ("ok",))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # A table that is not there any more is damage as well: SQLITE_ERROR.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _put_by(folder: Path, file: Path) -> Path:
    """Give a damaged file, and what SQLite keeps beside it, another name; note first that it has to be taken over."""
    name = f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}-{NAME}"
    note = os.open(folder / _TAKING_OVER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(note, name.encode("ascii"))
        os.fsync(note)
    finally:
        os.close(note)
    sync(folder)
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(folder / (name + suffix))
    return folder / name


def _unfinished(folder: Path) -> Path | None:
    """Return the damaged file whose taking over was interrupted: by a full disk, or the end of the process."""
    try:
        damaged = folder / (folder / _TAKING_OVER).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    # Noted, and not put by yet: it is looked at anew.
    return damaged if damaged.name.startswith("damaged-") and damaged.exists() else None


def _remove(file: Path) -> None:
    for suffix in _BESIDE:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _take_over(damaged: Path, opened: File) -> None:
    """Put what can be read of a damaged file into the new one, in order, and say how much that is."""
    taken = 0
    batch: list[Row] = []
    for row in _readable(damaged):
        batch.append(row)
        if len(batch) == _TAKE_OVER_ROWS:
            opened.append(batch)
            taken, batch = taken + len(batch), []
    if batch:
        opened.append(batch)
        taken += len(batch)
    event("spool_damaged", quarantined=damaged.name, callbacks_salvaged=taken, callbacks_expected=_expected(damaged))


def _readable(damaged: Path) -> Iterator[Row]:
    """Yield the rows that are what was written: from both ends up to the damage, and between them one by one."""
    with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
        # So SQLite reads also a file that is shorter than its first page says.
        connection.execute("PRAGMA writable_schema = ON")
        last = 0
        try:
            for place, row in _rows(connection, _FORWARDS, 0):
                last = place
                if row:
                    yield row
        except sqlite3.DatabaseError:
            pass
        else:
            return
        behind = []
        with suppress(sqlite3.DatabaseError):
            behind = [place for place, _ in _rows(connection, _BACKWARDS, last)]
        first_behind = min(behind, default=last + _LARGEST_GAP)
        for place in range(last + 1, min(first_behind, last + _LARGEST_GAP)):
            with suppress(sqlite3.DatabaseError):
                yield from (row for _, row in _rows(connection, _ONE, place) if row)
        for place in reversed(behind):
            with suppress(sqlite3.DatabaseError):
                yield from (row for _, row in _rows(connection, _ONE, place) if row)


def _rows(connection: sqlite3.Connection, query: str, place_asked: int) -> Iterator[tuple[int, Row | None]]:
    for place, received_at, content, checksum in connection.execute(query, (place_asked,)):
        # The checksum is of the content alone; a time that is none any more only says how long it has waited.
        at_ms = received_at if isinstance(received_at, int) else 0
        yield place, Row(at_ms, content, checksum) if is_sound(content, checksum) else None


def _expected(damaged: Path) -> int | None:
    """Return how many callbacks stood in a damaged file, if it can still tell."""
    try:
        with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
            return int(connection.execute("SELECT callbacks FROM totals").fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return None


def _words(error: sqlite3.Error | OSError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _refused(folder: Path, what: str) -> ConfigurationInvalid:
    return ConfigurationInvalid([f"spool.folder: {folder}: {what}"])
