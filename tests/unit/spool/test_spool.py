"""The spool's file, its way in and its way out, without Kafka."""

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
from connector.spool.file import NAME, VERSION, Aside, File
from connector.spool.intake import DiskSpool
from connector.spool.recovery import prepare
from connector.spool.reserve import Reserve
from connector.spool.row import Row, kept_of, row_of
from connector.spool.shared_flags import ROOM, TOO_OLD, Shared
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
    """A spool in a folder, as an instance has it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Spool(folder=str(folder / "spool"), **settings)
        self.folder = folder / "spool"
        self.prepared = prepare(self.settings)
        self.seals: Seals | None = None

    def file(self) -> File:
        return File(self.folder, self.settings.max_bytes, Shared(self.folder))

    def spool(self, metrics: Metrics | None = None) -> DiskSpool:
        return DiskSpool(self.settings, self.seals, metrics or Metrics())

    def waiting(self) -> list[RawCallback | None]:
        with closing(self.file()) as file:
            rows = file.read(0, 10_000)
        kept = [kept_of(row.content, self.seals) if row.content is not None else None for row in rows]
        return [one.raw() if one else None for one in kept]

    def again(self) -> "Disk":
        """Return the same spool in an instance that starts anew."""
        self.prepared.release()
        return Disk(self.folder.parent, max_bytes=self.settings.max_bytes)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def numbered(number: int, size: int = 10) -> RawCallback:
    return raw(envelope([message(SECRET, id=f"wamid.{number}", text={"body": "x" * size})]))


def keep(disk: Disk, *callbacks: RawCallback, metrics: Metrics | None = None) -> None:
    async def run() -> None:
        spool = disk.spool(metrics)
        try:
            await asyncio.gather(*(spool.store(one, "header") for one in callbacks))
        finally:
            await spool.close()

    asyncio.run(run())


async def fill(spool: DiskSpool, size: int) -> int:
    """Keep callbacks until one is refused; return how many were kept."""
    for kept in range(1000):
        try:
            await spool.store(numbered(kept, size), "header")
        except NoRoom:
            return kept
    raise AssertionError("it is never full")


# The way in.


def test_what_is_kept_stands_on_disk_in_order_and_whole(disk: Disk) -> None:
    whole = RawCallback("GET", "a=b", "text/plain", b"\x00\xff", 1_700_000_000_123, "00-a-b-01", "vendor=1")
    keep(disk, whole, *(numbered(index) for index in range(300)))
    assert disk.waiting() == [whole, *(numbered(index) for index in range(300))]


def test_file_is_its_owners_alone(disk: Disk) -> None:
    keep(disk, numbered(1))
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    with closing(disk.file()) as file:
        # While it is open, SQLite has two more files beside it.
        file.append([row_of(numbered(2), "header", None)])
        files = list(disk.folder.glob("*"))
        assert len(files) >= 4
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_worker_sees_that_something_waits(disk: Disk) -> None:
    other = Shared(disk.folder)
    assert not other.is_waiting
    keep(disk, numbered(1))
    assert other.is_waiting


def test_one_commit_takes_many(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    append = File.append

    def counting(file: File, rows: Sequence[Row]) -> None:
        commits.append(len(rows))
        append(file, rows)

    monkeypatch.setattr(File, "append", counting)
    keep(disk, *(numbered(index) for index in range(200)))
    assert sum(commits) == 200
    assert len(commits) < 5


def test_full_it_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=1_048_576)

    async def run() -> tuple[int, str]:
        spool = disk.spool()
        kept = await fill(spool, 50_000)
        with pytest.raises(NoRoom):
            await spool.store(numbered(kept), "header")
        refusal = spool.refusal
        await spool.look(0)
        assert spool.refusal, "there is no room yet"
        await spool.close()
        return kept, refusal

    kept, refusal = asyncio.run(run())
    assert kept > 5
    assert "spool.max_bytes" in refusal
    assert len(disk.waiting()) == kept
    size_bytes = (disk.folder / NAME).stat().st_size
    assert size_bytes <= 1_048_576


def test_it_takes_again_once_there_is_room(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=1_048_576)

    async def run() -> None:
        spool = disk.spool()
        await fill(spool, 100_000)
        with closing(disk.file()) as file:
            file.delete([row.id for row in file.read(0)])
        await spool.look(0)
        assert not spool.refusal
        await spool.store(numbered(2), "header")
        await spool.close()

    asyncio.run(run())


def test_what_waits_for_too_long_stops_more_from_being_taken(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_age_seconds=60)
    metrics = Metrics()

    async def run() -> None:
        spool = disk.spool(metrics)
        first = numbered(1)
        await spool.store(first, "header")
        await spool.look(first.received_at + 59_000)
        assert not spool.refusal
        await spool.look(first.received_at + 61_000)
        assert "spool.max_age_seconds" in spool.refusal
        with pytest.raises(NoRoom):
            await spool.store(numbered(2), "header")
        # A clock that is set back makes it no younger than it is, and breaks nothing.
        await spool.look(first.received_at - 3_600_000)
        assert spool.state()["oldest_seconds"] == 0
        await spool.close()

    asyncio.run(run())
    assert len(disk.waiting()) == 1
    assert metrics.registry.get_sample_value("connector_spool_waiting_callbacks") == 1


def test_nothing_of_a_callback_shows_in_what_is_told(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    keep(disk, numbered(1))
    with closing(disk.file()) as file:
        told = repr(file.read(0)) + repr(row_of(numbered(1), "header", None))
    assert SECRET not in told
    assert "wamid" not in told
    assert SECRET not in "".join(capsys.readouterr())


# Start and what an operator must decide.


def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
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
        told = [process.stdout.readline() for _ in range(50)]
        process.kill()
        told += process.stdout.readlines()
    answered = [int(line) for line in told if line.endswith("\n") and line.strip()]
    disk = Disk(tmp_path)
    waiting = disk.waiting()
    assert waiting[: len(answered)] == [numbered(number) for number in answered]
    assert Shared(disk.folder).is_waiting, "the workers that start now see it"


def test_state_of_an_instance_that_was_killed_in_the_middle_is_forgotten(disk: Disk) -> None:
    keep(disk, numbered(1))
    left = Shared(disk.folder)
    left.hold()
    left.refusal = TOO_OLD
    again = disk.again()
    now = Shared(again.folder)
    assert (now.is_waiting, now.is_held, now.refusal) == (True, False, ROOM)


def test_folder_of_another_instance_is_refused(disk: Disk) -> None:
    with pytest.raises(ConfigurationInvalid, match="another instance uses it"):
        prepare(disk.settings)


def test_newer_version_is_refused_and_left_as_it_is(disk: Disk) -> None:
    keep(disk, numbered(1))
    with closing(sqlite3.connect(disk.folder / NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (disk.folder / NAME).read_bytes()
    with pytest.raises(ConfigurationInvalid, match=r"spool\.folder: .*newer release.*start the release that made it"):
        disk.again()
    assert (disk.folder / NAME).read_bytes() == before


def test_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with closing(sqlite3.connect(tmp_path / "spool" / NAME)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "spool" / NAME).read_bytes()
    with pytest.raises(ConfigurationInvalid, match="belongs to another program"):
        Disk(tmp_path)
    assert (tmp_path / "spool" / NAME).read_bytes() == before


@pytest.mark.parametrize("place", ["/dev/null/spool", "/proc/spool"])
def test_folder_that_cannot_be_made_is_refused(place: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"spool\.folder: .*write"):
        prepare(Spool(folder=place))


def test_file_that_is_locked_by_another_program_is_refused(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.spool.file._BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(disk.folder / NAME, isolation_level=None)) as theirs:
        theirs.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigurationInvalid, match="database is locked"):
            disk.again()


def test_no_room_at_the_start_is_refused(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: File) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(File, "take_back", full)
    with pytest.raises(ConfigurationInvalid, match=r"cannot be written \(database or disk is full\); see whether"):
        disk.again()


@pytest.mark.parametrize("harm", ["no database at all", "a page in the middle", "many pages", "cut short"])
def test_damaged_file_is_set_aside_and_the_rest_is_taken_over(disk: Disk, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("connector.spool.recovery.event", lambda name, **facts: told.append({"event": name, **facts}))
    callbacks = [numbered(number, size=3000) for number in range(200)]
    keep(disk, *callbacks)
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

    waiting = disk.again().waiting()

    aside = [path.name for path in disk.folder.glob("damaged-*") if path.name.endswith(NAME)]
    assert len(aside) == 1
    assert [(line["event"], line["quarantined"], line["callbacks_salvaged"]) for line in told] == [
        ("spool_damaged", aside[0], len(waiting))
    ]
    if harm == "no database at all":
        assert waiting == []
        return
    places = [callbacks.index(one) for one in waiting if one]
    assert len(places) == len(waiting), "what is taken over is what was written"
    assert places == sorted(places)
    least = {"a page in the middle": 190, "many pages": 150, "cut short": 80}[harm]
    assert least <= len(places) < 200


def test_taking_over_that_was_interrupted_is_begun_anew(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(disk, *(numbered(number, size=1500) for number in range(1200)))
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

    disk.prepared.release()
    with monkeypatch.context() as patched:
        patched.setattr(File, "append", full_after_one)
        for _ in range(2):
            appended = 0
            with pytest.raises(ConfigurationInvalid, match="disk is full"):
                Disk(disk.folder.parent)

    taken_over = Disk(disk.folder.parent)
    assert len(taken_over.waiting()) > 1190
    assert len(list(disk.folder.glob(f"damaged-*{NAME}"))) == 1
    # Once it is taken over, a start leaves it at that.
    keep(taken_over, numbered(5000))
    assert [one.body for one in taken_over.again().waiting() if one][-1] == numbered(5000).body


# The way out.


class PatientMemory(MemorySink):
    """A sink that can be stopped, and remembers the order."""

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
            # The order is that of handing over, as a producer's is.
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


def test_all_that_waits_is_delivered_in_order_and_then_nothing_waits(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(1000)))
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
    assert (disk.folder / NAME).stat().st_size < 100_000, "the disk has its room back"
    assert sink.closed == 1, "no producer is kept for an outage that is over"


def test_what_comes_meanwhile_queues_behind_and_the_queue_ends_all_the_same(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(300)))

    async def run() -> tuple[PatientMemory, int, list[float]]:
        sink = PatientMemory()
        carrier_sink = MemorySink()
        queued, number, waits = 0, 300, []
        async with draining(disk, sink) as spool:
            carrier = flow(carrier_sink, spool=spool)
            # Without a pause: somebody waits at any moment.
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
    # All but the last went through the spool, and that one came after all of them.
    assert ids(sink) == list(range(queued - 1))
    assert max(waits) < 3


async def status_of(carrier: Flow, callback: RawCallback) -> int:
    async def read() -> RawCallback:
        return callback

    return (await carry_request(carrier, Request([], None), read)).status


def test_outage_in_the_middle_holds_nobody_and_loses_nothing(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(20)))

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


def test_failure_is_tried_again_with_all_that_was_not_acknowledged(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "_PAUSE_SECONDS", 0.05)
    keep(disk, *(numbered(number) for number in range(30)))
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


def test_what_kafka_refuses_for_good_becomes_a_dead_letter_and_blocks_nothing(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))

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


def test_what_kafka_refuses_even_as_a_dead_letter_is_set_aside_and_tried_at_the_next_start(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))
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
    assert [one.body for one in disk.again().waiting() if one] == [numbered(number).body for number in range(3)]


def test_what_kafka_took_of_a_callback_that_was_set_aside_is_not_sent_again(disk: Disk) -> None:
    body = envelope([message(SECRET, id="wamid.0"), message(SECRET, id="wamid.1")], contacts=[contact("Lena", SECRET)])
    keep(disk, raw(body))

    class TakesSome(PatientMemory):
        def __init__(self, *refused: bytes) -> None:
            super().__init__()
            self._refused = refused

        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            # The contact's record has the id of the message that it came with.
            may_be_wrong = [one for one in messages if not one.topic.endswith("contacts")]
            wrong = [one for one in may_be_wrong if any(part in one.value for part in self._refused)]
            await super().send([one for one in messages if one not in wrong])
            return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in wrong], [])

    async def sent_by(sink: PatientMemory) -> list[str]:
        async with draining(disk, sink) as spool:
            await until(lambda: not spool.is_waiting)
        return sorted(one.topic.rpartition(".")[2] for one in sink.messages)

    assert asyncio.run(sent_by(TakesSome(b"wamid.0", b"wamid.1"))) == ["contacts"]
    disk = disk.again()
    assert asyncio.run(sent_by(TakesSome(b"wamid.1"))) == ["texts"]
    disk = disk.again()
    assert asyncio.run(sent_by(PatientMemory())) == ["texts"]
    assert disk.again().waiting() == []
    with closing(sqlite3.connect(disk.folder / NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM set_aside").fetchone() == (0,)


def test_row_that_is_not_what_was_written_is_set_aside_and_blocks_nothing(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))
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


def test_what_is_taken_out_twice_is_counted_once(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))
    with closing(disk.file()) as file:
        file.delete([1, 2])
        file.delete([1, 2])
        file.set_aside({2: Aside("damaged")})
        assert file.totals().callbacks == 1
        file.set_aside({3: Aside("refused_by_kafka")})
        assert file.totals()[:2] == (0, 0)


def test_room_is_found_and_the_reserve_used_one_after_the_other(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    keeps = Reserve.keep
    with closing(disk.file()) as one, closing(disk.file()) as other:
        using = threading.Thread(target=other.release_reserve)

        def keep_while_another_uses_it(reserve: Reserve) -> None:
            keeps(reserve)
            using.start()
            using.join(0.2)

        monkeypatch.setattr(Reserve, "keep", keep_while_another_uses_it)
        one.try_room()
        using.join()
    # Whoever came last has said so.
    assert (Shared(disk.folder).refusal != ROOM) == (not (disk.folder / "reserve").exists())


def test_full_spool_is_delivered_past_what_is_refused_and_takes_it_back(tmp_path: Path) -> None:
    disk = Disk(tmp_path, max_bytes=2 * 1024 * 1024)
    large = 300_000

    async def filled() -> int:
        spool = disk.spool()
        kept = await fill(spool, large)
        await spool.close()
        return kept

    kept = asyncio.run(filled())
    assert kept > 3

    class RefusesTheFirst(PatientMemory):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            if b"wamid.0" in messages[0].value or messages[0].topic.endswith("dead-letters"):
                return Outcome([Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in messages], [])
            return await super().send(messages)

    assert len(asyncio.run(drained(disk, sink=RefusesTheFirst())).messages) == kept - 1
    assert disk.waiting() == []
    assert [one.body for one in disk.again().waiting() if one] == [numbered(0, size=large).body]


def test_callback_whose_delivery_fails_in_no_way_that_is_known_is_taken_anew(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))

    class FailsOnce(PatientMemory):
        has_failed = False

        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            if not self.has_failed:
                self.has_failed = True
                raise RuntimeError
            return await super().send(messages)

    assert set(ids(asyncio.run(drained(disk, sink=FailsOnce())))) == {0, 1, 2}


def test_drain_lives_on_when_its_producer_cannot_be_made(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(disk, numbered(0))
    monkeypatch.setattr(drain_module, "_PAUSE_SECONDS", 0.01)

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


def test_on_a_full_disk_all_is_delivered_once_and_then_taken_out_at_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(disk, *(numbered(number) for number in range(500)))
    monkeypatch.setattr(File, "delete", full_disk)
    metrics = Metrics()

    assert ids(asyncio.run(drained(disk, metrics))) == list(range(500))
    metrics.flush()
    assert counted(metrics, "connector_spool_delivered_callbacks") == 500
    assert disk.waiting() == []


def test_on_a_full_disk_nothing_is_taken_in_until_its_reserve_is_there_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = disk.folder / "reserve"
    assert reserve.stat().st_size == disk.settings.max_bytes // 256
    keep(disk, numbered(0))
    monkeypatch.setattr(File, "delete", full_disk)

    async def run() -> None:
        async with draining(disk, PatientMemory()) as spool:
            await until(lambda: not spool.is_waiting)
            assert not reserve.exists()
            with pytest.raises(NoRoom, match="it has no room"):
                await spool.store(numbered(1), "header")
            await spool.look(0)
            assert reserve.stat().st_size == disk.settings.max_bytes // 256
            await spool.store(numbered(2), "header")

    asyncio.run(run())


def test_what_is_not_delivered_is_never_taken_out_with_the_rest(disk: Disk) -> None:
    keep(disk, *(numbered(number) for number in range(3)))
    with closing(disk.file()) as file:
        assert not file.delete_all(2, 2), "one more came"
        assert not file.delete_all(3, 2), "one was not delivered"
        assert len(disk.waiting()) == 3
        assert file.delete_all(3, 3)
    assert disk.waiting() == []


# Sealed.

NEW_KEY = {"new": b"n" * 32}
OLD_KEY = {"old": b"o" * 32}


async def drained(disk: Disk, metrics: Metrics | None = None, sink: PatientMemory | None = None) -> PatientMemory:
    sink = sink or PatientMemory()
    async with draining(disk, sink, metrics) as spool:
        await until(lambda: not spool.is_waiting)
    return sink


def test_sealed_nothing_of_a_callback_is_on_disk_and_all_of_it_is_delivered(disk: Disk) -> None:
    disk.seals = Seals(OLD_KEY)
    keep(disk, *(numbered(number) for number in range(3)))

    on_disk = b"".join(path.read_bytes() for path in disk.folder.glob("*") if path.is_file())
    assert b"s1:old:" in on_disk
    assert SECRET.encode() not in on_disk
    assert ids(asyncio.run(drained(disk))) == [0, 1, 2]


def test_what_was_sealed_with_an_older_key_or_not_at_all_is_delivered_too(disk: Disk) -> None:
    keep(disk, numbered(0))
    disk.seals = Seals(OLD_KEY)
    keep(disk, numbered(1))
    disk.seals = Seals(NEW_KEY | OLD_KEY)
    keep(disk, numbered(2))

    assert ids(asyncio.run(drained(disk))) == [0, 1, 2]


def test_what_our_keys_do_not_open_is_set_aside_and_delivered_once_the_key_is_back(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Logs(format="json"))
    disk.seals = Seals(OLD_KEY)
    keep(disk, numbered(0))
    disk.seals = Seals(NEW_KEY)
    keep(disk, numbered(1))
    metrics = Metrics()

    assert ids(asyncio.run(drained(disk, metrics))) == [1]
    assert counted(metrics, "connector_spool_parked_callbacks") == 1
    assert "sealed with the key old, which is not among privacy.seal_keys" in capsys.readouterr().err

    again = disk.again()
    again.seals = Seals(NEW_KEY | OLD_KEY)
    assert ids(asyncio.run(drained(again))) == [0]


def test_one_worker_drains_and_another_takes_over_when_it_ends(disk: Disk) -> None:
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
    # The lock of one that has ended is free.
    number = os.open(disk.folder / "drain.lock", os.O_RDWR)
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(number)


def test_nothing_is_produced_while_the_flow_may_not(disk: Disk) -> None:
    keep(disk, numbered(1))
    sink, metrics = PatientMemory(), Metrics()
    may: list[bool] = []

    async def run() -> None:
        drain = Drain(
            disk.settings, None, lambda: sink, lambda into: Deliverer(translator(), into, metrics), lambda: bool(may), metrics
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


# The promise's rows with a spool.


def kept_answers(disk: Disk, sink: MemorySink, callback: bytes) -> int:
    async def run() -> int:
        spool = disk.spool()
        try:
            return await status_of(flow(sink, spool=spool), raw(callback))
        finally:
            await spool.close()

    return asyncio.run(run())


@pytest.mark.parametrize("sink", [MemorySink(room=False), MemorySink(confirm=False)], ids=["no room", "not confirmed"])
def test_what_kafka_does_not_take_is_kept_and_answered_200(disk: Disk, sink: MemorySink) -> None:
    assert kept_answers(disk, sink, envelope([message()])) == 200
    assert len(disk.waiting()) == 1


def test_not_json_is_kept_too_for_its_dead_letter(disk: Disk) -> None:
    assert kept_answers(disk, MemorySink(room=False), b"no JSON") == 200
    assert len(disk.waiting()) == 1


@pytest.mark.parametrize("error", ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"])
def test_operators_faults_are_answered_503_and_hold_nobody_up(disk: Disk, error: str) -> None:
    class Fails(MemorySink):
        async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
            return Outcome([], [Failure(one, error, for_good=False) for one in messages])

    assert kept_answers(disk, Fails(), envelope([message()])) == 503
    assert disk.waiting() == []


def test_without_a_spool_it_is_503() -> None:
    assert answer_to(envelope([message()]), flow(MemorySink(room=False))).status == 503


def test_full_spool_is_503(disk: Disk) -> None:
    Shared(disk.folder).refusal = TOO_OLD
    assert kept_answers(disk, MemorySink(room=False), envelope([message()])) == 503
    Shared(disk.folder).refusal = ROOM
    assert kept_answers(disk, MemorySink(room=False), envelope([message()])) == 200
