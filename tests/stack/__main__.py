"""`python -m tests.stack`: the real Kafka and registry in the foreground, until Ctrl-C.

Prints their addresses and the settings that point the connector to them. What they hold is gone afterwards.
"""

import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Column, Table

from tests.stack.apicurio import ApicurioRegistry
from tests.stack.errors import StackError
from tests.stack.kafka import KafkaBroker
from tests.stack.process import JavaServer
from tests.stack.versions import APICURIO_VERSION, KAFKA_VERSION

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the stack; return the exit status."""
    console = Console()
    for number in _ENDING_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stack-")))
            with console.status("starting (the first time fetches about 200 MB)"):
                kafka = stack.enter_context(KafkaBroker(folder / "kafka"))
                apicurio = stack.enter_context(ApicurioRegistry(folder / "apicurio"))
            _print_addresses(console, kafka, apicurio)
            _wait_while_running(kafka, apicurio)
    except KeyboardInterrupt:
        return 0
    except StackError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Impatience must not leave the end half done: it takes a second or two, and is bounded.
    for number in _ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _print_addresses(console: Console, kafka: KafkaBroker, apicurio: ApicurioRegistry) -> None:
    table = Table("part", Column("address", no_wrap=True))
    table.add_row(f"Apache Kafka {KAFKA_VERSION}", kafka.bootstrap_servers)
    table.add_row(f"Apicurio Registry {APICURIO_VERSION}", apicurio.url)
    console.print(table)
    # Plain lines: they are made to be copied.
    console.out(f"export CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS={kafka.bootstrap_servers}", highlight=False)
    console.out(f"export CONNECTOR_REGISTRY__URL={apicurio.url}", highlight=False)
    console.print(f"Logs until then: {kafka.log_file} {apicurio.log_file}", soft_wrap=True, highlight=False)
    console.print("Ctrl-C ends both.")


def _wait_while_running(*servers: JavaServer) -> NoReturn:
    while True:
        for server in servers:
            server.check_running()
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
