"""The one list of metrics: name, kind, unit and labels. Labels are bounded: never a number, a path or a peer.

In a worker of `serve` the values live in files that the supervising process adds up (PROMETHEUS_MULTIPROC_DIR).
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """All metrics of a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        into = self.registry
        self.callbacks = Counter("connector_callbacks", "Callbacks answered.", ["status_class"], registry=into)
        self.records = Counter("connector_records", "Records acknowledged by Kafka.", ["topic"], registry=into)
        self.dead_letters = Counter("connector_dead_letters", "Dead letters made.", ["reason"], registry=into)
        self.acknowledgement_seconds = Histogram(
            "connector_acknowledgement_seconds",
            "From the first byte of an authentic callback's body to its answer.",
            buckets=_SECONDS,
            registry=into,
        )
        self.unconfirmed = Counter(
            "connector_unconfirmed_records", "Records that Kafka did not acknowledge in time.", ["error"], registry=into
        )
        self.left_out = Counter(
            "connector_left_out", "What was left out or mended on purpose, by what.", ["what"], registry=into
        )
        self.outstanding_records = Gauge(
            "connector_outstanding_records",
            "Records that wait for Kafka's acknowledgement.",
            registry=into,
            multiprocess_mode="livesum",
        )
        self.ready = Gauge("connector_ready", "Workers that are ready.", registry=into, multiprocess_mode="livesum")
        self._left_out = {
            name: self.left_out.labels(name)
            for name in ("lone_surrogates", "contacts_without_profile", "contacts_without_key", "ambiguous_extra_info")
        }

    def count_left_out(self, surrogates: int, without_profile: int, without_key: int, ambiguous: int) -> None:
        """Count what decode and split left out of one callback."""
        if surrogates or without_profile or without_key or ambiguous:
            for name, count in zip(self._left_out, (surrogates, without_profile, without_key, ambiguous), strict=True):
                self._left_out[name].inc(count)


def exposition(metrics: Metrics | None) -> bytes:
    """Return the metrics as text: of this process, or, in a supervisor, of all workers added up."""
    if metrics is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(metrics.registry)
