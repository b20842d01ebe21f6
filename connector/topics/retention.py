"""A topic's settings and a time in, how long the topic keeps a record written at that time out. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

_NO_LIMIT_MS: Final = 2**63 - 1
"""Kafka's value for an unlimited compaction lag."""
_WEEK_MS: Final = 7 * 24 * 3600 * 1000


class Retention(NamedTuple):
    """Until when a record is kept at most, in UTC (None: unknown or unlimited), and by which settings."""

    until: str | None
    why: str


def retention_of(config: Mapping[str, str] | None, now_ms: int, *, reports_settings: bool = True) -> Retention:
    """Return how long a topic keeps a record written now.

    `config` is None if we are not authorised to read it, or if the broker reports no settings (`reports_settings`).
    """
    if config is None:
        why = "allow DESCRIBE_CONFIGS on it" if reports_settings else "this broker does not report them"
        return Retention(None, f"its settings cannot be read: {why}")
    policies = config.get("cleanup.policy", "delete").replace(" ", "").split(",")
    if policies == ["compact"]:
        return _compacted(config, now_ms)
    retention_ms = int(config.get("retention.ms", _WEEK_MS))
    if retention_ms < 0:
        return Retention(None, "retention.ms = -1 keeps it for ever")
    # A segment is deleted as a whole, once its newest record is old enough.
    segment_ms = int(config.get("segment.ms", _WEEK_MS))
    return Retention(_iso(now_ms + retention_ms + segment_ms), "retention.ms, and segment.ms since whole segments are deleted")


def _compacted(config: Mapping[str, str], now_ms: int) -> Retention:
    lag_ms = int(config.get("max.compaction.lag.ms", _NO_LIMIT_MS))
    delete_ms = int(config.get("delete.retention.ms", _WEEK_MS // 7))
    if lag_ms >= _NO_LIMIT_MS:
        advice = "set the topic's max.compaction.lag.ms to bound it"
        return Retention(None, f"until it is compacted, and the tombstone with its key delete.retention.ms longer; {advice}")
    why = "max.compaction.lag.ms, and delete.retention.ms for the tombstone with its key"
    return Retention(_iso(now_ms + lag_ms + delete_ms), why)


def _iso(millis: int) -> str:
    try:
        return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError):
        return "9999-12-31T23:59Z"
