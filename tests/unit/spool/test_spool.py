"""The spool without Kafka: its file, intake, recovery and drain."""

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ConfigurationInvalid, NoRoom
from connector.logs import configure
from connector.metrics import Metrics
from connector.pipeline.deliver import Deliverer
from connector.pipeline.flow import Flow
from connector.pipeline.outcome import Failure, Outcome
from connector.records import KafkaMessage, RawCallback, Request
from connector.seals import Seals
from connector.settings.tables import Logs, Spool
from connector.spool import drain as drain_module
from connector.spool.drain import Drain
from connector.spool.file import NAME, VERSION, File, Parked
from connector.spool.intake import DiskSpool
from connector.spool.recovery import recover
from connector.spool.reserve import Reserve
from connector.spool.row import Row, decode_content, encode_row
from connector.spool.shared_flags import ROOM, TOO_OLD, SharedFlags
from tests.support.callbacks import (
    MemorySink,
    answer_to,
    carry_request,
    contact,
    counted,
    decoded,
    envelope,
    flow,
    message,
    raw,
    translator,
)

SECRET = "39333123456"


class Disk:
    """The spool of an instance, in a folder."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Spool(folder=str(folder / "spool"), **settings)
        self.folder = folder / "spool"
        self.lock = recover(self.settings)
        self.seals: Seals | None = None

    def file(self) -> File:
        return File(self.folder, self.settings.max_bytes, SharedFlags(self.folder))

    def spool(self, metrics: Metrics | None = None) -> DiskSpool:
        return DiskSpool(self.settings, self.seals, metrics or Metrics())

    def waiting(self) -> list[RawCallback | None]:
        with closing(self.file()) as file:
            rows = file.read(0, 10_000)
        stored = [decode_content(row.content, self.seals) if row.content is not None else None for row in rows]
        return [one.raw() if one else None for one in stored]

    def restarted(self) -> "Disk":
        """Return the same spool in a new instance."""
        self.lock.release()
        return Disk(self.folder.parent, max_bytes=self.settings.max_bytes)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def numbered(number: int, size: int = 10) -> RawCallback:
    return raw(envelope([message(SECRET, id=f"wamid.{number}", text={"body": "x" * size})]))


def store(disk: Disk, *callbacks: RawCallback, metrics: Metrics | None = None) -> None:
    async def run() -> None:
        spool = disk.spool(metrics)
        try:
            await asyncio.gather(*(spool.store(one, "header") for one in callbacks))
        finally:
            await spool.close()

    asyncio.run(run())


async def fill(spool: DiskSpool, size: int) -> int:
    """Store callbacks until one is refused; return how many were stored."""
    for stored in range(1000):
        try:
            await spool.store(numbered(stored, size), "header")
        except NoRoom:
            return stored
    raise AssertionError("it is never full")


# Intake.


def test_stored_callbacks_are_on_disk_unchanged_and_in_order(disk: Disk) -> None:
    whole = RawCallback("GET", "a=b", "text/plain", b"\x00\xff", 1_700_000_000_123, "00-a-b-01", "vendor=1")
    store(disk, whole, *(numbered(index) for index in range(300)))
    assert disk.waiting() == [whole, *(numbered(index) for index in range(300))]


def test_spool_file_mode_is_0600(disk: Disk) -> None:
    store(disk, numbered(1))
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    with closing(disk.file()) as file:
        # While it is open, SQLite keeps two more files beside it.
        file.append([encode_row(numbered(2), "header", None)])
        files = list(disk.folder.glob("*"))
        assert len(files) >= 4
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_worker_sees_that_a_callback_waits(disk: Disk) -> None:
    other = SharedFlags(disk.folder)
    assert not other.is_waiting
    store(disk, numbered(1))
    assert other.is_waiting


def test_one_commit_writes_many_rows(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    append = File.append

    def counting(file: File, rows: Sequence[Row]) -> None:
        commits.append(len(rows))
        append(file, rows)

    monkeypatch.setattr(File, "append", counting)
    store(disk, *(numbered(index) for index in range(200)))
    assert sum(commits) == 200
    assert len(commits) < 5


def test_full_spool_refuses_callbacks_and_keeps_those_it_has(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=1_048_576)

    async def run() -> tuple[int, str]:
        spool = disk.spool()
        stored = await fill(spool, 50_000)
        with pytest.raises(NoRoom):
            await spool.store(numbered(stored), "header")
        refusal = spool.refusal
        await spool.refresh(0)
        assert spool.refusal, "there is no room yet"
        await spool.close()
        return stored, refusal

    stored, refusal = asyncio.run(run())
    assert stored > 5
    assert "spool.max_bytes" in refusal
    assert len(disk.waiting()) == stored
    size_bytes = (disk.folder / NAME).stat().st_size
    assert size_bytes <= 1_048_576


def test_full_spool_accepts_callbacks_once_there_is_room(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=1_048_576)

    async def run() -> None:
        spool = disk.spool()
        await fill(spool, 100_000)
        with closing(disk.file()) as file:
            file.delete([row.id for row in file.read(0)])
        await spool.refresh(0)
        assert not spool.refusal
        await spool.store(numbered(2), "header")
        await spool.close()

    asyncio.run(run())


def test_spool_over_its_maximum_age_refuses_callbacks(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_age_seconds=60)
    metrics = Metrics()

    async def run() -> None:
        spool = disk.spool(metrics)
        first = numbered(1)
        await spool.store(first, "header")
        await spool.refresh(first.received_at + 59_000)
        assert not spool.refusal
        await spool.refresh(first.received_at + 61_000)
        assert "spool.max_age_seconds" in spool.refusal
        with pytest.raises(NoRoom):
            await spool.store(numbered(2), "header")
        # If the clock is set back, the age is 0, and nothing breaks.
        await spool.refresh(first.received_at - 3_600_000)
        assert spool.state()["oldest_seconds"] == 0
        await spool.close()

    asyncio.run(run())
    assert len(disk.waiting()) == 1
    assert metrics.registry.get_sample_value("connector_spool_waiting_callbacks") == 1


def test_logs_and_reprs_show_no_content_of_a_callback(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    store(disk, numbered(1))
    with closing(disk.file()) as file:
        shown = repr(file.read(0)) + repr(encode_row(numbered(1), "header", None))
    assert SECRET not in shown
    assert "wamid" not in shown
    assert SECRET not in "".join(capsys.readouterr())


# Recovery at start, and what an operator must decide.


def test_killed_process_loses_no_stored_callback(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from tests.unit.spool.test_spool import Disk, numbered

async def run():
    spool = Disk(Path(sys.argv[1])).spool()
    for number in range(10_000):
        await spool.store(numbered(number), "header")
        print(number, flush=True)

asyncio.run(run())
"""
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(50)]
        process.kill()
        lines += process.stdout.readlines()
    answered = [int(line) for line in lines if line.endswith("\n") and line.strip()]
    disk = Disk(tmp_path)
    waiting = disk.waiting()
    assert waiting[: len(answered)] == [numbered(number) for number in answered]
    assert SharedFlags(disk.folder).is_waiting, "the next workers see it"


