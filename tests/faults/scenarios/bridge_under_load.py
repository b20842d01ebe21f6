"""A bridge under load, with its spool, on a cluster: what faults happen to."""

import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.faults.scenarios import clock
from tests.faults.scenarios.reader import Reader
from tests.faults.scenarios.sender import Load
from tests.faults.topic_again import create_again
from tests.stack.cluster import KafkaCluster, in_parallel
from tests.support.registries import EmbeddedRegistry
from tests.support.servers import Environment, Served, eventually, has_ended, metric

WORKERS: Final = 2
_READY_SECONDS: Final = 40.0
_EMPTY_SECONDS: Final = 90.0
_EMPTY_LOOKS: Final = 4
_LOOK_SECONDS: Final = 0.5


class Scene:
    """One bridge and its senders; `seconds` is how long a fault lasts. `module` serves instead of `connector`."""

    def __init__(
        self,
        cluster: KafkaCluster,
        registry: EmbeddedRegistry,
        settings: Environment,
        folder: Path,
        seconds: float,
        module: str = "connector",
        reader: Reader | None = None,
    ) -> None:
        self._reader = reader
        self.cluster = cluster
        self.registry = registry
        self.seconds = seconds
        self.log_file = folder / "bridge.log"
        self._spool = Path(settings["CONNECTOR_SPOOL__FOLDER"]) / "spool.sqlite"
        self.clock_file = folder / "clock"
        clock.set_off(self.clock_file, 0.0)
        self._settings = {**settings, clock.VARIABLE: str(self.clock_file)}
        self._module = module
        self.bridge = Served(self._settings, self.log_file, WORKERS, module=module)
        self.load: Load | None = None

    @property
    def running_load(self) -> Load:
        """The senders."""
        assert self.load
        return self.load

    def last(self, share: float = 1.0) -> None:
        """Let the fault last for its time, or a share of it."""
        time.sleep(self.seconds * share)

    def wait_until_ready(self) -> None:
        """Return when all workers are ready."""
        self.bridge.wait_until_ready(_READY_SECONDS, WORKERS)

    def processes(self) -> list[int]:
        """Return the ids of the bridge's processes."""
        return [self.bridge.pid, *self.bridge.children()]

    def kill_bridge(self) -> None:
        """Kill all of the bridge at once, by SIGKILL."""
        pids = self.processes()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.bridge.wait()
        eventually(lambda: all(map(has_ended, pids)))

    def close(self) -> None:
        """Leave nothing running."""
        if self.bridge.is_running:
            self.kill_bridge()

    def stop_bridge(self) -> None:
        """End the bridge by SIGTERM; that everything is safe is its exit code 0."""
        ended = self.bridge.stop()
        assert ended.exit_code == 0, f"exit code {ended.exit_code} after SIGTERM"

    def start_bridge(self) -> None:
        """Start the bridge again, on its ports and its spool; return when it is ready."""
        ports = [int(url.split("/")[2].rpartition(":")[2]) for url in self.bridge.addresses[:2]]
        self.bridge = Served(self._settings, self.log_file, WORKERS, ports=ports, module=self._module)
        self.wait_until_ready()

    def kill_brokers(self) -> None:
        """Kill all brokers, and wait until callbacks go into the spool."""
        in_parallel([broker.kill for broker in self.cluster.brokers])
        eventually(lambda: self.waiting() > 0, _READY_SECONDS, lambda: "nothing waits in the spool")

    def create_topic_again(self) -> None:
        """Delete the topic with most of the records, and create it again, until other brokers lead it."""
        assert self._reader
        topic = f"{self.bridge.addresses.prefix}texts"
        with self._reader.created_again(topic):
            create_again(self.cluster, self._settings, topic)

    def waiting(self) -> float:
        """Return how many callbacks wait in the spool, by the metrics."""
        return metric(self.bridge.addresses.management_url, "connector_spool_waiting_callbacks")

    def wait_until_spool_is_empty(self) -> None:
        """Return when nothing has waited for a while: the metrics are a second behind."""
        looks = 0

        def stays_empty() -> bool:
            nonlocal looks
            time.sleep(_LOOK_SECONDS)
            looks = looks + 1 if self.waiting() == 0 else 0
            return looks >= _EMPTY_LOOKS

        eventually(stays_empty, _EMPTY_SECONDS, lambda: f"{self.waiting():g} callbacks wait in the spool")

    def left_in_spool(self) -> Mapping[str, int]:
        """Return what is in the spool's file after the bridge has ended, by table; empty when nothing is."""
        if not self._spool.exists():
            return {}
        with closing(sqlite3.connect(f"file:{self._spool}?mode=ro", uri=True)) as connection:
            counts = {
                "callbacks": connection.execute("SELECT callbacks FROM totals").fetchone()[0],
                "parked": connection.execute("SELECT count(*) FROM parked WHERE NOT is_unparked").fetchone()[0],
            }
        return {table: count for table, count in counts.items() if count}
