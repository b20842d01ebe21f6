"""Makes the spool ready at the start of an instance: its folder, its lock, and the file, which is checked and salvaged.

Where an operator must decide, the start fails with one line and changes nothing: a file of a newer version or of another
program, a disk that cannot be written, a folder that another instance uses. A damaged file is quarantined under another name,
and every readable row of it is salvaged.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from connector.logs import event
from connector.settings.tables import Spool
from connector.spool.file import APPLICATION_ID, NAME, VERSION, File, create, sync
from connector.spool.lock import SpoolLock, refused
from connector.spool.reserve import Reserve
from connector.spool.row import Row, is_intact
from connector.spool.shared_flags import SharedFlags

_SALVAGE_NOTE: Final = "salvaging"
"""The file that names a quarantined one, until all its readable rows are salvaged."""
# The database itself is renamed last: once it has gone, the other files would belong to the next one.
_SUFFIXES: Final = ("-wal", "-shm", "")
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_SALVAGE_BATCH_ROWS: Final = 500
_FORWARDS: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id > ? ORDER BY id"
_BACKWARDS: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id > ? ORDER BY id DESC"
_ONE: Final = "SELECT id, received_at, content, checksum FROM callbacks WHERE id = ?"
_LARGEST_GAP: Final = 100_000
"""How many ids are tried one by one where rows cannot be read."""


def recover(settings: Spool) -> SpoolLock:
    """Lock, check and, if needed, salvage the spool, before the workers use it.

    Raises:
        ConfigurationInvalid: when it cannot be used, also by another instance's lock; the file is unchanged.
    """
    lock = SpoolLock(Path(settings.folder))
    if not lock.acquire():
        lock.release()
        raise lock.in_use()
    try:
        check_or_salvage(settings)
    except BaseException:
        lock.release()
        raise
    return lock


def check_or_salvage(settings: Spool) -> None:
    """Check the spool and, if needed, salvage it; call this with the lock.

    Raises:
        ConfigurationInvalid: when it cannot be used; the file is unchanged.
    """
    folder, max_bytes = Path(settings.folder), settings.max_bytes
    file = folder / NAME
    try:
        # On a full disk nothing can be opened without that space; `probe_room` reserves it again before any callback is stored.
        Reserve(folder, max_bytes).release()
        damaged = _interrupted(folder)
        if damaged:
            # It has only part of the rows that the last start salvaged, and no worker has used it.
            _remove(file)
        elif file.exists() and not _is_intact(folder, file):
            damaged = _quarantine(folder, file)
        if not file.exists():
            create(file)
        with closing(SharedFlags(folder)) as flags, closing(File(folder, max_bytes, flags)) as spool:
            if damaged:
                _salvage_rows(damaged, spool)
                # Before any callback is stored: the next start would remove it with the salvaged rows.
                (folder / _SALVAGE_NOTE).unlink()
                sync(folder)
            # This also checks that the file can be written.
            spool.unpark()
            if spool.reset_flags():
                # Callbacks wait: they are delivered whether or not there is room for more.
                with suppress(sqlite3.OperationalError):
                    spool.probe_room()
            else:
                spool.probe_room()
    except (sqlite3.Error, OSError) as error:
        raise refused(folder, f"cannot be written ({_words(error)}); check that its disk has room and is writable") from None


def _is_intact(folder: Path, file: Path) -> bool:
    """Return whether a spool's file is undamaged.

    Raises:
        ConfigurationInvalid: when it has a newer version, or is no spool.
    """
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return False
    version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID:
        raise refused(folder, f"{file.name} belongs to another program; name a folder that only the connector uses")
    if version > VERSION:
        advice = "start the release that made it, or a newer one, until it is empty"
        found = f"{file.name} was made by a newer release (version {version}, this release knows {VERSION})"
        raise refused(folder, f"{found}; {advice}")
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
    # SQLITE_ERROR: a missing table is damage as well.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _quarantine(folder: Path, file: Path) -> Path:
    """Rename a damaged file and SQLite's files beside it; write the note that it is to be salvaged first."""
    name = f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}-{NAME}"
    note = os.open(folder / _SALVAGE_NOTE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(note, name.encode("ascii"))
        os.fsync(note)
    finally:
        os.close(note)
    sync(folder)
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(folder / (name + suffix))
    return folder / name


def _interrupted(folder: Path) -> Path | None:
    """Return the quarantined file whose salvage was interrupted: by a full disk, or the end of the process."""
    try:
        damaged = folder / (folder / _SALVAGE_NOTE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    # The note was written, but the file not renamed yet: it is checked again.
    return damaged if damaged.name.startswith("damaged-") and damaged.exists() else None


def _remove(file: Path) -> None:
    for suffix in _SUFFIXES:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _salvage_rows(damaged: Path, spool: File) -> None:
    """Copy the readable rows of a damaged file into the new one, in order, and log how many they are."""
    salvaged = 0
    batch: list[Row] = []
    for row in _readable(damaged):
        batch.append(row)
        if len(batch) == _SALVAGE_BATCH_ROWS:
            spool.append(batch)
            salvaged, batch = salvaged + len(batch), []
    if batch:
        spool.append(batch)
        salvaged += len(batch)
    event("spool_damaged", quarantined=damaged.name, callbacks_salvaged=salvaged, callbacks_expected=_expected(damaged))


def _readable(damaged: Path) -> Iterator[Row]:
    """Yield the intact rows: from both ends up to the damage, and one by one between them."""
    with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
        # With it SQLite also reads a file that is shorter than its first page says.
        connection.execute("PRAGMA writable_schema = ON")
        last = 0
        try:
            for row_id, row in _rows(connection, _FORWARDS, 0):
                last = row_id
                if row:
                    yield row
        except sqlite3.DatabaseError:
            pass
        else:
            return
        behind = []
        with suppress(sqlite3.DatabaseError):
            behind = [row_id for row_id, _ in _rows(connection, _BACKWARDS, last)]
        first_behind = min(behind, default=last + _LARGEST_GAP)
        for row_id in range(last + 1, min(first_behind, last + _LARGEST_GAP)):
            with suppress(sqlite3.DatabaseError):
                yield from (row for _, row in _rows(connection, _ONE, row_id) if row)
        for row_id in reversed(behind):
            with suppress(sqlite3.DatabaseError):
                yield from (row for _, row in _rows(connection, _ONE, row_id) if row)


def _rows(connection: sqlite3.Connection, query: str, parameter: int) -> Iterator[tuple[int, Row | None]]:
    for row_id, received_at, content, checksum in connection.execute(query, (parameter,)):
        # The checksum covers the content only; a damaged time does no harm, it only gives the age of the callback.
        at_ms = received_at if isinstance(received_at, int) else 0
        yield row_id, Row(at_ms, content, checksum) if is_intact(content, checksum) else None


def _expected(damaged: Path) -> int | None:
    """Return how many callbacks a damaged file had, if that can still be read."""
    try:
        with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
            return int(connection.execute("SELECT callbacks FROM totals").fetchone()[0])
    except (sqlite3.Error, TypeError, ValueError):
        return None


def _words(error: sqlite3.Error | OSError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