def test_start_resets_the_flags_of_a_killed_instance(disk: Disk) -> None:
    store(disk, numbered(1))
    left = SharedFlags(disk.folder)
    left.hold()
    left.refusal = TOO_OLD
    restarted = disk.restarted()
    now = SharedFlags(restarted.folder)
    assert (now.is_waiting, now.is_held, now.refusal) == (True, False, ROOM)


def test_folder_of_another_instance_is_refused(disk: Disk) -> None:
    with pytest.raises(ConfigurationInvalid, match="another instance uses it"):
        recover(disk.settings)


def test_file_of_a_newer_version_is_refused_unchanged(disk: Disk) -> None:
    store(disk, numbered(1))
    with closing(sqlite3.connect(disk.folder / NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (disk.folder / NAME).read_bytes()
    with pytest.raises(ConfigurationInvalid, match=r"spool\.folder: .*newer release.*start the release that made it"):
        disk.restarted()
    assert (disk.folder / NAME).read_bytes() == before


def test_file_of_another_program_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with closing(sqlite3.connect(tmp_path / "spool" / NAME)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "spool" / NAME).read_bytes()
    with pytest.raises(ConfigurationInvalid, match="belongs to another program"):
        Disk(tmp_path)
    assert (tmp_path / "spool" / NAME).read_bytes() == before


@pytest.mark.parametrize("place", ["/dev/null/spool", "/proc/spool"])
def test_folder_that_cannot_be_created_is_refused(place: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"spool\.folder: .*write"):
        recover(Spool(folder=place))


def test_file_locked_by_another_program_is_refused(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.spool.file._BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(disk.folder / NAME, isolation_level=None)) as theirs:
        theirs.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigurationInvalid, match="database is locked"):
            disk.restarted()


def test_full_disk_at_start_is_refused(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: File) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(File, "unpark", full)
    with pytest.raises(ConfigurationInvalid, match=r"cannot be written \(database or disk is full\); check that"):
        disk.restarted()


@pytest.mark.parametrize("harm", ["no database at all", "a page in the middle", "many pages", "cut short"])
def test_damaged_file_is_quarantined_and_its_rows_salvaged(disk: Disk, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr("connector.spool.recovery.event", lambda name, **facts: events.append({"event": name, **facts}))
    callbacks = [numbered(number, size=3000) for number in range(200)]
    store(disk, *callbacks)
    file = disk.folder / NAME
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    if harm == "no database at all":
        content[:100] = os.urandom(100)
    elif harm == "a page in the middle":
        content[len(content) // 2 : len(content) // 2 + 4096] = os.urandom(4096)
    elif harm == "many pages":
        for page in range(40, 100, 7):
            content[page * 4096 : page * 4096 + 4096] = os.urandom(4096)
    else:
        del content[len(content) // 2 :]
    file.write_bytes(content)

    waiting = disk.restarted().waiting()

    quarantined = [path.name for path in disk.folder.glob("damaged-*") if path.name.endswith(NAME)]
    assert len(quarantined) == 1
    assert [(line["event"], line["quarantined"], line["callbacks_salvaged"]) for line in events] == [
        ("spool_damaged", quarantined[0], len(waiting))
    ]
    if harm == "no database at all":
        assert waiting == []
        return
    places = [callbacks.index(one) for one in waiting if one]
    assert len(places) == len(waiting), "a salvaged row is what was written"
    assert places == sorted(places)
    least = {"a page in the middle": 190, "many pages": 150, "cut short": 80}[harm]
    assert least <= len(places) < 200


def test_interrupted_recovery_is_restarted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store(disk, *(numbered(number, size=1500) for number in range(1200)))
    file = disk.folder / NAME
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = os.urandom(4096)
    file.write_bytes(content)
    appended, append = 0, File.append

    def full_after_one(given: File, rows: Sequence[Row]) -> None:
        nonlocal appended
        appended += 1
        if appended > 1:
            full_disk()
        append(given, rows)

    disk.lock.release()
    with monkeypatch.context() as patched:
        patched.setattr(File, "append", full_after_one)
        for _ in range(2):
            appended = 0
            with pytest.raises(ConfigurationInvalid, match="disk is full"):
                Disk(disk.folder.parent)

    recovered = Disk(disk.folder.parent)
    assert len(recovered.waiting()) > 1190
    assert len(list(disk.folder.glob(f"damaged-*{NAME}"))) == 1
    # Once the rows are salvaged, a start does not salvage them again.
    store(recovered, numbered(5000))
    assert [one.body for one in recovered.restarted().waiting() if one][-1] == numbered(5000).body


# Drain.


class PatientMemory(MemorySink):
    """A sink that can be paused, and remembers the order."""

    outstanding_records = 0
    outstanding_bytes = 0

    def __init__(self, fail: Callable[[KafkaMessage], str | None] = lambda _message: None) -> None:
        super().__init__()
        self.fail = fail
        self.is_there = asyncio.Event()
        self.is_there.set()
        self.closed = 0

    def start(self) -> None:
        pass

    async def close(self, timeout_seconds: float) -> int:
        assert timeout_seconds == 0
        self.closed += 1
        return 0

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        failures = [Failure(one, error, for_good=False) for one in messages if (error := self.fail(one))]
        if not failures:
            # Records are in the order of the calls, as in a producer.
            self.messages += messages
        await self.is_there.wait()
        await asyncio.sleep(0.001)
        return Outcome([], failures)


@asynccontextmanager
async def draining(disk: Disk, sink: PatientMemory, metrics: Metrics | None = None) -> AsyncIterator[DiskSpool]:
    metrics = metrics or Metrics()
    spool = disk.spool(metrics)
    drain = Drain(
        disk.settings,
        disk.seals,
        lambda: sink,
        lambda into: Deliverer(translator(metrics=metrics), into, metrics),
        lambda: True,
        metrics,
    )
    task = asyncio.create_task(drain.run())
    try:
        yield spool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await drain.close()
        await spool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.005)


def ids(sink: MemorySink) -> list[int]:
    return [int(decoded(one)["message_id"].removeprefix("wamid.")) for one in sink.messages]


def test_drain_delivers_all_in_order_and_empties_the_spool(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(1000)))
    metrics = Metrics()

    async def run() -> PatientMemory:
        sink = PatientMemory()
        async with draining(disk, sink, metrics) as spool:
            await until(lambda: not spool.is_waiting)
            assert not await spool.is_ahead()
        return sink

    sink = asyncio.run(run())
    assert ids(sink) == list(range(1000))
    assert disk.waiting() == []
    assert counted(metrics, "connector_spool_delivered_callbacks") == 1000
    assert (disk.folder / NAME).stat().st_size < 100_000, "the file has shrunk"
    assert sink.closed == 1, "its producer is closed after the outage"


def test_queue_becomes_empty_under_constant_load_in_order(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(300)))

    async def run() -> tuple[PatientMemory, int, list[float]]:
        sink = PatientMemory()
        carrier_sink = MemorySink()
        queued, number, waits = 0, 300, []
        async with draining(disk, sink) as spool:
            carrier = flow(carrier_sink, spool=spool)
            # Without a pause, so that a callback waits at any moment.
            while not carrier_sink.messages:
                began = time.monotonic()
                before = len(disk_ids := ids(sink))
                assert disk_ids == list(range(before))
                answer = await status_of(carrier, numbered(number))
                assert answer == 200
                waits.append(time.monotonic() - began)
                number += 1
                queued = number
                assert number < 5000, "the drain never ends"
        return sink, queued, waits

    sink, queued, waits = asyncio.run(run())
    # All but the last went through the spool, and the last arrived after all of them.
    assert ids(sink) == list(range(queued - 1))
    assert max(waits) < 3


async def status_of(carrier: Flow, callback: RawCallback) -> int:
    async def read() -> RawCallback:
        return callback

    return (await carry_request(carrier, Request([], None), read)).status


def test_outage_while_draining_delays_and_loses_no_callback(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(20)))

    async def run() -> PatientMemory:
        sink = PatientMemory()
        sink.is_there.clear()
        async with draining(disk, sink) as spool:
            await until(lambda: len(sink.messages) == 20)
            for number in range(20, 40):
                began = time.monotonic()
                assert await status_of(flow(MemorySink(), spool=spool), numbered(number)) == 200
                assert time.monotonic() - began < 1
            assert len(disk.waiting()) == 40
            sink.is_there.set()
            await until(lambda: not spool.is_waiting)
        return sink

    assert ids(asyncio.run(run())) == list(range(40))


