"""The spool's file: SQLite in WAL mode, each commit on disk before it returns. Every method blocks.

A row's id is its position in the queue. A write takes `write.lock` first: the kernel's queue is fairer and faster than
SQLite's own waiting, which sleeps.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connector.spool.reserve import Reserve
from connector.spool.row import Row, is_intact
from connector.spool.shared_flags import NO_ROOM, ROOM, SharedFlags

NAME: Final = "spool.sqlite"
APPLICATION_ID: Final = 0x4B575350
VERSION: Final = 1
_PAGE_BYTES: Final = 4096
_BUSY_SECONDS: Final = 10.0
_BATCH_BYTES: Final = 4 * 1024 * 1024
_PROBE_BYTES: Final = 65536

_HEADER: Final = f"""
PRAGMA page_size = {_PAGE_BYTES};
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""
_TABLES: Final = """
CREATE TABLE callbacks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
-- A parked row stays in callbacks: a full spool has no room to copy it elsewhere. Once unparked, it waits again; its row here
-- stays, since it says which of its records are still to be sent.
CREATE TABLE parked (id INTEGER PRIMARY KEY, why TEXT NOT NULL, remaining BLOB, is_unparked INTEGER NOT NULL DEFAULT 0);
CREATE VIEW waiting AS
SELECT callbacks.*, remaining FROM callbacks LEFT JOIN parked USING (id) WHERE coalesce(is_unparked, 1);
CREATE TABLE totals (callbacks INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE room (content BLOB);
CREATE TABLE verified (digest TEXT NOT NULL);
INSERT INTO totals VALUES (0, 0);
"""

_COUNT: Final = "UPDATE totals SET callbacks = callbacks + ?, bytes = bytes + ?"
_OLDEST: Final = "SELECT received_at FROM waiting ORDER BY id LIMIT 1"
_RETRYABLE_TOTALS: Final = """
SELECT count(*), total(length(content)) FROM callbacks JOIN parked USING (id) WHERE why IN (?, ?) AND NOT is_unparked
"""
_PARK: Final = """
INSERT INTO parked (id, why, remaining) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET why = excluded.why, remaining = coalesce(excluded.remaining, remaining), is_unparked = 0
"""
_DELETE_FINISHED_UNPARKED: Final = "DELETE FROM parked WHERE is_unparked AND id NOT IN (SELECT id FROM callbacks)"

Why = Literal["refused_by_kafka", "undecryptable", "damaged"]
REFUSED: Final[Why] = "refused_by_kafka"
"""Kafka rejects both the record and its dead letter for good: a fault of the configuration, such as a size limit."""
UNDECRYPTABLE: Final[Why] = "undecryptable"
"""It is encrypted with a key that is not among ours: the key was removed too early."""
DAMAGED: Final[Why] = "damaged"
"""The row is not what was written."""


_RETRYABLE: Final = (REFUSED, UNDECRYPTABLE)


class Parked(NamedTuple):
    """Why a row is parked and, if Kafka has some of its records, which ones it does not have: their `Place`s as JSON."""

    why: Why
    remaining: bytes | None = None


class WaitingRow(NamedTuple):
    """A row to be delivered: its id, and its content (None: it is not what was written); `remaining` is as in `Parked`."""

    id: int
    content: bytes | None
    remaining: bytes | None = None

    def __repr__(self) -> str:
        return f"WaitingRow({self.id})"


class Totals(NamedTuple):
    """How much waits: callbacks, their bytes, and when the oldest was received (milliseconds; None: none waits)."""

    callbacks: int
    bytes: int
    oldest_ms: int | None


