"""TLS of the data listener: with whom and in which versions, what is said at start, and a new certificate."""

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from os import kill
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from connector.errors import ConfigurationInvalid
from connector.http import tls
from connector.settings.tables import Tls
from tests.support import servers
from tests.support.certificates import Authority, Files
from tests.support.servers import TOKEN, Served, eventually

REQUEST = f"POST /callbacks/kaleyra/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
TLS_CLIENTS = 200
HANDSHAKES_AT_ONCE = 5
CALLBACKS_PER_CLIENT = 10
TLS_LOAD_SECONDS = 15.0
"""It takes about three; the rest is for a slow machine."""


class Secured(NamedTuple):
    """A served bridge that asks for client certificates, and what belongs to it."""

    server: Served
    authority: Authority
    ours: Files
    client: Files

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", urlsplit(self.server.addresses.callback_url).port or 0


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, clients = Authority(folder), Authority(folder, "clients")
    ours, client = authority.sign("bridge", password="an invented password"), clients.sign("kaleyra")
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, folder) as (_, addresses):
        environment = servers.environment(
            addresses.bootstrap_servers,
            addresses.registry_url,
            prefix=addresses.prefix,
            HTTP__HEADER_TIMEOUT_SECONDS="1",
            TLS__CERTIFICATE_PATH=str(ours.certificate),
            TLS__KEY_PATH=str(ours.key),
            TLS__KEY_PASSWORD="an invented password",
            TLS__CLIENT_CA_PATH=str(clients.path),
        )
        with servers.served(environment, folder) as server:
            server.wait_until_ready()
            yield Secured(server, authority, ours, client)
            assert server.stop().exit_code == 0
            assert "internal_error" not in server.log()


def trusting(secured: Secured, client: Files | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(secured.authority.path))
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


