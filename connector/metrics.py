"""The one table of metrics: kind, name, meaning and labels. Labels are bounded: never a number, a path of a request or a peer.

Workers of `serve` store the values in files that the supervisor sums up (PROMETHEUS_MULTIPROC_DIR).
"""

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from connector.prometheus import add_to_histogram, merge_files_of

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
_DECODE_KINDS: Final = ("lone_surrogates", "contacts_without_profile", "contacts_without_key", "ambiguous_extra_info")
_ENCODE_KINDS: Final = ("clamped_times",)

_FILES: Final = threading.Lock()
"""Held while the workers' files are read or merged."""

M = TypeVar("M")


class Tally:
    """A counter on the path of a callback: a plain number, flushed to its metric once a second (`Metrics.flush`).

    The library's own counter takes a lock for each step, and in a worker writes to a mapped file.
    """

    __slots__ = ("_counter", "_flushed", "count")

    def __init__(self, counter: Counter) -> None:
        self.count = 0
        self._flushed = 0
        self._counter = counter

    def flush(self) -> None:
        """Add to the metric what was counted since the last flush."""
        if self.count > self._flushed:
            self._counter.inc(self.count - self._flushed)
            self._flushed = self.count


class Durations:
    """A histogram on the path of a callback, flushed like a tally.

    The library's own histogram takes two locks for each step, and in a worker asks the kernel for its pid.
    """

    __slots__ = ("_bounds", "_counts", "_histogram", "_seconds")

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, registry: CollectorRegistry, buckets: Sequence[float]
    ) -> None:
        self._histogram = Histogram(name, meaning, labels, registry=registry, buckets=buckets)
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self._seconds += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def flush(self) -> None:
        """Add to the metric what was observed since the last flush."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        seconds, self._seconds = self._seconds, 0.0
        add_to_histogram(self._histogram, counts, seconds)


class Row(Generic[M]):
    """A row of the table. On an instance of `Metrics`, the row's attribute is the metric itself, which `create` returned."""

    def __init__(self, kind: Callable[..., M], name: str, meaning: str, labels: tuple[str, ...] = (), **options: Any) -> None:
        self.kind = kind
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.options = options

    def create(self, registry: CollectorRegistry) -> M:
        """Create the metric in the registry."""
        return self.kind(self.name, self.meaning, self.labels, registry=registry, **self.options)

    # For mypy. At run time an instance's own attribute of the same name comes first.
    @overload
    def __get__(self, metrics: None, owner: type) -> "Row[M]": ...
    @overload
    def __get__(self, metrics: object, owner: type) -> M: ...
    def __get__(self, metrics: object | None, owner: type) -> "Row[M] | M":
        """Return the row itself, on the class."""
        return self


_SUM: Final = "livesum"
"""Mode of a gauge per worker: an instance shows the sum over its running workers."""
_MAX: Final = "livemax"
"""Mode of a gauge for state that all workers share: an instance shows it once."""


