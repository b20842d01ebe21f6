"""The servers that are compared, and one measured run of one of them."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import baseline, servers
from benchmarks.check import Topics, Written, faults
from benchmarks.cores import Cores
from benchmarks.load import Caller, Load
from benchmarks.report import Figures
from benchmarks.stack import Stack
from connector.catalogue import Catalogue

_WARM_UP_SECONDS: Final = 1
_FIRST_WARM_UP_SECONDS: Final = 5
"""The broker's JVM compiles while it runs; its slow first seconds would count most against the fastest contender."""
_MESSAGES: Final = ("document", "order", "media", "text")
Start = Callable[[Stack, tuple[int, ...], Path], AbstractContextManager[servers.Server]]

BASELINE: Final = "baseline"
BRIDGE: Final = "bridge"
NO_SPOOL: Final = "bridge without a spool"
TWO_WORKERS: Final = "bridge, two workers"
ANYONE: Final = "bridge without authentication"
HASHED: Final = "bridge, phones hashed"

STARTS: Final[Mapping[str, Start]] = {
    BASELINE: servers.baseline,
    BRIDGE: servers.bridge,
    NO_SPOOL: partial(servers.bridge, has_spool=False),
    TWO_WORKERS: partial(servers.bridge, workers=2),
    ANYONE: partial(
        servers.bridge,
        settings={
            "CONNECTOR_AUTHENTICATION__HEADER_NAME": "",
            "CONNECTOR_AUTHENTICATION__HEADER_VALUE": "",
            "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true",
        },
    ),
    HASHED: partial(
        servers.bridge,
        settings={
            "CONNECTOR_PRIVACY__PHONE": "hash",
            "CONNECTOR_PRIVACY__HASH_KEY": "an invented key of 32 characters",
            "CONNECTOR_PRIVACY__HASH_KEY_ID": "bench",
        },
    ),
}
"""Each contender by its name. Another way to run the bridge is one more line: `partial(servers.bridge, settings={…})`."""


HIDES_IDS: Final = frozenset({HASHED})
"""Records of these contenders are counted, not looked up by their ids."""


def written_by(name: str, catalogue: Catalogue) -> Written:
    """Return the topics that a contender writes to."""
    topics = baseline.TOPICS
    if name != BASELINE:
        topics = {record_type.name: record_type.topic for record_type in catalogue}
    return Written(tuple(topics[kind] for kind in _MESSAGES), topics["status"], topics["contact"], topics["dead_letter"])


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: its figures, how many callbacks were answered 2xx, and its errors."""

    figures: Figures
    acknowledged: int
    wrong: list[str]


class Running:
    """A started contender, frozen except while it is measured."""

    def __init__(self, server: servers.Server, topics: Topics, *, keeps_records: bool) -> None:
        self.server = server
        self._topics = topics
        self._keeps_records = keeps_records
        self._is_warm = False

    def run(
        self,
        caller: Caller,
        seconds: int,
        warm_up_seconds: int | None = None,
        events_per_callback: int = 1,
        *,
        is_bad: bool = False,
        send: Callable[[str, str, int], Load] | None = None,
    ) -> Run:
        """Load it and look up every 2xx. `send` replaces sending as fast as it answers: address, run, seconds."""
        if warm_up_seconds is None:
            warm_up_seconds = _WARM_UP_SECONDS if self._is_warm else _FIRST_WARM_UP_SECONDS
        self._is_warm = True
        self.server.go_on()
        try:
            if warm_up_seconds:
                caller.send(self.server.url, secrets.token_hex(4), warm_up_seconds)
                self._topics.wait_until_settled()
            self._topics.mark()
            run = secrets.token_hex(4)
            before = self.server.cpu_seconds()
            seen = (send or caller.send)(self.server.url, run, seconds)
            cpu_seconds = self.server.cpu_seconds() - before
            memory = self.server.peak_memory_mb()
            self._topics.wait_until_settled()
        finally:
            self.server.freeze()
        found = self._topics.added(run, read=self._keeps_records)
        figures = Figures(
            callbacks_per_second=seen.acknowledged / seen.seconds,
            cpu_us_per_callback=cpu_seconds * 1e6 / max(seen.acknowledged, 1),
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            p999_ms=seen.p999_ms,
            peak_memory_mb=memory,
        )
        wrong = faults(seen, found, caller.connections, events_per_callback, is_bad=is_bad)
        return Run(figures, seen.acknowledged, wrong)


@contextmanager
def running(
    start: Start, written: Written, stack: Stack, cores: Cores, folder: Path, *, keeps_records: bool
) -> Iterator[Running]:
    """Start one contender, frozen; stop it at the end."""
    with ExitStack() as open_things:
        server = open_things.enter_context(start(stack, cores.server, folder))
        # A frozen process cannot be stopped.
        open_things.callback(server.go_on)
        server.freeze()
        topics = Topics(stack.bootstrap_servers, written)
        open_things.callback(topics.close)
        yield Running(server, topics, keeps_records=keeps_records)