def test_failed_delivery_is_retried_with_all_unacknowledged(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "_RETRY_SECONDS", 0.05)
    store(disk, *(numbered(number) for number in range(30)))
    failures = [0]

    def topic_is_missing(_message: KafkaMessage) -> str | None:
        failures[0] += 1
        return "UNKNOWN_TOPIC_OR_PART" if 10 <= failures[0] < 40 else None

    async def run() -> PatientMemory:
        sink = PatientMemory(topic_is_missing)
        async with draining(disk, sink) as spool:
            await until(lambda: not spool.is_waiting)
        return sink

    found = ids(asyncio.run(run()))
    assert set(found) == set(range(30))
    assert failures[0] >= 40


def test_record_that_kafka_rejects_becomes_dead_letter(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))

    class Refuses(PatientMemory):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            refused = [one for one in messages if one.place and decoded(one)["message_id"] == "wamid.1"]
            self.messages += [one for one in messages if one not in refused]
            return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in refused], [])

    async def run() -> PatientMemory:
        sink = Refuses()
        async with draining(disk, sink) as spool:
            await until(lambda: not spool.is_waiting)
        return sink

    topics = [one.topic.rpartition(".")[2] for one in asyncio.run(run()).messages]
    assert sorted(topics) == ["dead-letters", "texts", "texts"]


