"""Revenue per currency and hour, from the orders that the bridge writes: one quixstreams application.

In goes the topic of orders. Out comes, on a compacted topic, the new sum whenever one changes: JSON under the key
`<currency> <hour>`, so the last record of a key is the revenue of that hour. An order counts once, however often it was
delivered, in the hour in which it was sent, however late it arrived. Amounts are decimals and text, never floats.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from quixstreams import Application, State
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.models.serializers.schema_registry import SchemaRegistryClientConfig
from quixstreams.models.topics import TopicConfig

# Wide enough for 18 digits times a long, added up for ages; what does not fit stops the job instead of being rounded.
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])

Json = dict[str, Any]
log = logging.getLogger("revenue")


def is_new(order: Json, state: State) -> bool:
    """Return whether this order is new. The state is that of the order's key, which a second delivery shares."""
    event_id = order["event_id"]
    if state.exists(event_id):
        return False
    # For ever: some 70 bytes an order. Give a ttl where that is too much and nothing older is ever delivered again.
    state.set(event_id, True)  # noqa: FBT003 - quixstreams' own signature; any value marks the id as seen
    return True


def amounts(order: Json) -> list[Json]:
    """Return what an order is worth in each of its currencies."""
    # Always filled. The record's own timestamp would not do: for old orders it is the time of receipt.
    hour = order["event_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:00Z")
    sums: dict[str, Decimal] = {}
    for line in order["product_items"]:
        currency, price, quantity = line["currency"], line["item_price"], line["quantity"]
        if currency is None or price is None or quantity is None:
            log.warning("A line of order %s has no currency, price or quantity and does not count", order["event_id"])
            continue
        sums[currency] = EXACT.add(sums.get(currency, Decimal(0)), EXACT.multiply(price, quantity))
    return [{"currency": currency, "hour": hour, "revenue": f"{revenue:f}"} for currency, revenue in sums.items()]


def add_up(amount: Json, state: State) -> Json:
    """Add an amount to what its currency had in its hour.

    The hours are plain state and not windows: those close, by the clock of the newest order, and money must not be dropped
    because it came late or because another order is dated in the future.
    """
    before = state.get("total", {"revenue": "0", "orders": 0})
    revenue = EXACT.add(Decimal(before["revenue"]), Decimal(amount["revenue"]))
    total = {"revenue": f"{revenue:f}", "orders": before["orders"] + 1}
    state.set("total", total)
    return {"currency": amount["currency"], "hour": amount["hour"], **total}


def application(options: argparse.Namespace) -> Application:
    """Return the job, ready to run.

    Raises:
        SystemExit: when Kafka does not answer, or has no topic of orders: quixstreams would make an empty one.
    """
    try:
        cluster = AdminClient({"bootstrap.servers": options.bootstrap_servers, "log_level": 0}).list_topics(timeout=10)
    except KafkaException:
        sys.exit(f"No Kafka answers at {options.bootstrap_servers}: `make stack` starts one")
    if options.orders not in cluster.topics:
        sys.exit(f"There is no topic {options.orders}: `connector topics create` makes it")
    app = Application(
        broker_address=options.bootstrap_servers,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        # Orders, sums and the ids that were seen move on together, or not at all.
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        # Kafka has the state in changelog topics; what lies here only saves reading them again.
        state_dir=options.state / str(cluster.cluster_id),
        loglevel="WARNING",
    )
    registry = SchemaRegistryClientConfig(url=options.registry_url)
    orders = app.topic(options.orders, value_deserializer=AvroDeserializer(schema_registry_client_config=registry))
    found = orders.broker_config
    compacted = TopicConfig(found.num_partitions, found.replication_factor, {"cleanup.policy": "compact"})
    results = app.topic(options.results, key_serializer="str", config=compacted)

    stream = app.dataframe(orders)
    stream = stream.filter(is_new, stateful=True)
    stream = stream.apply(amounts, expand=True)
    stream = stream.group_by(
        lambda amount: f"{amount['currency']} {amount['hour']}", "hour", key_serializer="str", key_deserializer="str"
    )
    stream = stream.apply(add_up, stateful=True)
    stream = stream.update(lambda total: print(line_of(total), flush=True))
    # The headers are those of an order: a sum is none.
    stream = stream.set_headers(lambda *_: [])
    stream.to_topic(results)
    return app


def line_of(total: Mapping[str, Any]) -> str:
    """Return a line of the table."""
    return f"{total['hour']}  {total['currency']}  {total['revenue']:>24}  {total['orders']:>8}"


def last_results(options: argparse.Namespace) -> list[Json]:
    """Return the last record of each key of the topic of results, in order."""
    client = {"bootstrap.servers": options.bootstrap_servers, "group.id": f"{options.group}-table"}
    consumer = Consumer({**client, "enable.auto.commit": False, "enable.partition.eof": True})
    partitions = consumer.list_topics(options.results, timeout=30).topics[options.results].partitions
    consumer.assign([TopicPartition(options.results, number, OFFSET_BEGINNING) for number in partitions])
    left, found = len(partitions), {}
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit(f"{options.results} could not be read to its end")
        if message.error() and message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its only name
            left -= 1
        elif message.error():
            sys.exit(f"{options.results}: {message.error()}")
        else:
            found[message.key()] = json.loads(message.value())
    consumer.close()
    return sorted(found.values(), key=lambda total: (total["hour"], total["currency"]))


def main() -> None:
    """Read the command line and run, for ever or until no order comes."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    options = arguments().parse_args()
    job = application(options)
    if not options.until_idle:
        job.run()
        return
    job.run(timeout=options.until_idle, collect=False)
    print(f"\n{'hour (UTC)':<19}{'revenue':>25}{'orders':>10}")
    for total in last_results(options):
        print(line_of(total))


def arguments() -> argparse.ArgumentParser:
    """Return the options; addresses are by default what the bridge's own settings in the environment say."""
    said = os.environ.get
    parser = argparse.ArgumentParser(description="Revenue per currency and hour, from WhatsApp orders on Kafka.")
    parser.add_argument("--until-idle", type=float, metavar="SECONDS", help="end when no order comes, and print a table")
    parser.add_argument("--bootstrap-servers", default=said("CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS", "127.0.0.1:9092"))
    parser.add_argument("--registry-url", default=said("CONNECTOR_REGISTRY__URL", "http://127.0.0.1:8081"))
    parser.add_argument("--orders", default=said("CONNECTOR_TOPICS__PREFIX", "kaleyra.whatsapp.") + "orders")
    parser.add_argument("--results", default="revenue-per-hour", help="the topic of results")
    parser.add_argument("--group", default="revenue-per-hour", help="the consumer group, which the state belongs to")
    parser.add_argument("--state", type=Path, default=Path("state"), help="a folder for the local copy of the state")
    return parser


if __name__ == "__main__":
    main()