def create(path: Path) -> None:
    """Create an empty spool with mode 0600; the file gets its name only once it is complete."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        connection = sqlite3.connect(unfinished, isolation_level=None)
        try:
            connection.executescript(_HEADER + _TABLES)
        finally:
            connection.close()
        unfinished.rename(path)
        # If the name is not on disk, a power failure loses the first commits.
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Flush a folder, that is the names in it, to disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class File:
    """One connection to the file in a folder, for one thread at a time.

    Every method raises `sqlite3.Error` when the disk or the file fails; then nothing was changed.
    """

    def __init__(self, folder: Path, max_bytes: int, flags: SharedFlags) -> None:
        self._flags = flags
        self._reserve = Reserve(folder, max_bytes)
        self._lock = os.open(folder / "write.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._connection = sqlite3.connect(
            folder / NAME, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA max_page_count = {max(1, max_bytes // _PAGE_BYTES)}")

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows to the queue; they are on disk when this returns."""
        with self._writing() as run:
            self._connection.executemany("INSERT INTO callbacks (received_at, content, checksum) VALUES (?, ?, ?)", rows)
            run(_COUNT, (len(rows), sum(len(row.content) for row in rows)))
            self._flags.set_waiting()

    def read(self, after: int, limit: int = 200) -> list[WaitingRow]:
        """Return the rows after an id, in order: at most `limit`, fewer if they are large."""
        found: list[WaitingRow] = []
        size_bytes = 0
        cursor = self._connection.execute(
            "SELECT id, content, checksum, remaining FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        for row_id, content, checksum, remaining in cursor:
            found.append(WaitingRow(row_id, content if is_intact(content, checksum) else None, remaining))
            size_bytes += len(content)
            if size_bytes > _BATCH_BYTES:
                cursor.close()
                break
        return found

    def delete(self, ids: Sequence[int]) -> None:
        """Delete delivered rows; ids that are not in the file were deleted before."""
        with self._writing() as run:
            lengths = [
                length
                for row_id in ids
                for (length,) in run("DELETE FROM callbacks WHERE id = ? RETURNING length(content)", (row_id,)).fetchall()
            ]
            run(_COUNT, (-len(lengths), -sum(lengths)))
            run(_DELETE_FINISHED_UNPARKED)

    def delete_all(self, last: int, callbacks: int) -> bool:
        """Delete everything and return True, if the file has exactly `callbacks` rows, none parked and none after id `last`.

        For a full disk: without a WHERE clause SQLite frees whole pages, and hardly writes.
        """
        with self._writing() as run:
            is_more = run("SELECT 1 FROM callbacks WHERE id > ? LIMIT 1", (last,)).fetchone()
            is_parked = run("SELECT 1 FROM parked WHERE NOT is_unparked LIMIT 1").fetchone()
            if is_more or is_parked or run("SELECT callbacks FROM totals").fetchone() != (callbacks,):
                return False
            run("DELETE FROM callbacks")
            run("DELETE FROM parked")
            run("UPDATE totals SET callbacks = 0, bytes = 0")
        return True

    def release_reserve(self) -> None:
        """Free the space that is reserved for deletions; no callback is stored until it is reserved again."""
        with self._locked():
            self._flags.refusal = NO_ROOM
            self._reserve.release()

    def park(self, rows: Mapping[int, Parked]) -> None:
        """Take rows, by their ids, out of the queue that cannot be delivered; they stay in the file."""
        with self._writing() as run:
            for row_id, parked in rows.items():
                for (length,) in run("SELECT length(content) FROM waiting WHERE id = ?", (row_id,)).fetchall():
                    run(_PARK, (row_id, *parked))
                    run(_COUNT, (-1, -length))

    def unpark(self) -> None:
        """Put parked rows back into the queue, in their old order, if an operator may have fixed the reason: see `Why`."""
        with self._writing() as run:
            callbacks, size_bytes = run(_RETRYABLE_TOTALS, _RETRYABLE).fetchone()
            if callbacks:
                run(_COUNT, (callbacks, int(size_bytes)))
                run("UPDATE parked SET is_unparked = 1 WHERE why IN (?, ?)", _RETRYABLE)

    def hold(self) -> None:
        """Make new callbacks wait until the last ones are delivered."""
        with self._writing():
            self._flags.hold()

    def end_hold(self) -> None:
        """Let new callbacks queue again."""
        with self._writing():
            self._flags.end_hold()

    def reset_flags(self) -> bool:
        """Reset the flags that a killed instance may have left, and return whether any callback waits."""
        with self._writing():
            self._flags.end_hold()
            # Until `probe_room` finds room.
            self._flags.refusal = NO_ROOM
        return not self.compact_if_empty()

    def compact_if_empty(self) -> bool:
        """Return whether nothing waits; if so, set the flag and shrink the file."""
        with self._writing() as run:
            if run(_OLDEST).fetchone():
                self._flags.set_waiting()
                return False
            self._flags.set_empty()
        # Not execute(): it runs one step, that is one page, of a statement without columns.
        self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def totals(self) -> Totals:
        """Return how much waits."""
        callbacks, size_bytes = self._connection.execute("SELECT callbacks, bytes FROM totals").fetchone()
        oldest = self._connection.execute(_OLDEST).fetchone()
        return Totals(callbacks, size_bytes, oldest[0] if oldest else None)

    def was_verified(self, digest: str) -> bool:
        """Return whether the last call of `record_verified` had the same digest."""
        return self._connection.execute("SELECT digest FROM verified").fetchall() == [(digest,)]

    def record_verified(self, digest: str) -> None:
        """Record what an instance has verified at its start, for a start while Kafka is away."""
        if not self.was_verified(digest):
            with self._writing() as run:
                run("DELETE FROM verified")
                run("INSERT INTO verified VALUES (?)", (digest,))

    def probe_room(self) -> None:
        """Allocate the reserve again, then write and delete as much as an ordinary callback needs."""
        # Under one lock: another worker may be about to use the reserve, and sets the refusal to say so.
        with self._locked():
            self._reserve.allocate()
            with self._transaction() as run:
                run("INSERT INTO room VALUES (zeroblob(?))", (_PROBE_BYTES,))
            with self._transaction() as run:
                run("DELETE FROM room")
            self._flags.refusal = ROOM

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        os.close(self._lock)

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._locked(), self._transaction() as run:
            yield run

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
