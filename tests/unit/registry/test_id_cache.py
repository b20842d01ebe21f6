"""Schema ids on disk: kept as a whole or not at all, for their owner alone, and trusted only when they are unharmed."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connector.catalogue import RecordType
from connector.registry.id_cache import CachedIds, IdCache
from tests.support.callbacks import catalogue, schema_ids

URL = "http://127.0.0.1:1/apis/ccompat/v7"
WHEN = datetime(2025, 11, 21, 10, 30, tzinfo=UTC)
IDS = schema_ids(catalogue())
RECORD_TYPES = list(catalogue())


def cache(folder: Path, url: str = URL, record_types: list[RecordType] | None = None) -> IdCache:
    return IdCache(folder, url, record_types or RECORD_TYPES)


def kept(folder: Path) -> IdCache:
    keeper = cache(folder)
    keeper.write(IDS, WHEN)
    assert not keeper.problem
    return keeper


def test_ids_are_read_as_they_were_written_also_by_another_process(tmp_path: Path) -> None:
    kept(tmp_path)
    assert cache(tmp_path).read() == CachedIds(IDS, WHEN)


def test_folder_is_made_and_all_is_for_the_owner_alone(tmp_path: Path) -> None:
    keeper = kept(tmp_path / "made" / "for it")
    assert stat.S_IMODE(keeper.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keeper.file.parent.stat().st_mode) == 0o700


def test_nothing_kept_is_nothing_to_tell(tmp_path: Path) -> None:
    with capture_logs() as told:
        assert cache(tmp_path).read() is None
    assert not told


def test_another_registry_has_ids_of_its_own(tmp_path: Path) -> None:
    kept(tmp_path)
    assert cache(tmp_path, "http://127.0.0.1:2").read() is None


def test_another_schema_or_subject_has_ids_of_its_own(tmp_path: Path) -> None:
    kept(tmp_path)
    first, *others = RECORD_TYPES
    for other in (replace(first, published_text=first.published_text + " "), replace(first, topic="another")):
        assert cache(tmp_path, record_types=[other, *others]).read() is None
        cache(tmp_path, record_types=[other, *others]).write(IDS, WHEN)
    assert len(list(tmp_path.iterdir())) == 3
    assert cache(tmp_path).read() == CachedIds(IDS, WHEN), "two releases share a folder"


def test_any_changed_byte_is_noticed_and_told(tmp_path: Path) -> None:
    keeper = kept(tmp_path)
    whole = keeper.file.read_bytes()
    for place in range(0, len(whole), 7):
        keeper.file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with capture_logs() as told:
            assert keeper.read() is None, place
        assert [line["event"] for line in told] == ["schema_id_cache_unreadable"]


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\0" * 4096, b"\xff\xfe"])
def test_file_of_something_else_is_told_and_replaced(tmp_path: Path, content: bytes) -> None:
    keeper = cache(tmp_path)
    keeper.file.write_bytes(content)
    with capture_logs() as told:
        assert keeper.read() is None
    assert [(line["event"], line["reason"]) for line in told] == [("schema_id_cache_unreadable", "it is damaged")]
    keeper.write(IDS, WHEN)
    assert keeper.read() == CachedIds(IDS, WHEN)


def test_file_of_another_registry_under_this_name_is_not_trusted(tmp_path: Path) -> None:
    other = cache(tmp_path, "http://127.0.0.1:2")
    other.write(IDS, WHEN)
    other.file.replace(cache(tmp_path).file)
    with capture_logs() as told:
        assert cache(tmp_path).read() is None
    assert "another registry" in told[0]["reason"]


def test_folder_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", encoding="utf-8")
    keeper = cache(in_the_way / "folder")
    with capture_logs() as told:
        keeper.write(IDS, WHEN)
        keeper.write(IDS, WHEN)
        keeper.forget()
        assert keeper.read() is None
    assert [line["event"] for line in told] == ["schema_id_cache_unwritable", "schema_id_cache_unreadable"]
    assert "Not a directory" in keeper.problem
    in_the_way.unlink()
    keeper.write(IDS, WHEN)
    assert not keeper.problem


def test_ids_that_cannot_be_forgotten_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    keeper = kept(tmp_path)
    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as told:
        keeper.forget()
    assert [line["reason"] for line in told] == [f"{keeper.file}: Read-only file system"]


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    keeper = cache(tmp_path)
    keeper.write(IDS, WHEN)
    assert "No space left" in keeper.problem
    assert list(tmp_path.iterdir()) == []


def test_workers_that_write_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    keepers = [cache(tmp_path) for _ in range(8)]
    read: list[CachedIds | None] = []
    kept(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        for keeper in keepers * 10:
            threads.submit(keeper.write, IDS, WHEN)
            read.append(keeper.read())
    assert read == [CachedIds(IDS, WHEN)] * len(read)
    assert list(tmp_path.iterdir()) == [keepers[0].file]


def test_forgotten_ids_are_gone_with_those_of_other_releases_and_not_of_other_registries(tmp_path: Path) -> None:
    keeper = kept(tmp_path)
    cache(tmp_path, record_types=[replace(RECORD_TYPES[0], published_text="{}"), *RECORD_TYPES[1:]]).write(IDS, WHEN)
    other = cache(tmp_path, "http://127.0.0.1:2")
    other.write(IDS, WHEN)
    keeper.forget()
    assert list(tmp_path.iterdir()) == [other.file]
    assert keeper.read() is None
    keeper.forget()


def test_file_holds_ids_and_fingerprints_and_nothing_else(tmp_path: Path) -> None:
    content = json.loads(kept(tmp_path).file.read_text(encoding="utf-8").partition("\n")[2])
    assert content.keys() == {"registry", "confirmed_at", "schemas"}
    assert content["registry"] == URL
    assert content["schemas"].keys() == {record_type.subject for record_type in RECORD_TYPES}
    assert all(schema.keys() == {"fingerprint", "id"} for schema in content["schemas"].values())
