"""config/connector.toml is the documentation of the settings: complete, equal to the code's defaults, and true."""

import json
import re
import socket
import tomllib
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr

from connector.errors import ConfigurationInvalid
from connector.http.listener import bind
from connector.settings.load import PASS_THROUGH, environment_names, is_variable, load_settings
from connector.settings.tables import PREFIX, RESERVED, Settings
from tests.support.commands import run_here
from tests.support.servers import done_as_process

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "connector.toml"
ANYBODY = {"CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true"}

# A value other than the default for texts, and for a table, which have a form each.
TEXTS: dict[str, Any] = {
    "http.host": "127.0.0.2",
    "http.path": "/other/path",
    "http.health_path": "/other/health",
    "kafka.aws_region": "eu-south-1",
    "authentication.header_name": "x-kaleyra",
    "authentication.header_value": "an invented value",
    "authentication.url_token": "another-token-0123456789",
    "tls.certificate_path": "elsewhere.pem",
    "tls.key_path": "elsewhere.pem",
    "tls.key_password": "an invented password",
    "tls.client_ca_path": "elsewhere.pem",
    "authentication.trusted_proxies": ["192.0.2.0/24", "2001:db8::/32"],
    "authentication.credentials": {"one": {"kind": "bearer", "secret": "an-invented-secret-01"}},
    "oauth.path": "/other/path",
    "oauth.signing_keys": {"one": "an-invented-key-of-32-characters-"},
    "oauth.signs_with": "two",
    "management.host": "127.0.0.2",
    "registry.url": "http://registry:8081",
    "registry.cache_folder": "elsewhere",
    "topics.prefix": "other.",
    "catalogue.folder": "elsewhere",
    "spool.folder": "elsewhere",
    "privacy.fields": {"order.text": "drop"},
    "privacy.hash_key_id": "2026",
    "privacy.hash_key": "an invented key of 32 characters",
    "privacy.seal_keys": f"2026:{'A' * 43}=",
}
COMPANIONS = {
    "authentication.header_name": {"CONNECTOR_AUTHENTICATION__HEADER_VALUE": "v"},
    "authentication.header_value": {"CONNECTOR_AUTHENTICATION__HEADER_NAME": "x"},
    "tls.certificate_path": {"CONNECTOR_TLS__KEY_PATH": "x"},
    "tls.key_path": {"CONNECTOR_TLS__CERTIFICATE_PATH": "x"},
    "tls.client_ca_path": {"CONNECTOR_TLS__CERTIFICATE_PATH": "x", "CONNECTOR_TLS__KEY_PATH": "x"},
    "oauth.signs_with": {f"CONNECTOR_OAUTH__SIGNING_KEYS__{name}": "k" * 32 for name in ("ONE", "TWO")},
    "privacy.hash_key_id": {"CONNECTOR_PRIVACY__HASH_KEY": "another invented key of 33 digits"},
    "privacy.hash_key": {"CONNECTOR_PRIVACY__HASH_KEY_ID": "2025"},
}


def plain(value: Any) -> Any:
    """Return a value as a settings file would have it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in value.model_fields_set}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, IPv4Network | IPv6Network) else value


def fields() -> Iterator[tuple[str, Any, Any]]:
    """Every setting of the code: `table.name`, its type and its default."""
    for table, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for name, inner in model.model_fields.items():
            yield f"{table}.{name}", inner.annotation, plain(inner.get_default(call_default_factory=True, validated_data={}))


def documented() -> dict[str, Any]:
    """Every setting of the file, the tables of clients' own properties as one value."""
    tables: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {f"{table}.{name}": value for table, content in tables.items() for name, value in content.items()}


def variable_of(name: str) -> str:
    return PREFIX + name.upper().replace(".", "__", 1)


def is_pass_through(name: str) -> bool:
    return name.upper().replace(".", "__") + "__" in PASS_THROUGH


PLAIN = [(name, kind, default) for name, kind, default in fields() if not is_pass_through(name)]


def another(name: str, kind: Any, default: Any) -> Any:
    if name in TEXTS:
        return TEXTS[name]
    if get_origin(kind) is Literal:
        return next(value for value in get_args(kind) if value != default)
    if isinstance(default, dict):
        return {"text": "body"}
    if isinstance(default, bool):
        return not default
    return (default / 2 or 1.5) if isinstance(default, float) else default + 1


def value_in(loaded: Settings, name: str) -> Any:
    table, _, field = name.partition(".")
    return plain(getattr(getattr(loaded, table), field))


def test_file_holds_every_setting_and_its_default() -> None:
    assert documented() == {name: dict(default) if is_pass_through(name) else default for name, _, default in fields()}


def test_values_of_the_file_have_the_types_of_the_code() -> None:
    code = {name: type(default) for name, _, default in fields() if not is_pass_through(name)}
    assert {name: type(value) for name, value in documented().items() if not is_pass_through(name)} == code


def test_file_changes_no_default() -> None:
    assert load_settings(FILE, ANYBODY) == load_settings(None, ANYBODY)


