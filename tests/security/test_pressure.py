"""What unauthenticated clients can use up (connections, time, memory, metric series) is bounded; callbacks go through.

The bounds on memory are of the worker's resident set, in MiB, before and after.
"""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.security.conftest import AUTHENTIC, BODY, DEADLINE_SECONDS, MAX_BODY_BYTES, MAX_CONNECTIONS, PATH, Bridge, post
from tests.support.servers import eventually

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
CUT_SECONDS = DEADLINE_SECONDS + 5
"""The deadline, a sweep once a second, and a slow machine."""


@contextmanager
def memory_stays(bridge: Bridge, within_mib: float) -> Iterator[None]:
    """State by how much the worker may have grown afterwards."""
    bridge.is_well()
    before = bridge.memory_mib()
    yield
    grown = bridge.memory_mib() - before
    assert grown < within_mib, f"{before:.0f} MiB, and {grown:.0f} more"


def test_silent_connections_are_closed_and_do_no_harm(bridge: Bridge, capsys: pytest.CaptureFixture[str]) -> None:
    given = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(MAX_CONNECTIONS - 100, given - 300)
    with memory_stays(bridge, 160), ExitStack() as opened:
        left: list[socket.socket] = []
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", bridge.port), timeout=10)
            opened.callback(one.close)
            left.append(one)
            if number % 1000 == 500:
                assert bridge.is_well()
        with capsys.disabled():
            # A run says how much it has tried.
            print(f"\n  {count} connections opened and left (open files per process: {given})")  # noqa: T201
        assert bridge.is_well()
        ends = time.monotonic() + CUT_SECONDS
        for one in left:
            one.settimeout(max(0.1, ends - time.monotonic()))
            answer = b""
            with suppress(ConnectionError):
                answer = one.recv(100)
            assert answer[:12] in (b"HTTP/1.1 408", b"")


@pytest.mark.parametrize("is_whole", [False, True], ids=["without an end", "whole"])
@pytest.mark.parametrize("head", [b"X: " + b"x" * MIB, b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 35_000], ids=["one", "many"])
def test_megabyte_of_headers_is_431(bridge: Bridge, head: bytes, is_whole: bool) -> None:
    with memory_stays(bridge, 32):
        for _ in range(10):
            client = bridge.connect()
            client.send(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{AUTHENTIC}\r\n".encode() + head + (b"\r\n\r\n" if is_whole else b"")
            )
            assert client.answer().status == 431
            assert client.is_closed()
    assert bridge.texts() == 0


def test_endless_target_and_trailer_are_cut_off(bridge: Bridge) -> None:
    endless = {
        f"POST {PATH}/".encode(): (400, 414, 431),
        f"POST {PATH}?".encode(): (400, 414, 431),
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{AUTHENTIC}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ".encode(): (
            400,
            408,
            413,
            431,
        ),
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{AUTHENTIC}\r\nTransfer-Encoding: chunked\r\n\r\n0;".encode(): (400, 408, 413),
    }
    with memory_stays(bridge, 32):
        for begin, statuses in endless.items():
            client = bridge.connect().send(begin)
            with suppress(OSError):
                for _ in range(20 * 16):
                    client.socket.sendall(b"x" * 65536)
            with suppress(AssertionError):
                # The answer may be lost behind what was not read any more.
                assert client.answer().status in statuses
            assert client.is_closed()
    assert bridge.texts() == 0


def test_unauthenticated_body_is_not_kept(bridge: Bridge) -> None:
    with memory_stays(bridge, 32):
        for _ in range(50):
            client = bridge.connect().send(post(b"", path=PATH).replace(b"Content-Length: 0", b"Content-Length: 1000000000"))
            with suppress(OSError):
                client.socket.sendall(b"x" * MIB)
            assert client.answer().status == 401
            assert client.is_closed()


def test_incomplete_bodies_are_408_and_not_kept(bridge: Bridge) -> None:
    with memory_stays(bridge, 48):
        started = time.monotonic()
        slow = [bridge.connect().send(post(b"x" * MAX_BODY_BYTES, AUTHENTIC)[:-1]) for _ in range(200)]
        assert bridge.is_well()
        assert [client.answer().status for client in slow] == [408] * 200
        assert time.monotonic() - started < CUT_SECONDS
    assert bridge.texts() == 0


def test_slow_headers_and_bodies_are_408(bridge: Bridge) -> None:
    started = time.monotonic()
    clients = [
        bridge.connect().send(f"POST {PATH} HTTP/1.1\r\n".encode()),
        bridge.connect().send(post(BODY, AUTHENTIC)[: -len(BODY)]),
        bridge.connect().send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{AUTHENTIC}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()),
    ]
    drops = (b"X: y\r\n", b" ", b"1\r\n \r\n")
    with suppress(OSError):
        while time.monotonic() - started < DEADLINE_SECONDS + 2.5:
            for client, drop in zip(clients, drops, strict=True):
                client.send(drop)
            time.sleep(0.1)
    assert [client.answer().status for client in clients] == [408] * 3
    assert bridge.texts() == 0


def test_unread_answers_do_not_take_memory(bridge: Bridge) -> None:
    with memory_stays(bridge, 32):
        for sent in (post(b"", path="/nowhere"), post(BODY, AUTHENTIC), post(BODY), b"GET / HTTP/1.1\r\n\r\n"):
            client = bridge.connect()
            client.socket.settimeout(0.5)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(2000):
                    client.socket.sendall(sent * 50)
            client.socket.close()


def test_concurrent_requests_get_their_own_answers(bridge: Bridge) -> None:
    wanted = {200: post(BODY, AUTHENTIC), 401: post(BODY), 404: post(BODY, path="/nowhere"), 400: b"garbage\r\n\r\n"}
    wrong: list[object] = []

    def attack(status: int, content: bytes) -> None:
        for _ in range(50):
            answer = bridge.ask(content)
            if answer.status != status:
                wrong.append((status, answer))

    threads = [threading.Thread(target=attack, args=one) for one in wanted.items() for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert bridge.texts() == 200


def test_unauthenticated_requests_add_no_metric_series(bridge: Bridge) -> None:
    before = set(bridge.metrics())
    for number in range(200):
        word = f"stranger{number}"
        bridge.ask(post(BODY, f"Authorization: Bearer {word}", f"X-{word}: {word}", path=f"{PATH}/{word}"))
        bridge.ask(post(b"{}", f"X-Forwarded-For: 198.51.100.{number}", path="/oauth/token"))
        bridge.ask(post(b"", method="PUT", path=f"/{word}"))
    eventually(lambda: bridge.metrics()['connector_callbacks_total{status_class="4xx"}'] > 200)
    more = set(bridge.metrics()) - before
    assert not [name for name in more if "stranger" in name or "198.51" in name]
    # What is counted for the first time here has its one series.
    assert len(more) <= 3, more
