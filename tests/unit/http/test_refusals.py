"""A refused request is logged with the network of its client, and strangers cannot fill the log."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from connector import logs
from connector.http.refusals import Refusals, network_of
from connector.metrics import Metrics
from connector.records import Request
from tests.support.callbacks import counted

PROXIES = (ip_network("10.0.0.0/8"),)


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(logs, "event", lambda name, _level="error", **facts: written.append({"event": name, **facts}))
    return written


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::1", "::/48"),
    ],
)
def test_network_is_too_large_to_name_a_person(address: str, network: str) -> None:
    assert network_of(ip_address(address)) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("203.0.113.77", b"192.0.2.1", "203.0.113.0/24"),
        ("10.1.2.3", b"192.0.2.1", "192.0.2.0/24"),
        ("10.1.2.3", b"198.51.100.1, 192.0.2.1, 10.9.9.9", "192.0.2.0/24"),
        ("10.1.2.3", b"unknown", "unknown"),
        ("::ffff:203.0.113.77", b"", "203.0.113.0/24"),
        ("", b"", "unknown"),
    ],
)
def test_client_behind_a_trusted_proxy_is_the_forwarded_one(
    peer: str, forwarded: bytes, network: str, lines: list[dict[str, Any]]
) -> None:
    refusals = Refusals(Metrics(), PROXIES)

    refusals.add("wrong_path", Request([(b"x-forwarded-for", forwarded)], None, peer), "POST")

    assert lines == [{"event": "request_refused", "times": 1, "reason": "wrong_path", "network": network, "method": "POST"}]


@pytest.mark.parametrize("method", ["GET /x", "X" * 11, "M-SEARCH", "\x1b[31m", "393335550142"])
def test_odd_method_is_left_out(method: str, lines: list[dict[str, Any]]) -> None:
    Refusals(Metrics()).add("wrong_method", Request([], None, "192.0.2.1"), method)

    assert lines[0]["method"] == ""


def test_many_networks_get_ten_lines_a_minute_for_a_reason_and_all_are_counted(
    lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    metrics = Metrics()
    refusals = Refusals(metrics)

    def flood() -> int:
        lines.clear()
        for number in range(3000):
            refusals.add("not_authentic", Request([], None, f"198.{number // 250}.{number % 250}.1"), "POST")
        refusals.add("wrong_path", Request([], None, "192.0.2.1"), "POST")
        return sum(line["reason"] == "not_authentic" for line in lines)

    assert flood() == 10
    assert lines[-1]["reason"] == "wrong_path", "another reason has its own lines"
    assert flood() == 0
    now += 60.1
    assert flood() == 10
    assert counted(metrics, "connector_refused_requests", reason="not_authentic") == 9000


def test_repeated_line_says_how_often(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    refusals = Refusals(Metrics())
    for _ in range(5):
        refusals.add("wrong_path", Request([], None, "192.0.2.1"), "POST")
    now += 60.1
    refusals.add("wrong_path", Request([], None, "192.0.2.200"), "POST")

    assert [line["times"] for line in lines] == [1, 5]
