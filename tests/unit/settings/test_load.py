"""The settings: their sources, which one wins, and the messages for wrong ones."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from connector.errors import ConfigurationInvalid
from connector.kafka.producers import check_properties
from connector.settings.load import environment_names, load_settings, load_settings_for_tools
from connector.settings.producer import in_its_table, max_message_bytes, producer_properties
from connector.settings.tables import RESERVED, SIMPLE, Settings

TOKEN = "invented-token-0123456789"
SECRET = "m4rked-s3cret"
Environment = dict[str, str]
BASE = {"CONNECTOR_AUTHENTICATION__URL_TOKEN": TOKEN}


@pytest.fixture
def loaded(tmp_path: Path) -> "Loading":
    return Loading(tmp_path)


class Loading:
    """Loads settings from a TOML text and variables without `CONNECTOR_`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, toml: str = "", *, base: Environment = BASE, **variables: str) -> Settings:
        file = self._folder / "connector.toml"
        file.write_text(toml, encoding="utf-8")
        return load_settings(file, {**base, **{f"CONNECTOR_{name}": value for name, value in variables.items()}})

    def problems(self, toml: str = "", *, base: Environment = BASE, **variables: str) -> list[str]:
        with pytest.raises(ConfigurationInvalid) as caught:
            self(toml, base=base, **variables)
        assert caught.value.__context__ is None, "the library's error would be shown with its input"
        assert SECRET not in str(caught.value)
        return list(caught.value.problems)


def named(problems: list[str]) -> list[str]:
    return sorted(problem.partition(": ")[0] for problem in problems)


def test_environment_wins_over_the_file_and_the_file_over_defaults(loaded: Loading) -> None:
    found = loaded("[http]\nport = 81\nmax_connections = 7", HTTP__PORT="82")
    assert (found.http.port, found.http.max_connections, found.http.path) == (82, 7, "/callbacks/kaleyra")


def test_variables_without_our_prefix_are_ignored(loaded: Loading) -> None:
    assert loaded("", base={**BASE, "HTTP__PORT": "81", "PORT": "1", "CONNECTORX_HTTP__PORT": "2"}).http.port == 8080


def test_every_kind_of_problem_is_reported_at_once(loaded: Loading, tmp_path: Path) -> None:
    problems = loaded.problems(
        f"""
        [http]
        port = "{SECRET}"
        max_body_bytes = 1
        speed = 3
        [unknown]
        table = 1
        [authentication]
        header_name = "x-kaleyra"
        url_token = "short"
        url_tokens = "{SECRET}"
        [kafka]
        delivery_timeout_seconds = -1
        [kafka.client]
        "acks" = 1
        "sasl.password" = ["{SECRET}"]
        [kafka.producer]
        "enable.idempotence" = false
        "partitioner" = "random"
        [registry.client]
        "ssl.key.password" = ["{SECRET}"]
        [logs]
        level = "{SECRET}"
        """,
        base={},
        HTTP__PROT="80",
        MANAGEMENT__HOST_FILE=str(tmp_path / "missing"),
        KAFKA__PRODUCER__MESSAGE_MAX_BYTES="5",
    )
    assert named(problems) == sorted(
        [
            "CONNECTOR_HTTP__PROT",
            "CONNECTOR_MANAGEMENT__HOST_FILE",
            "authentication.header_value",
            "authentication.url_token",
            "authentication.url_tokens",
            "http.max_body_bytes",
            "http.port",
            "http.speed",
            "kafka.client.sasl.password",
            "kafka.delivery_timeout_seconds",
            "kafka.producer",
            "logs.level",
            "registry.client.ssl.key.password",
            "unknown",
        ]
    )
    (reserved,) = [problem for problem in problems if problem.startswith("kafka.producer: ")]
    assert all(name in reserved for name in ("enable.idempotence", "partitioner", "message.max.bytes"))


