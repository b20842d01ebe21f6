"""The tables of `connector schemas ddl flink` in Flink's own SQL client: every row of every topic, value by value."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connector.catalogue import Catalogue, RecordType, read_catalogue
from connector.record_tables import OPTIONAL_TOPICS
from connector.schemas.ddl.tables import Table, tables_of
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import flink, servers
from tests.support.callbacks import NUMBER, REJECTED, SAMPLES, contact, envelope, message, order
from tests.support.readers import confluent
from tests.support.readers.confluent import PlainRecord
from tests.support.servers import Addresses, Environment, post

pytestmark = pytest.mark.timeout(600)

PRICES = ["65.35", "0.000001", "-12.5", "999999999999.999999"]
FORGOTTEN = "393339998877"
PLACE = ("kafka_partition", "kafka_offset")
BOUNDED = "/*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */"
PHYSICAL = "EXCLUDING CONSTRAINTS EXCLUDING GENERATED EXCLUDING METADATA EXCLUDING OPTIONS EXCLUDING WATERMARKS"


class Found(NamedTuple):
    """What a plain consumer and Flink read, by topic and place, and the profiles that Flink has at the end."""

    catalogue: Catalogue
    tables: dict[str, Table]
    plain: dict[str, list[PlainRecord]]
    flink: dict[str, dict[tuple[int, int], Any]]
    profiles: dict[str, Any]
    profile_changes: int


@pytest.fixture(scope="module")
def found(kafka: KafkaBroker, apicurio: ApicurioRegistry, flink_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Send one of everything, forget a person, and let Flink read all of it in a session that is not in UTC."""
    optional = {"TOPICS__RAW": "true", "TOPICS__ORDER_LINES": "true"}
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10, **optional)
    servers.prepare(settings)
    with servers.served(settings, tmp_path_factory.mktemp("bridge")) as server:
        server.wait_until_ready()
        addresses = server.addresses
        send_everything(addresses.callback_url)
    servers.run(settings, "forget", FORGOTTEN)
    prefix = settings["CONNECTOR_TOPICS__PREFIX"]
    catalogue = read_catalogue(prefix=prefix, optional=OPTIONAL_TOPICS)
    tables = {table.topic: table for table in tables_of(catalogue, prefix)}
    return run_job(settings, addresses, catalogue, tables, flink_jars, tmp_path_factory.mktemp("flink"))


def send_everything(url: str) -> None:
    items = [{"item_price": Decimal(text), "quantity": 1, "currency": "EUR"} for text in PRICES]
    profiles = [envelope([message(number)], [contact(name, number)]) for number in (NUMBER, FORGOTTEN) for name in ("A", "B")]
    bodies = [sample.read_bytes() for sample in SAMPLES + REJECTED]
    for body in [*bodies, envelope([order(*items, id="wamid.PRICES")]), *profiles]:
        assert post(url, body).status_code == 200


def run_job(
    settings: Environment, addresses: Addresses, catalogue: Catalogue, tables: dict[str, Table], jars: Path, folder: Path
) -> Found:
    latest = tables[catalogue.contact.topic]
    results = f"{latest.topic}.results"
    create_topic(addresses.bootstrap_servers, results)
    rows = [table for table in tables.values() if table is not latest]
    statements = [
        "SET 'table.local-time-zone' = 'Europe/Rome';",
        servers.run(settings, "schemas", "ddl", "flink"),
        *(sink(table, folder / table.name) for table in rows),
        (
            f"CREATE TABLE results (record_key STRING, profile_name STRING, event_time TIMESTAMP_LTZ(3), "
            f"PRIMARY KEY (record_key) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = '{results}', "
            f"'properties.bootstrap.servers' = '{addresses.bootstrap_servers}', 'key.format' = 'raw', 'value.format' = 'json');"
        ),
        "EXECUTE STATEMENT SET BEGIN",
        *(f"INSERT INTO {table.name}_rows SELECT {selected(table)} FROM `{table.name}` {BOUNDED};" for table in rows),
        f"INSERT INTO results SELECT record_key, profile_name, event_time FROM `{latest.name}` {BOUNDED};",
        "END;",
    ]
    flink.run(jars, folder, "\n".join(statements))
    plain = {topic: list(confluent.read(addresses, [topic])) for topic in tables}
    read = {table.topic: dict(rows_of(folder / table.name)) for table in rows}
    profiles, changes = latest_of(addresses.bootstrap_servers, results)
    return Found(catalogue, tables, plain, read, profiles, changes)


