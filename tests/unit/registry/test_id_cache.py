"""The cache of schema ids: written atomically, with mode 0600, and trusted only if it is not damaged."""

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


def written(folder: Path) -> IdCache:
    id_cache = cache(folder)
    id_cache.write(IDS, WHEN)
    assert not id_cache.problem
    return id_cache


def test_cached_ids_are_read_as_written_by_another_process(tmp_path: Path) -> None:
    written(tmp_path)
    assert cache(tmp_path).read() == CachedIds(IDS, WHEN)


def test_cache_folder_is_created_and_modes_are_0700_and_0600(tmp_path: Path) -> None:
    id_cache = written(tmp_path / "made" / "for it")
    assert stat.S_IMODE(id_cache.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(id_cache.file.parent.stat().st_mode) == 0o700


def test_missing_cache_file_logs_nothing(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert cache(tmp_path).read() is None
    assert not logs


def test_another_registry_has_its_own_ids(tmp_path: Path) -> None:
    written(tmp_path)
    assert cache(tmp_path, "http://127.0.0.1:2").read() is None


def test_another_schema_or_subject_has_its_own_ids(tmp_path: Path) -> None:
    written(tmp_path)
    first, *others = RECORD_TYPES
    for other in (replace(first, published_text=first.published_text + " "), replace(first, topic="another")):
        assert cache(tmp_path, record_types=[other, *others]).read() is None
        cache(tmp_path, record_types=[other, *others]).write(IDS, WHEN)
    assert len(list(tmp_path.iterdir())) == 3
    assert cache(tmp_path).read() == CachedIds(IDS, WHEN), "two releases share a folder"


def test_any_changed_byte_is_detected_and_logged(tmp_path: Path) -> None:
    id_cache = written(tmp_path)
    whole = id_cache.file.read_bytes()
    for place in range(0, len(whole), 7):
        id_cache.file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with capture_logs() as logs:
            assert id_cache.read() is None, place
        assert [line["event"] for line in logs] == ["schema_id_cache_unreadable"]


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\0" * 4096, b"\xff\xfe"])
def test_file_that_is_no_cache_is_logged_and_replaced(tmp_path: Path, content: bytes) -> None:
    id_cache = cache(tmp_path)
    id_cache.file.write_bytes(content)
    with capture_logs() as logs:
        assert id_cache.read() is None
    assert [(line["event"], line["reason"]) for line in logs] == [("schema_id_cache_unreadable", "it is damaged")]
    id_cache.write(IDS, WHEN)
    assert id_cache.read() == CachedIds(IDS, WHEN)


def test_file_of_another_registry_is_not_trusted(tmp_path: Path) -> None:
    other = cache(tmp_path, "http://127.0.0.1:2")
    other.write(IDS, WHEN)
    other.file.replace(cache(tmp_path).file)
    with capture_logs() as logs:
        assert cache(tmp_path).read() is None
    assert "another registry" in logs[0]["reason"]


def test_unwritable_folder_is_logged_once_and_stops_nothing(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", encoding="utf-8")
    id_cache = cache(in_the_way / "folder")
    with capture_logs() as logs:
        id_cache.write(IDS, WHEN)
        id_cache.write(IDS, WHEN)
        id_cache.forget()
        assert id_cache.read() is None
    assert [line["event"] for line in logs] == ["schema_id_cache_unwritable", "schema_id_cache_unreadable"]
    assert "Not a directory" in id_cache.problem
    in_the_way.unlink()
    id_cache.write(IDS, WHEN)
    assert not id_cache.problem


def test_ids_that_cannot_be_deleted_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    id_cache = written(tmp_path)
    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as logs:
        id_cache.forget()
    assert [line["reason"] for line in logs] == [f"{id_cache.file}: Read-only file system"]


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    id_cache = cache(tmp_path)
    id_cache.write(IDS, WHEN)
    assert "No space left" in id_cache.problem
    assert list(tmp_path.iterdir()) == []


def test_concurrent_writes_leave_one_complete_file(tmp_path: Path) -> None:
    caches = [cache(tmp_path) for _ in range(8)]
    read: list[CachedIds | None] = []
    written(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        for id_cache in caches * 10:
            threads.submit(id_cache.write, IDS, WHEN)
            read.append(id_cache.read())
    assert read == [CachedIds(IDS, WHEN)] * len(read)
    assert list(tmp_path.iterdir()) == [caches[0].file]


def test_forget_deletes_all_ids_of_this_registry_only(tmp_path: Path) -> None:
    id_cache = written(tmp_path)
    cache(tmp_path, record_types=[replace(RECORD_TYPES[0], published_text="{}"), *RECORD_TYPES[1:]]).write(IDS, WHEN)
    other = cache(tmp_path, "http://127.0.0.1:2")
    other.write(IDS, WHEN)
    id_cache.forget()
    assert list(tmp_path.iterdir()) == [other.file]
    assert id_cache.read() is None
    id_cache.forget()


def test_file_has_only_ids_and_fingerprints(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path).file.read_text(encoding="utf-8").partition("\n")[2])
    assert content.keys() == {"registry", "confirmed_at", "schemas"}
    assert content["registry"] == URL
    assert content["schemas"].keys() == {record_type.subject for record_type in RECORD_TYPES}
    assert all(schema.keys() == {"fingerprint", "id"} for schema in content["schemas"].values())
