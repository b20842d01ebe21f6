"""Callbacks in by HTTP, records out by a plain consumer: what arrives is what the pipeline makes of them.

The same tests run against `connector serve` with a real Kafka and registry, and against `connector dev`.
"""

import json
import random
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from connector.commands.explain import callback_by_post, explain
from connector.records import KafkaMessage
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import BODIES as BODIES_OF_OTHER_TYPES
from tests.support.callbacks import REJECTED, SAMPLES, decoded, envelope, message, order, raw, sample, sample_name, translator
from tests.support.servers import Addresses, ReadRecord, TopicsReader, eventually, metric, post

KEYS = [
    "393335550142",
    "+39 333 555 0142",
    "IT.13490000000000001",
    "1",
    "21",
    "abcd",
    "a-little-bit-longer-string",
    "Ünïcödé🌻",
]


class Bridge:
    """A running bridge, and a consumer of all its topics."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.catalogue = addresses.catalogue()
        self.reader = TopicsReader(addresses, [record_type.topic for record_type in self.catalogue])
        self._translator = translator(of=self.catalogue)

    def carry(self, body: bytes, **more: object) -> list[ReadRecord]:
        """Send a callback, which must be answered by an empty 200, and return the records that it became."""
        expected = self._translator.translate(raw(body))
        answer = post(self.addresses.callback_url, body, **more)
        assert (answer.status_code, answer.content) == (200, b"")
        return self.reader.read(len(expected))

    def carry_in_turn(self, bodies: Sequence[bytes]) -> list[ReadRecord]:
        """Send callbacks one after the other, then return the records of them all, in the order of each partition."""
        headers = {"content-type": "application/json"}
        with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
            for number, body in enumerate(bodies):
                with_trace = {**headers, "traceparent": trace_of(number)}
                answer = client.post(self.addresses.callback_url, content=body, headers=with_trace)
                assert (answer.status_code, answer.content) == (200, b""), body
        return self.reader.read(sum(len(self._translator.translate(raw(body))) for body in bodies))

    def carry_all(self, bodies: Mapping[str, bytes]) -> dict[str, list[ReadRecord]]:
        """Send callbacks one after the other and return the records of each."""
        by_trace: dict[str, list[ReadRecord]] = {trace_of(number): [] for number in range(len(bodies))}
        for record in self.carry_in_turn(list(bodies.values())):
            by_trace[record.header("traceparent")].append(record)
        return dict(zip(bodies, by_trace.values(), strict=True))

    def expected(self, body: bytes, received_at: int, trace: str) -> list[KafkaMessage]:
        return list(self._translator.translate(raw(body, received_at=received_at, traceparent=trace)))


@pytest.fixture(scope="module", params=[pytest.param("serve", marks=pytest.mark.real), "dev"])
def bridge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("bridge")
    if request.param == "dev":
        settings = servers.environment("unused:1", "http://unused", delivery_timeout_seconds=10)
        with servers.developing(settings, folder) as (_, addresses):
            running = Bridge(addresses)
            yield running
            running.reader.close()
        return
    kafka = request.getfixturevalue("kafka")
    apicurio = request.getfixturevalue("apicurio")
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10)
    servers.prepare(settings)
    with servers.served(settings, folder) as server:
        server.wait_until_ready()
        running = Bridge(server.addresses)
        yield running
        running.reader.close()


BODIES = {sample_name(path): path.read_bytes() for path in SAMPLES + REJECTED}


@pytest.fixture(scope="module")
def arrived(bridge: Bridge) -> dict[str, list[ReadRecord]]:
    """Send all samples and return the records of each."""
    return bridge.carry_all(BODIES)


def test_samples_arrive_as_the_pipeline_makes_them(bridge: Bridge, arrived: dict[str, list[ReadRecord]]) -> None:
    differing = {}
    for number, (name, body) in enumerate(BODIES.items()):
        found = sorted(arrived[name], key=in_order)
        made = sorted(bridge.expected(body, received_at(found[0]) if found else 0, trace_of(number)), key=in_order)
        facts = [(one.topic, one.value, one.key, one.timestamp_ms, without_schema(one.headers)) for one in found]
        expected = [
            (one.topic, decoded(one, bridge.catalogue), one.key, one.timestamp_ms, without_schema(one.headers)) for one in made
        ]
        if facts != expected:
            differing[name] = (facts, expected)
    assert differing == {}, f"these samples differ: {', '.join(differing)}"


def test_samples_arrive_as_explain_shows_them(bridge: Bridge, arrived: dict[str, list[ReadRecord]]) -> None:
    differing = {}
    for name, body in BODIES.items():
        shown = explain(bridge.catalogue, callback_by_post(body))
        letters = [record for record in arrived[name] if record.topic == bridge.catalogue.dead_letter.topic]
        records = [record for record in arrived[name] if record.topic != bridge.catalogue.dead_letter.topic]
        facts = (
            by_text({key: letter.value[key] for key in ("reason", "step", "detail")} for letter in letters),
            by_text(without_receipt(record.topic, record.key, record.value) for record in records),
        )
        expected = (
            by_text(shown["dead_letters"]),
            by_text(without_receipt(one["topic"], one["key"].encode(), one["value"]) for one in shown["records"]),
        )
        if facts != expected:
            differing[name] = (facts, expected)
    assert differing == {}, f"these samples differ: {', '.join(differing)}"


def test_value_is_framed_with_its_schema_id_of_the_registry(bridge: Bridge) -> None:
    (record,) = [one for one in bridge.carry(envelope([message()])) if one.topic.endswith("texts")]
    found = httpx.get(record.header("ce_dataschema"), trust_env=False, verify=False)
    assert record.header("ce_dataschema") == f"{bridge.addresses.registry_url}/schemas/ids/{record.schema_id}"
    text = bridge.catalogue.record_types["text"]
    assert json.loads(found.json()["schema"]) == json.loads(text.published_text)
    latest = httpx.get(
        f"{bridge.addresses.registry_url}/subjects/{text.subject}/versions/latest", trust_env=False, verify=False
    )
    assert latest.json()["id"] == record.schema_id


def test_record_has_the_headers_of_a_cloud_event(bridge: Bridge) -> None:
    now = int(time.time())
    (record,) = bridge.carry(envelope([message(message_type="document", timestamp=str(now))]))
    names = [name for name, _ in record.headers]
    assert sorted(names) == sorted(
        ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema", "content-type"]
    )
    assert record.header("ce_specversion") == "1.0"
    assert record.header("ce_type") == "kaleyra.whatsapp.document"
    assert record.header("ce_source") == "/kaleyra/whatsapp/104600000000001"
    assert record.header("content-type") == "application/avro"
    assert datetime.fromisoformat(record.header("ce_time")) == datetime.fromtimestamp(now, UTC)
    assert record.timestamp_ms == now * 1000
    assert record.value["sent_at"] == datetime.fromtimestamp(now, UTC)


def test_same_callback_twice_has_the_same_ids(bridge: Bridge) -> None:
    body = envelope([message(id="wamid.VFdJQ0U")])
    (first,), (second,) = bridge.carry(body), bridge.carry(body)
    assert first.header("ce_id") == second.header("ce_id")


def test_record_is_in_the_partition_that_java_would_choose(bridge: Bridge) -> None:
    for key, found in bridge.carry_all({key: envelope([message(key)]) for key in KEYS}).items():
        (record,) = found
        assert record.key == key.encode()
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % bridge.reader.partitions[record.topic], key


def test_records_of_a_person_are_in_the_order_of_the_answers(bridge: Bridge) -> None:
    found = bridge.carry_in_turn([envelope([message(id=f"wamid.{index}.{part}") for part in range(3)]) for index in range(20)])
    assert [record.value["message_id"] for record in found] == [f"wamid.{i}.{part}" for i in range(20) for part in range(3)]


def test_largest_body_arrives_whole(bridge: Bridge) -> None:
    # Random, so that no codec makes it small, whatever compression is switched on.
    filler = random.Random(7).randbytes((4_194_304 - 2000) // 2).hex()
    (record,) = bridge.carry(envelope([message(message_type="hologram", hologram={"body": filler})]))
    assert json.loads(record.value["payload"])["hologram"]["body"] == filler


def test_body_over_the_limit_is_refused(bridge: Bridge) -> None:
    answer = post(bridge.addresses.callback_url, b" " * 4_194_305)
    assert answer.status_code == 413
    assert not bridge.reader.rest()


def test_two_products_arrive_with_exact_prices(bridge: Bridge) -> None:
    items = [{"product_retailer_id": str(index), "quantity": 1, "item_price": 7.99, "currency": "EUR"} for index in (1, 2)]
    (record,) = bridge.carry(envelope([order(*items)]))
    assert [str(item["item_price"]) for item in record.value["product_items"]] == ["7.990000", "7.990000"]


def test_every_type_of_body_arrives_as_the_pipeline_makes_it(bridge: Bridge) -> None:
    for path in BODIES_OF_OTHER_TYPES:
        given = sample(path)
        expected = translator(of=bridge.catalogue).translate(given)
        answer = httpx.request(
            "PUT",
            bridge.addresses.callback_url,
            content=given.body,
            headers={"content-type": given.content_type, "content-encoding": "UTF-8"},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200
        assert {record.topic for record in bridge.reader.read(len(expected))} == {one.topic for one in expected}


def test_callback_is_produced_though_its_sender_hangs_up(bridge: Bridge) -> None:
    url = httpx.URL(bridge.addresses.callback_url)
    body = envelope([message(id="wamid.R09ORQ")])
    with socket.create_connection((url.host, url.port)) as connection:
        head = f"POST {url.path} HTTP/1.1\r\nhost: bridge\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
    (record,) = bridge.reader.read(1)
    assert record.value["message_id"] == "wamid.R09ORQ"


def test_metrics_count_callbacks_and_records(bridge: Bridge) -> None:
    url = bridge.addresses.management_url
    topic = f"{bridge.addresses.prefix}texts"

    def counted() -> tuple[float, float]:
        return (
            metric(url, "connector_callbacks_total", status_class="2xx"),
            metric(url, "connector_records_total", topic=topic),
        )

    # Metrics are flushed once a second: those of the tests before are included by now.
    time.sleep(1.5)
    callbacks, records = counted()
    bridge.carry(envelope([message(id="wamid.1"), message(id="wamid.2")]))
    eventually(lambda: counted() == (callbacks + 1, records + 2))


def test_metrics_of_two_workers_are_added_up(kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.prepare(settings)
    with servers.served(settings, tmp_path, workers=2) as server:
        server.wait_until_ready(workers=2)
        workers = server.children()
        assert len(workers) == 2
        url, management = server.addresses.callback_url, server.addresses.management_url
        with ThreadPoolExecutor(8) as threads:
            bodies = [envelope([message(id=f"wamid.{index}")]) for index in range(200)]
            assert {answer.status_code for answer in threads.map(lambda body: post(url, body), bodies)} == {200}
            assert {answer.status_code for answer in threads.map(lambda _: post(f"{url}/a/b", b""), range(20))} == {404}
        assert metric(management, "connector_ready") == 2
        eventually(lambda: metric(management, "connector_refused_requests_total", reason="wrong_path") == 20)
        eventually(lambda: metric(management, "connector_callbacks_total", status_class="2xx") == 200)
        eventually(lambda: metric(management, "connector_records_total", topic=f"{server.addresses.prefix}texts") == 200)
        ended = server.stop()
    assert ended.exit_code == 0, ended.stderr
    assert all(servers.has_ended(pid) for pid in workers)
    with pytest.raises(httpx.ConnectError):
        post(url, bodies[0])
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{management}/healthz", trust_env=False, verify=False)
    reader = TopicsReader(server.addresses, [f"{server.addresses.prefix}texts"])
    assert sorted(record.value["message_id"] for record in reader.read(200)) == sorted(f"wamid.{i}" for i in range(200))
    reader.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    # The vectors of Apache Kafka's own test of its hash, org.apache.kafka.common.utils.UtilsTest.
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_is_that_of_java(text: str, expected: int) -> None:
    assert murmur2(text.encode()) == expected % 2**32


def test_nothing_else_arrived(bridge: Bridge) -> None:
    assert bridge.reader.rest() == []


def trace_of(number: int) -> str:
    """Return a traceparent that no other callback of a run has."""
    return f"00-{number + 1:032x}-00000000000000b7-01"


def in_order(record: ReadRecord | KafkaMessage) -> tuple[str, bytes]:
    return record.topic, next(content for name, content in record.headers if name == "ce_id")


def received_at(record: ReadRecord) -> int:
    moment: datetime = record.value["received_at"]
    return round(moment.timestamp() * 1000)


def without_schema(headers: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in headers if name != "ce_dataschema"]


def without_receipt(topic: str, key: bytes | None, value: dict[str, object]) -> object:
    # An event without a usable time has that of its receipt.
    times = ("received_at", "event_at") if value.get("event_at") == value["received_at"] else ("received_at",)
    return topic, key, {name: part for name, part in value.items() if name not in times}


def by_text(values: Iterable[object]) -> list[object]:
    return sorted(values, key=repr)


def murmur2(data: bytes) -> int:
    """Return Kafka's murmur2 as in org.apache.kafka.common.utils.Utils, as an unsigned number."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    digest = (0x9747B28C ^ len(data)) & mask
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        digest = digest * factor & mask ^ word
    if data[whole:]:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * factor & mask
    digest = (digest ^ digest >> 13) * factor & mask
    return digest ^ digest >> 15