@pytest.mark.parametrize("table", ["client", "producer"])
@pytest.mark.parametrize("name", RESERVED)
def test_properties_of_the_delivery_guarantee_are_reserved(loaded: Loading, table: str, name: str) -> None:
    (problem,) = loaded.problems(f'[kafka.{table}]\n"{name}" = 1')
    assert problem.startswith(f"kafka.{table}: {name}: reserved")
    variable = f"CONNECTOR_KAFKA__{table.upper()}__{name.upper().replace('.', '_')}"
    (problem,) = loaded.problems("", base={**BASE, variable: "1"})
    assert problem.startswith(f"kafka.{table}: {name}: reserved")


def test_at_least_one_credential_is_required(loaded: Loading) -> None:
    (problem,) = loaded.problems("", base={})
    assert "no credential is set" in problem
    assert named(loaded.problems("[http]\nport = 99999", base={})) == ["authentication", "http.port"]
    assert loaded("[authentication]\nallow_anyone = true", base={}).authentication.allow_anyone


def test_tools_need_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment_names():
        monkeypatch.delenv(name, raising=False)
    assert load_settings_for_tools().authentication.allow_anyone


@pytest.mark.parametrize(
    ("name", "value"),
    [("URL_TOKEN", "short"), ("HEADER_NAME", "x y"), ("ALLOW_ANYONE_FILE", "/no/such/file"), ("URL_TOKEN_FILE", "/no")],
)
def test_tools_ignore_wrong_authentication_settings(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for known in environment_names():
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setenv(f"CONNECTOR_AUTHENTICATION__{name}", value)
    file = tmp_path / "connector.toml"
    file.write_text('[authentication]\nurl_token = "short"\n', encoding="utf-8")
    assert load_settings_for_tools(file).authentication.allow_anyone
    monkeypatch.setenv("CONNECTOR_AUTHENTICATION__URL_TOKENS", "x")
    with pytest.raises(ConfigurationInvalid, match="there is no such setting"):
        load_settings_for_tools()


CREDENTIAL = "authentication.credentials.one"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('kind = "magic"', ["'header'", "'network'"]),
        ('kind = "header"', ["needs header_name", "needs secret"]),
        (f'kind = "header"\nheader_name = "x"\nsecret = " {SECRET}"', ["printable ASCII"]),
        (f'kind = "basic"\nuser = "a:b"\nsecret = "{SECRET}"', ["without a colon"]),
        (f'kind = "basic"\nsecret = "{SECRET}é"', ["needs user", "printable ASCII"]),
        ('kind = "bearer"\nsecret = "short"', ["16 characters"]),
        (f'kind = "bearer"\nsecret = "{SECRET} {SECRET}"', ["can contain only letters"]),
        (f'kind = "url_token"\nsecret = "{SECRET}/{SECRET}"', ["can contain only letters"]),
        (f'kind = "url_token"\nsecret = "{SECRET}-{SECRET}"\nuser = "x"', ["does not use user"]),
        ('kind = "oauth"', ["needs client_id", "needs secret"]),
        ('kind = "network"', ["needs networks"]),
        (f'kind = "network"\nnetworks = ["192.0.2.0/24"]\nsecret = "{SECRET}"', ["does not use secret"]),
    ],
)
def test_credential_must_have_what_its_kind_needs(loaded: Loading, table: str, words: list[str]) -> None:
    (problem,) = loaded.problems(f"[{CREDENTIAL}]\n{table}", base={})
    assert problem.startswith(CREDENTIAL)
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize("name", ["a-b", "A", "a__b", "_a", "é", "x" * 41])
def test_credential_name_must_fit_an_environment_variable(loaded: Loading, name: str) -> None:
    (problem,) = loaded.problems(f'[authentication.credentials."{name}"]\nkind = "network"\nnetworks = ["::/0"]', base={})
    assert problem.startswith("authentication.credentials.")


