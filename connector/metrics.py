"""The one list of metrics: name, kind, unit and labels. Labels are bounded: never a number, a path or a peer.

In a worker of `serve` the values live in files that the supervising process adds up (PROMETHEUS_MULTIPROC_DIR).
"""

import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_LEFT_OUT: Final = (
    "lone_surrogates",
    "contacts_without_profile",
    "contacts_without_key",
    "ambiguous_extra_info",
    "unfit_times",
    "clamped_times",
)


_FILES: Final = threading.Lock()
"""Held while the files of workers are read or put together."""


class Tally:
    """A counter for the way of a callback: a plain number, told to its metric once a second (`Metrics.tell`).

    The library's own takes a lock at each step, and in a worker writes to a mapped file.
    """

    __slots__ = ("_counter", "_told", "count")

    def __init__(self, counter: Counter) -> None:
        self.count = 0
        self._told = 0
        self._counter = counter

    def tell(self) -> None:
        """Bring the metric up to date."""
        if self.count > self._told:
            self._counter.inc(self.count - self._told)
            self._told = self.count


class Durations:
    """A histogram for the way of a callback, likewise: the library's own takes two locks, and asks the kernel for its pid."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_seconds")

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Take one duration."""
        self._seconds += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def tell(self) -> None:
        """Bring the metric up to date."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        seconds, self._seconds = self._seconds, 0.0
        # Its public method takes one duration at a time.
        self._histogram._sum.inc(seconds)  # noqa: SLF001
        for bucket, count in zip(self._histogram._buckets, counts, strict=True):  # noqa: SLF001
            if count:
                bucket.inc(count)


class Metrics:
    """All metrics of a process. What is counted for each callback has a `Tally`; `tell` brings the metrics up to date."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        into = self.registry
        self.callbacks = Counter("connector_callbacks", "Callbacks answered.", ["status_class"], registry=into)
        self.callbacks_by_credential = Counter(
            "connector_callbacks_by_credential", "Authentic callbacks, by the credential's name.", ["credential"], registry=into
        )
        self.limited_callbacks = Counter(
            "connector_limited_callbacks", "Callbacks of a credential over its limit (429).", ["credential"], registry=into
        )
        self.token_requests = Counter(
            "connector_token_requests", "Requests to the token endpoint, by outcome.", ["outcome"], registry=into
        )
        self.records = Counter("connector_records", "Records acknowledged by Kafka.", ["topic"], registry=into)
        self.dead_letters = Counter("connector_dead_letters", "Dead letters made.", ["reason"], registry=into)
        acknowledgement_seconds = Histogram(
            "connector_acknowledgement_seconds",
            "From the first byte of an authentic callback's body to its answer.",
            buckets=_SECONDS,
            registry=into,
        )
        self.acknowledgement_seconds = Durations(acknowledgement_seconds, _SECONDS)
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
        self.dead_letter_alarm = Gauge(
            "connector_dead_letter_alarm",
            "Workers in which the share of dead letters is above dead_letters.alarm_share.",
            registry=into,
            multiprocess_mode="livesum",
        )
        self.schema_ids_from_cache = Gauge(
            "connector_schema_ids_from_cache",
            "Workers that began with schema ids from the disk, not confirmed by the registry yet.",
            registry=into,
            multiprocess_mode="livesum",
        )
        self.schema_ids_wrong = Gauge(
            "connector_schema_ids_wrong",
            "Workers that produce nothing, since the registry knows their schema ids as something else.",
            registry=into,
            multiprocess_mode="livesum",
        )
        self.schema_id_checks = Counter(
            "connector_schema_id_checks", "Times that the registry was asked about our ids.", ["outcome"], registry=into
        )
        self.circuit_open = Gauge(
            "connector_circuit_open",
            "Workers that know Kafka to be away.",
            registry=into,
            multiprocess_mode="livesum",
        )
        self.spooled = Counter("connector_spooled_callbacks", "Callbacks kept on disk while Kafka was away.", registry=into)
        self.spool_delivered = Counter(
            "connector_spool_delivered_callbacks", "Callbacks that waited on disk and are in Kafka now.", registry=into
        )
        self.spool_set_aside = Counter(
            "connector_spool_set_aside_callbacks",
            "Callbacks on disk that cannot be delivered; they are kept there.",
            registry=into,
        )
        self.spool_waiting = Gauge(
            "connector_spool_waiting_callbacks",
            "Callbacks that wait on disk, of the whole instance.",
            registry=into,
            multiprocess_mode="livemax",
        )
        self.spool_bytes = Gauge("connector_spool_waiting_bytes", "Their size.", registry=into, multiprocess_mode="livemax")
        self.spool_oldest_seconds = Gauge(
            "connector_spool_oldest_seconds",
            "Time since the receipt of the first callback that waits on disk.",
            registry=into,
            multiprocess_mode="livemax",
        )
        self.spool_refuses = Gauge(
            "connector_spool_refuses",
            "1 while the spool takes no callback: it is full, what waits is too old, or its disk fails.",
            registry=into,
            multiprocess_mode="livemax",
        )
        self._tallies: list[Tally] = []
        self._by_credential: dict[str, Tally] = {}
        self.records_by_topic: dict[str, Tally] = {}
        self.left_out_by = {what: self.tally(self.left_out.labels(what)) for what in _LEFT_OUT}

    def tally(self, counter: Counter) -> Tally:
        """Return a new tally of a counter."""
        tally = Tally(counter)
        self._tallies.append(tally)
        return tally

    def called(self, credential: str) -> Tally:
        """Return the tally of the callbacks that came with a credential, by its name in the settings."""
        if credential not in self._by_credential:
            self._by_credential[credential] = self.tally(self.callbacks_by_credential.labels(credential))
        return self._by_credential[credential]

    def acknowledged(self, topic: str) -> Tally:
        """Return the tally of the records that Kafka acknowledged on a topic."""
        if topic not in self.records_by_topic:
            self.records_by_topic[topic] = self.tally(self.records.labels(topic))
        return self.records_by_topic[topic]

    def tell(self) -> None:
        """Bring every metric up to date with its tally."""
        self.acknowledgement_seconds.tell()
        for tally in self._tallies:
            tally.tell()

    def count_left_out(self, surrogates: int, without_profile: int, without_key: int, ambiguous: int) -> None:
        """Count what decode and split left out of one callback."""
        if surrogates or without_profile or without_key or ambiguous:
            for what, count in zip(_LEFT_OUT, (surrogates, without_profile, without_key, ambiguous), strict=False):
                self.left_out_by[what].count += count


def exposition(metrics: Metrics | None) -> bytes:
    """Return the metrics as text: of this process, or, in a supervisor, of all workers added up."""
    if metrics is not None:
        metrics.tell()
    if metrics is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        with _FILES:
            return generate_latest(registry)
    return generate_latest(metrics.registry)


def keep_counts_of(pid: int, folder: Path) -> None:
    """Add what an ended worker has counted to a file of all that ended, so that files do not gather; its gauges go."""
    with _FILES:
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        for kind in ("counter", "histogram"):
            of_worker = folder / f"{kind}_{pid}.db"
            if not of_worker.exists():
                continue
            of_ended = MmapedDict(str(folder / f"{kind}_ended.db"))  # type: ignore[no-untyped-call]
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(of_worker)):  # type: ignore[no-untyped-call]
                before, _ = of_ended.read_value(key)  # type: ignore[no-untyped-call]
                of_ended.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
            of_ended.close()  # type: ignore[no-untyped-call]
            of_worker.unlink()
