"""Kafka behind TLS with authentication (SASL_SSL, SCRAM, ACLs), and a registry behind TLS: all by names that pass through."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin._acl import AclOperation

from connector.http import tls
from connector.settings.tables import Tls
from tests.stack.acl_broker import PASSWORDS, WRONG_PASSWORD, Guarded, credentials_over_tls
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.stack.tls_proxy import tls_in_front_of
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.certificates import Authority
from tests.support.servers import Environment, post

TEXT = envelope([message()])
NO_OTHERS: Final[dict[str, str]] = {}
OTHER_MECHANISMS: Final = {
    "PLAIN": {"sasl.mechanism": "PLAIN"},
    "OAUTHBEARER": {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.config": "principal=bridge",
        "enable.sasl.oauthbearer.unsecure.jwt": "true",
    },
}


class Secured:
    """Topics on such a broker, and the settings of a bridge that reaches both servers by TLS."""

    def __init__(self, broker: KafkaBroker, registry_url: str, registry_ca: Path) -> None:
        self._broker_ca = broker.folder / "authority.pem"
        self._more = {"REGISTRY__CLIENT__SSL_CA_LOCATION": str(registry_ca)}
        admin = credentials_over_tls("admin", self._broker_ca)
        self.kafka = Guarded(broker, registry_url, admin, **self._more)

    def settings(
        self, password: str | None = None, client_properties: Mapping[str, str] = NO_OTHERS, **more: str
    ) -> Environment:
        client = {**credentials_over_tls("bridge", self._broker_ca, password), **client_properties}
        return self.kafka.settings(client, **{**self._more, **more})


@pytest.fixture
def secured(tls_kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> Iterator[Secured]:
    authority = Authority(tmp_path, "registry_authority")
    own = authority.sign("registry")
    context = tls.context(Tls(certificate_path=str(own.certificate), key_path=str(own.key)))
    assert context
    parts = urlsplit(apicurio.url)
    assert parts.port
    with tls_in_front_of(parts.port, context) as port:
        found = Secured(tls_kafka, f"https://localhost:{port}{parts.path}", authority.path)
        yield found
        found.kafka.forget(found.kafka.topics())


def test_callbacks_go_through_and_doctor_finds_no_error(secured: Secured, tmp_path: Path) -> None:
    secured.kafka.allow(AclOperation.WRITE, secured.kafka.topics())
    findings = servers.done(secured.settings(), "doctor", "--json").json()
    states = {one["check"]: one["state"] for one in findings}
    assert {states[what] for what in ("kafka", "rights", "producer id", "registry", "schemas")} == {"ok"}, findings
    with servers.served(secured.settings(), tmp_path) as server:
        server.wait_until_ready()
        assert post(server.addresses.callback_url, TEXT).status_code == 200
        ended = server.stop()
    assert ended.exit_code == 0
    assert not [secret for secret in PASSWORDS.values() if secret in ended.stderr]


@pytest.mark.parametrize("mechanism", OTHER_MECHANISMS)
def test_other_mechanisms_pass_through_by_their_names(secured: Secured, tmp_path: Path, mechanism: str) -> None:
    secured.kafka.allow(AclOperation.WRITE, secured.kafka.topics())
    settings = secured.settings(client_properties=OTHER_MECHANISMS[mechanism])
    findings = servers.done(settings, "doctor", "--json").json()
    states = {one["check"]: one["state"] for one in findings}
    assert {states[what] for what in ("kafka", "rights", "producer id")} == {"ok"}, findings
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready()
        assert post(server.addresses.callback_url, TEXT).status_code == 200
        assert server.stop().exit_code == 0


FAKE_SIGNER = """
import base64, json, time

class MSKAuthTokenProvider:
    @staticmethod
    def generate_auth_token(region):
        assert region == "eu-south-1"
        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        now = int(time.time())
        return f"{part({'alg': 'none'})}.{part({'sub': 'bridge', 'iat': now, 'exp': now + 900})}.", (now + 900) * 1000