def test_rejected_dead_letter_is_parked_until_the_next_start(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))
    metrics = Metrics()

    class RefusesAll(PatientMemory):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in messages], [])

    async def run() -> None:
        async with draining(disk, RefusesAll(), metrics) as spool:
            await until(lambda: not spool.is_waiting)

    asyncio.run(run())
    assert counted(metrics, "connector_spool_parked_callbacks") == 3
    assert disk.waiting() == []
    assert [one.body for one in disk.restarted().waiting() if one] == [numbered(number).body for number in range(3)]


def test_acknowledged_records_of_parked_callback_are_not_resent(disk: Disk) -> None:
    body = envelope([message(SECRET, id="wamid.0"), message(SECRET, id="wamid.1")], contacts=[contact("Lena", SECRET)])
    store(disk, raw(body))

    class TakesSome(PatientMemory):
        def __init__(self, *refused: bytes) -> None:
            super().__init__()
            self._refused = refused

        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            # The contact's record has the id of the message that it arrived with.
            may_be_wrong = [one for one in messages if not one.topic.endswith("contacts")]
            wrong = [one for one in may_be_wrong if any(part in one.value for part in self._refused)]
            await super().send([one for one in messages if one not in wrong])
            return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in wrong], [])

    async def sent_by(sink: PatientMemory) -> list[str]:
        async with draining(disk, sink) as spool:
            await until(lambda: not spool.is_waiting)
        return sorted(one.topic.rpartition(".")[2] for one in sink.messages)

    assert asyncio.run(sent_by(TakesSome(b"wamid.0", b"wamid.1"))) == ["contacts"]
    disk = disk.restarted()
    assert asyncio.run(sent_by(TakesSome(b"wamid.1"))) == ["texts"]
    disk = disk.restarted()
    assert asyncio.run(sent_by(PatientMemory())) == ["texts"]
    assert disk.restarted().waiting() == []
    with closing(sqlite3.connect(disk.folder / NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM parked").fetchone() == (0,)


def test_damaged_row_is_parked_and_blocks_no_other(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))
    with closing(sqlite3.connect(disk.folder / NAME)) as connection, connection:
        connection.execute("UPDATE callbacks SET content = zeroblob(length(content)) WHERE id = 2")
    metrics = Metrics()

    async def run() -> PatientMemory:
        sink = PatientMemory()
        async with draining(disk, sink, metrics) as spool:
            await until(lambda: not spool.is_waiting)
        return sink

    assert ids(asyncio.run(run())) == [0, 2]
    assert counted(metrics, "connector_spool_parked_callbacks") == 1


def test_row_deleted_twice_is_counted_once(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))
    with closing(disk.file()) as file:
        file.delete([1, 2])
        file.delete([1, 2])
        file.park({2: Parked("damaged")})
        assert file.totals().callbacks == 1
        file.park({3: Parked("refused_by_kafka")})
        assert file.totals()[:2] == (0, 0)


