"""Tokens for Kafka clients: which settings are refused, the region, and the shape of a token for Amazon MSK."""

import asyncio
import base64
import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.errors import ConfigurationInvalid, KafkaFailed
from connector.kafka.producers import Producers, check_properties
from connector.kafka.reader import Reader
from connector.kafka.tokens import PROPERTY, AwsTokens, with_tokens
from connector.replay.backlog import Backlog
from connector.settings.load import load_settings_for_tools
from connector.settings.producer import producer_properties
from connector.settings.tables import TOKENS, Settings
from connector.topics.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable

SASL = {"KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__CLIENT__SASL_MECHANISM": "OAUTHBEARER"}
MSK = {"KAFKA__TOKEN_PROVIDER": "aws-msk-iam"}
MSK_HOST = "b-1.invented.abc123.c2.kafka.eu-south-1.amazonaws.com:9098"


def loaded(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> Settings:
    for name, value in settings.items():
        monkeypatch.setenv(f"CONNECTOR_{name}", value)
    return load_settings_for_tools(None)


def test_both_rooms_name_the_property_alike() -> None:
    assert PROPERTY == TOKENS


# What is refused at start


@pytest.mark.parametrize(
    "settings",
    [
        SASL,
        {**SASL, "KAFKA__CLIENT__ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "false"},
        {**SASL, "KAFKA__CLIENT__SASL_OAUTHBEARER_METHOD": "default"},
        {"KAFKA__PRODUCER__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA__PRODUCER__SASL_MECHANISMS": "OAUTHBEARER"},
        {"KAFKA__CONSUMER__SECURITY_PROTOCOL": "sasl_ssl", "KAFKA__CONSUMER__SASL_MECHANISM": "OAUTHBEARER"},
    ],
)
def test_oauthbearer_without_a_source_of_tokens_is_refused(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationInvalid) as invalid:
        loaded(monkeypatch, {**settings, "MANAGEMENT__PORT": "70000"})
    (problem,) = [problem for problem in invalid.value.problems if problem.startswith("kafka")]
    for name in ("sasl.oauthbearer.method = oidc", "client.id", "client.secret", "token.endpoint.url", "aws-msk-iam"):
        assert name in problem
    assert len(invalid.value.problems) == 2, "all problems are reported at once"


@pytest.mark.parametrize(
    "settings",
    [
        {**SASL, "KAFKA__CLIENT__ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true"},
        {**SASL, "KAFKA__CLIENT__SASL_OAUTHBEARER_METHOD": "oidc"},
        {**SASL, **MSK},
        MSK,
        {"KAFKA__CLIENT__SASL_MECHANISM": "OAUTHBEARER"},
        {"KAFKA__CLIENT__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__CLIENT__SASL_MECHANISM": "PLAIN"},
    ],
)
def test_oauthbearer_with_a_source_of_tokens_is_accepted(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, settings).kafka.client["bootstrap.servers"]


@pytest.mark.parametrize(
    "more",
    [
        {"KAFKA__CLIENT__SASL_MECHANISM": "PLAIN"},
        {"KAFKA__CLIENT__SASL_OAUTHBEARER_METHOD": "oidc"},
        {"KAFKA__CLIENT__ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true"},
    ],
)
def test_two_sources_of_tokens_are_refused(more: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationInvalid, match="no other source of tokens"):
        loaded(monkeypatch, {**MSK, **more})


def test_oidc_without_its_properties_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, {**SASL, "KAFKA__CLIENT__SASL_OAUTHBEARER_METHOD": "oidc"})
    assert "token.endpoint.url" in " ".join(check_properties(producer_properties(settings)))


# The extra, and the region


def test_missing_package_is_a_configuration_error_of_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, {**MSK, "KAFKA__AWS_REGION": "eu-south-1"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    client, words = dict(settings.kafka.client), r"pip install 'kaleyra-whatsapp-connector\[msk\]'"
    makes: list[Callable[[], Any]] = [
        lambda: Reader(client, str),
        lambda: Broker(client),
        lambda: Backlog(client, "topic", "group", str),
        lambda: with_tokens(client),
    ]
    for make in makes:
        with pytest.raises(ConfigurationInvalid, match=words):
            make()
    (problem,) = check_properties(producer_properties(settings))
    assert problem.endswith("pip install 'kaleyra-whatsapp-connector[msk]'")


@pytest.mark.parametrize(
    ("named", "servers", "environment", "region"),
    [
        ("us-east-1", MSK_HOST, {"AWS_REGION": "x"}, "us-east-1"),
        ("", MSK_HOST, {"AWS_REGION": "x"}, "eu-south-1"),
        ("", "boot-x.c1.kafka-serverless.eu-west-1.amazonaws.com:9098", {}, "eu-west-1"),
        ("", "b-1.x.kafka.cn-north-1.amazonaws.com.cn:9098", {}, "cn-north-1"),
        ("", "kafka.example.com:9098", {"AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ("", "kafka.example.com:9098", {"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
    ],
)
def test_region_is_the_setting_or_in_the_name_or_in_the_environment(
    named: str, servers: str, environment: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    properties = with_tokens({"bootstrap.servers": servers, PROPERTY: f"aws-msk-iam {named}".rstrip()})
    assert PROPERTY not in properties
    assert properties["oauth_cb"]._region == region


def test_unknown_region_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationInvalid, match=r"kafka\.aws_region"):
        with_tokens({"bootstrap.servers": "kafka:9092", PROPERTY: "aws-msk-iam"})


# The token


def test_token_is_a_signed_url_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAINVENTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "invented-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "invented-session")
    token, expires_at = AwsTokens("eu-south-1")(None)
    assert expires_at - time.time() == pytest.approx(900, abs=5)
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii"))
    asked = parse_qs(url.query)
    assert (url.scheme, url.hostname, url.path) == ("https", "kafka.eu-south-1.amazonaws.com", "/")
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIAINVENTED/")
    assert asked["X-Amz-Credential"][0].endswith("/eu-south-1/kafka-cluster/aws4_request")
    assert asked["X-Amz-Security-Token"] == ["invented-session"]
    assert len(asked["X-Amz-Signature"][0]) == 64
    assert "invented-secret" not in str(asked)


def test_failure_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: str) -> tuple[str, int]:
        raise RuntimeError("invented-secret")

    with pytest.raises(RuntimeError):
        AwsTokens("eu-south-1", fail)(None)
    assert "invented-secret" not in "".join(capsys.readouterr())


# The producers


def test_event_loop_does_not_wait_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def slow(_: str) -> tuple[str, int]:
        threads.add(threading.get_ident())
        time.sleep(1.5)
        return "invented", int((time.time() + 900) * 1000)

    monkeypatch.setattr("connector.kafka.tokens._sign", slow)
    properties = {
        "bootstrap.servers": "127.0.0.1:1",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        PROPERTY: "aws-msk-iam eu-south-1",
    }

    async def is_made(producers: Producers) -> None:
        assert producers._making
        await producers._making

    async def run() -> float:
        producers, longest = Producers(properties), 0.0

        def main() -> object:
            return producers.main

        async def watch() -> None:
            nonlocal longest
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - began)

        watching = asyncio.create_task(watch())
        producers.start()
        assert main() is None
        await is_made(producers)
        await producers.single_record()
        failed = producers.main
        assert failed is not None
        producers.replace(failed, "fatal_error")
        assert main() is None, "callbacks get 503 or the spool meanwhile"
        await is_made(producers)
        assert main() not in (None, failed)
        watching.cancel()
        producers.drop()
        return longest

    assert asyncio.run(run()) < 1
    assert threading.get_ident() not in threads


def test_warm_up_says_that_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> tuple[str, int]:
        raise RuntimeError

    monkeypatch.setattr("connector.kafka.tokens._sign", fail)
    properties = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", PROPERTY: "aws-msk-iam eu-south-1"}

    async def run() -> None:
        producers = Producers(properties)
        producers.start()
        with pytest.raises(KafkaFailed, match="no token for Kafka; check the AWS credentials"):
            await producers.warm_up(["topic"], 0.5)
        producers.drop()

    asyncio.run(run())


def test_command_without_a_token_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> tuple[str, int]:
        raise RuntimeError

    monkeypatch.setattr("connector.kafka.tokens._sign", fail)
    properties = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", PROPERTY: "aws-msk-iam eu-south-1"}
    with pytest.raises(ConfigurationInvalid, match="no token for Kafka; check the AWS credentials"):
        Broker(properties)
