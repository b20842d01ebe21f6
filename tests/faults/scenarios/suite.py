"""The cluster, the registry and the reader for all faults, and the way of one fault: bridge, load, fault, account.

Each fault has its own folder with the bridge's log and its spool.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.faults.scenarios.bridge_under_load import Scene
from tests.faults.scenarios.compare_ledgers import Verdict, judge, name_of, other_answers
from tests.faults.scenarios.faults import Fault
from tests.faults.scenarios.reader import Reader
from tests.faults.scenarios.sender import Load
from tests.stack.cluster import KafkaCluster
from tests.stack.errors import StackError
from tests.support import servers
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import Addresses, Environment
from tests.support.small_disk import small_disk

DELIVERY_SECONDS = 5.0
_PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a fault. `problems` are what must not be, in words; `folder` has the bridge's log."""

    fault: str
    verdict: Verdict
    problems: tuple[str, ...]
    folder: Path


class Suite:
    """Runs faults one after the other, on one cluster. `rate` is callbacks a second, `seconds` how long a fault lasts."""

    def __init__(self, cluster: KafkaCluster, registry: EmbeddedRegistry, folder: Path, rate: float, seconds: float) -> None:
        self._cluster = cluster
        self._registry = registry
        self._folder = folder
        self._rate = rate
        self._seconds = seconds
        self._prefix = servers.new_prefix()
        self._count = 0
        settings = self._settings(folder, None)
        servers.prepare(settings)
        self._reader = Reader(Addresses("", "", cluster.bootstrap_servers, registry.url, self._prefix))

    def close(self) -> None:
        """Read no more."""
        self._reader.close()

    def run(self, fault: Fault) -> Row:
        """Let a fault happen to a bridge under load, and compare the ledgers."""
        self._count += 1
        folder = self._folder / f"{self._count:02}-{re.sub(r'[^a-z0-9]+', '-', fault.name.lower()).strip('-')}"
        folder.mkdir(parents=True)
        problems: list[str] = []
        load = self._happen(fault, folder, problems)
        verdict = judge(load.ledger, self._reader.of_fault(self._count))
        problems += [f"{name}: {len(marks)}, as {marks[0]}" for name, marks in verdict.breaches().items()]
        if not verdict.answered_200:
            problems.append("nothing was answered 200")
        for status, count in sorted(other_answers(load.ledger).items()):
            if status not in fault.may_answer:
                problems.append(f"{count} x {name_of(status)}")
        return Row(fault.name, verdict, tuple(problems), folder)

    def _happen(self, fault: Fault, folder: Path, problems: list[str]) -> Load:
        """Return the load, which has ended, with its ledger; what went wrong on the way is added to the problems."""
        settings = self._settings(folder, fault)
        with ExitStack() as stack:
            spool = Path(settings["CONNECTOR_SPOOL__FOLDER"])
            disk = stack.enter_context(small_disk(spool, fault.disk_bytes) if fault.disk_bytes else nullcontext())
            scene = Scene(self._cluster, self._registry, settings, folder, self._seconds, fault.module, self._reader)
            stack.callback(scene.close)
            load = scene.load = Load(scene.bridge.addresses.callback_url, self._rate, self._count)
            with _noted(problems, scene):
                scene.wait_until_ready()
                if disk:
                    disk.limit(scene.processes())
                with load:
                    load.goes_well()
                    fault.happen(scene)
                    load.goes_well()
                scene.wait_until_spool_is_empty()
                scene.stop_bridge()
                problems += [f"{count} left in the spool's {table}" for table, count in scene.left_in_spool().items()]
            self._restore()
        return load

    def _restore(self) -> None:
        """Restore the initial state, also after a fault that did not repair what it broke."""
        self._cluster.disk.make_room()
        self._cluster.network.slow_down(0)
        self._cluster.network.thaw()
        self._cluster.network.open()
        for broker in self._cluster.brokers:
            if broker.is_running:
                broker.resume()
        self._cluster.start()

    def _settings(self, folder: Path, fault: Fault | None) -> Environment:
        cluster = self._cluster
        return servers.environment(
            cluster.slow_bootstrap_servers if fault and fault.is_behind_network else cluster.bootstrap_servers,
            self._registry.url,
            prefix=self._prefix,
            delivery_timeout_seconds=DELIVERY_SECONDS,
            TOPICS__REPLICATION_FACTOR=str(len(cluster.brokers)),
            TOPICS__PARTITIONS=str(_PARTITIONS),
            REGISTRY__VERIFY_INTERVAL_SECONDS="2",
            SPOOL__FOLDER=str(folder / "spool"),
            **(fault.settings if fault else {}),
        )


@contextmanager
def suite(cluster: KafkaCluster, folder: Path, rate: float, seconds: float) -> Iterator[Suite]:
    """Start what faults need beside a cluster, which they leave whole."""
    with EmbeddedRegistry() as registry:
        running = Suite(cluster, registry, folder, rate, seconds)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def _noted(problems: list[str], scene: Scene) -> Iterator[None]:
    """Note timeouts and failures: the ledgers are compared nevertheless."""
    try:
        yield
    except (AssertionError, StackError, OSError) as wrong:
        # The first line only: the whole log, which the error may include, is in its file.
        problems.append((str(wrong) or type(wrong).__name__).splitlines()[0])
        if scene.load:
            scene.load.stop()