"""
"""In place of AWS' package: the broker of the tests believes unsigned tokens, and knows no signed URLs."""


def test_every_client_takes_tokens_of_a_provider(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "aws_msk_iam_sasl_signer.py").write_text(FAKE_SIGNER, encoding="utf-8")
    secured.kafka.allow(AclOperation.WRITE, secured.kafka.topics())
    secured.kafka.allow(AclOperation.READ, secured.kafka.topics())
    settings = secured.settings(KAFKA__TOKEN_PROVIDER="aws-msk-iam", KAFKA__AWS_REGION="eu-south-1")
    for name in ("SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"):
        settings.pop(f"CONNECTOR_KAFKA__CLIENT__{name}")
    settings["PYTHONPATH"] = str(tmp_path)
    with servers.served(settings, tmp_path) as server:
        server.wait_until_ready(60)
        assert post(server.addresses.callback_url, TEXT).status_code == 200
        assert server.stop().exit_code == 0
    findings = servers.done_as_process(settings, "doctor", "--json").json()
    states = {one["check"]: one["state"] for one in findings}
    assert {states[what] for what in ("kafka", "rights", "producer id")} == {"ok"}, findings
    shown = servers.done_as_process(settings, "tail", "texts", "--from-beginning", "--count", "1", "--json")
    assert shown.json()["topic"] == secured.kafka.topic("texts")
    replayed = servers.done_as_process(settings, "replay", "dead-letters", "--dry-run")
    # The broker was reached and knows us: only the right on the group is missing.
    assert "not authorised for the consumer group" in replayed.stderr or replayed.exit_code == 0, replayed.stderr


def test_unwritable_topic_is_reported_by_doctor_and_at_start(secured: Secured, tmp_path: Path) -> None:
    orders = secured.kafka.topic("orders")
    secured.kafka.allow(AclOperation.WRITE, secured.kafka.topics() - {orders})
    done = servers.done(secured.settings(), "doctor", "--json")
    assert done.exit_code == 1
    (rights,) = [one for one in done.json() if one["check"] == "rights"]
    assert (rights["state"], orders in rights["found"]) == ("error", True)
    with servers.served(secured.settings(), tmp_path) as server:
        assert orders in server.wait_for_reason("not authorised for topics")
        secured.kafka.allow(AclOperation.WRITE, [orders])
        server.wait_until_ready()
        assert server.stop().exit_code == 0


@pytest.mark.parametrize(
    ("password", "more", "words"),
    [
        (WRONG_PASSWORD, {}, "sasl.password"),
        (None, {"KAFKA__CLIENT__SSL_CA_LOCATION": ""}, "ssl.ca.location"),
        (None, {"KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "security.protocol"),
    ],
    ids=["wrong password", "authority that is not ours", "no TLS"],
)
def test_wrong_connection_settings_are_reported_clearly(
    secured: Secured, password: str | None, more: dict[str, str], words: str
) -> None:
    settings = secured.settings(password)
    for name, value in more.items():
        # Without a value: the authorities of the machine.
        settings.pop(f"CONNECTOR_{name}")
        settings.update({f"CONNECTOR_{name}": value} if value else {})
    done = servers.done(settings, "doctor", "--json")
    assert done.exit_code == 1
    (found,) = [one for one in done.json() if one["check"] == "kafka"]
    assert found["state"] == "error"
    assert words in f"{found['found']} {found['advice']}"
    assert WRONG_PASSWORD not in done.stdout + done.stderr


def test_registry_with_an_untrusted_certificate_is_refused(secured: Secured) -> None:
    settings = secured.settings()
    settings.pop("CONNECTOR_REGISTRY__CLIENT__SSL_CA_LOCATION")
    done = servers.done(settings, "doctor", "--json")
    assert done.exit_code == 1
    (found,) = [one for one in done.json() if one["check"] == "registry"]
    assert found["state"] == "error"
