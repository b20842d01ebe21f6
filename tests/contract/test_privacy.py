"""Nothing of a person and no secret leaves by a log, a metric, the readiness or a `repr`: only by Kafka.

Values that occur nowhere else are sent through every path, successful or not; then everything that was written is searched
for them. The bridge runs as in production, at log level debug; its Kafka and registry are those of `connector dev`.
"""

import asyncio
import base64
import io
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest
import structlog
from pydantic import SecretStr

from connector import logs
from connector.auth.authenticate import Credentials
from connector.catalogue import Catalogue, read_catalogue
from connector.commands.forget import read_person
from connector.http.app import create_app
from connector.http.listener import Listener, bind
from connector.http.management import create_management_app
from connector.metrics import Metrics, exposition
from connector.pipeline.decode import decode
from connector.pipeline.flow import Flow
from connector.pipeline.outcome import Failure, Outcome
from connector.pipeline.split import split
from connector.privacy.policy import Policy, holds_whole_callbacks
from connector.records import Answer, KafkaMessage, RawCallback, Request
from connector.seals import Seals, printable
from connector.settings.load import load_settings
from connector.settings.tables import Logs, Privacy
from tests.support import servers
from tests.support.callbacks import (
    SAMPLES,
    MemorySink,
    answer_to,
    by_form,
    by_query,
    callback_of,
    carry_request,
    contact,
    envelope,
    field_value,
    flow,
    header,
    item_of,
    message,
    order,
    raw,
    read,
    sample_name,
    status,
    translator,
    v1_message,
    v1_status,
)
from tests.support.commands import run_here
from tests.support.threaded_listener import serving

NUMBER = "393339998877"
NAME = "Markolfo Geheim"
TEXT = "ein ganz geheimer Text"
WAMID = "wamid." + base64.b64encode(f"\0\x1c{NUMBER}\x15\2".encode()).decode()
HEADER_SECRET = "marked-header-secret"
TRIED_TOKEN = "marked-token-of-a-stranger"
QUERY = "marked-query"
HASH_KEY = "marked-hash-key-of-32-characters"
SEAL_KEY = base64.b64encode(b"marked-seal-key-of-32-characters").decode()
SIGNING_KEY = "marked-signing-key-of-32-charact"
FILENAME = "geheimer-lebenslauf.pdf"
USER_ID = "IT.99988877766655"
MARKS = (NUMBER, NAME, "Geheim", TEXT, WAMID, WAMID[6:], HEADER_SECRET, servers.TOKEN, TRIED_TOKEN, QUERY, FILENAME, USER_ID)

PERSON = [contact(NAME, NUMBER, user_id=USER_ID)]
GOOD = envelope([message(NUMBER, "document", id=WAMID, document={"id": "1", "filename": FILENAME, "caption": TEXT})], PERSON)
STATUS = envelope(statuses=[status(NUMBER, id=WAMID)], contacts=PERSON)
ITEM = {"product_retailer_id": "1", "quantity": 1, "item_price": TEXT, "currency": "EUR"}
UNFIT = envelope([order(ITEM, id=WAMID, **{"from": NUMBER})], PERSON)
UNKNOWN_SHAPE = json.dumps({"name": NAME, "text": TEXT, "wa_id": NUMBER, "id": WAMID}).encode()
NO_JSON = f'{{"name": "{NAME}", "wa_id": {NUMBER}, {WAMID} {TEXT}'.encode()
NO_UTF8 = NO_JSON + b"\xff\xfe"
WRONG_TYPES = envelope([NAME, NUMBER, [TEXT]], {"wa_id": NUMBER}, extra=TEXT)
NO_KEY = envelope([message("", id=WAMID, text={"body": TEXT})])
TOO_LARGE = GOOD + b" " * 70_000
V1 = json.dumps({"from": NUMBER, "type": "text", "body": TEXT, "name": NAME, "id": WAMID}).encode()
CALL = (
    envelope([], PERSON)
    .replace(b'"messages"}', b'"calls"}')
    .replace(b'"messages":[]', b'"calls":[{"from":"%s"}]' % NUMBER.encode())
)
BODIES = (GOOD, STATUS, UNFIT, UNKNOWN_SHAPE, NO_JSON, NO_UTF8, WRONG_TYPES, NO_KEY, V1, CALL)


