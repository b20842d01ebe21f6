"""What the metrics tell of the way of a callback."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from connector.metrics import Durations, Metrics

BOUNDS = (0.002, 0.01, 1.0)


@given(durations=st.lists(st.lists(st.sampled_from((0.0, 0.001, 0.002, 0.0021, 0.01, 0.5, 1.0, 1.1, 60.0)))))
def test_durations_are_told_as_the_library_would_have_observed_them(durations: list[list[float]]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    told, observed = (Histogram("seconds", "Seconds.", buckets=BOUNDS, registry=registry) for registry in registries)
    tally = Durations(told, BOUNDS)

    for until_told in durations:
        for seconds in until_told:
            tally.observe(seconds)
            observed.observe(seconds)
        tally.tell()

    assert samples(registries[0]) == pytest.approx(samples(registries[1]))


def test_a_duration_is_told_once() -> None:
    metrics = Metrics()
    metrics.acknowledgement_seconds.observe(0.02)

    metrics.tell()
    metrics.tell()

    assert metrics.registry.get_sample_value("connector_acknowledgement_seconds_count") == 1
    assert metrics.registry.get_sample_value("connector_acknowledgement_seconds_sum") == pytest.approx(0.02)


def samples(registry: CollectorRegistry) -> dict[str, float]:
    return {
        f"{sample.name}{sample.labels}": sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }
