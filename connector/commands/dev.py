"""`connector dev`: an embedded broker and registry and the bridge in one process, for development. No Kafka, Java or Docker.

It accepts callbacks from any client and stores nothing. It creates the topics and schemas, prints the addresses, then every
record as it arrives. After the records of the demo it prints the addresses again. Ctrl-C ends it.
"""

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx2
import typer
import uvloop

from connector import logs
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.send import post_callback
from connector.commands.tail import print_record
from connector.dev.embedded.broker import EmbeddedBroker
from connector.dev.embedded.registry import create_registry
from connector.dev.invented.callbacks import TYPES, callback
from connector.errors import ConfigurationInvalid
from connector.http.listener import PlainServer, bind
from connector.http.management import create_management_app
from connector.instance.worker import Worker
from connector.kafka.producers import check_properties
from connector.kafka.reader import Reader
from connector.registry.client import RegistryClient
from connector.settings.load import load_settings_for_tools
from connector.settings.producer import in_its_table, producer_properties
from connector.settings.tables import Logs, Registry, Settings, Spool, Tls

_HOST = "127.0.0.1"
_STALLED_SECONDS = 3.0
_SAMPLE = "tests/samples/document/full.json"

app = typer.Typer()


@app.command()
def dev(
    *,
    config: Config = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the callback URL. 0 picks a free port.")] = 8080,
    ready_file: Annotated[Path | None, typer.Option(help="Write the addresses to this file, as JSON, when ready.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Send one invented callback of every type.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run an embedded broker, registry and bridge, and show each record as it arrives."""
    given = load_settings_for_tools(config)
    if ready_file and not ready_file.parent.is_dir():
        raise ConfigurationInvalid([f"{ready_file}: its folder does not exist; choose an existing one for --ready-file"])
    with bind(_HOST, port, "--port") as listening, bind(_HOST, 0) as for_registry, bind(_HOST, 0) as for_management:
        stack = _create_stack(given, listening, for_registry, for_management)
        uvloop.run(stack.run(ready_file, demo=demo, as_json=as_json))


def _create_stack(
    given: Settings, listening: socket.socket, registry_socket: socket.socket, management_socket: socket.socket
) -> "_Stack":
    broker = EmbeddedBroker()
    registry_url = f"http://{_HOST}:{registry_socket.getsockname()[1]}"
    loaded = _use_embedded_servers(given, broker.bootstrap_servers, registry_url)
    problems = check_properties(producer_properties(loaded))
    if problems:
        raise ConfigurationInvalid([in_its_table(loaded, problem) for problem in problems])
    logs.configure(Logs(level="warning", format=loaded.logs.format))
    return _Stack(loaded, broker, listening, registry_socket, management_socket)


def _use_embedded_servers(loaded: Settings, bootstrap_servers: str, registry_url: str) -> Settings:
    kafka = loaded.kafka.model_copy(
        update={
            "client": {"bootstrap.servers": bootstrap_servers},
            "producer": {**loaded.kafka.producer, "statistics.interval.ms": 100},
        }
    )
    registry = Registry(url=registry_url, client={})
    # The embedded broker is never down, and the spool belongs to the instance of `serve` that the settings are for.
    return loaded.model_copy(update={"kafka": kafka, "registry": registry, "spool": Spool(), "tls": Tls()})


class _Stack:
    """The embedded servers and the bridge on one event loop."""

    def __init__(
        self,
        loaded: Settings,
        broker: EmbeddedBroker,
        listening: socket.socket,
        registry_socket: socket.socket,
        management_socket: socket.socket,
    ) -> None:
        self._settings = loaded
        self._broker = broker
        self._shown_records = 0
        self._sockets = (registry_socket, management_socket)
        self._worker = Worker(loaded, listening)
        bridge = self._worker.bridge
        self._servers = (PlainServer(create_registry()), PlainServer(create_management_app(bridge.state, bridge.metrics)))
        host_port = "{}:{}".format(*listening.getsockname()[:2])
        self._addresses = {
            "callback_url": f"http://{host_port}{loaded.http.path}",
            "bootstrap_servers": broker.bootstrap_servers,
            "registry_url": loaded.registry.url,
            "management_url": f"http://{_HOST}:{management_socket.getsockname()[1]}",
        }

    async def run(self, ready_file: Path | None, *, demo: bool, as_json: bool) -> None:
        """Start everything, then serve until SIGINT or SIGTERM."""
        stopping = asyncio.Event()
        readiness = self._worker.bridge.readiness

        def stop() -> None:
            stopping.set()
            readiness.changes.notify()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        serving = [
            asyncio.create_task(server.serve(sockets=[listening]))
            for server, listening in zip(self._servers, self._sockets, strict=True)
        ]
        await asyncio.to_thread(self._create_topics_and_schemas)
        working = asyncio.create_task(self._worker.run())
        reading = asyncio.create_task(self._show_records(stopping, stop, as_json=as_json))
        await readiness.changes.until(lambda: readiness.is_ready or stopping.is_set())
        self._print_addresses(as_json=as_json)
        if ready_file and not stopping.is_set():
            await asyncio.to_thread(_write_atomically, ready_file, json.dumps(self._addresses))
        if demo and not stopping.is_set():
            await self._send_one_of_every_type()
            if not as_json:
                await self._wait_until_shown(stopping)
                self._print_addresses(as_json=False)
        await stopping.wait()
        self._worker.stop()
        await working
        if not (await asyncio.wait([reading], timeout=_STALLED_SECONDS))[0]:
            # Its thread waits for a reader of our output that does not read (a pager), and nothing else ends that.
            os._exit(1)
        await reading
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*serving)

    def _create_topics_and_schemas(self) -> None:
        catalogue = self._worker.bridge.catalogue
        registry = RegistryClient(self._settings.registry.url)
        for record_type in catalogue:
            registry.register(record_type)
        self._broker.create_topics(record_type.topic for record_type in catalogue)

    async def _show_records(self, stopping: asyncio.Event, stop: Callable[[], None], *, as_json: bool) -> None:
        registry = RegistryClient(self._settings.registry.url)
        reader = Reader(self._settings.kafka.client, registry.schema_text)
        topics = [record_type.topic for record_type in self._worker.bridge.catalogue]
        await asyncio.to_thread(reader.assign, topics, from_beginning=True)
        try:
            while not stopping.is_set():
                # In a thread, one record after the other: neither a burst nor a terminal that reads slowly delays a callback.
                self._shown_records += await asyncio.to_thread(_show_arrived, reader, stopping, as_json=as_json)
        except OSError:
            # The reader of our output has exited (`head`), or its disk is full: there is no one to show records to.
            stop()
            raise
        finally:
            await asyncio.to_thread(reader.close)

    async def _send_one_of_every_type(self) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            for number, kind in enumerate(TYPES):
                await post_callback(client, self._addresses["callback_url"], callback(kind, number))

    async def _wait_until_shown(self, stopping: asyncio.Event) -> None:
        """Wait until all records that were produced are on the screen, so that later output stays visible."""
        produced = sum(tally.count for tally in self._worker.bridge.metrics.records_by_topic.values())
        while self._shown_records < produced and not stopping.is_set():  # noqa: ASYNC110 - a number of another task
            await asyncio.sleep(0.05)

    def _print_addresses(self, *, as_json: bool) -> None:
        if as_json:
            show.as_json(self._addresses)
            return
        rows = [(name.replace("_", " "), address) for name, address in self._addresses.items()]
        show.table("The bridge is ready (no authentication, nothing is stored; Ctrl-C ends it)", ("name", "address"), rows)
        show.out.print("Try it from a second terminal in this folder:\n")
        program, url = program_name(), self._addresses["callback_url"]
        data = f"@{_SAMPLE}" if Path(_SAMPLE).is_file() else "'from=393335550142&type=text&body=Ciao'"
        lines = (
            f"{program} send document --url {url}",
            f"curl -i {url} --data {data}",
            f"export CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS={self._addresses['bootstrap_servers']}",
            f"export CONNECTOR_REGISTRY__URL={self._addresses['registry_url']}",
            f"{program} tail orders --from-beginning",
        )
        for line in lines:
            show.out.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
        show.out.print()


def _show_arrived(reader: Reader, stopping: asyncio.Event, *, as_json: bool) -> int:
    """Print the records that have arrived, and return how many; stop in between if the bridge does."""
    shown = 0
    for record in reader.records(0.1):
        if stopping.is_set():
            break
        print_record(record, as_json=as_json)
        shown += 1
    return shown


def program_name() -> str:
    """Return what to type in this folder to run this program again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(_relative_path(Path(sys.executable)))} -m connector"
    found = shutil.which(called.name)
    if found and Path(found).exists() and called.exists() and Path(found).samefile(called):
        return called.name
    return shlex.quote(_relative_path(called))


def _relative_path(file: Path) -> str:
    """Return a path relative to the current folder if it is inside, else absolute."""
    absolute = Path(os.path.abspath(file))  # noqa: PTH100 - keeps links: a virtual environment's Python is one
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def _write_atomically(file: Path, text: str) -> None:
    """Write a file so that readers see either all of it or no file."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