@pytest.mark.parametrize("name", SIMPLE)
def test_credential_name_must_not_be_reserved(loaded: Loading, name: str) -> None:
    (problem,) = loaded.problems(f'[authentication.credentials.{name}]\nkind = "network"\nnetworks = ["::/0"]', base={})
    assert "choose another name" in problem


def test_every_wrong_credential_is_reported_at_once(loaded: Loading) -> None:
    problems = loaded.problems(
        """
        [authentication]
        trusted_proxies = ["10.0.0.1/8"]
        [authentication.credentials.one]
        kind = "magic"
        [authentication.credentials.two]
        kind = "header"
        [authentication.credentials.three]
        kind = "bearer"
        secrets = "x"
        [oauth]
        signing_keys = { a = "short" }
        [http]
        max_bytes_in_flight = 5000
        """,
        base={},
        AUTHENTICATION__CREDENTIALS__FOUR__KIND="header",
        AUTHENTICATION__CREDENTIALS__FOUR__SECRETS="x",
        AUTHENTICATION__CREDENTIAL__FIVE__KIND="header",
    )
    assert named(problems) == [
        "CONNECTOR_AUTHENTICATION__CREDENTIAL__FIVE__KIND",
        "authentication.credentials.four.secrets",
        "authentication.credentials.one.kind",
        "authentication.credentials.three.secrets",
        "authentication.credentials.two",
        "authentication.trusted_proxies.0",
        "http.max_bytes_in_flight",
        "oauth.signing_keys",
    ]


def test_credential_in_file_gets_its_secret_from_environment(loaded: Loading, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{TOKEN}\n", encoding="utf-8")
    found = loaded(
        f'[{CREDENTIAL}]\nkind = "bearer"',
        base={},
        AUTHENTICATION__CREDENTIALS__ONE__SECRET_FILE=str(secret),
        AUTHENTICATION__CREDENTIALS__NEXT_ONE__KIND="oauth",
        AUTHENTICATION__CREDENTIALS__NEXT_ONE__CLIENT_ID="kaleyra",
        AUTHENTICATION__CREDENTIALS__NEXT_ONE__SECRET=SECRET * 2,
        AUTHENTICATION__CREDENTIALS__NEXT_ONE__NETWORKS="192.0.2.0/24, 2001:db8::/32",
        AUTHENTICATION__CREDENTIALS__NEXT_ONE__MAX_CALLBACKS_PER_SECOND="5",
        OAUTH__SIGNING_KEYS__A_1=SECRET * 3,
    )
    assert set(found.authentication.credentials) == {"one", "next_one"}
    one, other = found.authentication.credentials["one"], found.authentication.credentials["next_one"]
    assert one.secret.get_secret_value() == TOKEN
    assert ([str(network) for network in other.networks], other.max_callbacks_per_second) == (
        ["192.0.2.0/24", "2001:db8::/32"],
        5,
    )
    assert found.oauth.signing_key_id() == "a_1"
    assert SECRET not in repr(found) + str(found)


def test_oauth_credentials_need_a_signing_key(loaded: Loading) -> None:
    client = f'[{CREDENTIAL}]\nkind = "oauth"\nclient_id = "k"\nsecret = "{SECRET * 2}"\n'
    (problem,) = loaded.problems(client, base={})
    assert problem.startswith("oauth: credentials of the kind oauth need a key")
    keys = {f"OAUTH__SIGNING_KEYS__{name}": SECRET * 3 for name in "AB"}
    (problem,) = loaded.problems(client, base={}, **keys)
    assert problem.startswith("oauth.signs_with: set it to the id")
    assert loaded(client, base={}, **keys, OAUTH__SIGNS_WITH="b").oauth.signing_key_id() == "b"
    (problem,) = loaded.problems(client, base={}, **keys, OAUTH__SIGNS_WITH="c")
    assert problem.startswith("oauth.signs_with: ")


def test_token_path_must_not_be_below_the_callback_path(loaded: Loading) -> None:
    (problem,) = loaded.problems('[oauth]\npath = "/callbacks/kaleyra/token"')
    assert problem.startswith("oauth: path must not be below http.path")
    assert loaded('[oauth]\npath = "/callbacks/kaleyra-token"').oauth.path == "/callbacks/kaleyra-token"


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ('certificate_path = "x"', "tls.key_path"),
        ('key_path = "x"', "tls.key_path"),
        ('client_ca_path = "x"', "tls.client_ca_path"),
    ],
)
def test_tls_settings_require_each_other(loaded: Loading, given: str, reported: str) -> None:
    assert named(loaded.problems(f"[tls]\n{given}")) == [reported]


