"""The doctor's findings, without any server."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from connector.catalogue import load_catalogue
from connector.doctor import kafka, machine, spool
from connector.doctor.certificate import check_certificate
from connector.doctor.examine import run_concurrently
from connector.doctor.findings import Finding, exit_code, not_checked
from connector.doctor.personal import check_personal
from connector.doctor.registry import difference
from connector.settings.load import load_settings
from connector.settings.tables import Http, Settings, Spool, Tls
from connector.spool.file import Parked, Why
from connector.topics.broker import Cluster
from connector.topics.deviations import DescribedTopics, TopicState
from tests.support.callbacks import catalogue, raw
from tests.support.certificates import Authority
from tests.unit.spool.test_spool import Disk, store
from tests.unit.topics.test_deviations import WANTED, all_as_created, topic

OK: Final = Finding("a", "ok", "fine")
MIB: Final = 1024 * 1024


def settings(**more: str) -> Settings:
    given = {f"CONNECTOR_{name}": value for name, value in more.items()}
    return load_settings(None, {"CONNECTOR_AUTHENTICATION__URL_TOKEN": "invented-token-0123456789", **given})


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([OK], 0),
        ([OK, Finding("b", "warning", ""), not_checked("c", "")], 0),
        ([Finding("kafka", "error", ""), OK], 1),
        ([Finding("kafka", "error", ""), Finding("configuration", "error", "")], 2),
    ],
)
def test_exit_code_is_2_for_configuration_else_1(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code


# Concurrency


def test_checks_are_independent_and_reported_in_order() -> None:
    hung = threading.Event()

    def slow() -> Iterator[Finding]:
        yield Finding("slow", "ok", "so far")
        hung.wait(20)

    began = time.monotonic()
    found = run_concurrently({"slow": slow, "quick": lambda: [OK]}, 0.3)
    assert time.monotonic() - began < 5
    assert [(finding.check, finding.state) for finding in found] == [("slow", "ok"), ("slow", "error"), ("a", "ok")]
    assert "0.3 s" in found[1].found
    hung.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_check_that_raises_is_an_error() -> None:
    def broken() -> Iterator[Finding]:
        raise ZeroDivisionError

    assert exit_code(run_concurrently({"broken": broken, "quick": lambda: [OK]}, 5)) == 1


# This machine


def test_default_settings_are_private() -> None:
    assert [finding.state for finding in machine.check_privacy(settings())] == ["ok"]


def test_allow_anyone_and_open_management_port_are_warnings() -> None:
    found = list(machine.check_privacy(settings(AUTHENTICATION__ALLOW_ANYONE="true", MANAGEMENT__HOST="0.0.0.0")))
    assert [finding.state for finding in found] == ["warning", "warning"]
    assert "allow_anyone" in found[0].found
    assert "0.0.0.0" in found[1].found


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("x", False),
    ],
)
def test_loopback_addresses_are_recognised(host: str, loopback: bool) -> None:
    assert machine.is_loopback(host) == loopback


def test_full_disk_is_a_warning() -> None:
    assert machine.room("/tmp", 64 * MIB).state == "ok"
    assert machine.room("/tmp", 15 * MIB).state == "warning"
    assert machine.check_temporary_folder().state == "ok"


def test_unwritable_cache_folder_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert list(machine.check_cache_folder("")) == []
    for folder, state in ((tmp_path, "ok"), (tmp_path / "new" / "er", "ok"), (tmp_path / "file", "warning")):
        (finding,) = machine.check_cache_folder(str(folder))
        assert finding.state == state
        assert str(folder) in finding.found
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_missing_temporary_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    finding = machine.check_temporary_folder()
    assert finding.state == "error"
    assert "TMPDIR" in finding.advice


def test_check_of_the_temporary_folder_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert machine.check_temporary_folder().found.startswith(f"{tmp_path} has ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "state"), [(1024, "warning"), (2099, "warning"), (2100, "ok"), (-1, "ok")])
def test_low_limit_of_open_files_is_a_warning(limit: int, state: str) -> None:
    finding = machine.open_files(limit, Http())
    assert finding.state == state
    assert ("LimitNOFILE=2100" in finding.advice) == (state == "warning")


# Clock


@pytest.mark.parametrize(
    ("theirs", "state", "words"),
    [
        (1000.0, "ok", "within"),
        (1004.0, "ok", "within"),
        (1007.0, "warning", "6 s behind"),
        (993.0, "warning", "6 s ahead of"),
        (1400.0, "error", "399 s behind"),
        (600.0, "error", "399 s ahead of"),
    ],
)
def test_clock_difference_is_measured_outside_of_the_request(theirs: float, state: str, words: str) -> None:
    finding = difference(1000.0, theirs, 1001.0)
    assert finding.state == state
    assert words in finding.found


def test_slow_answer_is_no_clock_difference() -> None:
    assert difference(1000.0, 1009.0, 1010.0).state == "ok"


# Kafka


def test_too_few_brokers_for_the_replicas_are_a_warning() -> None:
    assert kafka.reached(Cluster("id", 3), 3).state == "ok"
    finding = kafka.reached(Cluster("id", 1), 3)
    assert (finding.state, finding.advice) == ("warning", "start more brokers, or set topics.replication_factor = 1")
    assert "1 broker, too few for replication factor 3" in finding.found


def test_missing_right_to_write_is_an_error() -> None:
    present = all_as_created()
    assert kafka.rights(DescribedTopics(present, frozenset()), WANTED, "p.").state == "ok"
    present[topic("order")] = replace(present[topic("order")], operations=frozenset({"DESCRIBE", "READ"}))
    finding = kafka.rights(DescribedTopics(present, frozenset({"hidden"})), WANTED, "p.")
    assert finding.state == "error"
    assert topic("order") in finding.found
    assert "hidden" in finding.found
    assert "--operation Write --topic p. --resource-pattern-type prefixed" in finding.advice
    assert "--topic hidden" in kafka.rights(DescribedTopics(present, frozenset({"hidden"})), WANTED, "").advice


def test_rights_that_kafka_does_not_report_are_unknown() -> None:
    present = {name: replace(state, operations=None) for name, state in all_as_created().items()}
    assert kafka.rights(DescribedTopics(present, frozenset()), WANTED, "p.").state == "unknown"
    assert kafka.rights(DescribedTopics({}, frozenset()), WANTED, "p.").state == "unknown"


def findings_on(present: dict[str, TopicState], hidden: frozenset[str] = frozenset()) -> list[Finding]:
    return list(kafka.topics(catalogue(), WANTED, DescribedTopics(present, hidden)))


def test_topics_as_created_are_one_finding() -> None:
    result = [(finding.state, finding.found) for finding in findings_on(all_as_created())]
    assert result == [("ok", "14 topics are as they should be")]


def test_missing_topics_are_one_finding() -> None:
    (finding,) = findings_on({})
    assert finding.state == "error"
    assert topic("order") in finding.found
    assert finding.advice == "`connector topics create` creates them"


def test_unequal_partition_counts_are_an_error() -> None:
    present = all_as_created()
    present[topic("order")] = replace(present[topic("order")], partitions=3)
    (finding,) = findings_on(present)
    assert finding.state == "error"
    assert topic("order") in finding.found


def test_unreadable_topic_settings_are_one_unknown_finding() -> None:
    (finding,) = findings_on({name: replace(state, config=None) for name, state in all_as_created().items()})
    assert finding.state == "unknown"
    assert "DESCRIBE_CONFIGS" in finding.advice


def test_settings_that_the_broker_does_not_report_are_not_called_denied() -> None:
    present = {name: replace(state, config=None) for name, state in all_as_created().items()}
    described = DescribedTopics(present, frozenset(), reports_settings=False)
    (finding,) = kafka.topics(catalogue(), WANTED, described)
    assert finding.state == "unknown"
    assert finding.found == "all 14 topics: settings are not checked: this broker does not report them"
    assert "authorised" not in finding.found + finding.advice


def test_topics_with_the_same_deviation_are_one_finding() -> None:
    present = all_as_created()
    for name in ("order", "text", "contact"):
        there = present[topic(name)]
        present[topic(name)] = replace(there, config={**(there.config or {}), "message.timestamp.type": "LogAppendTime"})
    present[topic("media")] = replace(present[topic("media")], partitions=3)
    present[topic("reply")] = replace(present[topic("reply")], partitions=3)
    partitions, times = findings_on(present)
    assert (partitions.state, times.state) == ("error", "warning")
    assert "2 topics: 3 partitions" in partitions.found
    assert "topics check" in partitions.advice
    assert "3 topics: message.timestamp.type" in times.found
    assert all(topic(name) in times.found for name in ("order", "text", "contact"))
    assert times.advice == "`connector topics create --alter` sets it on all of them"


def test_hidden_topics_are_reported_only_with_the_rights() -> None:
    present = all_as_created()
    del present[topic("order")]
    found = findings_on(present, frozenset({topic("order")}))
    assert not [finding for finding in found if topic("order") in finding.found]


# Personal data

HASHED: Final = {"PRIVACY__PHONE": "hash", "PRIVACY__HASH_KEY": "k" * 32, "PRIVACY__HASH_KEY_ID": "k"}
SEALED: Final = {"PRIVACY__SEAL_KEYS": f"k:{'A' * 43}="}


def personal(**more: str) -> list[Finding]:
    loaded = settings(**more)
    return list(check_personal(loaded, load_catalogue(loaded)))


def test_topics_with_whole_callbacks_are_reported_with_readers() -> None:
    (plain,) = personal()
    assert plain.state == "ok"
    assert "kaleyra.whatsapp.dead-letters" in plain.found
    assert "only users who replay need READ" in plain.found
    (encrypted,) = personal(**SEALED)
    assert (encrypted.state, "encrypted" in encrypted.found) == ("ok", True)


def test_plain_text_beside_hidden_numbers_is_a_warning() -> None:
    wrong, numbers = personal(**HASHED)
    assert (wrong.state, "privacy.seal_keys" in wrong.advice) == ("warning", True)
    assert numbers.state == "warning"
    for field in ("other.payload", "account_event.payload", "reply.interactive_json", "system.body"):
        assert field in numbers.found
    assert [finding.state for finding in personal(**HASHED, **SEALED, PRIVACY__CONTENT="mask")] == ["ok"]


def test_spool_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    assert [finding.state for finding in personal(SPOOL__FOLDER=str(folder))] == ["ok", "ok"]
    assert "whole callbacks in plain text" in personal(SPOOL__FOLDER=str(folder))[1].found
    assert "whole callbacks encrypted" in personal(SPOOL__FOLDER=str(folder), **SEALED)[1].found
    folder.mkdir(mode=0o700)
    assert personal(SPOOL__FOLDER=str(folder))[1].state == "ok"
    folder.chmod(0o750)
    (_, spool) = personal(SPOOL__FOLDER=str(folder))
    assert (spool.state, spool.advice) == ("warning", f"chmod 700 {folder}")
    assert str(folder) in spool.found


# The spool


MOUNTS: Final = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /tmp rw - tmpfs tmpfs rw
31 22 0:26 / /var/lib/my\\040disk rw shared:1 - xfs /dev/sdb rw
"""