def test_every_setting_has_a_comment_above_it() -> None:
    above = ""
    shared = 0
    for number, line in enumerate(FILE.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#"):
            above, shared = "comment", 0
        elif not line or line.startswith("["):
            above = ""
        else:
            shared += 1
            assert above == "comment", f"line {number} has no comment above it: {line}"
            assert shared <= 2, f"line {number} shares its comment with two others: {line}"


def test_every_table_of_client_properties_is_explained() -> None:
    text = FILE.read_text(encoding="utf-8")
    for name in (name for name, _, _ in fields() if is_pass_through(name)):
        assert re.search(rf"^\[{re.escape(name)}\]\n# \S", text, re.MULTILINE), name


def test_file_lists_the_reserved_names() -> None:
    words = set(re.findall(r"[a-z.]+[a-z]", FILE.read_text(encoding="utf-8")))
    aliases = {"request.required.acks"}
    assert set(RESERVED) - aliases <= words


def test_variables_are_those_of_the_settings() -> None:
    assert environment_names() == {variable_of(name) for name, _, _ in PLAIN}


def test_variable_sets_its_setting(tmp_path: Path) -> None:
    unset = []
    for name, kind, default in PLAIN:
        wanted = another(name, kind, default)
        assert wanted != default, name
        text = json.dumps(wanted) if isinstance(wanted, bool | dict | list) else str(wanted)
        secret = tmp_path / name
        secret.write_text(f"{text}\n", encoding="utf-8")
        beside = {**ANYBODY, **COMPANIONS.get(name, {})}
        by_value = {**beside, variable_of(name): text}
        beside.pop(variable_of(name), None)
        by_file = {**beside, f"{variable_of(name)}_FILE": str(secret)}
        unset += [(name, by) for by in (by_value, by_file) if value_in(load_settings(FILE, by), name) != wanted]
    assert unset == []


def test_variable_sets_a_client_property() -> None:
    for table in PASS_THROUGH:
        outer, inner = table.lower().removesuffix("__").split("__")
        loaded = load_settings(FILE, {**ANYBODY, f"{PREFIX}{table}SOME_OWN_NAME": "value"})
        assert getattr(getattr(loaded, outer), inner)["some.own.name"] == "value", table


def test_variables_named_in_file_and_readme_exist() -> None:
    for file in (FILE, ROOT / "README.md"):
        for name in re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", file.read_text(encoding="utf-8")):
            assert is_variable(name) or is_variable(name.removesuffix("_FILE")), f"{file.name}: {name}"


def test_serve_reports_every_problem_on_a_separate_line(tmp_path: Path) -> None:
    file = tmp_path / "connector.toml"
    file.write_text('[http]\nport = "eighty"\nprot = 80\n[authentication]\nurl_token = "marked-secret"\n', encoding="utf-8")
    done = run_here({"CONNECTOR_HTTP__PATHS": "x", "CONNECTOR_LOGS__LEVEL": "loud"}, "serve", "--config", str(file))
    assert done.exit_code == 2
    assert "marked-secret" not in done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("connector: ") for line in lines)
    for named in ("http.port", "http.prot", "authentication.url_token", "CONNECTOR_HTTP__PATHS", "logs.level"):
        assert len([line for line in lines if line.startswith(f"connector: {named}: ")]) == 1, (named, lines)
    assert len(lines) == 5
    assert not done.stdout


def test_serve_does_not_start_without_authentication() -> None:
    done = run_here({}, "serve")
    assert done.exit_code == 2
    assert "no credential is set" in done.stderr


def test_serve_reports_every_wrong_client_property(tmp_path: Path) -> None:
    file = tmp_path / "connector.toml"
    file.write_text(
        '[kafka.client]\n"sasl.pasword" = "marked-secret"\n[kafka.producer]\n"linger.ns" = 3\n"linger.ms" = "soon"\n'
        f'[registry.client]\n"time" = 3\n[catalogue]\nfolder = "{tmp_path}/nowhere"\n',
        encoding="utf-8",
    )
    done = run_here(ANYBODY, "serve", "--config", str(file))
    assert done.exit_code == 2
    assert "marked-secret" not in done.stderr
    for named in ("sasl.pasword", "linger.ns", "linger.ms", "registry: ", "messages.toml"):
        assert len([line for line in done.stderr.splitlines() if named in line]) == 1, (named, done.stderr)


def test_serve_reports_wrong_privacy_with_all_other_problems() -> None:
    wrong = {"PRIVACY__PHONE": "mask", "PRIVACY__FIELDS": '{"order.textt": "hash"}', "KAFKA__PRODUCER__LINGER_NS": "1"}
    done = run_here({**ANYBODY, **{f"CONNECTOR_{name}": value for name, value in wrong.items()}}, "serve")
    assert done.exit_code == 2
    begins = [line.removeprefix("connector: ").partition(": ")[0] for line in done.stderr.splitlines()]
    assert sorted(begins) == ["kafka.producer", 'privacy.fields."order.textt"', 'privacy.phone = "mask"']


def test_serve_names_the_address_that_it_cannot_bind(tmp_path: Path) -> None:
    file = tmp_path / "connector.toml"
    file.write_text('[http]\nhost = "192.0.2.1"\nport = 1\n', encoding="utf-8")
    done = done_as_process(ANYBODY, "serve", "--config", str(file))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("connector: 192.0.2.1:1 cannot be listened on")
    assert "http.host" in done.stderr, "the port is not the problem"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "192.0.2.1"])
def test_host_that_cannot_be_bound_is_named_with_its_setting(host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"set management\.host to an address of this machine") as caught:
        bind(host, 0, "management.port", "management.host")
    assert "port by" not in str(caught.value)


def test_port_in_use_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationInvalid, match=rf"^127\.0\.0\.1:{port} .* choose another port by http\.port$"):
            bind("127.0.0.1", port, "http.port", "http.host")