@pytest.mark.parametrize("given", ["", " ", ",", " , "])
def test_bootstrap_servers_must_not_be_empty(loaded: Loading, given: str) -> None:
    (problem,) = loaded.problems("", KAFKA__CLIENT__BOOTSTRAP_SERVERS=given)
    assert problem.startswith("kafka.client: bootstrap.servers is empty")


@pytest.mark.parametrize("table", ["client", "producer"])
def test_wrong_property_is_reported_with_its_table(loaded: Loading, table: str) -> None:
    found = loaded(f"[kafka.{table}]\nlinger = 1")
    (problem,) = check_properties(producer_properties(found))
    assert in_its_table(found, problem).startswith(f"kafka.{table}: linger: No such configuration property")
    assert in_its_table(found, "kafka: they contradict each other") == "kafka: they contradict each other"


@pytest.mark.parametrize("given", ['header_name = "x"', 'header_value = "x"'])
def test_header_needs_name_and_value(loaded: Loading, given: str) -> None:
    (problem,) = loaded.problems(f"[authentication]\n{given}")
    assert problem.startswith("authentication.header_value: header_name and header_value belong together")


@pytest.mark.parametrize("name", ["x y", "x:", "é", "x\\n"])
def test_header_name_must_be_valid(loaded: Loading, name: str) -> None:
    problems = loaded.problems(f'[authentication]\nheader_name = "{name}"\nheader_value = "{SECRET}"')
    assert named(problems) == ["authentication.header_name"]


@pytest.mark.parametrize("value", [f"{SECRET}\\n", f" {SECRET}", f"{SECRET}é", f"{SECRET}\\u0000"])
def test_header_value_that_http_cannot_carry_is_refused(loaded: Loading, value: str) -> None:
    problems = loaded.problems(f'[authentication]\nheader_name = "x"\nheader_value = "{value}"')
    assert named(problems) == ["authentication.header_value"]


@pytest.mark.parametrize("token", ["short", "a" * 15, "m4rked-s3cret/m4rked-s3cret", "m4rked-s3cret m4rked-s3cret", "é" * 20])
def test_token_must_be_long_and_fit_a_path(loaded: Loading, token: str) -> None:
    problems = loaded.problems("", base={}, AUTHENTICATION__URL_TOKEN=token)
    assert named(problems) == ["authentication.url_token"]


@pytest.mark.parametrize(
    "toml",
    [
        f'[authentication]\nurl_token = ["{SECRET}"]',
        f'[authentication.url_token]\nx = "{SECRET}"',
        f'[authentication]\nheader_name = "x"\nheader_value = ["{SECRET}"]',
        f'authentication = "{SECRET}"',
        f'authentication = ["{SECRET}"]',
        f'[kafka]\nclient = "{SECRET}"',
        f'kafka = ["{SECRET}"]',
        f'[kafka.client]\n"sasl.password" = ["{SECRET}"]',
        f'[registry]\nclient = "{SECRET}"',
        f'[registry]\nurl = "http://user:{SECRET}@registry"',
        f'[registry]\nurl = "http://registry, http://user:{SECRET}@other"',
        f'[http]\npath = "/{SECRET}/?"',
        f'url_token = "{SECRET}',
        f'url_token = "{SECRET}"\nurl_token = "{SECRET}"',
    ],
)
def test_message_for_wrong_secret_does_not_contain_it(loaded: Loading, toml: str) -> None:
    # `problems` checks that no message contains the secret.
    assert loaded.problems(toml, base={})