def findings_of(folder: Path, **more: Any) -> list[Finding]:
    return list(spool.check_spool(Spool(folder=str(folder), **more)))


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/tmp/spool", "tmpfs"), ("/tmpfs", "ext4"), ("/", "ext4"), ("/var/lib/my disk/spool", "xfs")],
)
def test_file_system_type_is_of_the_nearest_mount(path: str, kind: str) -> None:
    assert spool.kind_of_mount(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(("kind", "state"), [("tmpfs", "warning"), ("overlay", "warning"), ("ext4", "ok"), ("", "ok")])
def test_spool_on_no_persistent_disk_is_a_warning(kind: str, state: str) -> None:
    assert spool.place("/spool", kind).state == state


def test_disabled_spool_is_reported_with_its_consequence() -> None:
    (finding,) = spool.check_spool(Spool())
    assert finding.state == "ok"
    assert "503" in finding.found


def test_spool_on_too_small_a_disk_is_a_warning(tmp_path: Path) -> None:
    assert "spool.max_bytes" in findings_of(tmp_path, max_bytes=2**60)[-1].found


def test_waiting_and_parked_callbacks_are_reported(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    store(disk, raw(b"{}"), raw(b"{}"))
    with closing(disk.file()) as file:
        file.park({1: Parked("refused_by_kafka")})
    # The bridge has the file open.
    found = {finding.state: finding for finding in findings_of(disk.folder)}
    assert "1 callback waits" in found["warning"].found
    assert "topics check" in found["error"].advice


@pytest.mark.parametrize(
    ("why", "advice"),
    [("refused_by_kafka", "topics check"), ("undecryptable", "privacy.seal_keys"), ("damaged", "keep the file")],
)
def test_parked_callbacks_are_reported_with_how_to_unpark_them(tmp_path: Path, why: Why, advice: str) -> None:
    disk = Disk(tmp_path)
    store(disk, raw(b"{}"))
    with closing(disk.file()) as file:
        file.park({1: Parked(why)})
    finding = findings_of(disk.folder)[-1]
    assert finding.state == "error"
    assert why in finding.found
    assert advice in finding.advice


def test_damaged_and_quarantined_spools_are_reported(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 100)
    (tmp_path / "damaged-20260101T000000-spool.sqlite").write_bytes(b"")
    found = {finding.state: finding for finding in findings_of(tmp_path)}
    assert "cannot be read" in found["error"].found
    assert "damaged-20260101T000000-spool.sqlite" in found["warning"].found


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        (-60, "ok", "is valid until"),
        (-3, "warning", "expires at"),
        (2, "error", "clients refuse it"),
        (-1000, "error", "is valid only from"),
    ],
)
def test_certificate_is_a_warning_before_it_expires(tmp_path: Path, days: int, state: str, words: str) -> None:
    own = Authority(tmp_path, valid_days=500).sign("bridge")
    last = datetime.now(UTC) + timedelta(days=500)
    listener = Tls(certificate_path=str(own.certificate), key_path=str(own.key))

    (finding,) = check_certificate(listener, last + timedelta(days=days))

    assert (finding.state, words in finding.found) == (state, True)
    assert ("SIGHUP" in finding.advice) == (state != "ok" and days > -1000)


def test_invalid_certificate_is_unknown_and_none_is_no_finding(tmp_path: Path) -> None:
    assert not list(check_certificate(Tls()))
    (tmp_path / "none.pem").write_text("no PEM", encoding="utf-8")
    for path in ("none.pem", "absent.pem"):
        (finding,) = check_certificate(Tls(certificate_path=str(tmp_path / path), key_path="k"))
        assert finding.state == "unknown"
