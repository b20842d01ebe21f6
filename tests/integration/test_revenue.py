"""The first job that reads: examples/revenue adds up known orders, to the digit, whatever happens to them on the way."""

import re
import uuid
from pathlib import Path

import pytest

from connector.records import Json
from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.support import servers
from tests.support.callbacks import ABSENT, envelope, order
from tests.support.readers.revenue import Job, Total, Totals
from tests.support.servers import Addresses, Served, TopicsReader, post

TEN, ELEVEN = "2025-11-21T10:00Z", "2025-11-21T11:00Z"
AT_TEN, AT_ELEVEN = 1_763_719_200, 1_763_722_800
IDLE_SECONDS = 5


def line(item_price: object, quantity: object = 1, currency: object = "EUR") -> Json:
    given = {"product_retailer_id": "maglia-11", "quantity": quantity, "item_price": item_price, "currency": currency}
    return {name: value for name, value in given.items() if value is not None}


def ordered(number: int, seconds: object, *lines: Json, person: int = 0) -> bytes:
    """Return the callback of one order; `seconds` are when it was sent."""
    timestamp = seconds if seconds is ABSENT else str(seconds)
    return envelope([order(*lines, id=f"wamid.{number}", timestamp=timestamp, number=f"39333555{person:04d}")])


# Floats would make 15.979999999999999 of the first, and 0.30000000000000004 of the second.
SHIRTS = ordered(1, AT_TEN, line(7.99, 2))
DIMES = ordered(2, AT_TEN + 3599, line("0.1", 3), person=1)
DOLLARS = ordered(3, AT_TEN + 60, line(12.5, 1, "USD"), person=2)
TWO_CURRENCIES = ordered(4, AT_ELEVEN, line("0.000001"), line("999999999999.999999", 9_000_000, "USD"), person=1)
FIRST = [SHIRTS, DIMES, DOLLARS, TWO_CURRENCIES]
AFTER_FIRST: Totals = {
    ("EUR", TEN): Total("16.280000", 2),
    ("USD", TEN): Total("12.500000", 1),
    ("EUR", ELEVEN): Total("0.000001", 1),
    ("USD", ELEVEN): Total("8999999999999999991.000000", 1),
}

LATE = ordered(5, AT_TEN + 1, line(5.05), line(None), line(1, None), line(1, 1, None), person=3)
WITHOUT_TIME = ordered(6, ABSENT, line(30, 2), person=4)
FROM_THE_FUTURE = ordered(7, 4_070_908_800, line(1, 1), person=5)
"""Of 1 January 2099. Later orders still count in their own hour."""
LATER_STILL = ordered(8, AT_TEN + 2, line("0.07"), person=6)
"""Sent to a job that has lost its state."""


@pytest.fixture
def job(kafka: KafkaBroker, apicurio: ApicurioRegistry, revenue_venv: Path) -> Job:
    partitions = {"TOPICS__PARTITIONS": "3"}
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url, delivery_timeout_seconds=10, **partitions)
    servers.prepare(settings)
    return Job(settings, revenue_venv, f"revenue-{uuid.uuid4().hex[:8]}")


def test_sums_are_exact_and_every_order_counts_once_in_its_hour(job: Job, tmp_path: Path) -> None:
    with servers.served(job.environment, tmp_path) as server:
        server.wait_until_ready()
        with job.running(tmp_path / "state", tmp_path / "revenue.log"):
            carry(server, *FIRST, SHIRTS, TWO_CURRENCIES)
            job.wait_for(AFTER_FIRST, 60)
            carry(server, FROM_THE_FUTURE, WITHOUT_TIME, LATE, DIMES)
            then: Totals = {
                **AFTER_FIRST,
                ("EUR", TEN): Total("21.330000", 3),
                ("EUR", hour_of_receipt(server.addresses)): Total("61.000000", 2),
            }
            job.wait_for(then, 30)
        assert (tmp_path / "revenue.log").read_text(encoding="utf-8").count("does not count") == 3
        carry(server, LATER_STILL, SHIRTS, LATE)
        printed = job.run_until_idle(tmp_path / "new_state", IDLE_SECONDS)
    finally_: Totals = {**then, ("EUR", TEN): Total("21.400000", 4)}
    assert table_of(printed) == finally_
    assert job.totals() == finally_


def test_job_says_how_to_create_a_missing_topic(job: Job, tmp_path: Path) -> None:
    missing = Job({**job.environment, "CONNECTOR_TOPICS__PREFIX": "nowhere."}, job.venv, job.name)
    with pytest.raises(AssertionError, match=r"no topic nowhere\.orders: `connector topics create` makes it"):
        missing.run_until_idle(tmp_path, IDLE_SECONDS)


def carry(server: Served, *bodies: bytes) -> None:
    for body in bodies:
        assert post(server.addresses.callback_url, body).status_code == 200


def hour_of_receipt(addresses: Addresses) -> str:
    reader = TopicsReader(addresses, [f"{addresses.prefix}orders"])
    (found,) = [record.value for record in reader.rest() if record.value["sent_at"] is None]
    reader.close()
    return f"{found['received_at']:%Y-%m-%dT%H:00Z}"


def table_of(printed: str) -> Totals:
    """Read the table at the end of the output."""
    rows = printed.rpartition("orders\n")[2]
    cells = re.findall(r"^(\S+) +(\S+) +(\S+) +(\d+)$", rows, re.MULTILINE)
    return {(currency, hour): Total(revenue, int(count)) for hour, currency, revenue, count in cells}