def test_wrong_client_property_is_reported_once(loaded: Loading) -> None:
    problems = loaded.problems('[kafka.client]\n"sasl.password" = []\n"debug" = [1]')
    assert named(problems) == ["kafka.client.debug", "kafka.client.sasl.password"]


def test_secrets_do_not_show(loaded: Loading) -> None:
    found = loaded(
        f"""
        [authentication]
        header_name = "x"
        header_value = "{SECRET}"
        [kafka.client]
        "sasl.password" = "{SECRET}"
        [kafka.producer]
        "ssl.key.password" = "{SECRET}"
        [kafka.consumer]
        "ssl.key.password" = "{SECRET}"
        [registry.client]
        "basic.auth.user.info" = "user:{SECRET}"
        """
    )
    for shown in (found, found.authentication, found.kafka, found.registry):
        assert SECRET not in repr(shown) + str(shown) + f"{shown}"
        assert TOKEN not in repr(shown) + str(shown) + f"{shown}"
    assert found.kafka.client["sasl.password"] == SECRET
    assert found.authentication.header_value.get_secret_value() == SECRET


def test_secret_is_read_from_a_file(loaded: Loading, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n", encoding="utf-8")
    found = loaded("", base={}, AUTHENTICATION__URL_TOKEN_FILE=str(secret), KAFKA__CLIENT__SASL_PASSWORD_FILE=str(secret))
    assert found.authentication.url_token.get_secret_value() == TOKEN
    assert found.kafka.client["sasl.password"] == TOKEN


def test_secret_file_must_be_readable(loaded: Loading, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    problems = loaded.problems(
        "",
        AUTHENTICATION__HEADER_VALUE_FILE=str(tmp_path / "missing"),
        KAFKA__CLIENT__SASL_PASSWORD_FILE=str(tmp_path),
        REGISTRY__URL_FILE=str(binary),
    )
    assert problems == [
        "CONNECTOR_AUTHENTICATION__HEADER_VALUE_FILE: the file cannot be read (No such file or directory)",
        "CONNECTOR_KAFKA__CLIENT__SASL_PASSWORD_FILE: the file cannot be read (Is a directory)",
        "CONNECTOR_REGISTRY__URL_FILE: the file cannot be read (not UTF-8)",
    ]


def test_value_and_its_file_cannot_both_be_set(loaded: Loading, tmp_path: Path) -> None:
    (problem,) = loaded.problems("", AUTHENTICATION__URL_TOKEN_FILE=str(tmp_path / "token"))
    assert (
        problem == "CONNECTOR_AUTHENTICATION__URL_TOKEN_FILE: CONNECTOR_AUTHENTICATION__URL_TOKEN is set too; keep one of them"
    )


@pytest.mark.parametrize("name", ["HTTP", "KAFKA", "KAFKA__CLIENT", "HTTP__PORT__X", "HTTPS__PORT", "http__port", "X"])
def test_unknown_variable_is_refused(loaded: Loading, name: str) -> None:
    (problem,) = loaded.problems("", base={**BASE, f"CONNECTOR_{name}": "1"})
    assert problem.startswith(f"CONNECTOR_{name}: there is no such setting")


def test_kubernetes_service_links_are_ignored(loaded: Loading) -> None:
    links = {
        "CONNECTOR_PORT": "tcp://10.96.0.7:8080",
        "CONNECTOR_SERVICE_HOST": "10.96.0.7",
        "CONNECTOR_SERVICE_PORT": "8080",
        "CONNECTOR_SERVICE_PORT_HTTP": "8080",
        "CONNECTOR_PORT_8080_TCP": "tcp://10.96.0.7:8080",
        "CONNECTOR_PORT_8080_TCP_ADDR": "10.96.0.7",
        "CONNECTOR_PORT_8080_TCP_PORT": "8080",
        "CONNECTOR_PORT_8080_TCP_PROTO": "tcp",
        "CONNECTOR_MANAGEMENT_SERVICE_HOST": "10.96.0.8",
    }
    assert loaded("", base={**BASE, **links}) == loaded("")


@pytest.mark.parametrize(
    "name", ["PORT", "HTTP_PORT", "SERVICE_PORTS", "PORT_8080", "SERVICE_PORT__HTTP_", "HTTP__SERVICE_HOST"]
)
def test_variable_that_only_resembles_a_service_link_is_refused(loaded: Loading, name: str) -> None:
    (problem,) = loaded.problems("", base={**BASE, f"CONNECTOR_{name}": "tcp"})
    assert problem.startswith(f"CONNECTOR_{name}: there is no such setting")


def test_properties_can_be_written_with_dots_quotes_or_tables(loaded: Loading) -> None:
    found = loaded(
        """
        [kafka.client]
        bootstrap.servers = "kafka:9092"
        "sasl.username" = "user"
        [kafka.producer]
        linger.ms = 5
        queue.buffering.max.kbytes = 1024
        [kafka.client.ssl]
        ca.location = "ca.pem"
        [registry.client]
        basic.auth.user.info = "user:password"
        """
    )
    given = {"bootstrap.servers": "kafka:9092", "sasl.username": "user", "ssl.ca.location": "ca.pem"}
    assert found.kafka.client == given | {"socket.keepalive.enable": True, "connections.max.idle.ms": 180000}
    assert found.kafka.producer["linger.ms"] == 5
    assert found.kafka.producer["queue.buffering.max.kbytes"] == 1024
    assert found.kafka.producer["queue.buffering.max.messages"] == 20000, "the other defaults stay"
    assert found.registry.client == {"basic.auth.user.info": "user:password"}


def test_property_from_environment_wins_and_stays_text(loaded: Loading) -> None:
    found = loaded(
        "[kafka.producer]\nlinger.ms = 5",
        KAFKA__PRODUCER__LINGER_MS="7",
        KAFKA__CLIENT__SASL_PASSWORD='{"not": "json"}',
        KAFKA__CLIENT__SSL_KEY_PASSWORD="0.10",
        KAFKA__CLIENT__CLIENT_ID="null",
    )
    assert found.kafka.producer["linger.ms"] == "7"
    assert found.kafka.client["sasl.password"] == '{"not": "json"}'
    assert found.kafka.client["ssl.key.password"] == "0.10"
    assert found.kafka.client["client.id"] == "null"


def test_unreadable_file_is_reported_with_other_problems(tmp_path: Path) -> None:
    for file, word in ((tmp_path / "missing.toml", "cannot be read"), (tmp_path / "wrong.toml", "is not TOML")):
        (tmp_path / "wrong.toml").write_text("[http\n", encoding="utf-8")
        with pytest.raises(ConfigurationInvalid) as caught:
            load_settings(file, {"CONNECTOR_HTTP__PROT": "1"})
        problems = list(caught.value.problems)
        assert any(str(file) in problem and word in problem for problem in problems)
        assert any("CONNECTOR_HTTP__PROT" in problem for problem in problems)


def test_settings_are_frozen(loaded: Loading) -> None:
    found = loaded()
    with pytest.raises(ValueError, match="frozen"):
        found.http.port = 1  # type: ignore[misc]


def test_producer_configuration_has_the_reserved_properties(loaded: Loading) -> None:
    found = loaded("[kafka]\ndelivery_timeout_seconds = 2.5\n[http]\nmax_body_bytes = 2048\n[kafka.producer]\nlinger.ms = 9")
    properties = producer_properties(found)
    assert properties["acks"] == "all"
    assert properties["enable.idempotence"] is True
    assert properties["partitioner"] == "murmur2_random"
    assert properties["delivery.timeout.ms"] == 2500
    assert properties["message.max.bytes"] == max_message_bytes(found) == 2048 + 65536
    assert properties["linger.ms"] == 9
    assert check_properties(properties) == []


def test_every_wrong_librdkafka_property_is_reported() -> None:
    problems = check_properties({"linger.ns": 1, "acks": "all", "linger.ms": "soon", "sasl.pasword": SECRET})
    assert [problem.split(": ")[1] for problem in problems] == ["linger.ns", "linger.ms", "sasl.pasword"]
    assert SECRET not in "".join(problems)


def test_contradictory_properties_are_reported() -> None:
    (problem,) = check_properties({"enable.idempotence": True, "acks": "1"})
    assert problem.startswith("kafka: ")


def test_renamed_keys_map_to_known_kaleyra_keys(loaded: Loading) -> None:
    of_file = loaded('[callbacks]\nrenamed_keys = { text = "body", sender = "from" }')
    of_environment = loaded("", CALLBACKS__RENAMED_KEYS='{"text": "body", "sender": "from"}')

    assert of_file.callbacks.renamed_keys == of_environment.callbacks.renamed_keys == {"text": "body", "sender": "from"}
    (problem,) = loaded.problems('[callbacks]\nrenamed_keys = { text = "bodi" }')
    assert problem.startswith("callbacks.renamed_keys.text: is not one of 'meta_object', ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[http]\nport = "many"', "http.port: is not an integer"),
        ("[http]\nport = 1.5", "http.port: is not an integer"),
        ("[http]\nport = 99999", "http.port: must be at most 65535"),
        ("[http]\nport = -1", "http.port: must be at least 0"),
        ("[http]\nidle_timeout_seconds = 0", "http.idle_timeout_seconds: must be greater than 0"),
        ('[http]\nidle_timeout_seconds = "long"', "http.idle_timeout_seconds: is not a number"),
        ("[http]\nhost = 1", "http.host: is not a text"),
        ('[topics]\nraw = "perhaps"', "topics.raw: is not true or false"),
        (
            '[authentication]\nallow_anyone = true\ntrusted_proxies = ["x"]',
            "authentication.trusted_proxies.0: is not a network",
        ),
        ('[logs]\nlevel = "loud"', "logs.level: is not one of 'debug', 'info', 'warning' or 'error'"),
        ('http = "all"', "http: is not a table"),
        ('[registry]\nurl = "kafka"', "registry.url: does not match the pattern"),
        ('[kafka.client]\n"ssl.ca.location" = []', "kafka.client.ssl.ca.location: is not a text, a number, true or false"),
    ],
)
def test_wrong_value_is_reported_in_plain_words(loaded: Loading, text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in loaded.problems(text)), loaded.problems(text)


def test_no_wrong_type_of_a_setting_is_reported_in_the_librarys_words(loaded: Loading) -> None:
    values = [[], 5, "wrong", -1, True]
    for table, model in Settings.model_fields.items():
        for name in model.annotation.model_fields:  # type: ignore[union-attr]
            for value in values:
                # Some of these values are right.
                with suppress(ConfigurationInvalid):
                    loaded(f"[{table}]\n{name} = {json.dumps(value)}")
                    continue
                for problem in loaded.problems(f"[{table}]\n{name} = {json.dumps(value)}"):
                    assert "nput should" not in problem, problem
                    assert "unable to" not in problem, problem


@pytest.mark.parametrize("text", ["{", "text=body", "[]", '"body"', "5"])
def test_wrong_json_in_environment_is_reported_with_the_rest(loaded: Loading, text: str) -> None:
    problems = loaded.problems("[http]\nport = 99999", CALLBACKS__RENAMED_KEYS=text)

    assert named(problems) == ["callbacks.renamed_keys", "http.port"]