def ask(secured: Secured, context: ssl.SSLContext) -> tuple[bytes, int]:
    """Return the answer's first line, and the serial number of the bridge's certificate."""
    with (
        socket.create_connection(secured.address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(REQUEST)
        peer = connection.getpeercert()
        assert peer
        return connection.recv(1000).partition(b"\r\n")[0], int(str(peer["serialNumber"]), 16)


def test_callback_of_a_client_with_a_certificate_is_200(secured: Secured) -> None:
    assert ask(secured, trusting(secured, secured.client)) == (b"HTTP/1.1 200 OK", secured.ours.serial)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_accepted(secured: Secured, version: ssl.TLSVersion) -> None:
    context = trusting(secured, secured.client)
    context.minimum_version = context.maximum_version = version
    assert ask(secured, context)[0] == b"HTTP/1.1 200 OK"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_older_tls_is_refused(secured: Secured) -> None:
    context = trusting(secured, secured.client)
    # At this level only OpenSSL itself would still speak them.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        ask(secured, context)


def test_client_without_trusted_certificate_gets_no_answer(secured: Secured, tmp_path: Path) -> None:
    for client in (None, Authority(tmp_path, "strangers").sign("stranger"), secured.authority.sign("not_a_client")):
        try:
            answer, _ = ask(secured, trusting(secured, client))
        except (ssl.SSLError, ConnectionError):
            answer = b""
        assert answer == b""


def test_plain_http_gets_no_answer(secured: Secured) -> None:
    with socket.create_connection(secured.address, timeout=5) as plain:
        plain.sendall(REQUEST)
        assert b"HTTP" not in plain.recv(1000)


@pytest.mark.parametrize("opening", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_missing_handshake_is_cut_off(secured: Secured, opening: bytes) -> None:
    started = time.monotonic()
    left = [socket.create_connection(secured.address, timeout=10) for _ in range(200)]
    for one in left:
        one.sendall(opening)
    assert ask(secured, trusting(secured, secured.client))[0] == b"HTTP/1.1 200 OK"
    for one in left:
        with closing(one):
            assert one.recv(100) == b""
    assert time.monotonic() - started < 6


def test_many_tls_clients_at_once_are_all_answered(secured: Secured) -> None:
    context = trusting(secured, secured.client)

    async def statuses(handshakes: asyncio.Semaphore) -> list[int]:
        async with handshakes:
            # The time of a handshake is bounded, on a slow machine too.
            reader, writer = await asyncio.open_connection(*secured.address, ssl=context, server_hostname="localhost")
            found = [await status(reader, writer)]
        found += [await status(reader, writer) for _ in range(CALLBACKS_PER_CLIENT - 1)]
        writer.close()
        await writer.wait_closed()
        return found

    async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(REQUEST)
        return int((await reader.readuntil(b"\r\n\r\n")).split()[1])

    async def run() -> list[list[int]]:
        handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        return await asyncio.gather(*(statuses(handshakes) for _ in range(TLS_CLIENTS)))

    started = time.monotonic()
    with ExitStack() as stack:
        # As many others begin a handshake, and never end it.
        for _ in range(TLS_CLIENTS):
            stalled = stack.enter_context(socket.create_connection(secured.address, timeout=10))
            stalled.sendall(b"\x16\x03\x01\x02\x00\x01")
        answered = asyncio.run(run())
    assert answered == [[200] * CALLBACKS_PER_CLIENT] * TLS_CLIENTS
    assert time.monotonic() - started < TLS_LOAD_SECONDS


def test_new_worker_uses_the_new_certificate(secured: Secured) -> None:
    new = secured.authority.sign("bridge", password="an invented password")
    assert ask(secured, trusting(secured, secured.client))[1] == secured.ours.serial, "not by one that runs"
    (worker,) = secured.server.children()
    kill(worker, signal.SIGTERM)

    def is_taken_up() -> bool:
        try:
            return ask(secured, trusting(secured, secured.client))[1] == new.serial
        except OSError:
            return False

    eventually(is_taken_up, 20, secured.server.log)
    secured.server.wait_until_ready()


# Errors at start


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Authority(tmp_path).sign("bridge")


def problems(**given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigurationInvalid) as caught:
        tls.context(Tls.model_validate({name: str(value) for name, value in given.items()}))
    return caught.value.problems


def test_without_certificate_there_is_no_tls() -> None:
    assert tls.context(Tls()) is None


def test_all_missing_files_are_reported(tmp_path: Path) -> None:
    found = problems(certificate_path=tmp_path / "a", key_path=tmp_path / "b", client_ca_path=tmp_path / "c")
    assert [problem.partition(":")[0] for problem in found] == ["tls.certificate_path", "tls.key_path", "tls.client_ca_path"]
    assert all("cannot be read (No such file or directory)" in problem for problem in found)


def test_key_of_another_certificate_is_reported(files: Files, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").sign("other")
    (problem,) = problems(certificate_path=files.certificate, key_path=other.key)
    assert problem.startswith("tls.key_path: ")
    assert "is not that of the certificate" in problem


@pytest.mark.parametrize("password", ["", "wrong", "x" * 2000])
def test_wrong_key_password_is_reported_without_a_prompt(tmp_path: Path, password: str) -> None:
    locked = Authority(tmp_path).sign("locked", password="right")
    (problem,) = problems(certificate_path=locked.certificate, key_path=locked.key, key_password=password)
    assert problem.startswith("tls.key_password: does not open")


def test_file_without_certificate_is_reported(files: Files, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("none", encoding="utf-8")
    (problem,) = problems(certificate_path=tmp_path / "none", key_path=files.key)
    assert problem.startswith("tls.certificate_path: ")
    (problem,) = problems(certificate_path=files.certificate, key_path=files.key, client_ca_path=tmp_path / "none")
    assert problem.startswith("tls.client_ca_path: ")


@pytest.mark.parametrize("command", [("serve",), ("doctor",)])
def test_wrong_certificate_is_one_line_and_exit_code_2(files: Files, tmp_path: Path, command: tuple[str, ...]) -> None:
    other = Authority(tmp_path, "other").sign("other")
    environment = servers.environment(
        "127.0.0.1:1", "http://127.0.0.1:1", TLS__CERTIFICATE_PATH=str(files.certificate), TLS__KEY_PATH=str(other.key)
    )
    ended = servers.done_as_process(environment, *command)
    assert ended.exit_code == 2
    if command == ("serve",):
        (line,) = ended.stderr.splitlines()
        assert line.startswith("connector: tls.key_path: ")
    else:
        assert "tls.key_path" in ended.stdout
