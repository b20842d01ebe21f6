"""The table of metrics, and the tallies that flush into them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from connector.metrics import Durations, Metrics, exposition, table

BOUNDS = (0.002, 0.01, 1.0)


def test_each_metric_has_prefix_help_text_and_bounded_labels() -> None:
    rows = table().values()

    assert len({row.name for row in rows}) == len(rows)
    assert not [row.name for row in rows if not re.fullmatch(r"connector_[a-z_]+[a-z]", row.name)]
    assert not [row.name for row in rows if not re.fullmatch(r"(\S+ )+\S+\.", row.meaning)]
    labels = {label for row in rows for label in row.labels}
    assert labels == {"status_class", "credential", "outcome", "topic", "error", "reason", "kind", "path"}


def test_attributes_are_named_after_their_metrics() -> None:
    assert {attribute: row.name.removeprefix("connector_") for attribute, row in table().items()} == {
        attribute: attribute for attribute in table()
    }


def test_gauges_say_how_workers_are_combined() -> None:
    modes = {row.name: row.options.get("multiprocess_mode") for row in table().values() if row.kind is Gauge}

    assert modes
    assert set(modes.values()) == {"livesum", "livemax"}


def test_every_row_is_a_metric_of_its_kind_and_is_shown() -> None:
    metrics = Metrics()
    shown = exposition(metrics).decode()

    for attribute, row in table().items():
        assert isinstance(getattr(metrics, attribute), row.kind)  # type: ignore[arg-type]
        assert f"# HELP {row.name}{'_total' if row.kind is Counter else ''} {row.meaning}\n" in shown


def test_metrics_of_two_objects_are_separate() -> None:
    one, other = Metrics(), Metrics()

    one.ready.set(1)

    assert one.registry.get_sample_value("connector_ready") == 1
    assert other.registry.get_sample_value("connector_ready") == 0


def test_unknown_metric_is_a_type_error_and_no_attribute() -> None:
    # mypy reports an ignore that is not needed: this line fails in `make lint` if a typo becomes possible.
    with pytest.raises(AttributeError):
        Metrics().callbakcs  # type: ignore[attr-defined]  # noqa: B018 - the typo is the test


@given(durations=st.lists(st.lists(st.sampled_from((0.0, 0.001, 0.002, 0.0021, 0.01, 0.5, 1.0, 1.1, 60.0)))))
def test_flushed_durations_equal_those_that_the_library_observes(durations: list[list[float]]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    flushed = Durations("seconds", "Seconds.", buckets=BOUNDS, registry=registries[0])
    observed = Histogram("seconds", "Seconds.", buckets=BOUNDS, registry=registries[1])

    for until_flush in durations:
        for seconds in until_flush:
            flushed.observe(seconds)
            observed.observe(seconds)
        flushed.flush()

    assert samples(registries[0]) == pytest.approx(samples(registries[1]))


def test_duration_is_flushed_once() -> None:
    metrics = Metrics()
    metrics.acknowledgement_seconds.observe(0.02)

    metrics.flush()
    metrics.flush()

    assert metrics.registry.get_sample_value("connector_acknowledgement_seconds_count") == 1
    assert metrics.registry.get_sample_value("connector_acknowledgement_seconds_sum") == pytest.approx(0.02)


def test_count_is_flushed_once() -> None:
    metrics = Metrics()
    metrics.acknowledged("orders").count += 2

    metrics.flush()
    metrics.acknowledged("orders").count += 1
    metrics.flush()

    assert metrics.registry.get_sample_value("connector_records_total", {"topic": "orders"}) == 3


def samples(registry: CollectorRegistry) -> dict[str, float]:
    return {
        f"{sample.name}{sample.labels}": sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }
