"""`connector schemas ddl`: what is chosen, where it says the topics are, and that it writes no credential."""

import pytest

from connector.schemas.ddl.engines import ENGINES
from tests.support.callbacks import catalogue, whole_catalogue
from tests.support.commands import Runner
from tests.support.registries import EmbeddedRegistry

SECRET = "an-invented-password"


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest.mark.parametrize("engine", [name for name, one in ENGINES.items() if not one.needs_writers])
def test_every_topic_has_a_table_without_any_server(run: Runner, engine: str) -> None:
    text = run("schemas", "ddl", engine, settings={"TOPICS__RAW": "true", "TOPICS__ORDER_LINES": "true"}).stdout
    quote = '"' if engine == "jdbc" else "`"
    for one in whole_catalogue():
        name = one.topic.rpartition(".")[2].replace("-", "_")
        assert text.count(f"CREATE TABLE {quote}{name}{quote} (") == 1


def test_raw_callbacks_have_a_table_only_if_their_topic_is_on(run: Runner) -> None:
    assert "`raw`" not in run("schemas", "ddl", "flink").stdout


def test_record_types_and_topics_choose(run: Runner) -> None:
    names = ("contact_card", "orders", "kaleyra.whatsapp.texts", "order")
    text = run("schemas", "ddl", "flink", *names).stdout
    assert [line for line in text.splitlines() if line.startswith("CREATE")] == [
        "CREATE TABLE `orders` (",
        "CREATE TABLE `texts` (",
        "CREATE TABLE `contact_cards` (",
    ]


def test_unknown_name_is_an_error_that_lists_the_known_ones(run: Runner) -> None:
    done = run("schemas", "ddl", "flink", "ordres", "texts")
    assert (done.exit_code, done.stdout) == (2, "")
    (problem,) = done.problems()
    assert problem.startswith("unknown record type or topic 'ordres'; known are document, order")


def test_unknown_engine_is_wrong_use(run: Runner) -> None:
    done = run("schemas", "ddl", "oracle")
    assert done.exit_code == 2
    assert "'flink'" in done.stderr


def test_prefix_brokers_and_registry_are_those_of_the_settings(run: Runner) -> None:
    settings = {
        "TOPICS__PREFIX": "shop-1.wa.",
        "KAFKA__CLIENT__BOOTSTRAP_SERVERS": "kafka1:9092,kafka2:9092",
        "REGISTRY__URL": "https://one:8081, https://two:8081",
    }
    text = run("schemas", "ddl", "flink", "contact-cards", settings=settings).stdout
    assert "CREATE TABLE `contact_cards` (" in text
    assert "'topic' = 'shop-1.wa.contact-cards'" in text
    assert "'properties.bootstrap.servers' = 'kafka1:9092,kafka2:9092'" in text
    assert "'avro-confluent.url' = 'https://one:8081'" in text


@pytest.mark.parametrize("engine", ENGINES)
def test_no_credential_is_written(run: Runner, engine: str) -> None:
    settings = {
        "KAFKA__CLIENT__SECURITY_PROTOCOL": "sasl_ssl",
        "KAFKA__CLIENT__SASL_MECHANISMS": "SCRAM-SHA-512",
        "KAFKA__CLIENT__SASL_USERNAME": "reader",
        "KAFKA__CLIENT__SASL_PASSWORD": SECRET,
        "KAFKA__CLIENT__SSL_KEY_PASSWORD": SECRET,
        "REGISTRY__CLIENT__BASIC_AUTH_USER_INFO": f"reader:{SECRET}",
    }
    with EmbeddedRegistry() as registry:
        registry.register([catalogue().record_types["order"]])
        done = run("schemas", "ddl", engine, "order", settings={**settings, "REGISTRY__URL": registry.url})
    assert done.exit_code == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    if ENGINES[engine].reads_kafka:  # type: ignore[index]
        assert "SASL_SSL" in done.stdout
        assert "SCRAM-SHA-512" in done.stdout
        (note,) = [line for line in done.stdout.splitlines() if line.startswith("-- Credentials")]
        for name in ("sasl.username", "sasl.password", "ssl.key.password", "basic.auth.user.info"):
            assert name in note


def test_spark_has_the_ids_of_the_registry(run: Runner) -> None:
    with EmbeddedRegistry() as registry:
        registry.register([catalogue().record_types["text"], catalogue().record_types["order"]])
        settings = {"REGISTRY__URL": registry.url}
        text = run("schemas", "ddl", "spark", "order", "text", settings=settings).stdout
        assert text.index("WHEN CAST(conv(hex(substring(`value`, 2, 4)), 16, 10) AS BIGINT) = 2 ") < text.index(
            "AS BIGINT) = 1 "
        )
        missing = run("schemas", "ddl", "spark", "order", "status", settings=settings)
    assert missing.exit_code == 2
    assert missing.problems() == ["kaleyra.whatsapp.statuses-value is not registered; run connector schemas register"]
    assert missing.stdout == ""


def test_spark_without_a_registry_is_a_failure_of_the_other_side(run: Runner) -> None:
    with EmbeddedRegistry() as registry:
        url = registry.url
    done = run("schemas", "ddl", "spark", settings={"REGISTRY__URL": url})
    assert (done.exit_code, done.stdout) == (1, "")
    assert "does not answer" in done.stderr
