"""Readers of other makes find what the bridge wrote: kafkajs in Node.js and confluent-kafka, each by the registry alone.

Everything that can be sent is sent once, and every topic is read to its end by both.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from connector.catalogue import Catalogue
from connector.records import Json
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import REJECTED, SAMPLES, envelope, order, price
from tests.support.readers import confluent, kafkajs
from tests.support.readers.confluent import PlainRecord
from tests.support.readers.kafkajs import NodeRecord
from tests.support.servers import post

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER_ID = "wamid.RVhBQ1Q"
PRICES = ["7.99", "0.000001", "-12.5", "999999999999.999999", "1600", "0"]


class Read(NamedTuple):
    """What both readers found, in the same order, and the schemas by their ids."""

    catalogue: Catalogue
    by_confluent: list[PlainRecord]
    by_node: list[NodeRecord]
    schemas: dict[int, Json]

    def pairs(self) -> Iterator[tuple[PlainRecord, NodeRecord]]:
        return zip(self.by_confluent, self.by_node, strict=True)


def content(value: Any) -> bytes:
    return bytes.fromhex(value["$bytes"])


def decimal(value: Any, schema: Any) -> Decimal:
    return Decimal(int.from_bytes(content(value), signed=True)).scaleb(-schema["scale"])


def moment(value: Any, _: Any) -> datetime:
    assert isinstance(value, int)
    return EPOCH + timedelta(milliseconds=value)


LOGICAL: dict[str, Callable[[Any, Any], object]] = {"decimal": decimal, "timestamp-millis": moment}
PLAIN: dict[str, tuple[type | tuple[type, ...], Callable[[Any], object]]] = {
    "string": (str, str),
    "int": (int, int),
    "long": (int, int),
    "boolean": (bool, bool),
    # JSON of JavaScript says 12 for 12.0.
    "double": ((int, float), float),
    "bytes": (dict, content),
}


@pytest.fixture(scope="module")
def found(kafka: KafkaBroker, apicurio: ApicurioRegistry, node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Send one of everything, and let both read it."""
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10)
    servers.prepare(settings)
    with servers.served(settings, tmp_path_factory.mktemp("readers")) as server:
        server.wait_until_ready()
        addresses = server.addresses
        servers.run(settings, "send", "--all", "--malformed", "--seed", "7", "--url", addresses.callback_url)
        items = [{"item_price": Decimal(text), "quantity": 1, "currency": "EUR"} for text in PRICES]
        bodies = [sample.read_bytes() for sample in SAMPLES + REJECTED]
        for body in [*bodies, envelope([order(*items, id=ORDER_ID)])]:
            assert post(addresses.callback_url, body).status_code == 200
    catalogue = addresses.catalogue()
    topics = [record_type.topic for record_type in catalogue]
    by_confluent = sorted(confluent.read(addresses, topics), key=place)
    by_node = sorted(kafkajs.read(node_modules, addresses, topics, len(by_confluent)), key=place)
    with SchemaRegistryClient({"url": addresses.registry_url, "timeout": 20}) as registry:
        ids = {record.schema_id for record in by_node}
        schemas = {schema_id: json.loads(str(registry.get_schema(schema_id).schema_str)) for schema_id in ids}
    return Read(catalogue, by_confluent, by_node, schemas)


def test_every_topic_has_records_to_read(found: Read) -> None:
    assert {record.topic for record in found.by_confluent} == {record_type.topic for record_type in found.catalogue}


def test_both_find_the_same_records(found: Read) -> None:
    assert [place(record) for record in found.by_node] == [place(record) for record in found.by_confluent]


def test_both_find_the_same_keys_and_times(found: Read) -> None:
    for plain, node in found.pairs():
        assert (node.key, node.timestamp_ms) == (plain.key, plain.timestamp_ms)


def test_both_find_the_same_headers(found: Read) -> None:
    for plain, node in found.pairs():
        assert sorted(node.headers) == sorted(plain.headers)
        assert {"ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion", "ce_dataschema"} <= dict(node.headers).keys()


def test_both_find_the_same_fields(found: Read) -> None:
    for plain, node in found.pairs():
        assert understood(node.value, found.schemas[node.schema_id]) == plain.value


def test_the_schema_of_a_record_is_that_of_its_topic(found: Read) -> None:
    published = {record_type.topic: json.loads(record_type.published_text) for record_type in found.catalogue}
    for record in found.by_node:
        assert found.schemas[record.schema_id] == published[record.topic]


def test_prices_reach_both_to_the_digit(found: Read) -> None:
    ((plain, node),) = [pair for pair in found.pairs() if pair[0].value.get("message_id") == ORDER_ID]
    assert [str(item["item_price"]) for item in plain.value["product_items"]] == [f"{price(text):f}" for text in PRICES]
    unscaled = [int.from_bytes(content(item["item_price"]), signed=True) for item in node.value["product_items"]]
    assert unscaled == [7_990_000, 1, -12_500_000, 999_999_999_999_999_999, 1_600_000_000, 0]


def test_times_reach_node_as_milliseconds(found: Read) -> None:
    ((plain, node),) = [pair for pair in found.pairs() if pair[0].value.get("message_id") == ORDER_ID]
    assert node.value["sent_at"] == 1_763_720_001_000
    assert plain.value["sent_at"] == datetime(2025, 11, 21, 10, 13, 21, tzinfo=UTC)


def place(record: PlainRecord | NodeRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def understood(value: Any, schema: Any) -> Any:
    """Return what a reader makes of a value that knows the schema's logical types, exactly."""
    match schema:
        case ["null", other]:
            return None if value is None else understood(value, other)
        case {"type": "record", "fields": fields}:
            assert value.keys() == {field["name"] for field in fields}
            return {field["name"]: understood(value[field["name"]], field["type"]) for field in fields}
        case {"type": "array", "items": items}:
            return [understood(item, items) for item in value]
        case {"logicalType": str(kind)}:
            return LOGICAL[kind](value, schema)
        case _:
            kinds, convert = PLAIN[schema]
            assert isinstance(value, kinds)
            return convert(value)