def marks_in(text: str) -> list[str]:
    return [mark for mark in MARKS if mark in text or quote(mark) in text or json.dumps(mark)[1:-1] in text]


def test_marks_are_found() -> None:
    assert all(marks_in(f"x{mark}y") for mark in MARKS)
    assert base64.b64decode(WAMID[6:]).decode().count(NUMBER) == 1


# The bridge as a process


def send(url: str, body: bytes, method: str = "POST", **headers: str) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode() + str(answer.headers)
    except (BrokenPipeError, ConnectionResetError):
        # Refused before all of the body was sent.
        return 0
    else:
        assert not marks_in(text)
        return answer.status
    finally:
        connection.close()


def shown(management_url: str) -> str:
    """All that the management port shows."""
    texts = []
    for path in ("/readyz", "/metrics", "/healthz"):
        parts = urlsplit(management_url)
        connection = HTTPConnection(parts.netloc, timeout=30)
        try:
            connection.request("GET", path)
            texts.append(connection.getresponse().read().decode())
        finally:
            connection.close()
    return "\n".join(texts)


def test_running_bridge_writes_no_personal_data(tmp_path: Path) -> None:
    # The topics that `dev` has made.
    settings = {"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}
    with servers.developing(settings, tmp_path) as (dev, addresses):
        environment = servers.environment(
            addresses.bootstrap_servers,
            addresses.registry_url,
            prefix=addresses.prefix,
            delivery_timeout_seconds=1,
            LOGS__LEVEL="debug",
            HTTP__MAX_BODY_BYTES="65536",
            AUTHENTICATION__HEADER_NAME="x-kaleyra",
            AUTHENTICATION__HEADER_VALUE=HEADER_SECRET,
            REGISTRY__CLIENT__BASIC_AUTH_USER_INFO=f"user:{HEADER_SECRET}",
            REGISTRY__CACHE_FOLDER=str(tmp_path / "cache"),
            REGISTRY__VERIFY_INTERVAL_SECONDS="0.5",
        )
        with servers.served(environment, tmp_path) as bridge:
            bridge.wait_until_ready()
            url = bridge.addresses.callback_url
            plain = url.removesuffix(f"/{servers.TOKEN}")
            for body in BODIES:
                assert send(f"{url}?{QUERY}={NUMBER}", body, user_agent=NAME, traceparent=NUMBER, x_more=TEXT) == 200
            assert send(plain, GOOD, x_kaleyra=HEADER_SECRET) == 200
            assert send(plain, GOOD, x_kaleyra=TRIED_TOKEN) in (401, 0)
            assert send(f"{plain}/{TRIED_TOKEN}?{QUERY}={NUMBER}", GOOD) in (401, 0)
            assert send(f"{plain}/{TRIED_TOKEN}/{NUMBER}", GOOD) == 404
            assert send(url, GOOD, "PATCH") in (405, 0)
            assert send(url, TOO_LARGE) in (413, 0)
            assert send(url, GOOD, content_length=NUMBER) in (413, 0)
            assert send(f"{url}?{QUERY * 1000}", GOOD) in (414, 0)
            assert send(url, GOOD, transfer_encoding=TEXT) in (400, 0)
            while_well = shown(bridge.addresses.management_url)
            dev.stop()
            # Kafka is away now.
            assert send(url, GOOD) == 503
            away = 'connector_schema_id_checks_total{outcome="no_answer"}'
            servers.eventually(lambda: away in shown(bridge.addresses.management_url))
            while_ill = shown(bridge.addresses.management_url)
            ended = bridge.stop()
        log = bridge.log()
    (kept,) = (tmp_path / "cache").iterdir()
    assert "connector_records_total" in while_well
    assert 'connector_dead_letters_total{reason="does_not_fit"}' in while_well
    assert "connector_unconfirmed_records_total" in while_ill
    assert '"ready"' in log, "the log is not the bridge's"
    assert ended.exit_code in (0, 1)
    assert "Traceback" not in log
    for text in (log, while_well, while_ill, kept.read_text(encoding="utf-8")):
        assert not marks_in(text)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands wait for an absent Kafka for a second instead of five or ten: what they write then is the same."""
    for name in (
        "doctor.kafka.SECONDS",
        "doctor.registry._SECONDS",
        "replay.backlog._TIMEOUT_SECONDS",
        "commands.forget._SECONDS",
    ):
        monkeypatch.setattr(f"connector.{name}", 1.0)


@pytest.mark.usefixtures("impatient")
def test_tokens_spool_replay_and_doctor_write_no_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, tmp_path) as (dev, addresses):
        client = {"kind": "oauth", "client_id": "kaleyra", "secret": HEADER_SECRET}
        spool = tmp_path / "spool"
        environment = servers.environment(
            addresses.bootstrap_servers,
            addresses.registry_url,
            prefix=addresses.prefix,
            delivery_timeout_seconds=1,
            LOGS__LEVEL="debug",
            SPOOL__FOLDER=str(spool),
            PRIVACY__SEAL_KEYS=f"k1:{SEAL_KEY}",
            AUTHENTICATION__CREDENTIALS=json.dumps({"client": client}),
            OAUTH__SIGNING_KEYS__A=SIGNING_KEY,
        )
        written: list[str] = []

        def command(*arguments: str) -> int:
            done = run_here(environment, *arguments)
            # What librdkafka writes itself goes to the file descriptor.
            written.append(done.stdout + done.stderr + "".join(capfd.readouterr()))
            assert "Traceback" not in written[-1]
            return done.exit_code

        with servers.served(environment, tmp_path) as bridge:
            bridge.wait_until_ready()
            url = bridge.addresses.callback_url.removesuffix(f"/{servers.TOKEN}")
            token_url = f"{url.partition('/callbacks')[0]}/oauth/token"
            stranger = {"client_id": NAME, "client_secret": TRIED_TOKEN}
            assert httpx.post(token_url, json=stranger, trust_env=False, verify=False).status_code == 401
            assert httpx.post(token_url, content=NO_JSON, trust_env=False, verify=False).status_code == 400
            ours = {"client_id": "kaleyra", "client_secret": HEADER_SECRET}
            token = httpx.post(token_url, json=ours, trust_env=False, verify=False).json()["access_token"]
            for body in BODIES:
                assert send(url, body, authorization=f"Bearer {token}") == 200
            assert send(url, GOOD, authorization=f"Bearer {TRIED_TOKEN}") in (401, 0)
            assert command("replay", "dead-letters", "--dry-run") == 0
            assert command("doctor") == 0
            dev.stop()
            # Kafka is away now.
            assert send(url, GOOD, authorization=f"Bearer {token}") == 200
            written.append(shown(bridge.addresses.management_url))
            assert command("doctor") == 1
            assert command("replay", "dead-letters") == 1
            bridge.stop()
        written.append(bridge.log())
    files = {path.name: path.read_bytes() for path in spool.iterdir()}
    assert b"s1:k1:" in b"".join(files.values()), "nothing was spooled"
    written += [content.decode("latin-1") for name, content in files.items() if name != "reserve"]
    for text in written:
        assert not marks_in(text)
        assert not [secret for secret in (token, SIGNING_KEY, SEAL_KEY) if secret in text]


# Unexpected faults


def configure(format_: Literal["json", "console"] = "json") -> io.StringIO:
    """Log as the bridge does, at debug, into what is returned."""
    logs.configure(Logs(level="debug", format=format_))
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    return stream


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Gives all that was written, to the logs and beside them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logging.Logger.manager.loggerDict}
    stream = configure()
    yield lambda: stream.getvalue() + "".join(capsys.readouterr())
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


class Leak(Exception):
    """An error whose message, cause and locals hold what must not be written."""

    @classmethod
    def of_everything(cls, *_: Any, **__: Any) -> NoReturn:
        everything = "\n".join(MARKS)
        raise cls(everything) from KeyError(everything)


def carried(carrier: Flow, body: bytes) -> int:
    async def read() -> RawCallback:
        return raw(body, query=QUERY)

    return asyncio.run(carry_request(carrier, Request([(b"x-kaleyra", HEADER_SECRET.encode())], None), read)).status


@pytest.mark.parametrize(
    ("step", "body"), [*(("decode", body) for body in BODIES), *(("split", body) for body in (GOOD, STATUS, UNFIT, NO_KEY))]
)
def test_fault_of_a_step_is_logged_by_its_place_alone(
    step: str, body: bytes, written: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    carrier = flow(metrics=metrics)
    monkeypatch.setattr(f"connector.pipeline.translate.{step}", Leak.of_everything)
    assert carried(carrier, body) == 200
    text = written()
    assert not marks_in(text)
    assert not marks_in(exposition(metrics).decode())
    (line,) = text.splitlines()
    report = json.loads(line)
    assert (report["event"], report["error"], report["level"]) == ("internal_error", "Leak", "error")
    assert report["where"].startswith("test_privacy.py:")


@pytest.mark.parametrize("methods", [["GET"], ["POST"], ["GET", "POST"]])
def test_callbacks_from_meta_are_logged_once_a_minute(methods: list[str], written: Callable[[], str]) -> None:
    body = json.dumps({"object": NAME, "entry": [TEXT, NUMBER, WAMID]}).encode()
    requests = {
        "GET": raw(b"", method="GET", query=f"hub.mode={QUERY}"),
        "POST": raw(body, method="POST"),
    }
    carrier = flow()

    for method in 5 * methods:
        answer_to(requests[method], carrier)

    (line,) = written().splitlines()
    assert not marks_in(line)
    report = json.loads(line)
    assert (report["event"], report["level"], report["times"]) == ("callbacks_from_meta", "warning", 1)
    assert "point Meta's app at Kaleyra" in report["advice"]


def asked(app: Any, path: str, body: bytes) -> int:
    """Ask an application behind the real listener, in its own thread."""
    http = load_settings(None, {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true"}).http
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    listener = Listener(app, http, drain_timeout_seconds=1)
    with serving(listener, listening):
        return send(f"http://127.0.0.1:{port}{path}", body, x_kaleyra=HEADER_SECRET)


class FailingSink(MemorySink):
    send = Leak.of_everything


def test_fault_of_the_sink_is_logged_by_its_place_alone(written: Callable[[], str]) -> None:
    metrics = Metrics()
    carrier = flow(FailingSink(), metrics=metrics)
    http = load_settings(None, {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true"}).http
    app = create_app(http, lambda: carrier, metrics)
    assert asked(app, f"{http.path}/{servers.TOKEN}?{QUERY}", GOOD) == 503
    text = written()
    assert not marks_in(text)
    assert json.loads(text.splitlines()[0])["event"] == "internal_error"


def test_fault_outside_our_code_is_logged_by_its_place_alone(written: Callable[[], str]) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        Leak.of_everything()

    assert asked(app, f"/{NUMBER}?{QUERY}", GOOD) == 500
    text = written()
    assert not marks_in(text)
    assert "Traceback" not in text
    (report,) = [json.loads(line) for line in text.splitlines()]
    assert (report["error"], report["level"], report["logger"]) == ("Leak", "error", "connector")


def test_fault_of_a_task_is_logged_by_its_place_alone(written: Callable[[], str]) -> None:
    async def leaking() -> None:
        Leak.of_everything()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(Leak.of_everything)
        task = asyncio.create_task(leaking())
        await asyncio.wait((task,))
        loop.call_exception_handler({"message": "a task failed", "exception": task.exception(), "task": task})

    asyncio.run(run())
    text = written()
    assert len(text.splitlines()) == 2
    assert not marks_in(text)
    assert "Traceback" not in text


def test_management_port_shows_nothing_of_a_fault(written: Callable[[], str]) -> None:
    assert asked(create_management_app(Leak.of_everything, None), "/readyz", b"") in (405, 500)
    assert not marks_in(written())


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("format_", ["json", "console"])
def test_error_of_a_library_is_logged_by_its_place_alone(
    format_: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configure(format_)
    try:
        Leak.of_everything()
    except Leak:
        logging.getLogger("some.library").exception("")
        logging.getLogger("some.library").exception("it failed\n%s", TEXT)
    assert stream.getvalue().count("test_privacy.py:") == 2
    assert not marks_in(stream.getvalue())
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.usefixtures("written")
def test_log_that_cannot_be_written_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure().close()
    try:
        Leak.of_everything()
    except Leak:
        logs.event("internal_error", where="somewhere")
        logging.getLogger("some.library").exception("it failed: %s", TEXT)
    assert "".join(capsys.readouterr()) == ""


@pytest.mark.usefixtures("written")
def test_log_that_cannot_be_formatted_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = configure()
    logging.getLogger("some.library").error("wrong arguments %d", TEXT)
    assert stream.getvalue() == "not_logged some.library ERROR\n"
    assert "".join(capsys.readouterr()) == ""


# What leaves by Kafka, where the settings hide it

HIDDEN = Privacy.model_validate(
    {
        "phone": "hash",
        "name": "mask",
        "content": "mask",
        "location": "drop",
        "link": "drop",
        "hash_key": HASH_KEY,
        "hash_key_id": "k1",
        "forget_changed_numbers": True,
    }
)
SEALED = HIDDEN.model_copy(update={"seal_keys": SecretStr(f"k1:{SEAL_KEY}")})
_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{12,}")


def everything_in(record: KafkaMessage) -> bytes:
    """All bytes of a record, and all that base64 hides among them, whichever byte it begins with."""
    parts = [record.key or b"", record.value, *(name.encode() + b"=" + content for name, content in record.headers)]
    return b"\n".join([*parts, *(found for part in parts for found in decoded_base64(part))])


def decoded_base64(content: bytes) -> Iterator[bytes]:
    for found in _ENCODED.findall(content):
        plain = found.translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            shifted = plain[start:]
            yield base64.b64decode(shifted[: len(shifted) // 4 * 4])


def wamid_of(number: str, end: str = "\x15\2\0\x12\x18\x16") -> str:
    """A wamid as WhatsApp makes them: the number in base64, behind three bytes."""
    return "wamid." + base64.b64encode(f"\x1d\4\x0c{number}{end}".encode("latin-1")).decode()


def marked(sample: Path) -> bytes:
    """A sample whose ids of messages hold the numbers that occur in it."""
    text = read(sample).decode()
    numbers = numbers_in(text) or [NUMBER]
    count = itertools.count()
    return re.sub(r"wamid\.[A-Za-z0-9+/=_-]+", lambda _: wamid_of(numbers[next(count) % len(numbers)]), text).encode()


def numbers_in(text: str) -> list[str]:
    """The invented numbers of people in a sample; those of the business begin otherwise."""
    return sorted(set(re.findall(r"(?<![0-9])(?:39333555[0-9]{4}|5[245][0-9]{9,11})(?![0-9])", text)))


def of_whole_callbacks(of: Catalogue) -> set[str]:
    return {record_type.topic for record_type in of if holds_whole_callbacks(record_type.schema)}


@pytest.mark.parametrize("rules", [HIDDEN, SEALED], ids=["hidden", "sealed"])
def test_hidden_numbers_are_in_no_record_of_any_sample(rules: Privacy) -> None:
    of = read_catalogue(policy=Policy.of(rules))
    carrier, keeping = translator(of=of), translator()
    topics = set()
    found_in_clear = 0
    for sample in SAMPLES:
        body = marked(sample)
        numbers = [number.encode() for number in numbers_in(body.decode())]
        kept = keeping.translate(raw(body))
        found_in_clear += sum(number in everything_in(one) for one in kept for number in numbers)
        hidden = carrier.translate(raw(body))
        for one in hidden:
            if rules is SEALED or one.topic not in of_whole_callbacks(of):
                topics.add(one.topic)
                assert not [number for number in numbers if number in everything_in(one)], (sample_name(sample), one)
        ids = {header(one, "ce_id") for one in kept} & {header(one, "ce_id") for one in hidden}
        assert not ids, "anyone could try numbers against a digest without a key"
    assert found_in_clear > 150, "the search finds nothing"
    assert len(topics) >= 13


@pytest.mark.parametrize("body", BODIES)
def test_sealed_and_hidden_callbacks_have_no_personal_data(body: bytes) -> None:
    query = f"{QUERY}={NUMBER}"
    for one in translator(of=read_catalogue(policy=Policy.of(SEALED))).translate(raw(body, query=query)):
        everything = everything_in(one)
        assert not [mark for mark in (*MARKS, HASH_KEY) if mark.encode() in everything], one


def test_sealed_query_of_a_get_has_no_personal_data() -> None:
    query = urlencode({"name": NAME, "phone": NUMBER, "text": TEXT, "wamid": WAMID})
    (letter,) = translator(of=read_catalogue(policy=Policy.of(SEALED))).translate(raw(b"", method="GET", query=query))
    assert not [mark for mark in MARKS if mark.encode() in everything_in(letter)]


OTHER_SHAPES = {
    "message": by_query(v1_message(**{"from": NUMBER, "mobile": NUMBER, "name": NAME, "body": TEXT, "id": WAMID})),
    "message without an id": by_form(v1_message(**{"from": NUMBER, "mobile": NUMBER, "name": NAME, "body": TEXT})),
    "status": by_query(v1_status(mobile=NUMBER, id=WAMID)),
    "status by phone_number": by_form(v1_status(mobile="", phone_number=NUMBER, id=WAMID)),
    "preference": raw(field_value("user_preferences", {"user_preferences": [{"wa_id": NUMBER, "value": TEXT}]})),
    "echo": raw(field_value("smb_message_echoes", {"message_echoes": [{"to": NUMBER, "id": WAMID, "text": {"body": TEXT}}]})),
    "group": raw(field_value("group_participants_update", {"groups": [{"added_participants": [{"wa_id": NUMBER}]}]})),
    "account": raw(field_value("account_update", {"event": "VERIFIED_ACCOUNT", "phone_number": NUMBER})),
}


@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_hidden_callbacks_of_other_shapes_have_no_personal_data(shape: str) -> None:
    records = translator(of=read_catalogue(policy=Policy.of(SEALED))).translate(OTHER_SHAPES[shape])
    assert records
    for one in records:
        assert not [mark for mark in MARKS if mark.encode() in everything_in(one)], one
    assert any(NUMBER.encode() in everything_in(one) for one in translator().translate(OTHER_SHAPES[shape]))


@pytest.mark.usefixtures("impatient")
def test_privacy_commands_show_no_personal_data(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sealed = printable(Seals({"other": b"k" * 32}).seal(GOOD)) or ""
    file = tmp_path / "sealed"
    file.write_text(sealed, encoding="utf-8")
    environment = {
        **servers.environment("127.0.0.1:1", "http://127.0.0.1:1"),
        "CONNECTOR_PRIVACY__PHONE": "hash",
        "CONNECTOR_PRIVACY__HASH_KEY": HASH_KEY,
        "CONNECTOR_PRIVACY__HASH_KEY_ID": "k1",
        "CONNECTOR_PRIVACY__SEAL_KEYS": f"k1:{SEAL_KEY}",
        "CONNECTOR_LOGS__LEVEL": "debug",
    }
    for arguments, code in (
        (["forget", NUMBER], 1),
        (["forget", NUMBER, "--old-key", HASH_KEY], 2),
        (["explain", str(file)], 2),
        (["privacy", "--all"], 0),
        (["doctor"], 1),
    ):
        done = run_here(environment, *arguments)
        assert done.exit_code == code, (arguments, done)
        shown_there = done.stdout + done.stderr + "".join(capfd.readouterr())
        assert "Traceback" not in shown_there
        assert not marks_in(shown_there)
        assert SEAL_KEY not in shown_there
        assert arguments[-1] == HASH_KEY or HASH_KEY not in shown_there


# What is shown of a value


def values() -> Iterator[Any]:
    received = raw(GOOD, query=QUERY, content_type=TEXT)
    callback = decode(received)
    yield received
    yield callback
    yield callback_of([GOOD], PERSON)
    yield from split(callback, received).items
    yield item_of(contact=PERSON[0], key=NUMBER)
    sink = MemorySink()
    for body in BODIES:
        carried(flow(sink), body)
    yield from sink.messages
    yield Failure(sink.messages[0], "MSG_SIZE_TOO_LARGE", for_good=True)
    yield Outcome([Failure(sink.messages[0], "MSG_SIZE_TOO_LARGE", for_good=True)], [])
    yield Request([(b"x-kaleyra", HEADER_SECRET.encode()), (b"user-agent", NAME.encode())], TRIED_TOKEN)
    yield Credentials(b"x-kaleyra", HEADER_SECRET.encode(), servers.TOKEN.encode())
    settings = load_settings(
        None,
        {
            "CONNECTOR_AUTHENTICATION__URL_TOKEN": servers.TOKEN,
            "CONNECTOR_AUTHENTICATION__HEADER_NAME": "x-kaleyra",
            "CONNECTOR_AUTHENTICATION__HEADER_VALUE": HEADER_SECRET,
            "CONNECTOR_KAFKA__CLIENT__SASL_PASSWORD": HEADER_SECRET,
            "CONNECTOR_KAFKA__PRODUCER__SSL_KEY_PASSWORD": HEADER_SECRET,
            "CONNECTOR_REGISTRY__CLIENT__BASIC_AUTH_USER_INFO": f"user:{HEADER_SECRET}",
            "CONNECTOR_PRIVACY__HASH_KEY": f"{HEADER_SECRET}-of-32-characters",
            "CONNECTOR_PRIVACY__HASH_KEY_ID": "k1",
            "CONNECTOR_PRIVACY__SEAL_KEYS": f"k1:{base64.b64encode(HEADER_SECRET.ljust(32).encode()).decode()}",
        },
    )
    yield settings
    yield Policy.of(settings.privacy)
    yield read_person(NUMBER, (), also_plain=True)
    yield Credentials.of(settings.authentication)
    yield flow(MemorySink(), credentials=Credentials.of(settings.authentication))


def test_no_repr_shows_content() -> None:
    for value in values():
        for text in (repr(value), str(value), f"{value}", f"{value!r}", repr([value]), repr({"value": value})):
            assert not marks_in(text), type(value)


def test_unauthenticated_answer_shows_nothing() -> None:
    read: list[bytes] = []

    async def fetch() -> RawCallback:
        read.append(GOOD)
        return raw(GOOD)

    stranger: Callable[[], Awaitable[RawCallback | Answer]] = fetch
    carrier = flow(credentials=Credentials(url_token=servers.TOKEN.encode()))
    answer = asyncio.run(carry_request(carrier, Request([], TRIED_TOKEN), stranger))
    assert answer.status == 401
    assert not marks_in(repr(answer))
    assert not read, "the body of an unauthenticated request is not read"
