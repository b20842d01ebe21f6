"""How long a topic keeps what is written to it now, by its settings on the broker. Pure: settings and a time in, times out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

_NO_LIMIT_MS: Final = 2**63 - 1
"""What Kafka takes for no limit of a compaction lag."""
_WEEK_MS: Final = 7 * 24 * 3600 * 1000


class Kept(NamedTuple):
    """Until when, at the latest, in UTC (None: nobody can say), and by which settings."""

    until: str | None
    why: str


def kept(config: Mapping[str, str] | None, now_ms: int) -> Kept:
    """Return how long a topic keeps a record of now; `config` is None where its settings may not be read."""
    if config is None:
        return Kept(None, "its settings cannot be read: allow DESCRIBE_CONFIGS on it")
    policies = config.get("cleanup.policy", "delete").replace(" ", "").split(",")
    if policies == ["compact"]:
        return _compacted(config, now_ms)
    retention_ms = int(config.get("retention.ms", _WEEK_MS))
    if retention_ms < 0:
        return Kept(None, "retention.ms = -1 keeps it for ever")
    # A whole segment goes at once, by its youngest record.
    segment_ms = int(config.get("segment.ms", _WEEK_MS))
    return Kept(_iso(now_ms + retention_ms + segment_ms), "retention.ms, and segment.ms since whole segments are deleted")


def _compacted(config: Mapping[str, str], now_ms: int) -> Kept:
    lag_ms = int(config.get("max.compaction.lag.ms", _NO_LIMIT_MS))
    delete_ms = int(config.get("delete.retention.ms", _WEEK_MS // 7))
    if lag_ms >= _NO_LIMIT_MS:
        advice = "set the topic's max.compaction.lag.ms to bound it"
        return Kept(None, f"until it is compacted, and the tombstone with its key delete.retention.ms longer; {advice}")
    why = "max.compaction.lag.ms, and delete.retention.ms for the tombstone with its key"
    return Kept(_iso(now_ms + lag_ms + delete_ms), why)


def _iso(millis: int) -> str:
    try:
        return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError):
        return "9999-12-31T23:59Z"
