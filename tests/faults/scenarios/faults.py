"""What breaks, and how it is repaired: a function breaks something, lets it last, and repairs it before it returns."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults.scenarios import clock
from tests.faults.scenarios.bridge_under_load import Scene
from tests.faults.scenarios.ledger import NO_ANSWER
from tests.stack.cluster import in_parallel
from tests.support.servers import eventually

SMALLEST_SPOOL_BYTES: Final = 1024 * 1024
SMALL_DISK_BYTES: Final = 2 * 1024 * 1024
_SLOW_SECONDS: Final = 0.2
_SILENT: Final = 2.5
"""Factor for faults without an error: they last longer, as each caller first waits for the delivery timeout."""
_FULL_SECONDS: Final = 90.0
_HALF_AN_HOUR: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name, and what it changes: `may_answer` are the statuses, other than 200, that it excuses."""

    name: str
    happen: Callable[[Scene], None]
    may_answer: frozenset[int] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    is_behind_network: bool = False
    disk_bytes: int | None = None
    module: str = "connector"


def one_broker_killed(scene: Scene) -> None:
    scene.cluster.brokers[0].kill()
    scene.last()
    scene.cluster.start()


def two_brokers_killed(scene: Scene) -> None:
    in_parallel([broker.kill for broker in scene.cluster.brokers[:2]])
    scene.last()
    scene.cluster.start()


def all_brokers_killed(scene: Scene) -> None:
    scene.kill_brokers()
    scene.last()
    scene.cluster.start()


def one_broker_frozen(scene: Scene) -> None:
    scene.cluster.brokers[1].freeze()
    scene.last(_SILENT)
    scene.cluster.brokers[1].resume()
    scene.cluster.wait_until_in_sync()


def all_brokers_frozen(scene: Scene) -> None:
    for broker in scene.cluster.brokers:
        broker.freeze()
    scene.last(_SILENT)
    for broker in scene.cluster.brokers:
        broker.resume()
    scene.cluster.wait_until_in_sync()


def brokers_slow(scene: Scene) -> None:
    scene.cluster.network.slow_down(_SLOW_SECONDS)
    scene.last()
    scene.cluster.network.slow_down(0)


def network_frozen(scene: Scene) -> None:
    scene.cluster.network.freeze()
    scene.last(_SILENT)
    scene.cluster.network.thaw()


def brokers_restarted_in_turn(scene: Scene) -> None:
    for broker in scene.cluster.brokers:
        broker.restart()
        scene.cluster.wait_until_in_sync()


def topic_created_again(scene: Scene) -> None:
    """Deleted and created again, after its leaders have moved: the client takes the new leaders for older ones."""
    brokers_restarted_in_turn(scene)
    with scene.running_load.paused():
        scene.wait_until_spool_is_empty()
        scene.create_topic_again()
    scene.last(_SILENT)


def advertised_address_unreachable(scene: Scene) -> None:
    """One broker does not answer where it says that it is, while the bridge is restarted."""
    scene.cluster.network.close(1)
    scene.stop_bridge()
    scene.start_bridge()
    scene.last(_SILENT)
    scene.cluster.network.open()


def registry_gone(scene: Scene) -> None:
    """A worker restarted meanwhile cannot ask the registry for its schemas' ids."""
    scene.registry.stop()
    try:
        scene.last(0.5)
        os.kill(scene.bridge.children()[0], signal.SIGKILL)
        eventually(lambda: len(scene.bridge.children()) > 1)
        scene.wait_until_ready()
        scene.last(0.5)
    finally:
        scene.registry.start()


def worker_killed(scene: Scene) -> None:
    """One, and when it is back the other."""
    for worker in scene.bridge.children():
        os.kill(worker, signal.SIGKILL)
        eventually(lambda worker=worker: worker not in scene.bridge.children())  # type: ignore[misc]
        eventually(lambda: len(scene.bridge.children()) > 1)
        scene.wait_until_ready()
        scene.last(0.25)


