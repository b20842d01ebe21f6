"""A bridge as it is served, with every kind of credential at once, for attackers on real sockets.

Its Kafka and registry are those of `connector dev`. The deadlines are short, so that the tests are.
"""

import json
import resource
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.raw_client import Answer, Client
from tests.support.servers import ReadRecord, Served, TopicsReader

PATH: Final = "/callbacks/kaleyra"
SECRETS: Final = {
    name: f"an-invented-secret-of-{name}-0123456789" for name in ("old", "new", "bearer", "url", "client", "slow")
}
NUMBER: Final = "393331112233"
BODY: Final = envelope([message(NUMBER)])
WELL: Final = envelope([message(NUMBER, "document")])
"""No text: texts are what the tests count."""
MAX_BODY_BYTES: Final = 65536
DEADLINE_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 10_000
CREDENTIALS: Final = {
    "header_old": {"kind": "header", "header_name": "X-Kaleyra-Key", "secret": SECRETS["old"]},
    "header_new": {"kind": "header", "header_name": "X-Kaleyra-Key", "secret": SECRETS["new"]},
    "basic": {"kind": "basic", "user": "kaleyra", "secret": SECRETS["old"]},
    "bearer": {"kind": "bearer", "secret": SECRETS["bearer"]},
    "in_url": {"kind": "url_token", "secret": SECRETS["url"]},
    "client": {"kind": "oauth", "client_id": "kaleyra", "secret": SECRETS["client"]},
    "near": {"kind": "network", "networks": ["192.0.2.0/24"]},
    "slow": {"kind": "bearer", "secret": SECRETS["slow"], "max_callbacks_per_second": 1},
}
AUTHENTIC: Final = f"X-Kaleyra-Key: {SECRETS['new']}"


def post(body: bytes = BODY, *headers: str, path: str = PATH, method: str = "POST", version: str = "1.1") -> bytes:
    """Return a request as bytes; nothing of it is authentic unless a header says so."""
    lines = [f"{method} {path} HTTP/{version}", "Host: bridge", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Bridge:
    """The served bridge: what its sockets answer, what it writes, and how much memory it has."""

    def __init__(self, server: Served, reader: TopicsReader) -> None:
        self.server = server
        self.port = urlsplit(server.addresses.callback_url).port or 0
        self._reader = reader
        self._clients = ExitStack()

    def connect(self) -> Client:
        """Return a new connection; it is closed with the test."""
        client = Client(self.port)
        self._clients.callback(client.socket.close)
        return client

    def ask(self, content: bytes) -> Answer:
        """Send bytes over their own connection; return the first answer."""
        return self.connect().send(content).answer()

    def is_well(self) -> bool:
        """Whether an authentic callback goes through."""
        return self._post(WELL).status == 200

    def texts(self) -> int:
        """Return how many texts were produced since the last call."""
        return len(self.text_records())

    def text_records(self) -> list[ReadRecord]:
        """Return the texts that were produced since the last call.

        Those of one key are in order: when a further one is there, what came before it is there too.
        """
        mark = f"wamid.{uuid.uuid4()}"
        assert self._post(envelope([message(NUMBER, id=mark)])).status == 200
        found: list[ReadRecord] = []
        while True:
            (record,) = self._reader.read(1)
            if record.value["message_id"] == mark:
                return found
            found.append(record)

    def _post(self, body: bytes) -> Answer:
        client = Client(self.port)
        with closing(client.socket):
            return client.send(post(body, AUTHENTIC)).answer()

    def memory_mib(self) -> float:
        """Return the resident memory of the worker, in MiB."""
        (worker,) = self.server.children()
        status = Path(f"/proc/{worker}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def metrics(self) -> dict[str, float]:
        """Return every sample of `/metrics`."""
        text = httpx.get(f"{self.server.addresses.management_url}/metrics", trust_env=False, verify=False).text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def hang_up(self) -> None:
        """Close what the test has left open."""
        self._clients.close()


# Ends with the tests of this folder: three processes with debug logs take CPU time even when nothing calls them.
@pytest.fixture(scope="package")
def served_bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("security")
    # As many open files as this machine gives to a process: they are inherited.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, folder) as (_, addresses):
        environment = servers.environment(
            addresses.bootstrap_servers,
            addresses.registry_url,
            prefix=addresses.prefix,
            LOGS__LEVEL="debug",
            HTTP__MAX_BODY_BYTES=str(MAX_BODY_BYTES),
            HTTP__HEADER_TIMEOUT_SECONDS=str(DEADLINE_SECONDS),
            HTTP__BODY_TIMEOUT_SECONDS=str(DEADLINE_SECONDS),
            HTTP__IDLE_TIMEOUT_SECONDS="2",
            HTTP__MAX_CONNECTIONS=str(MAX_CONNECTIONS),
            AUTHENTICATION__CREDENTIALS=json.dumps(CREDENTIALS),
            AUTHENTICATION__TRUSTED_PROXIES="127.0.0.1",
            OAUTH__SIGNING_KEYS__A="an-invented-key-of-32-characters-",
            OAUTH__MAX_REQUESTS_PER_MINUTE="100",
        )
        with servers.served(environment, folder) as server:
            server.wait_until_ready()
            reader = TopicsReader(addresses, ["kaleyra.whatsapp.texts"])
            yield Bridge(server, reader)
            reader.close()
            assert server.stop().exit_code == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def bridge(served_bridge: Bridge) -> Iterator[Bridge]:
    served_bridge.texts()
    yield served_bridge
    served_bridge.hang_up()
    assert served_bridge.is_well()
    assert "internal_error" not in served_bridge.server.log(), "an attacker found a fault of ours"