class Metrics:
    """All metrics of a process. Counters on the path of a callback have a `Tally`; `flush` updates the metrics."""

    callbacks = Row(Counter, "connector_callbacks", "Callbacks answered.", ("status_class",))
    callbacks_by_credential = Row(
        Counter, "connector_callbacks_by_credential", "Authenticated callbacks, by the credential's name.", ("credential",)
    )
    rate_limited_callbacks = Row(
        Counter,
        "connector_rate_limited_callbacks",
        "Callbacks over the rate limit of their credential (429).",
        ("credential",),
    )
    refused_requests = Row(
        Counter, "connector_refused_requests", "Requests that were not answered 200, by reason.", ("reason",)
    )
    issued_tokens = Row(Counter, "connector_issued_tokens", "Tokens that the token endpoint issued.")
    acknowledgement_seconds = Row(
        Durations,
        "connector_acknowledgement_seconds",
        "Time from the first byte of an authenticated callback's body to its answer.",
        buckets=_SECONDS,
    )
    adjusted_values = Row(Counter, "connector_adjusted_values", "Values dropped or repaired on purpose, by kind.", ("kind",))

    unfit_values = Row(
        Counter,
        "connector_unfit_values",
        "Values of side fields that do not fit and became null, by source path in the schema.",
        ("path",),
    )

    records = Row(Counter, "connector_records", "Records acknowledged by Kafka.", ("topic",))
    unconfirmed_records = Row(
        Counter, "connector_unconfirmed_records", "Records that Kafka did not acknowledge in time.", ("error",)
    )
    outstanding_records = Row(
        Gauge, "connector_outstanding_records", "Records waiting for acknowledgement by Kafka.", multiprocess_mode=_SUM
    )
    circuit_open = Row(
        Gauge, "connector_circuit_open", "Workers whose circuit breaker is open: Kafka does not answer.", multiprocess_mode=_SUM
    )

    dead_letters = Row(Counter, "connector_dead_letters", "Dead letters created.", ("reason",))
    dead_letter_alarm = Row(
        Gauge,
        "connector_dead_letter_alarm",
        "Workers in which the share of dead letters is above dead_letters.alarm_share.",
        multiprocess_mode=_SUM,
    )

    ready = Row(Gauge, "connector_ready", "Workers that are ready.", multiprocess_mode=_SUM)
    schema_id_checks = Row(
        Counter, "connector_schema_id_checks", "Checks of our schema ids against the registry, by outcome.", ("outcome",)
    )
    schema_ids_from_cache = Row(
        Gauge,
        "connector_schema_ids_from_cache",
        "Workers that use cached schema ids which the registry has not confirmed yet.",
        multiprocess_mode=_SUM,
    )
    schema_ids_wrong = Row(
        Gauge,
        "connector_schema_ids_wrong",
        "Workers that produce nothing because the registry has other schemas under their ids.",
        multiprocess_mode=_SUM,
    )

    spooled_callbacks = Row(Counter, "connector_spooled_callbacks", "Callbacks written to the spool while Kafka was down.")
    spool_delivered_callbacks = Row(
        Counter, "connector_spool_delivered_callbacks", "Callbacks delivered from the spool to Kafka."
    )
    spool_parked_callbacks = Row(
        Counter, "connector_spool_parked_callbacks", "Callbacks that could not be delivered and are parked in the spool."
    )
    spool_waiting_callbacks = Row(
        Gauge,
        "connector_spool_waiting_callbacks",
        "Callbacks waiting for delivery in the spool of the instance.",
        multiprocess_mode=_MAX,
    )
    spool_waiting_bytes = Row(Gauge, "connector_spool_waiting_bytes", "Size of the waiting callbacks.", multiprocess_mode=_MAX)
    spool_oldest_seconds = Row(
        Gauge,
        "connector_spool_oldest_seconds",
        "Time since receipt of the oldest callback waiting in the spool.",
        multiprocess_mode=_MAX,
    )
    spool_unavailable = Row(
        Gauge,
        "connector_spool_unavailable",
        "1 while the spool accepts no callbacks: it is full, its oldest callback is too old, or its disk fails.",
        multiprocess_mode=_MAX,
    )

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for attribute, row in table().items():
            vars(self)[attribute] = row.create(self.registry)
        self._tallies: list[Tally] = []
        self._by_credential: dict[str, Tally] = {}
        self.records_by_topic: dict[str, Tally] = {}
        self.adjusted = {kind: self.tally(self.adjusted_values.labels(kind)) for kind in (*_DECODE_KINDS, *_ENCODE_KINDS)}

    def tally(self, counter: Counter) -> Tally:
        """Return a new tally of a counter."""
        tally = Tally(counter)
        self._tallies.append(tally)
        return tally

    def authenticated(self, credential: str) -> Tally:
        """Return the tally of authenticated callbacks for a credential, by its name in the settings."""
        if credential not in self._by_credential:
            self._by_credential[credential] = self.tally(self.callbacks_by_credential.labels(credential))
        return self._by_credential[credential]

    def acknowledged(self, topic: str) -> Tally:
        """Return the tally of the records that Kafka acknowledged on a topic."""
        if topic not in self.records_by_topic:
            self.records_by_topic[topic] = self.tally(self.records.labels(topic))
        return self.records_by_topic[topic]

    def flush(self) -> None:
        """Flush every tally to its metric."""
        self.acknowledgement_seconds.flush()
        for tally in self._tallies:
            tally.flush()

    def count_adjusted(self, surrogates: int, without_profile: int, without_key: int, ambiguous: int) -> None:
        """Count what decode and split dropped or repaired in one callback."""
        if surrogates or without_profile or without_key or ambiguous:
            for kind, count in zip(_DECODE_KINDS, (surrogates, without_profile, without_key, ambiguous), strict=True):
                self.adjusted[kind].count += count


def table() -> dict[str, Row[Any]]:
    """Return the rows of the table, by attribute."""
    return {attribute: row for attribute, row in vars(Metrics).items() if isinstance(row, Row)}


def exposition(metrics: Metrics | None) -> bytes:
    """Return the metrics as text: those of this process, or, in a supervisor, the sums over all workers."""
    if metrics is not None:
        metrics.flush()
    if metrics is None or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        with _FILES:
            return generate_latest(registry)
    return generate_latest(metrics.registry)


def counts_by_label(text: str, name: str, label: str) -> dict[str, int]:
    """Return the values of a counter in an exposition by one of its labels; none where the counter is not in it.

    Raises:
        ValueError: when the text is not an exposition.
    """
    return {
        sample.labels[label]: int(sample.value)
        for family in text_string_to_metric_families(text)
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_total" and label in sample.labels
    }


def keep_counts(pid: int, folder: Path) -> None:
    """Merge the counts of a worker that has ended into the file for all such workers; drop its gauges."""
    with _FILES:
        merge_files_of(pid, folder)
