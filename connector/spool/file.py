"""The spool's file: SQLite in WAL mode, each commit on disk before it returns. Every method blocks.

A row's id is its place in the queue. A write takes `write.lock` first: the kernel's queue is fairer, and quicker, than
SQLite's own waiting by sleeping.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connector.spool.reserve import Reserve
from connector.spool.row import Row, is_sound
from connector.spool.shared_flags import NO_ROOM, ROOM, Shared

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
-- What is set aside stays where it is: a full spool has no room for it elsewhere. Taken back, it waits again, and what is
-- still to be sent of it is known.
CREATE TABLE set_aside (id INTEGER PRIMARY KEY, why TEXT NOT NULL, remaining BLOB, is_back INTEGER NOT NULL DEFAULT 0);
CREATE VIEW waiting AS
SELECT callbacks.*, remaining FROM callbacks LEFT JOIN set_aside USING (id) WHERE coalesce(is_back, 1);
CREATE TABLE totals (callbacks INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE room (content BLOB);
CREATE TABLE proven (what TEXT NOT NULL);
INSERT INTO totals VALUES (0, 0);
"""

_COUNT: Final = "UPDATE totals SET callbacks = callbacks + ?, bytes = bytes + ?"
_OLDEST: Final = "SELECT received_at FROM waiting ORDER BY id LIMIT 1"
_MENDABLE_TOTALS: Final = """
SELECT count(*), total(length(content)) FROM callbacks JOIN set_aside USING (id) WHERE why IN (?, ?) AND NOT is_back
"""
_SET_ASIDE: Final = """
INSERT INTO set_aside (id, why, remaining) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET why = excluded.why, remaining = coalesce(excluded.remaining, remaining), is_back = 0
"""
_FORGET_BACK: Final = "DELETE FROM set_aside WHERE is_back AND id NOT IN (SELECT id FROM callbacks)"

Why = Literal["refused_by_kafka", "not_opened", "damaged"]
REFUSED: Final[Why] = "refused_by_kafka"
"""Kafka refuses it for good, and the dead letter that it would be as well: an operator's fault, as a size limit is."""
NOT_OPENED: Final[Why] = "not_opened"
"""It is sealed with a key that is not among ours: it was taken away too soon."""
DAMAGED: Final[Why] = "damaged"
"""The row is not what was written."""


_MENDABLE: Final = (REFUSED, NOT_OPENED)


class Aside(NamedTuple):
    """Why a row is set aside and, where a part of it is in Kafka, which records are not: their `Place`s as JSON."""

    why: Why
    remaining: bytes | None = None


class Waiting(NamedTuple):
    """A row on its way out: its place, and its content (None: it is not what was written); `remaining` is as in `Aside`."""

    id: int
    content: bytes | None
    remaining: bytes | None = None

    def __repr__(self) -> str:
        return f"Waiting({self.id})"


class Totals(NamedTuple):
    """How much waits: callbacks, their bytes, and when the first of them was received (milliseconds; None: none waits)."""

    callbacks: int
    bytes: int
    oldest_ms: int | None


