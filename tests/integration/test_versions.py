"""Readers and records of different versions of a schema understand each other, so that roll-outs need no order.

The next version is made here, as the rules allow it: every record of every schema, inner ones too, has one more optional
field. The bytes are those of the bridge's own encoder.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import fastavro
import pytest

from connector.catalogue import read_catalogue
from connector.record_tables import OPTIONAL_TOPICS
from connector.records import Json, KafkaMessage
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import (
    METADATA,
    REJECTED,
    SAMPLES,
    decoded,
    envelope,
    order,
    raw,
    translator,
    whole_catalogue,
)
from tests.support.readers import confluent, kafkajs
from tests.support.servers import Addresses, Environment, TopicsReader, post

ROOT = Path(__file__).parents[2]
RELEASED = sorted((ROOT / "avro" / "released").rglob("*.avsc"))
ADDED = "added_later"
NAMES = [record_type.name for record_type in whole_catalogue()]


@pytest.fixture(scope="module")
def next_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue whose schemas all have their next version."""
    folder = tmp_path_factory.mktemp("next")
    (folder / "config").mkdir()
    (folder / "avro").mkdir()
    shutil.copy(ROOT / "config" / "messages.toml", folder / "config")
    for file in (ROOT / "avro").glob("*.avsc"):
        schema = with_field_added(json.loads(file.read_text(encoding="utf-8")), "metadata")
        (folder / "avro" / file.name).write_text(json.dumps(schema), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def written(next_folder: Path) -> dict[str, list[tuple[KafkaMessage, KafkaMessage]]]:
    """By record type: what the samples become today, and with the next version."""
    today, later = whole_catalogue(), read_catalogue(next_folder, optional=OPTIONAL_TOPICS)
    translators = translator(of=today), translator(of=later)
    pairs: dict[str, list[tuple[KafkaMessage, KafkaMessage]]] = {name: [] for name in NAMES}
    names = {record_type.topic: record_type.name for record_type in today}
    for sample in SAMPLES + REJECTED:
        old, new = (one.translate(raw(sample.read_bytes())) for one in translators)
        for one, other in zip(old, new, strict=True):
            pairs[names[one.topic]].append((one, other))
    return pairs


@pytest.mark.parametrize("name", NAMES)
def test_reader_of_today_reads_the_records_of_the_next_version(
    name: str, next_folder: Path, written: dict[str, list[tuple[KafkaMessage, KafkaMessage]]]
) -> None:
    today, later = (
        whole_catalogue().record_types[name],
        read_catalogue(next_folder, optional=OPTIONAL_TOPICS).record_types[name],
    )
    assert written[name]
    for old, new in written[name]:
        assert new.value != old.value
        assert read_by(today.published_text, new, later.published_text) == decoded(old, whole_catalogue())


@pytest.mark.parametrize("name", NAMES)
def test_reader_of_the_next_version_reads_the_records_of_today(
    name: str, next_folder: Path, written: dict[str, list[tuple[KafkaMessage, KafkaMessage]]]
) -> None:
    today, later = (
        whole_catalogue().record_types[name],
        read_catalogue(next_folder, optional=OPTIONAL_TOPICS).record_types[name],
    )
    for old, _ in written[name]:
        found = read_by(later.published_text, old, today.published_text)
        assert found[ADDED] is None
        assert without_added(found) == decoded(old, whole_catalogue())


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_released_and_current_versions_read_each_others_records(
    file: Path, written: dict[str, list[tuple[KafkaMessage, KafkaMessage]]]
) -> None:
    name, released = file.parent.name, file.read_text(encoding="utf-8")
    today = whole_catalogue().record_types[name].published_text
    for record, _ in written[name]:
        found = read_by(released, record, today)
        # No encoder is left for a released version: what its reader found is encoded again, and read by today's version.
        by_today = read(today, write(released, found), released)
        assert read(released, write(today, by_today), today) == found


@pytest.fixture(scope="module")
def rolled_out(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, next_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Addresses:
    """A topic with two orders of a bridge with the schemas of today, and two of a bridge with the next ones."""
    folder = tmp_path_factory.mktemp("rolled_out")
    today = servers.environment(kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10)
    later: Environment = {**today, "CONNECTOR_CATALOGUE__FOLDER": str(next_folder)}
    servers.prepare(today)
    with servers.served(today, folder) as old:
        old.wait_until_ready()
        post_order(old.addresses, "wamid.1")
        servers.run(later, "schemas", "register")
        # The old one keeps writing when the registry's latest version is no longer its own, and is restarted below.
        post_order(old.addresses, "wamid.2")
        with servers.served(later, folder) as new:
            new.wait_until_ready()
            post_order(new.addresses, "wamid.3")
        with servers.served(today, folder) as back:
            back.wait_until_ready()
            post_order(back.addresses, "wamid.4")
    return old.addresses


def test_both_versions_are_in_the_topic_under_separate_ids(rolled_out: Addresses) -> None:
    reader = TopicsReader(rolled_out, [f"{rolled_out.prefix}orders"])
    by_id = {record.value["message_id"]: record for record in reader.read(4)}
    reader.close()
    first = by_id["wamid.1"].schema_id
    assert [by_id[f"wamid.{number}"].schema_id == first for number in (1, 2, 3, 4)] == [True, True, False, True]
    assert [ADDED in by_id[f"wamid.{number}"].value for number in (1, 2, 3, 4)] == [False, False, True, False]


@pytest.mark.parametrize("version", ["today", "next"])
def test_reader_with_one_version_reads_the_records_of_both(
    rolled_out: Addresses, next_folder: Path, node_modules: Path, version: str
) -> None:
    topic = f"{rolled_out.prefix}orders"
    schema = read_catalogue(None if version == "today" else next_folder).record_types["order"].published_text
    expected: dict[str, object] = {f"wamid.{number}": None for number in (1, 2, 3, 4)}
    if version == "next":
        expected["wamid.3"] = "new"
    by_confluent = [record.value for record in confluent.read(rolled_out, [topic], schema)]
    by_node = [record.value for record in kafkajs.read(node_modules, rolled_out, [topic], 4, {topic: schema})]
    for values in (by_confluent, by_node):
        assert {value["message_id"]: value.get(ADDED) for value in values} == expected
        assert {tuple(value) for value in values} == {field_names(schema)}
        assert {value["product_items"][0]["quantity"] for value in values} == {2}


def with_field_added(schema: Json, root: str) -> Json:
    """Return a schema whose records each end with one more optional field."""
    added = {
        "name": ADDED,
        "type": ["null", "string"],
        "default": None,
        "source": f"{root}.{ADDED}",
        "pii": "none",
        "doc": "New.",
    }
    fields = [{**field, "type": type_with_field_added(field["type"])} for field in schema["fields"]]
    return {**schema, "fields": [*fields, added]}


def type_with_field_added(kind: Any) -> Any:
    match kind:
        case list():
            return [type_with_field_added(branch) for branch in kind]
        case {"type": "record"}:
            return with_field_added(kind, "item")
        case {"type": "array", "items": items}:
            return {**kind, "items": type_with_field_added(items)}
    return kind


def without_added(value: Any) -> Any:
    match value:
        case dict():
            return {name: without_added(part) for name, part in value.items() if name != ADDED}
        case list():
            return [without_added(part) for part in value]
    return value


def read_by(reader_schema: str, record: KafkaMessage, writer_schema: str) -> Json:
    return read(reader_schema, record.value[5:], writer_schema)


def write(schema: str, value: Json) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema)), value)
    return stream.getvalue()


def read(reader_schema: str, content: bytes, writer_schema: str) -> Json:
    """Resolve a record as Avro says: written by one schema, read by another."""
    stream = io.BytesIO(content)
    writer, reader = (fastavro.parse_schema(json.loads(text)) for text in (writer_schema, reader_schema))
    found = fastavro.schemaless_reader(stream, writer, reader)
    assert not stream.read(), "bytes behind the record"
    assert isinstance(found, dict)
    return found


def post_order(addresses: Addresses, message_id: str) -> None:
    item = {"product_retailer_id": "maglia-11", "quantity": 2, "item_price": 7.99, "currency": "EUR"}
    body = envelope([order(item, id=message_id)], metadata={**METADATA, ADDED: "new"})
    assert post(addresses.callback_url, body).status_code == 200


def field_names(schema: str) -> tuple[str, ...]:
    return tuple(field["name"] for field in json.loads(schema)["fields"])