def test_reserve_is_allocated_and_released_under_one_lock(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate = Reserve.allocate
    with closing(disk.file()) as one, closing(disk.file()) as other:
        using = threading.Thread(target=other.release_reserve)

        def allocate_while_another_uses_it(reserve: Reserve) -> None:
            allocate(reserve)
            using.start()
            using.join(0.2)

        monkeypatch.setattr(Reserve, "allocate", allocate_while_another_uses_it)
        one.probe_room()
        using.join()
    # The flag says what the last of the two did.
    assert (SharedFlags(disk.folder).refusal != ROOM) == (not (disk.folder / "reserve").exists())


def test_full_spool_drains_past_parked_callback_and_unparks_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=2 * 1024 * 1024)
    large = 300_000

    async def filled() -> int:
        spool = disk.spool()
        stored = await fill(spool, large)
        await spool.close()
        return stored

    stored = asyncio.run(filled())
    assert stored > 3

    class RefusesTheFirst(PatientMemory):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            if b"wamid.0" in messages[0].value or messages[0].topic.endswith("dead-letters"):
                return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in messages], [])
            return await super().send(messages)

    assert len(asyncio.run(drained(disk, sink=RefusesTheFirst())).messages) == stored - 1
    assert disk.waiting() == []
    assert [one.body for one in disk.restarted().waiting() if one] == [numbered(0, size=large).body]


