"""Rate limits: token buckets and quotas."""

from connector.auth.quota import Quota
from connector.auth.token_bucket import TokenBucket, TokenBuckets
from connector.metrics import Metrics
from tests.support.callbacks import counted


def test_bucket_allows_a_burst_then_its_rate() -> None:
    bucket = TokenBucket(2, 3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.5) for _ in range(2)] == [True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_each_key_has_a_bucket_and_their_number_is_bounded() -> None:
    buckets = TokenBuckets(1, 1, most=2)
    assert buckets.take("a", 1.0)
    assert not buckets.take("a", 1.0)
    assert buckets.take("b", 1.0)
    assert buckets.take("c", 1.0)
    assert len(buckets._buckets) == 2
    assert not buckets.take("c", 1.0), "the most recent keys are remembered"


def test_callbacks_over_the_limit_are_counted_by_credential() -> None:
    metrics = Metrics()
    limited, free = Quota("one", 2, metrics), Quota("two", 0, metrics)
    assert [limited.admit() for _ in range(3)] == [True, True, False]
    assert all(free.admit() for _ in range(100))
    assert counted(metrics, "connector_callbacks_by_credential", credential="one") == 3
    assert counted(metrics, "connector_rate_limited_callbacks", credential="one") == 1
    assert counted(metrics, "connector_callbacks_by_credential", credential="two") == 100
