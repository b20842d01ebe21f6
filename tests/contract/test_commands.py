"""The command line: help for everything, clear messages, and the exit codes 0, 1 and 2. Nothing here needs a server."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from connector import __version__
from connector.cli import app
from connector.commands.dev import program_name
from connector.commands.show import shortened
from connector.dev.invented.callbacks import TYPES
from connector.topics import broker
from tests.stack.ports import free_ports
from tests.support.callbacks import BODIES, SAMPLES, contact, envelope, message, sample, sample_name
from tests.support.commands import Done, Runner, Settings

ROOT = Path(__file__).parents[2]
SAMPLES_FOLDER = ROOT / "tests" / "samples"
SECONDS = 30


@pytest.fixture
def run() -> Runner:
    return Runner()


def process(*arguments: str, stdin: bytes = b"", settings: Settings | None = None) -> Done:
    """Run the command line as a process."""
    without_ours = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    ours = {f"CONNECTOR_{name}": value for name, value in (settings or {}).items()}
    done = subprocess.run(
        [sys.executable, "-m", "connector", *arguments],
        env={**without_ours, **ours},
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert b"Traceback" not in done.stderr + done.stdout
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def commands(of: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = of or get_command(app)
    yield path, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


COMMANDS = dict(commands())


@pytest.fixture
def unreachable() -> Settings:
    """Settings under which neither Kafka nor the registry answers."""
    kafka, registry = free_ports(2)
    return {
        "KAFKA__CLIENT__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
        "REGISTRY__URL": f"http://127.0.0.1:{registry}",
    }


def test_ctrl_c_while_it_still_imports_is_130_without_a_traceback() -> None:
    pressed = (
        "import runpy, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'confluent_kafka': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "runpy.run_module('connector', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", pressed], cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


# Help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_and_its_parameters_have_a_text(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    assert [parameter.name for parameter in command.params if not parameter.help] == []


def test_commands_are_those_that_the_docs_list() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    leaves = [path for path, command in COMMANDS.items() if not isinstance(command, TyperGroup)]
    assert [
        path for path in leaves if f"| `connector {' '.join(path)}" not in text and f"· `connector {' '.join(path)}" not in text
    ] == []


def test_help_is_printed(run: Runner) -> None:
    for path in COMMANDS:
        done = run(*path, "--help")
        assert done.exit_code == 0
        assert "Usage" in done.stdout
        assert not done.stderr


def test_command_without_arguments_prints_its_help(run: Runner) -> None:
    done = run()
    assert all(path[0] in done.stdout + done.stderr for path in COMMANDS if path)


def test_version_is_printed() -> None:
    assert process("--version") == (0, f"connector {__version__}\n", "")


# Shell completion


def completed(run: Runner, monkeypatch: pytest.MonkeyPatch, typed: str) -> list[str]:
    """Return what a shell offers after what was typed: the program asks itself by these variables."""
    words = typed.split(" ")
    with monkeypatch.context() as asked:
        asked.setenv("_CONNECTOR_COMPLETE", "complete_bash")
        asked.setenv("COMP_WORDS", typed)
        asked.setenv("COMP_CWORD", str(len(words) - 1))
        done = run()
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("connector sche", ["schemas"]),
        ("connector topics c", ["check", "create"]),
        ("connector tail --from", ["--from-beginning"]),
        ("connector send v1_message_by", ["v1_message_by_get"]),
        ("connector replay dead-letters --reason not_j", ["not_json"]),
    ],
)
def test_shell_completes_commands_options_and_values(
    typed: str, offered: list[str], run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completed(run, monkeypatch, typed) == offered


def test_completion_is_shown_and_installed(run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run("--show-completion")
    assert done.exit_code == 0
    assert "_CONNECTOR_COMPLETE=complete_bash" in done.stdout
    assert run("--install-completion").exit_code == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert script.read_text(encoding="utf-8").strip() == done.stdout.strip()
    assert str(script) in (tmp_path / ".bashrc").read_text(encoding="utf-8")


# Wrong use, wrong settings


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["explain"],
        ["serve", "--workers", "0"],
        ["dev", "--port", "70000"],
        ["send", "text", "--count", "-1"],
        ["send", "text", "--seed", "-1"],
        ["send", "text", "--seed", "seven"],
        ["tail", "--nonsense"],
        ["schemas", "nonsense"],
        ["send"],
        ["schemas", "diff", "nonsense"],
        ["schemas", "diff", "--version", "0"],
        ["schemas", "release", "soon"],
        ["schemas", "export", "tests"],
        ["schemas", "export", "README.md"],
        ["send", "nonsense"],
        ["send", "text", "nonsense"],
        ["send", "text", "--header", "no colon"],
        ["send", "text", "--header", "X: é"],
        ["send", "text", "--header", "X Y: z"],
        ["send", "text", "--header", ": x"],
        ["send", "text", "--header", "X"],
        ["send", "text", "--header", "X: a\nY: b"],
        ["send", "text", "--url", "bridge"],
        ["send", "text", "--url", "http://127.0.0.1:70000/x"],
        ["replay", "dead-letters", "--reason", "nonsense"],
        ["replay", "dead-letters", "--since", "yesterday"],
        ["replay", "dead-letters", "--since", "2025-11-21T10:30:00"],
        ["replay", "dead-letters", "--max-attempts", "1"],
        ["replay", "dead-letters", "--rate", "-1"],
        ["replay", "raw"],
        ["replay", "raw", "--from", "2025-11-21T10:30:00Z"],
        ["replay", "raw", "--from", "2025-11-21T10:30:00Z", "--to", "2025-11-21T10:30:00Z"],
        # Not switched on.
        ["replay", "raw", "--from", "2025-11-21T10:30:00Z", "--to", "2025-11-21T10:31:00Z"],
        ["explain", "no/such/file"],
        ["explain", "README.md", "--query", "a=b"],
        ["explain", "--query", "a=b", "--form"],
        ["explain", "--query", "a=b", "--content-type", "application/xml"],
        ["explain", "README.md", "--form", "--content-type", "application/xml"],
        ["explain", "tests"],
        ["explain", "README.md", "--config", "no/such/file"],
        ["dev", "--port", "0", "--ready-file", "no/such/folder/ready.json"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_with_a_message(arguments: list[str], run: Runner) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert not done.stdout
    assert done.stderr.strip()


@pytest.mark.parametrize(
    "arguments", [["schemas", "list"], ["topics", "check"], ["tail"], ["explain", "README.md"], ["dev", "--port", "0"]]
)
def test_wrong_settings_are_exit_code_2_with_a_message(arguments: list[str], run: Runner) -> None:
    done = run(*arguments, settings={"HTTP__PROT": "1", "LOGS__LEVEL": "loud"})
    assert done.exit_code == 2
    assert [problem.partition(": ")[0] for problem in done.problems()] == ["CONNECTOR_HTTP__PROT", "logs.level"]


@pytest.mark.parametrize(
    ("arguments", "table"),
    [
        (["topics", "check"], "KAFKA__CLIENT"),
        (["tail", "--count", "1"], "KAFKA__CONSUMER"),
        (["dev", "--port", "0"], "KAFKA__PRODUCER"),
        (["replay", "dead-letters"], "KAFKA__PRODUCER"),
        (["replay", "dead-letters"], "KAFKA__CONSUMER"),
        (["schemas", "list"], "REGISTRY__CLIENT"),
    ],
)
def test_wrong_client_property_is_exit_code_2_with_a_message(arguments: list[str], table: str, run: Runner) -> None:
    done = run(*arguments, settings={f"{table}__NO_SUCH_NAME": "s3cret"})
    assert done.exit_code == 2
    (problem,) = done.problems()
    assert "no.such.name" in problem
    assert "s3cret" not in done.stderr


def test_unknown_type_is_reported_with_the_known_ones(run: Runner) -> None:
    (problem,) = run("send", "nonsense").problems()
    assert all(word in problem for word in ("nonsense", *TYPES))


# Unreachable servers


@pytest.mark.parametrize(
    "arguments",
    [
        ["schemas", "list"],
        ["schemas", "check", "--registry"],
        ["schemas", "diff", "--json"],
        ["schemas", "export", "no-such-folder"],
        ["schemas", "register"],
        ["schemas", "register", "--dry-run", "--json"],
        ["topics", "list"],
        ["topics", "check"],
        ["topics", "create", "--dry-run"],
        ["tail", "--count", "1"],
        ["replay", "dead-letters"],
        ["replay", "dead-letters", "--dry-run", "--json"],
    ],
    ids=" ".join,
)
def test_unreachable_server_is_exit_code_1_with_a_message(
    arguments: list[str], unreachable: Settings, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Kafka's client tries until its time is over.
    monkeypatch.setattr("connector.topics.broker.SECONDS", 0.5)
    monkeypatch.setattr("connector.kafka.reader._TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("connector.replay.backlog._TIMEOUT_SECONDS", 0.5)
    started = time.monotonic()
    done = run(*arguments, settings=unreachable)
    assert time.monotonic() - started < 6
    assert done.exit_code == 1
    (problem,) = done.problems()
    assert "does not answer" in problem
    assert "registry.url" in problem or "bootstrap.servers" in problem
    assert not done.stdout


def test_unreachable_kafka_is_reported_in_time(unreachable: Settings, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * broker.SECONDS <= 20
    monkeypatch.setattr("connector.topics.broker.SECONDS", 2.0)
    started = time.monotonic()
    done = run("topics", "check", settings=unreachable)
    assert time.monotonic() - started < 2 * broker.SECONDS
    assert done.exit_code == 1
    assert "does not answer" in done.problems()[0]


def test_process_exit_code_is_that_of_the_error(unreachable: Settings) -> None:
    away = process("schemas", "list", settings=unreachable)
    assert (away.exit_code, len(away.problems()), away.stdout) == (1, 1, "")
    wrong = process("topics", "check", settings={"HTTP__PROT": "1"})
    assert (wrong.exit_code, len(wrong.problems()), wrong.stdout) == (2, 1, "")


def test_unreachable_bridge_is_exit_code_1_with_a_message(run: Runner) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/callbacks/kaleyra"
    done = run("send", "text", "--count", "3", "--url", url)
    assert done.exit_code == 1
    assert done.problems() == [f"nothing listens at {url}; is the bridge running? (make run, connector serve)"]
    assert "3 x " in done.stdout
    assert run("send", "text", "--count", "3", "--url", url, "--json").json()["sent"] == 3
    mixed = run(
        "send", "text", "--count", "10", "--url", url, "--malformed", "--duplicates", "--shuffle", "--seed", "7", "--json"
    )
    # Two are broken, and three of the twelve are sent twice.
    assert (mixed.json()["sent"], mixed.json()["seed"]) == (15, 7)


@pytest.mark.parametrize(
    ("called", "typed"),
    [("{folder}/.venv/bin/connector", ".venv/bin/connector"), ("/else/where/connector", "/else/where/connector")],
)
def test_dev_says_what_to_type_as_it_was_called(
    called: str, typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [called.format(folder=tmp_path)])
    monkeypatch.setenv("PATH", "")
    assert program_name() == typed


def test_dev_says_the_name_alone_when_it_is_in_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "connector"
    script.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_name() == "connector"


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_help_names_types_in_plain_words(run: Runner, path: tuple[str, ...]) -> None:
    shown = run(*path, "--help").stdout
    assert "--help" in shown
    assert not re.search(r"<\w+(?: range|\[\w+\])?>|\[[a-z_]+\]\.\.\.", shown), shown


# explain


def test_explain_shows_the_records_as_json(run: Runner) -> None:
    done = run("explain", str(SAMPLES_FOLDER / "order" / "fractional.json"), "--json")
    assert done.exit_code == 0
    report = done.json()
    assert list(report) == ["records", "dead_letters", "unmapped", "left_out", "refused"]
    assert report["dead_letters"] == []
    assert all(list(record) == ["topic", "key", "value", "headers"] for record in report["records"])
    by_topic = {record["topic"]: record for record in report["records"]}
    record = by_topic["kaleyra.whatsapp.orders"]
    assert record["key"] == record["value"]["record_key"]
    assert all(isinstance(item["item_price"], str) for item in record["value"]["product_items"]), "decimals are exact texts"
    assert record["headers"]["ce_type"] == "kaleyra.whatsapp.order"


def test_explain_shows_dead_letters_as_json(run: Runner) -> None:
    report = run("explain", str(SAMPLES_FOLDER / "rejected" / "does_not_fit.json"), "--json").json()
    (letter,) = report["dead_letters"]
    assert list(letter) == ["reason", "step", "detail"]
    assert letter["reason"] == "does_not_fit"


def test_explain_shows_keys_that_no_schema_maps(run: Runner, tmp_path: Path) -> None:
    body = envelope([message(message_type="document", document={"id": "1", "pages": 3, "cover": {"width": 1}})])
    file = tmp_path / "callback.json"
    file.write_bytes(body)
    done = run("explain", str(file), "--json")
    assert done.exit_code == 0
    assert done.json()["unmapped"] == ["message.document.cover.width", "message.document.pages"]
    assert "message.document.pages" in run("explain", str(file)).stdout


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_explain_is_strict_on_dead_letters_and_unmapped_keys_only_if_asked(
    run: Runner, tmp_path: Path, arguments: list[str]
) -> None:
    unmapped = tmp_path / "unmapped.json"
    unmapped.write_bytes(envelope([message(message_type="document", document={"id": "1", "pages": 3})], [contact()]))
    refused = tmp_path / "large.json"
    refused.write_bytes(b"x" * 5000)
    settings: Settings = {"HTTP__MAX_BODY_BYTES": "4096"}
    letter = SAMPLES_FOLDER / "rejected" / "does_not_fit.json"
    for file, complaint in ((letter, "does_not_fit in encode"), (unmapped, "message.document.pages"), (refused, "413")):
        assert run("explain", str(file), *arguments, settings=settings).exit_code == 0
        done = run("explain", str(file), "--strict", *arguments, settings=settings)
        assert (done.exit_code, complaint in done.stderr) == (1, True), done.stderr
    good = run("explain", str(SAMPLES_FOLDER / "order" / "fractional.json"), "--strict", *arguments)
    assert (good.exit_code, good.stderr) == (0, "")


def test_explain_reads_a_template_s_own_keys_by_the_settings(run: Runner, tmp_path: Path) -> None:
    file, settings_file = tmp_path / "callback.json", tmp_path / "connector.toml"
    file.write_text('{"sender": "393335550142", "type": "text", "text": "Ciao"}', encoding="utf-8")
    settings_file.write_text('[callbacks]\nrenamed_keys = { sender = "from", text = "body" }\n', encoding="utf-8")
    (record,) = run("explain", str(file), "--config", str(settings_file), "--json").json()["records"]
    assert record["key"] == "393335550142"
    assert run("explain", str(file), "--json").json()["dead_letters"][0]["reason"] == "unknown_shape"


def test_explain_says_what_to_do_about_a_callback_from_meta(run: Runner) -> None:
    done = run("explain", str(SAMPLES_FOLDER / "rejected" / "meta_direct.json"), "--json")
    assert done.exit_code == 0
    assert "point Meta's app at Kaleyra" in done.json()["dead_letters"][0]["detail"]


def test_explain_shows_no_copy_of_the_callback(run: Runner) -> None:
    done = run("explain", str(SAMPLES_FOLDER / "document" / "full.json"), "--json", settings={"TOPICS__RAW": "true"})
    assert "kaleyra.whatsapp.raw" not in {record["topic"] for record in done.json()["records"]}


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[]", b"{}"])
def test_explain_reports_a_body_that_is_no_callback(body: bytes, run: Runner, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(body)
    done = run("explain", str(tmp_path / "body"), "--json")
    assert done.exit_code == 0
    assert len(done.json()["dead_letters"]) == 1
    assert not done.json()["records"]


def test_explain_prints_the_same_facts_as_text_and_as_json(run: Runner) -> None:
    path = SAMPLES_FOLDER / "document" / "full.json"
    assert path in SAMPLES
    done = run("explain", str(path))
    assert done.exit_code == 0
    for record in run("explain", str(path), "--json").json()["records"]:
        assert record["topic"] in done.stdout
        assert record["key"] in done.stdout


def explained(run: Runner, folder: Path, body: bytes, *arguments: str) -> Any:
    (folder / "callback").write_bytes(body)
    done = run("explain", str(folder / "callback"), "--json", *arguments)
    assert done.exit_code == 0
    return done.json()


def test_explain_takes_a_query_or_a_form(run: Runner, tmp_path: Path) -> None:
    pairs = "from=393335550142&type=text&body=Perch%C3%A9"
    by_query = run("explain", "--query", f"?{pairs}", "--json").json()
    by_form = explained(run, tmp_path, pairs.encode(), "--form")
    for report in (by_query, by_form):
        assert [(record["topic"], record["value"]["body"]) for record in report["records"]] == [
            ("kaleyra.whatsapp.texts", "Perché")
        ]
    assert explained(run, tmp_path, pairs.encode())["dead_letters"][0]["reason"] == "not_json"


@pytest.mark.parametrize("path", BODIES, ids=sample_name)
def test_explain_recognises_the_type_of_a_body_or_is_given_it(path: Path, run: Runner) -> None:
    given = sample(path)
    by_type = run("explain", str(path), "--content-type", given.content_type, "--json").json()
    assert by_type["records"]
    assert not by_type["dead_letters"]
    if path.suffix in (".xml", ".multipart", ".html"):
        assert records_of(run("explain", str(path), "--json").json()) == records_of(by_type)


def records_of(report: Any) -> Any:
    """Return the records of a report without the times at which each was explained."""
    return [
        (
            one["topic"],
            one["key"],
            {name: part for name, part in one["value"].items() if name not in ("received_at", "seen_at")},
        )
        for one in report["records"]
    ]


def test_explain_shows_why_a_form_in_parts_or_xml_is_refused(run: Runner) -> None:
    for name in ("not_multipart.multipart", "not_xml.xml"):
        report = run("explain", str(SAMPLES_FOLDER / "rejected" / name), "--json").json()
        assert [letter["reason"] for letter in report["dead_letters"]] == [name.partition(".")[0]]


def test_explain_reports_dropped_values_and_empty_callbacks(run: Runner, tmp_path: Path) -> None:
    report = explained(run, tmp_path, envelope(contacts=[contact(None)]))
    assert (report["records"], report["dead_letters"]) == ([], [])
    assert report["left_out"]["contacts_without_profile"] == 1
    assert "nothing: left out: 1 contacts without profile" in run("explain", str(tmp_path / "callback")).stdout
    two = envelope([message(), message(id="wamid.2")], extra={"ref": "x", "media_url": "y"})
    assert explained(run, tmp_path, two)["left_out"]["ambiguous_extra_info"] == 2
    assert "left out: 2 ambiguous extra info" in run("explain", str(tmp_path / "callback")).stdout


def test_explain_reports_a_callback_that_would_be_refused(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "callback").write_bytes(envelope([message(text={"body": "x" * 2000})]))
    settings = {"HTTP__MAX_BODY_BYTES": "1024"}
    report = run("explain", str(tmp_path / "callback"), "--json", settings=settings).json()
    assert report["records"] == []
    assert report["refused"].startswith("413, its body has ")
    assert "nothing: 413, " in run("explain", str(tmp_path / "callback"), settings=settings).stdout
    assert run("explain", "--query", "hub.mode=subscribe", "--json").json()["refused"].startswith("400, ")


def test_explain_shows_unmapped_keys_at_any_level(run: Runner, tmp_path: Path) -> None:
    value = {"messages": [message()], "contacts": [contact(None, age=1)], "news": {"of": 1}, "messaging_product": "whatsapp"}
    body = {"meta_object": {"value": value, "field": "messages", "version": 3}, "extra_info": {"shoe": 44}, "beside": 1}
    report = explained(run, tmp_path, json.dumps(body).encode())
    assert report["unmapped"] == ["callback.beside", "contact.age", "extra.shoe", "meta_object.version", "value.news.of"]


def test_explain_shows_a_key_that_only_another_types_schema_maps(run: Runner, tmp_path: Path) -> None:
    strange = message(id="wamid.2", document={"filename": "x.pdf"})
    report = explained(run, tmp_path, envelope([message(message_type="document"), strange]))
    assert report["unmapped"] == ["message.document.filename"]


@pytest.mark.parametrize("text", ["Ciao", ["Ciao"], {"body": {"it": "Ciao"}}])
def test_explain_reports_no_unmapped_keys_for_a_dead_letter(text: Any, run: Runner, tmp_path: Path) -> None:
    report = explained(run, tmp_path, envelope([message(text=text)]))
    assert [letter["reason"] for letter in report["dead_letters"]] == ["does_not_fit"]
    assert report["unmapped"] == []


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\x7f\r\b"


def hostile_file(folder: Path) -> Path:
    unknown = message(message_type="document", document={"id": "1", f"x{HOSTILE}": 1})
    whole = message(id="wamid.2", text={"body": f"one\n\ttwo{HOSTILE}"})
    file = folder / "callback.json"
    file.write_bytes(envelope([whole, unknown, {**message(id="wamid.3"), "from": f"39{HOSTILE}"}]))
    return file


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["people", "scripts"])
def test_output_escapes_terminal_control_sequences(arguments: tuple[str, ...], run: Runner, tmp_path: Path) -> None:
    done = run("explain", str(hostile_file(tmp_path)), *arguments)
    assert done.exit_code == 0
    assert "owned" in done.stdout, "it is shown"
    found = {character for character in done.stdout if ord(character) < 32 or 127 <= ord(character) < 160}
    assert found <= {"\n", "\t"}
    assert all(written in done.stdout for written in (("\\u001b", "\\u009b") if arguments else ("\\x1b", "\\x9b", "\\x7f")))


def test_json_says_exactly_what_was_sent(run: Runner, tmp_path: Path) -> None:
    records = run("explain", str(hostile_file(tmp_path)), "--json").json()["records"]
    assert f"one\n\ttwo{HOSTILE}" in [record["value"].get("text") or record["value"].get("body") for record in records]


def test_explain_reads_stdin() -> None:
    done = process("explain", "-", "--json", stdin=envelope([message()]))
    assert done.exit_code == 0
    assert [record["topic"] for record in done.json()["records"]] == ["kaleyra.whatsapp.texts"]


def test_output_may_be_read_in_part() -> None:
    command = [sys.executable, "-m", "connector", "explain", str(SAMPLES_FOLDER / "document" / "full.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) in (0, 1)


# What the terminal, or the program that reads, can take

ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
FOREIGN = "Perché → 日本 \U0001f600"


def started(
    *arguments: str, environment: dict[str, str], stdout: Any = subprocess.PIPE
) -> "subprocess.CompletedProcess[bytes]":
    without_ours = {name: value for name, value in os.environ.items() if not name.startswith(("CONNECTOR_", "LC_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-m", "connector", *arguments],
        env={**without_ours, **environment},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("environment", ENCODINGS, ids=["ascii", "cp1252", "C"])
def test_terminal_without_utf8_gets_replacement_characters(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "callback.json"
    file.write_bytes(envelope([message(text={"body": FOREIGN})]))
    shown = started("explain", str(file), environment=environment)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"Perch" in shown.stdout
    assert b"?" in shown.stdout
    as_json = started("explain", str(file), "--json", environment=environment)
    (record,) = json.loads(as_json.stdout.decode("ascii"))["records"]
    assert record["value"]["body"] == FOREIGN, "JSON says the same in any encoding"


@pytest.mark.parametrize("environment", ENCODINGS, ids=["ascii", "cp1252", "C"])
@pytest.mark.parametrize("arguments", [["--help"], ["explain", "é→日"], ["nonsense→"], ["schemas", "diff", "→"]])
def test_messages_of_any_command_need_no_utf8(environment: dict[str, str], arguments: list[str]) -> None:
    ended = started(*arguments, environment=environment)
    assert ended.returncode in (0, 2)
    assert b"Traceback" not in ended.stdout + ended.stderr
    assert ended.stdout + ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["privacy"], ["privacy", "--json"], ["explain", "-", "--json"]])
def test_closed_output_is_exit_code_1_without_a_traceback(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = started(*arguments, environment={}, stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["privacy"], ["privacy", "--json"]])
def test_full_disk_is_exit_code_1_with_a_message(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = started(*arguments, environment={}, stdout=full)
    assert ended.returncode == 1
    assert b"No space left on device" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


# What is shown of a long value


def test_long_values_are_shortened_for_people_and_whole_in_json(run: Runner, tmp_path: Path) -> None:
    text = "x" * 100_000
    file = tmp_path / "callback.json"
    file.write_bytes(envelope([message(text={"body": text})]))
    began = time.monotonic()
    done = run("explain", str(file))
    assert time.monotonic() - began < 10
    assert "… (99,500 more characters)" in done.stdout.replace("\n", "")
    assert len(done.stdout) < 5000
    (record,) = run("explain", str(file), "--json").json()["records"]
    assert record["value"]["body"] == text


def test_long_tables_are_shortened_for_people_and_whole_in_json(run: Runner, tmp_path: Path) -> None:
    unknown = message(message_type="document", document={"id": "1", **{f"key{number}": 1 for number in range(1000)}})
    file = tmp_path / "callback.json"
    file.write_bytes(envelope([unknown]))
    assert "… (800 more; --json shows all)" in run("explain", str(file)).stdout
    assert len(run("explain", str(file), "--json").json()["unmapped"]) == 1000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", "short"),
        ("x" * 501, "x" * 500 + "… (1 more characters)"),
        (b"y" * 4_000_000, "y" * 500 + "… (3,999,500 more bytes)"),
        ([*range(22)], [*range(20), "… (2 more)"]),
        ([{"a": "z" * 600}], [{"a": "z" * 500 + "… (100 more characters)"}]),
        (None, None),
    ],
)
def test_value_says_how_much_more_there_is(value: Any, shown: Any) -> None:
    assert shortened(value) == shown