def test_unexpected_delivery_error_is_retried(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))

    class FailsOnce(PatientMemory):
        has_failed = False

        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            if not self.has_failed:
                self.has_failed = True
                raise RuntimeError
            return await super().send(messages)

    assert set(ids(asyncio.run(drained(disk, sink=FailsOnce())))) == {0, 1, 2}


def test_drain_continues_when_its_producer_cannot_be_created(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store(disk, numbered(0))
    monkeypatch.setattr(drain_module, "_RETRY_SECONDS", 0.01)

    class StartsAtTheSecondTime(PatientMemory):
        starts = 0

        def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                raise OSError

    assert ids(asyncio.run(drained(disk, sink=StartsAtTheSecondTime()))) == [0]


# A full disk.


def full_disk(*_: Any) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_full_disk_all_is_delivered_once_then_deleted_at_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store(disk, *(numbered(number) for number in range(500)))
    monkeypatch.setattr(File, "delete", full_disk)
    metrics = Metrics()

    assert ids(asyncio.run(drained(disk, metrics))) == list(range(500))
    metrics.flush()
    assert counted(metrics, "connector_spool_delivered_callbacks") == 500
    assert disk.waiting() == []


def test_full_disk_no_callback_is_stored_without_the_reserve(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = disk.folder / "reserve"
    assert reserve.stat().st_size == disk.settings.max_bytes // 256
    store(disk, numbered(0))
    monkeypatch.setattr(File, "delete", full_disk)

    async def run() -> None:
        async with draining(disk, PatientMemory()) as spool:
            await until(lambda: not spool.is_waiting)
            assert not reserve.exists()
            with pytest.raises(NoRoom, match="the spool has no room"):
                await spool.store(numbered(1), "header")
            await spool.refresh(0)
            assert reserve.stat().st_size == disk.settings.max_bytes // 256
            await spool.store(numbered(2), "header")

    asyncio.run(run())


def test_delete_all_never_deletes_an_undelivered_callback(disk: Disk) -> None:
    store(disk, *(numbered(number) for number in range(3)))
    with closing(disk.file()) as file:
        assert not file.delete_all(2, 2), "there is one more"
        assert not file.delete_all(3, 2), "one was not delivered"
        assert len(disk.waiting()) == 3
        assert file.delete_all(3, 3)
    assert disk.waiting() == []


# Encryption.

NEW_KEY = {"new": b"n" * 32}
OLD_KEY = {"old": b"o" * 32}


async def drained(disk: Disk, metrics: Metrics | None = None, sink: PatientMemory | None = None) -> PatientMemory:
    sink = sink or PatientMemory()
    async with draining(disk, sink, metrics) as spool:
        await until(lambda: not spool.is_waiting)
    return sink


def test_encrypted_callback_is_unreadable_on_disk_and_delivered(disk: Disk) -> None:
    disk.seals = Seals(OLD_KEY)
    store(disk, *(numbered(number) for number in range(3)))

    on_disk = b"".join(path.read_bytes() for path in disk.folder.glob("*") if path.is_file())
    assert b"s1:old:" in on_disk
    assert SECRET.encode() not in on_disk
    assert ids(asyncio.run(drained(disk))) == [0, 1, 2]


def test_rows_with_older_key_or_without_encryption_are_delivered(disk: Disk) -> None:
    store(disk, numbered(0))
    disk.seals = Seals(OLD_KEY)
    store(disk, numbered(1))
    disk.seals = Seals(NEW_KEY | OLD_KEY)
    store(disk, numbered(2))

    assert ids(asyncio.run(drained(disk))) == [0, 1, 2]


def test_undecryptable_callback_is_parked_until_its_key_is_back(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Logs(format="json"))
    disk.seals = Seals(OLD_KEY)
    store(disk, numbered(0))
    disk.seals = Seals(NEW_KEY)
    store(disk, numbered(1))
    metrics = Metrics()

    assert ids(asyncio.run(drained(disk, metrics))) == [1]
    assert counted(metrics, "connector_spool_parked_callbacks") == 1
    assert "sealed with the key old, which is not among privacy.seal_keys" in capsys.readouterr().err

    restarted = disk.restarted()
    restarted.seals = Seals(NEW_KEY | OLD_KEY)
    assert ids(asyncio.run(drained(restarted))) == [0]


def test_one_worker_drains_and_another_replaces_it_when_it_ends(disk: Disk) -> None:
    async def run() -> tuple[list[int], list[int]]:
        first, second = PatientMemory(), PatientMemory()
        async with draining(disk, second) as spool:
            await asyncio.sleep(0.1)
            async with draining(disk, first):
                await spool.store(numbered(1), "header")
                await until(lambda: not spool.is_waiting)
                ours = ids(first), ids(second)
        return ours

    assert asyncio.run(run()) == ([], [1])
    # A drain that has ended releases the lock.
    number = os.open(disk.folder / "drain.lock", os.O_RDWR)
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(number)


def test_drain_waits_while_producing_is_not_allowed(disk: Disk) -> None:
    store(disk, numbered(1))
    sink, metrics = PatientMemory(), Metrics()
    may: list[bool] = []

    async def run() -> None:
        drain = Drain(
            disk.settings,
            None,
            lambda: sink,
            lambda into: Deliverer(translator(), into, metrics),
            lambda: bool(may),
            metrics,
        )
        task = asyncio.create_task(drain.run())
        await asyncio.sleep(0.3)
        assert not sink.messages
        may.append(True)
        await until(lambda: bool(sink.messages))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await drain.close()

    asyncio.run(run())


# The rows of the delivery guarantee that involve a spool.


def status_with_spool(disk: Disk, sink: MemorySink, callback: bytes) -> int:
    async def run() -> int:
        spool = disk.spool()
        try:
            return await status_of(flow(sink, spool=spool), raw(callback))
        finally:
            await spool.close()

    return asyncio.run(run())


@pytest.mark.parametrize("sink", [MemorySink(room=False), MemorySink(confirm=False)], ids=["no room", "not confirmed"])
def test_callback_that_kafka_does_not_take_is_spooled_with_200(disk: Disk, sink: MemorySink) -> None:
    assert status_with_spool(disk, sink, envelope([message()])) == 200
    assert len(disk.waiting()) == 1


def test_callback_that_is_not_json_is_spooled_too(disk: Disk) -> None:
    assert status_with_spool(disk, MemorySink(room=False), b"no JSON") == 200
    assert len(disk.waiting()) == 1


@pytest.mark.parametrize("error", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"])
def test_topic_errors_are_503_and_not_spooled(disk: Disk, error: str) -> None:
    class Fails(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            return Outcome([], [Failure(one, error, for_good=False) for one in messages])

    assert status_with_spool(disk, Fails(), envelope([message()])) == 503
    assert disk.waiting() == []


def test_without_spool_the_answer_is_503() -> None:
    assert answer_to(envelope([message()]), flow(MemorySink(room=False))).status == 503


def test_full_spool_is_503(disk: Disk) -> None:
    SharedFlags(disk.folder).refusal = TOO_OLD
    assert status_with_spool(disk, MemorySink(room=False), envelope([message()])) == 503
    SharedFlags(disk.folder).refusal = ROOM
    assert status_with_spool(disk, MemorySink(room=False), envelope([message()])) == 200
