"""What is measured by `python -m benchmarks`: a load, the connections, and the contenders."""

from dataclasses import dataclass
from typing import Final

from benchmarks.callbacks import BIG_STATUSES, LoadName


@dataclass(frozen=True, slots=True)
class Workload:
    """One table of the report. Ratios are to its first contender; `rounds` and `quick_rounds` are runs of each."""

    title: str
    load: LoadName
    contenders: tuple[str, ...] = ("baseline", "bridge")
    connections: int = 256
    rounds: int = 3
    quick_rounds: int = 0
    events_per_callback: int = 1
    brokers: int = 1
    server_cores: int = 1


_BIG_CONNECTIONS: Final = 8
"""At most 20,000 records of the bridge can wait for Kafka."""

WORKLOADS: Final = {
    "documents": Workload(
        "documents and orders, two records each",
        "documents",
        ("baseline", "bridge", "bridge without a spool"),
        rounds=5,
        quick_rounds=2,
    ),
    "mix": Workload("the mix of production: 70 % statuses, 20 % texts", "mix", quick_rounds=1),
    "treatments": Workload(
        "documents and orders: what authentication and hashed phones cost",
        "documents",
        ("bridge without authentication", "bridge", "bridge, phones hashed"),
    ),
    "big": Workload(
        f"big callbacks: {BIG_STATUSES:,} statuses each", "big", connections=_BIG_CONNECTIONS, events_per_callback=BIG_STATUSES
    ),
    "bad": Workload("one callback in ten becomes a dead letter", "bad"),
    "connections-64": Workload("documents and orders", "documents", connections=64),
    "connections-1": Workload("documents and orders", "documents", connections=1),
    "workers-2": Workload("documents and orders", "documents", ("bridge", "bridge, two workers"), server_cores=2),
    "brokers-3": Workload("three brokers, min.insync.replicas=2", "documents", rounds=2, brokers=3),
}
"""By the names that the command line takes. `outage` is one more: see outage.py."""
