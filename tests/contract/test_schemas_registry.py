"""`connector schemas` against a scripted registry: one clear message for each answer, the exit code, and what is registered."""

import datetime as dt
import ipaddress
import json
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from connector.catalogue import data_folder
from tests.stack.ports import free_ports
from tests.support.commands import Done, Runner, Settings
from tests.support.scripted_registry import HANG, Script, ScriptedRegistry, error, scripted_registry

RECORD_TYPES = 14
SECRET = "an-invented-secret"


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with scripted_registry() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def shared_registry() -> Iterator[ScriptedRegistry]:
    """One for all tests in which it answers nothing of use: starting takes longer than asking."""
    with scripted_registry() as scripted:
        yield scripted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of avro/ and config/ that a test may change, without releases."""
    for name in ("avro", "config"):
        shutil.copytree(data_folder() / name, tmp_path / "contract" / name, ignore=shutil.ignore_patterns("released"))
    return tmp_path / "contract"


def at(registry: ScriptedRegistry, **more: str) -> Settings:
    return {"REGISTRY__URL": registry.url, **more}


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.registry.retries._FIRST_SECONDS", 0.01)


def always(answer: Response) -> Script:
    return lambda _: answer


def on(method: str, ending: str, answer: Response) -> Script:
    """Answer so where method and end of the path are these."""
    return lambda request: answer if request.method == method and request.url.path.endswith(ending) else None


def states(done: Done) -> dict[str, str]:
    return {row["record_type"]: row["state"] for row in done.json()}


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    schema = json.loads(file.read_text(encoding="utf-8"))
    edit(schema)
    file.write_text(json.dumps(schema), encoding="utf-8")


# What a registry may answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (error(401, 40101), ["rejects our credentials (401)", "basic.auth.user.info"]),
        (Response(status_code=401), ["rejects our credentials (401)", "basic.auth.user.info"]),
        (error(403, 40301), ["denies access to kaleyra.whatsapp.documents-value (403)", "permission"]),
        (Response(status_code=403), ["denies access to kaleyra.whatsapp.documents-value (403)"]),
        (error(409, 409), ["refuses kaleyra.whatsapp.documents-value: 409 from the registry"]),
        (error(422, 42201), ["refuses kaleyra.whatsapp.documents-value: 42201 from the registry"]),
        (error(500, 50001), ["failed for kaleyra.whatsapp.documents-value: 50001 from the registry"]),
        (HTMLResponse("<html>Bad gateway</html>", 502), ["no schema registry answers", "HTTP 502", "registry.url"]),
        (HTMLResponse("<html>Log in</html>"), ["no schema registry answers", "registry.url", "/apis/ccompat/v7"]),
        (HTMLResponse("<html>Not found</html>", 404), ["no schema registry answers", "HTTP 404", "registry.url"]),
        (error(404, 404), ["no schema registry answers", "HTTP 404"]),
        (RedirectResponse("http://127.0.0.1:1/login"), ["no schema registry answers", "HTTP 307"]),
        (PlainTextResponse("5"), ["no schema registry answers"]),
        (JSONResponse({}), ["no schema registry answers"]),
    ],
)
@pytest.mark.parametrize("command", [["list"], ["register"], ["check", "--registry"], ["diff"]])
def test_useless_answer_is_exit_code_1_with_a_message(
    command: list[str], answer: Response, said: list[str], shared_registry: ScriptedRegistry, run: Runner
) -> None:
    shared_registry.script = always(answer)
    done = run("schemas", *command, settings=at(shared_registry))
    assert done.exit_code == 1
    assert not done.stdout
    (problem,) = done.problems()
    assert all(words in problem for words in (shared_registry.url, *said))
    assert "<html>" not in problem
    assert ("nothing was registered or changed" in problem) == (command == ["register"])


# A registry that is busy for a moment


BUSY = [error(429, 42900), Response(status_code=429), error(500, 50001), error(503, 50301), HTMLResponse("<html>", 502)]


def busy(answer: Response, times: int) -> Script:
    """Answer so the first few times, then as the registry does."""
    left = iter([answer] * times)
    return lambda _: next(left, None)


@pytest.mark.parametrize("answer", BUSY, ids=lambda answer: str(answer.status_code))
@pytest.mark.parametrize("command", [["list"], ["register"], ["check", "--registry"], ["diff"], ["export"]])
def test_busy_registry_is_asked_again(
    command: list[str], answer: Response, registry: ScriptedRegistry, run: Runner, tmp_path: Path
) -> None:
    registry.script = busy(answer, 4)
    more = [str(tmp_path / "out")] if command == ["export"] else []
    done = run("schemas", *command, *more, settings=at(registry))
    assert done.exit_code == 0, done.stderr


def test_error_says_after_how_many_tries(registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = always(error(429, 42900))
    done = run("schemas", "list", settings=at(registry))
    assert done.exit_code == 1
    (problem,) = done.problems()
    assert "asked too often (429)" in problem
    assert problem.endswith("; after 5 tries")
    assert len(registry.seen) == 5


@pytest.mark.parametrize("answer", [error(401, 40101), error(403, 40301), error(422, 42201), error(404, 404)])
def test_refusal_is_not_sent_again(answer: Response, registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = always(answer)
    done = run("schemas", "list", settings=at(registry))
    assert (done.exit_code, len(registry.seen)) == (1, 1)
    assert "tries" not in done.stderr


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_registry_is_not_asked_before_its_retry_after(as_date: bool, registry: ScriptedRegistry, run: Runner) -> None:
    now = dt.datetime.now(dt.UTC)
    date = format_datetime(now, usegmt=True)
    until = format_datetime(now + dt.timedelta(seconds=1), usegmt=True)
    headers = {"retry-after": until, "date": date} if as_date else {"retry-after": "1"}
    registry.script = busy(Response(status_code=429, headers=headers), 1)
    began = time.monotonic()
    done = run("schemas", "list", settings=at(registry))
    assert done.exit_code == 0, done.stderr
    assert 1 <= time.monotonic() - began < 10


def test_long_retry_after_is_reported_instead_of_waited_for(registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = always(Response(status_code=503, headers={"retry-after": "3600"}))
    began = time.monotonic()
    done = run("schemas", "list", settings=at(registry))
    assert time.monotonic() - began < 5
    assert done.exit_code == 1
    assert done.problems()[0].endswith("; it asks to wait 3600 s")


def test_doctor_asks_a_busy_registry_again(registry: ScriptedRegistry, run: Runner) -> None:
    run("schemas", "register", settings=at(registry))
    registry.seen.clear()
    registry.script = lambda request: error(503, 50301) if "/subjects" in request.url.path and len(registry.seen) < 3 else None
    findings = run("doctor", "--json").json()
    assert {one["check"]: one["state"] for one in findings}["schemas"] == "ok", findings


def test_hanging_registry_is_reported_after_the_client_timeout(registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = always(HANG)
    started = time.monotonic()
    done = run("schemas", "register", settings=at(registry, REGISTRY__CLIENT__TIMEOUT="0.5"))
    assert time.monotonic() - started < 3
    assert done.exit_code == 1
    (problem,) = done.problems()
    assert "does not answer within 0.5 s" in problem
    assert "nothing was registered or changed" in problem


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "true", "[]"])
def test_invalid_timeout_is_exit_code_2_with_a_message(seconds: str, run: Runner) -> None:
    done = run("schemas", "list", settings={"REGISTRY__CLIENT__TIMEOUT": seconds})
    assert done.exit_code == 2
    (problem,) = done.problems()
    assert problem.startswith("registry.client timeout: must be a number")


@pytest.mark.parametrize("url", ["http://[::1", "ftp://registry", "http://a,ftp://b", "http://a,", "http://a b"])
def test_invalid_url_is_exit_code_2_with_a_message(url: str, run: Runner) -> None:
    done = run("schemas", "list", settings={"REGISTRY__URL": url})
    assert done.exit_code == 2
    (problem,) = done.problems()
    assert problem.startswith("registry")


# Registering


def test_registering_sets_the_level_first_and_is_idempotent(registry: ScriptedRegistry, run: Runner) -> None:
    first = run("schemas", "register", "--json", settings=at(registry))
    assert first.exit_code == 0
    assert {row["level"] for row in first.json()} == {"set: none → FULL_TRANSITIVE"}
    assert set(states(first).values()) == {"registered"}
    of_one = [(method, path) for method, path in registry.seen if "documents" in path]
    level, register = (
        ("PUT", "/config/kaleyra.whatsapp.documents-value"),
        ("POST", "/subjects/kaleyra.whatsapp.documents-value/versions"),
    )
    assert of_one.index(level) < of_one.index(register)
    registry.seen.clear()
    again = run("schemas", "register", "--json", settings=at(registry))
    assert {(row["state"], row["level"]) for row in again.json()} == {("unchanged", "unchanged")}
    assert not [method for method, path in registry.seen if method == "PUT" or path.endswith("/versions")]


def test_dry_run_changes_nothing(registry: ScriptedRegistry, run: Runner) -> None:
    done = run("schemas", "register", "--dry-run", "--json", settings=at(registry))
    assert {(row["state"], row["level"]) for row in done.json()} == {
        ("would be registered", "would be set: none → FULL_TRANSITIVE")
    }
    listed = run("schemas", "list", "--json")
    assert set(states(listed).values()) == {"missing"}
    assert not [method for method, _ in registry.seen if method == "PUT"]


@pytest.mark.parametrize("answer", [error(409, 409), error(422, 42205), error(403, 40301)])
def test_refused_schema_does_not_stop_the_others(answer: Response, registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = on("POST", "kaleyra.whatsapp.orders-value/versions", answer)
    done = run("schemas", "register", "--json", settings=at(registry))
    assert done.exit_code == 1
    assert states(done)["order"] == "not registered"
    assert list(states(done).values()).count("registered") == RECORD_TYPES - 1
    assert any("kaleyra.whatsapp.orders-value" in problem for problem in done.problems())
    assert "not registered: order" in done.stderr
    assert "registered: document, text" in done.stderr


def test_schema_is_skipped_if_its_level_cannot_be_set(registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = on("PUT", "/kaleyra.whatsapp.orders-value", error(403, 40301))
    done = run("schemas", "register", "--json", settings=at(registry))
    assert done.exit_code == 1
    (order,) = [row for row in done.json() if row["record_type"] == "order"]
    assert (order["state"], order["level"]) == ("not registered", "not set")


@pytest.mark.parametrize("answer", [error(401, 40101), error(500, 50001), HTMLResponse("<html>", 502), HANG])
def test_no_further_request_after_the_registry_fails(answer: Response, registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = on("POST", "kaleyra.whatsapp.texts-value/versions", answer)
    done = run("schemas", "register", "--json", settings=at(registry, REGISTRY__CLIENT__TIMEOUT="0.5"))
    assert done.exit_code == 1
    assert list(states(done).values())[:2] == ["registered", "registered"]
    assert states(done)["text"] == ("unknown" if answer is HANG else "not registered")
    assert set(list(states(done).values())[3:]) == {"not registered"}
    assert "registered: document, order; " in done.stderr


def test_schema_registered_despite_a_lost_answer_is_reported(registry: ScriptedRegistry, run: Runner) -> None:
    run("schemas", "register", settings=at(registry))
    subject = "/subjects/kaleyra.whatsapp.texts-value"
    look_ups = iter([error(404, 40403)])

    def first_look_up_finds_nothing(request: Request) -> Response | None:
        match request.method, request.url.path:
            case "POST", path if path == subject:
                return next(look_ups, None)
            case "POST", path if path == f"{subject}/versions":
                return error(500, 50001)
        return None

    registry.script = first_look_up_finds_nothing
    done = run("schemas", "register", "--json")
    assert done.exit_code == 1
    assert states(done)["text"] == "registered"


def test_broken_rule_registers_nothing(registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    change(folder / "avro" / "order.avsc", lambda schema: schema["fields"][-1].pop("doc"))
    done = run("schemas", "register", settings=at(registry, CATALOGUE__FOLDER=str(folder)))
    assert done.exit_code == 2
    assert done.problems()[0].startswith("avro/order.avsc, product_items: doc: ")
    assert done.problems()[-1] == "nothing was registered or changed"
    assert registry.seen == []


def test_our_rules_refuse_a_change_that_the_registry_accepts(registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    run("schemas", "register", settings=at(registry, CATALOGUE__FOLDER=str(folder)))

    def finer(schema: dict[str, Any]) -> None:
        (price,) = [one for one in schema["fields"][-1]["type"]["items"]["fields"] if one["name"] == "item_price"]
        price["type"][1]["scale"] = 8

    change(folder / "avro" / "order.avsc", finer)
    registry.seen.clear()
    for command in (["check", "--registry"], ["register"], ["register", "--dry-run"]):
        done = run("schemas", *command)
        assert done.exit_code == 2
        assert done.problems()[0] == (
            "avro/order.avsc, product_items[].item_price: decimal stays: scale is 8, was 6 (against registered version 1); "
            "restore it, and add a field with another name"
        )
    assert {method for method, path in registry.seen if not path.startswith("/subjects/")} == {"GET"}
    assert not [path for method, path in registry.seen if method == "POST" and path.endswith("/versions")]


def test_registered_schema_that_is_no_avro_is_reported(registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    run("schemas", "register", settings=at(registry, CATALOGUE__FOLDER=str(folder)))
    answer = JSONResponse({"subject": "s", "version": 1, "id": 1, "schema": "syntax = proto3;", "schemaType": "PROTOBUF"})
    registry.script = on("GET", "orders-value/versions/1", answer)
    done = run("schemas", "check", "--registry")
    assert done.exit_code == 2
    assert "the two cannot be compared" in done.problems()[0]


@pytest.mark.parametrize("name", ["avro/order.avsc", "config/messages.toml"])
def test_broken_file_registers_nothing(name: str, registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    (folder / name).write_text("{", encoding="utf-8")
    for command in ("register", "check", "list", "diff", "release 1.0.0"):
        done = run("schemas", *command.split(), settings=at(registry, CATALOGUE__FOLDER=str(folder)))
        assert done.exit_code == 2
        assert done.problems()[0].startswith(f"{name}: ")
        assert ("nothing was registered or changed" in done.problems()) == (command == "register")
    assert registry.seen == []


def test_violations_are_printed_as_json(folder: Path, run: Runner) -> None:
    change(folder / "avro" / "order.avsc", lambda schema: schema["fields"][-1].pop("doc"))
    done = run("schemas", "check", "--json", settings={"CATALOGUE__FOLDER": str(folder)})
    assert done.exit_code == 2
    (violation,) = done.json()["violations"]
    assert list(violation) == ["schema", "path", "rule", "fault", "advice", "against"]
    assert (violation["schema"], violation["path"], violation["rule"]) == ("avro/order.avsc", "product_items", "doc")
    well = run("schemas", "check", "--json", settings={"CATALOGUE__FOLDER": str(data_folder())})
    assert (well.exit_code, well.json()["violations"]) == (0, [])


# Listing, comparing, exporting


def add_later_field(folder: Path) -> dict[str, Any]:
    """Add a field to the orders' schema that the registry does not know yet; return it."""
    added = {
        "name": "later",
        "type": ["null", "string"],
        "default": None,
        "source": "message.order.later",
        "pii": "none",
        "doc": "Later.",
    }
    change(folder / "avro" / "order.avsc", lambda schema: schema["fields"].append(added))
    return added