def create(path: Path) -> None:
    """Make an empty spool, readable by its owner alone; it has its name only once it is whole."""
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
        # Without its name on disk the first commits would be lost with the power.
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class File:
    """One connection to the file in a folder; for one thread at a time.

    Every method raises `sqlite3.Error` when the disk or the file fails; then nothing was changed.
    """

    def __init__(self, folder: Path, max_bytes: int, shared: Shared) -> None:
        self._shared = shared
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
        """Put rows at the end of the queue; they are on disk when this returns."""
        with self._writing() as run:
            self._connection.executemany("INSERT INTO callbacks (received_at, content, checksum) VALUES (?, ?, ?)", rows)
            run(_COUNT, (len(rows), sum(len(row.content) for row in rows)))
            self._shared.wait()

    def read(self, after: int, most: int = 200) -> list[Waiting]:
        """Return the next rows behind a place, in order: at most so many, and few where they are large."""
        found: list[Waiting] = []
        size_bytes = 0
        cursor = self._connection.execute(
            "SELECT id, content, checksum, remaining FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (after, most)
        )
        for place, content, checksum, remaining in cursor:
            found.append(Waiting(place, content if is_sound(content, checksum) else None, remaining))
            size_bytes += len(content)
            if size_bytes > _BATCH_BYTES:
                cursor.close()
                break
        return found

    def delete(self, places: Sequence[int]) -> None:
        """Take out what is delivered; what is not there any more was taken out before."""
        with self._writing() as run:
            lengths = [
                length
                for place in places
                for (length,) in run("DELETE FROM callbacks WHERE id = ? RETURNING length(content)", (place,)).fetchall()
            ]
            run(_COUNT, (-len(lengths), -sum(lengths)))
            run(_FORGET_BACK)

    def delete_all(self, last: int, callbacks: int) -> bool:
        """Take out everything, if it is just so many callbacks up to the last place, all delivered; else return False.

        For a full disk: without naming rows, SQLite gives whole pages back, and hardly writes.
        """
        with self._writing() as run:
            is_more = run("SELECT 1 FROM callbacks WHERE id > ? LIMIT 1", (last,)).fetchone()
            is_aside = run("SELECT 1 FROM set_aside WHERE NOT is_back LIMIT 1").fetchone()
            if is_more or is_aside or run("SELECT callbacks FROM totals").fetchone() != (callbacks,):
                return False
            run("DELETE FROM callbacks")
            run("DELETE FROM set_aside")
            run("UPDATE totals SET callbacks = 0, bytes = 0")
        return True

    def release_reserve(self) -> None:
        """Use the room that is kept for taking out what is delivered; no callback is taken in until it is there again."""
        with self._locked():
            self._shared.refusal = NO_ROOM
            self._reserve.release()

    def set_aside(self, rows: Mapping[int, Aside]) -> None:
        """Keep rows, by their places, that cannot be delivered, out of the queue."""
        with self._writing() as run:
            for place, aside in rows.items():
                for (length,) in run("SELECT length(content) FROM waiting WHERE id = ?", (place,)).fetchall():
                    run(_SET_ASIDE, (place, *aside))
                    run(_COUNT, (-1, -length))

    def take_back(self) -> None:
        """Let those queue again, in their places, that were set aside for a reason that may have been mended: see `Why`."""
        with self._writing() as run:
            callbacks, size_bytes = run(_MENDABLE_TOTALS, _MENDABLE).fetchone()
            if callbacks:
                run(_COUNT, (callbacks, int(size_bytes)))
                run("UPDATE set_aside SET is_back = 1 WHERE why IN (?, ?)", _MENDABLE)

    def hold(self) -> None:
        """Let new callbacks wait until the last ones are delivered."""
        with self._writing():
            self._shared.hold()

    def let_go(self) -> None:
        """Let them queue again."""
        with self._writing():
            self._shared.let_go()

    def begin(self) -> bool:
        """Say anew, and return, whether any wait: the last instance may have been killed in the middle of anything."""
        with self._writing():
            self._shared.let_go()
            # Until `try_room` has found some.
            self._shared.refusal = NO_ROOM
        return not self.empty_if_so()

    def empty_if_so(self) -> bool:
        """Return whether nothing waits, and note it; then the file is made small again."""
        with self._writing() as run:
            if run(_OLDEST).fetchone():
                self._shared.wait()
                return False
            self._shared.empty()
        # Not execute(), which takes one step, a page, of a statement without columns.
        self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def totals(self) -> Totals:
        """Return how much waits."""
        callbacks, size_bytes = self._connection.execute("SELECT callbacks, bytes FROM totals").fetchone()
        oldest = self._connection.execute(_OLDEST).fetchone()
        return Totals(callbacks, size_bytes, oldest[0] if oldest else None)

    def was_proven(self, what: str) -> bool:
        """Return whether `prove` was called with the same the last time."""
        return self._connection.execute("SELECT what FROM proven").fetchall() == [(what,)]

    def prove(self, what: str) -> None:
        """Remember what an instance has proven at its start, for a start while Kafka is away."""
        if not self.was_proven(what):
            with self._writing() as run:
                run("DELETE FROM proven")
                run("INSERT INTO proven VALUES (?)", (what,))

    def try_room(self) -> None:
        """Take the reserve again; write and take out again what an ordinary callback needs."""
        # In one: another worker may be about to use the reserve, and says so by the refusal.
        with self._locked():
            self._reserve.keep()
            with self._transaction() as run:
                run("INSERT INTO room VALUES (zeroblob(?))", (_PROBE_BYTES,))
            with self._transaction() as run:
                run("DELETE FROM room")
            self._shared.refusal = ROOM

    def close(self) -> None:
        """Let go of the file."""
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