def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def sink(table: Table, target: Path) -> str:
    """A table of files with the columns of the record, and those that Flink adds."""
    added = "kafka_partition INT, kafka_offset BIGINT, event_time TIMESTAMP_LTZ(3), event_id_ STRING"
    return (
        f"CREATE TABLE {table.name}_rows ({added}) WITH ('connector' = 'filesystem', 'path' = '{target.as_uri()}', "
        f"'format' = 'json', 'json.encode.decimal-as-plain-number' = 'true', 'json.timestamp-format.standard' = 'ISO-8601') "
        f"LIKE `{table.name}` ({PHYSICAL});"
    )


def selected(table: Table) -> str:
    names = [column.name for column in table.columns]
    return ", ".join(f"`{name}`" for name in [*names, *PLACE, "event_time", table.identity])


def rows_of(folder: Path) -> Iterator[tuple[tuple[int, int], Any]]:
    for file in folder.glob("*"):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line, parse_float=Decimal)
            yield (row["kafka_partition"], row["kafka_offset"]), row


def latest_of(bootstrap_servers: str, topic: str) -> tuple[dict[str, Any], int]:
    """The last value of each key, without those deleted; and how many records there are."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "flink-results", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions]
        left = total = sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in places)
        consumer.assign(places)
        last: dict[str, Any] = {}
        while left:
            record = consumer.poll(20)
            assert record is not None, f"{left} records did not come"
            key, value = record.key(), record.value()
            assert isinstance(key, bytes)
            last[key.decode()] = json.loads(value) if value else None
            left -= 1
        return {key: value for key, value in last.items() if value is not None}, total
    finally:
        consumer.close()


def as_flink(value: Any) -> Any:
    """A value as Flink's JSON has it: times of the table are milliseconds."""
    match value:
        case datetime():
            return round(value.timestamp() * 1000)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {name: as_flink(part) for name, part in value.items()}
        case list():
            return [as_flink(part) for part in value]
        case float():
            return Decimal(repr(value))
    return value


def appended(found: Found) -> list[RecordType]:
    return [one for one in found.catalogue if one is not found.catalogue.contact]


def test_every_topic_but_the_latest_profiles_has_all_its_rows(found: Found) -> None:
    for record_type in appended(found):
        places = {(record.partition, record.offset) for record in found.plain[record_type.topic]}
        assert places
        assert found.flink[record_type.topic].keys() == places, record_type.name


def test_every_field_has_its_value(found: Found) -> None:
    for record_type in appended(found):
        for record in found.plain[record_type.topic]:
            row = found.flink[record_type.topic][record.partition, record.offset]
            assert {name: row[name] for name in record.value} == as_flink(record.value), record_type.name


def test_prices_are_exact(found: Found) -> None:
    rows = found.flink[found.catalogue.record_types["order"].topic].values()
    (row,) = [row for row in rows if row["message_id"] == "wamid.PRICES"]
    assert [Decimal(item["item_price"]) for item in row["product_items"]] == [Decimal(price) for price in PRICES]


def test_event_time_is_the_instant_of_the_event_in_any_time_zone(found: Found) -> None:
    for record_type in appended(found):
        times = [column.name for column in found.tables[record_type.topic].times]
        for row in found.flink[record_type.topic].values():
            happened = next(row[name] for name in times if row[name] is not None)
            assert datetime.fromisoformat(row["event_time"]).timestamp() * 1000 == happened


def test_every_row_has_the_id_of_its_event(found: Found) -> None:
    for record_type in appended(found):
        for record in found.plain[record_type.topic]:
            row = found.flink[record_type.topic][record.partition, record.offset]
            assert row["event_id_"] == dict(record.headers)["ce_id"].decode()


def test_tombstone_deletes_the_profile(found: Found) -> None:
    last: dict[str, Any] = {}
    for record in sorted(found.plain[found.catalogue.contact.topic], key=lambda one: (one.partition, one.offset)):
        assert record.key is not None
        last[record.key.decode()] = record.value
    assert last.pop(FORGOTTEN) is None
    assert found.profile_changes > len(last)
    assert {key: row["profile_name"] for key, row in found.profiles.items()} == {
        key: value["profile_name"] for key, value in last.items()
    }
