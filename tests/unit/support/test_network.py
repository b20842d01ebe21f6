"""The network that can be slowed down or frozen, in front of an echo server."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.stack.network import Network
from tests.stack.ports import free_ports
from tests.support.servers import eventually


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.request.sendall(data)


@pytest.fixture
def network() -> Iterator[Network]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        (port,) = free_ports(1)
        network = Network({port: server.server_address[1]})
        network.start()
        try:
            yield network
        finally:
            network.stop()
            server.shutdown()
            thread.join()


@pytest.fixture
def connection(network: Network) -> Iterator[socket.socket]:
    host, _, port = network.address_of(1).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        yield connection


def seconds_there_and_back(connection: socket.socket) -> float:
    began = time.monotonic()
    connection.sendall(b"ciao")
    assert connection.recv(1024) == b"ciao"
    return time.monotonic() - began


def test_network_forwards_traffic(connection: socket.socket) -> None:
    assert seconds_there_and_back(connection) < 2


def test_slow_network_takes_its_time_and_is_fast_again(network: Network, connection: socket.socket) -> None:
    network.slow_down(0.3)
    eventually(lambda: seconds_there_and_back(connection) >= 0.3)
    assert seconds_there_and_back(connection) >= 0.3
    network.slow_down(0)
    eventually(lambda: seconds_there_and_back(connection) < 0.3)


def test_slow_network_carries_many_pieces_at_once(network: Network, connection: socket.socket) -> None:
    network.slow_down(0.5)
    eventually(lambda: seconds_there_and_back(connection) >= 0.5)
    began = time.monotonic()
    for _ in range(10):
        connection.sendall(b"ciao")
        time.sleep(0.02)
    received = b""
    while len(received) < 40:
        received += connection.recv(1024)
    assert time.monotonic() - began < 5


def test_frozen_network_forwards_held_traffic_after_it_thaws(network: Network, connection: socket.socket) -> None:
    assert seconds_there_and_back(connection) < 2
    network.freeze()
    time.sleep(0.3)
    connection.sendall(b"ciao")
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1024)
    network.thaw()
    connection.settimeout(5)
    assert connection.recv(1024) == b"ciao"