def test_list_shows_our_version_and_another_one(registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    run("schemas", "register", settings=at(registry, CATALOGUE__FOLDER=str(folder)))
    add_later_field(folder)
    by_name = {row["record_type"]: row for row in run("schemas", "list", "--json").json()}
    assert (by_name["document"]["version"], by_name["document"]["state"]) == (1, "registered")
    order = by_name["order"]
    assert (order["version"], order["id"], order["latest_version"], order["state"]) == (None, None, 1, "different")
    run("schemas", "register")
    (order,) = [row for row in run("schemas", "list", "--json").json() if row["record_type"] == "order"]
    assert (order["version"], order["latest_version"], order["state"]) == (2, 2, "registered")


def test_diff_shows_fields_and_takes_versions(registry: ScriptedRegistry, folder: Path, run: Runner) -> None:
    unregistered = run("schemas", "diff", "order", "--json", settings=at(registry, CATALOGUE__FOLDER=str(folder)))
    assert [row["state"] for row in unregistered.json()] == ["missing"]
    run("schemas", "register")
    add_later_field(folder)
    change(folder / "avro" / "text.avsc", lambda schema: schema.update(doc="Another text."))
    done = run("schemas", "diff")
    assert done.exit_code == 0
    assert "order: differs from version 1" in done.stdout
    assert "later" in done.stdout
    assert "text: same fields as version 1" in done.stdout
    run("schemas", "register")
    (latest,) = run("schemas", "diff", "order", "--json").json()
    assert (latest["version"], latest["state"], latest["changes"]) == (2, "same", [])
    (first,) = run("schemas", "diff", "order", "--version", "1", "--json").json()
    assert (first["version"], first["state"]) == (1, "different")
    assert first["changes"] == [{"path": "later", "change": "added", "registered": None, "ours": "null or string"}]
    (none,) = run("schemas", "diff", "order", "--version", "9", "--json").json()
    assert none["state"] == "missing"
    assert "order: has no version 9" in run("schemas", "diff", "order", "--version", "9").stdout


def test_export_has_id_fingerprint_and_release_of_every_version(
    registry: ScriptedRegistry, folder: Path, run: Runner, tmp_path: Path
) -> None:
    run("schemas", "register", settings=at(registry, CATALOGUE__FOLDER=str(folder)))
    assert run("schemas", "release", "1.0.0").exit_code == 0
    added = add_later_field(folder)
    run("schemas", "register")
    done = run("schemas", "export", str(tmp_path / "out"), "--json")
    index = json.loads((tmp_path / "out" / "index.json").read_text(encoding="utf-8"))
    assert done.json() == index
    orders = [entry for entry in index if entry["record_type"] == "order"]
    assert [(entry["version"], entry["release"]) for entry in orders] == [(1, "1.0.0"), (2, None)]
    assert len({entry["id"] for entry in index}) == len(index) == RECORD_TYPES + 1
    exported = json.loads((tmp_path / "out" / orders[1]["file"]).read_text(encoding="utf-8"))
    assert exported["fields"][-1] == {key: added[key] for key in ("name", "type", "default", "doc")}
    again = run("schemas", "export", str(tmp_path / "out"))
    assert again.exit_code == 2
    assert "is not empty" in again.problems()[0]


def test_export_of_released_schemas_needs_no_registry(folder: Path, run: Runner, tmp_path: Path) -> None:
    settings = {"CATALOGUE__FOLDER": str(folder), "REGISTRY__URL": "http://127.0.0.1:1"}
    assert run("schemas", "export", str(tmp_path / "none"), "--released", "--json", settings=settings).json() == []
    assert "no version is released yet" in run("schemas", "export", str(tmp_path / "empty"), "--released").stdout
    run("schemas", "release", "1.0.0")
    index = run("schemas", "export", str(tmp_path / "out"), "--released", "--json").json()
    assert {(entry["release"], entry["id"]) for entry in index} == {("1.0.0", None)}
    assert len(list((tmp_path / "out").rglob("1.0.0.avsc"))) == RECORD_TYPES + 2, "those with a setting, too"


def test_export_that_fails_half_way_writes_nothing(registry: ScriptedRegistry, run: Runner, tmp_path: Path) -> None:
    run("schemas", "register", settings=at(registry))
    registry.script = on("GET", "texts-value/versions/1", error(500, 50001))
    assert run("schemas", "export", str(tmp_path / "out")).exit_code == 1
    assert not (tmp_path / "out").exists()


# Credentials, and several registries


def asks_for(header: str) -> Script:
    return lambda request: None if request.headers.get("authorization") == header else error(401, 40101)


def test_user_and_password_are_sent_and_never_shown(registry: ScriptedRegistry, run: Runner) -> None:
    registry.script = asks_for(f"Basic {b64encode(f'connector:{SECRET}'.encode()).decode()}")
    settings = at(registry, REGISTRY__CLIENT__BASIC_AUTH_USER_INFO=f"connector:{SECRET}")
    assert run("schemas", "register", settings=settings).exit_code == 0
    wrong = run("schemas", "list", settings={"REGISTRY__CLIENT__BASIC_AUTH_USER_INFO": f"other:{SECRET}"})
    assert wrong.exit_code == 1
    assert SECRET not in wrong.stderr
    half = run("schemas", "list", settings={"REGISTRY__CLIENT__BASIC_AUTH_USER_INFO": SECRET})
    assert half.exit_code == 2
    assert SECRET not in half.stderr


def test_bearer_token_is_sent(registry: ScriptedRegistry, run: Runner, tmp_path: Path) -> None:
    registry.script = asks_for(f"Bearer {SECRET}")
    (tmp_path / "token").write_text(f"{SECRET}\n", encoding="utf-8")
    settings = at(
        registry,
        REGISTRY__CLIENT__BEARER_AUTH_CREDENTIALS_SOURCE="STATIC_TOKEN",
        REGISTRY__CLIENT__BEARER_AUTH_LOGICAL_CLUSTER="any",
        REGISTRY__CLIENT__BEARER_AUTH_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert run("schemas", "register", settings=settings).exit_code == 0


def test_bearer_without_a_token_is_exit_code_2_with_a_message(registry: ScriptedRegistry, run: Runner) -> None:
    settings = at(registry, REGISTRY__CLIENT__BEARER_AUTH_CREDENTIALS_SOURCE="STATIC_TOKEN")
    done = run("schemas", "list", settings=settings)
    assert done.exit_code == 2
    assert "bearer.auth.logical.cluster" in done.problems()[0]


@pytest.mark.parametrize("answer", [None, error(503, 50301), HANG])
def test_second_registry_is_asked_when_the_first_is_away(
    answer: Response | None, registry: ScriptedRegistry, run: Runner
) -> None:
    with scripted_registry() as first:
        first.script = always(answer or HANG)
        url = first.url if answer else f"http://127.0.0.1:{free_ports(1)[0]}"
        settings = {"REGISTRY__URL": f"{url}, {registry.url}", "REGISTRY__CLIENT__TIMEOUT": "0.1"}
        done = run("schemas", "check", "--registry", "--json", settings=settings)
    assert done.exit_code == 0
    assert registry.seen


def test_all_registries_that_are_away_are_named(run: Runner) -> None:
    one, other = free_ports(2)
    done = run("schemas", "list", settings={"REGISTRY__URL": f"http://127.0.0.1:{one},http://127.0.0.1:{other}"})
    assert done.exit_code == 1
    assert all(str(port) in done.problems()[0] for port in (one, other))


def test_registry_behind_tls_is_known_by_its_certificate(run: Runner, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with scripted_registry((certificate, key)) as registry:
        stranger = run("schemas", "list", settings=at(registry))
        assert stranger.exit_code == 1
        assert "ssl.ca.location" in stranger.problems()[0]
        done = run("schemas", "register", settings=at(registry, REGISTRY__CLIENT__SSL_CA_LOCATION=str(certificate)))
        assert done.exit_code == 0


def test_missing_certificate_is_exit_code_2_with_a_message(run: Runner) -> None:
    done = run("schemas", "list", settings={"REGISTRY__CLIENT__SSL_CA_LOCATION": "no/such/file"})
    assert done.exit_code == 2
    assert done.problems()[0].startswith("registry: ")


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return files with a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(*pem, plain))
    return files