def bridge_killed(scene: Scene) -> None:
    scene.kill_bridge()
    scene.start_bridge()


def bridge_killed_in_an_outage(scene: Scene) -> None:
    scene.kill_brokers()
    scene.last(0.5)
    scene.kill_bridge()
    scene.start_bridge()
    scene.last(0.5)
    scene.cluster.start()


def bridge_killed_while_the_spool_drains(scene: Scene) -> None:
    scene.kill_brokers()
    scene.last()
    scene.cluster.start()
    scene.kill_bridge()
    scene.start_bridge()


def sigterm(scene: Scene) -> None:
    scene.stop_bridge()
    scene.start_bridge()


def sigterm_in_an_outage(scene: Scene) -> None:
    scene.kill_brokers()
    scene.last(0.5)
    scene.stop_bridge()
    scene.start_bridge()
    scene.last(0.5)
    scene.cluster.start()


def spool_full(scene: Scene) -> None:
    """Kafka is away for longer than there is room."""
    scene.kill_brokers()
    eventually(lambda: scene.running_load.count(503) > 20, _FULL_SECONDS, lambda: "the spool does not get full")
    scene.last(0.5)
    scene.cluster.start()


def disk_of_a_broker_full(scene: Scene) -> None:
    """A broker ends when the only disk for its records fails; the two others carry on."""
    broker = scene.cluster.brokers[-1]
    scene.cluster.disk.fill([broker.pid])
    scene.last()
    scene.cluster.disk.make_room()
    broker.kill()
    scene.cluster.start()


def clock_jumps(scene: Scene) -> None:
    """Half an hour ahead, then behind, with Kafka there and away: the order is that of acceptance, whatever the clock says."""
    file = scene.clock_file
    for seconds in (_HALF_AN_HOUR, -_HALF_AN_HOUR, 0.0):
        clock.set_off(file, seconds)
        scene.last(0.25)
    clock.set_off(file, _HALF_AN_HOUR)
    scene.kill_brokers()
    clock.set_off(file, -_HALF_AN_HOUR)
    scene.last(0.5)
    clock.set_off(file, 0.0)
    scene.cluster.start()


_REFUSED: Final = frozenset({503})
_CUT: Final = frozenset({503, NO_ANSWER})
_JUMPING: Final = "tests.faults.scenarios.serve_with_fake_clock"

FAULTS: Final = (
    Fault("one broker killed", one_broker_killed),
    Fault("two brokers killed", two_brokers_killed),
    Fault("all brokers killed", all_brokers_killed),
    Fault("one broker frozen", one_broker_frozen),
    Fault("all brokers frozen", all_brokers_frozen),
    Fault("brokers slow (200 ms)", brokers_slow, is_behind_network=True),
    Fault("network frozen", network_frozen, is_behind_network=True),
    Fault("disk of a broker full", disk_of_a_broker_full),
    Fault("brokers restarted in turn", brokers_restarted_in_turn),
    Fault("topic deleted and created again", topic_created_again),
    Fault("advertised address unreachable", advertised_address_unreachable, _CUT, is_behind_network=True),
    Fault("registry gone", registry_gone, _CUT),
    Fault("worker killed", worker_killed, _CUT),
    Fault("bridge killed", bridge_killed, _CUT),
    Fault("bridge killed in an outage", bridge_killed_in_an_outage, _CUT),
    Fault("bridge killed while the spool drains", bridge_killed_while_the_spool_drains, _CUT),
    Fault("SIGTERM", sigterm, _CUT),
    Fault("SIGTERM in an outage", sigterm_in_an_outage, _CUT),
    Fault("spool full", spool_full, _REFUSED, {"SPOOL__MAX_BYTES": str(SMALLEST_SPOOL_BYTES)}),
    Fault("disk full", spool_full, _REFUSED, {"SPOOL__MAX_BYTES": "67108864"}, disk_bytes=SMALL_DISK_BYTES),
    Fault("clock jumps", clock_jumps, module=_JUMPING),
)
