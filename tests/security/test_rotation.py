"""Everything secret is exchanged under load, step by step as an operator does it: no callback is refused, cut off or lost."""

import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.certificates import Authority
from tests.support.servers import Served, TopicsReader, eventually

pytestmark = pytest.mark.slow

SECRETS = {name: f"an-invented-secret-of-{name}-0123456789" for name in ("old", "new", "client")}
KEYS = {name: f"an-invented-key-{name}-of-32-characters-" for name in "ab"}


def config(file: Path, headers: tuple[str, ...], keys: tuple[str, ...], signs_with: str) -> Path:
    """Write the settings: which secrets of the header are right, which keys are believed, and which one signs."""
    lines = [
        "[authentication.credentials.client]",
        'kind = "oauth"',
        'client_id = "kaleyra"',
        f'secret = "{SECRETS["client"]}"',
    ]
    for name in headers:
        lines += [f"[authentication.credentials.header_{name}]", 'kind = "header"', 'header_name = "X-Key"']
        lines += [f'secret = "{SECRETS[name]}"']
    lines += ["[oauth]", f'signs_with = "{signs_with}"', "[oauth.signing_keys]", *(f'{name} = "{KEYS[name]}"' for name in keys)]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


class Senders:
    """Two callers without a pause: one shows a header, one a token; what they show can be changed."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self._url = url
        self._context = context
        self.shown: dict[str, dict[str, str]] = {"header": {"X-Key": SECRETS["old"]}}
        self.answers: list[tuple[str, int]] = []
        self._stopping = threading.Event()

    def new_token(self) -> None:
        """Ask for a token, and show it from now on."""
        credentials = {"client_id": "kaleyra", "client_secret": SECRETS["client"]}
        token_url = f"{self._url.partition('/callbacks')[0]}/oauth/token"
        answer = httpx.post(token_url, json=credentials, verify=self._context, trust_env=False)
        self.shown["token"] = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def more(self) -> None:
        """Wait for further answers to what is shown now."""
        count = len(self.answers)
        eventually(lambda: len(self.answers) > count + 60, 30)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send until the end of the block; all answers are in by then."""
        threads = [
            threading.Thread(target=self._send, args=(kind, number)) for number, kind in enumerate(("header", "token") * 2)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(60)

    def _send(self, kind: str, number: int) -> None:
        index = 0
        with httpx.Client(trust_env=False, verify=self._context, timeout=30) as client:
            while not self._stopping.wait(0.01):
                message_id = f"wamid.{number}.{index}"
                body = envelope([message(f"39333555{number:04}", id=message_id)])
                try:
                    status = client.post(self._url, content=body, headers=self.shown[kind]).status_code
                except httpx.TransportError:
                    status = 0
                self.answers.append((message_id, status))
                index += 1


def serial_of(url: str, context: ssl.SSLContext) -> int:
    with httpx.stream("GET", url, verify=context, trust_env=False) as answer:
        certificate = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
    return int(certificate["serialNumber"], 16)


def test_secret_key_and_certificate_rotation_loses_no_callback(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.sign("bridge")
    context = ssl.create_default_context(cafile=str(authority.path))
    file = config(tmp_path / "connector.toml", ("old",), ("a",), "a")
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, tmp_path) as (_, addresses):
        environment = servers.environment(
            addresses.bootstrap_servers,
            addresses.registry_url,
            prefix=addresses.prefix,
            TLS__CERTIFICATE_PATH=str(own.certificate),
            TLS__KEY_PATH=str(own.key),
        )
        del environment["CONNECTOR_AUTHENTICATION__URL_TOKEN"]
        with servers.served(environment, tmp_path, 2, file) as server:
            server.wait_until_ready(workers=2)
            url = f"https://127.0.0.1:{urlsplit(server.addresses.callback_url).port}/callbacks/kaleyra"
            senders = Senders(url, context)
            senders.new_token()
            old_token = senders.shown["token"]
            with senders.running():
                senders.more()
                config(file, ("old", "new"), ("a", "b"), "b")
                taken_up(server)
                senders.more()
                senders.shown["header"] = {"X-Key": SECRETS["new"]}
                senders.new_token()
                senders.more()
                new = authority.sign("bridge")
                config(file, ("new",), ("b",), "b")
                taken_up(server)
                senders.more()
            assert {status for _, status in senders.answers} == {200}
            assert serial_of(url, context) == new.serial
            for gone in ({"X-Key": SECRETS["old"]}, old_token):
                assert httpx.post(url, content=b"{}", headers=gone, verify=context, trust_env=False).status_code == 401
            assert server.stop().exit_code == 0
        reader = TopicsReader(addresses, [f"{addresses.prefix}texts"])
        assert {record.value["message_id"] for record in reader.rest()} == {message_id for message_id, _ in senders.answers}
        reader.close()


def taken_up(server: Served) -> None:
    """Let the bridge reload its settings and files, and wait until every worker has."""
    times = len(server.events("workers_replaced")) + 1
    server.send_signal(signal.SIGHUP)
    eventually(lambda: len(server.events("workers_replaced")) == times, 60, server.log)
