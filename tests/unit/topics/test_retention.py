"""How long a topic keeps a record written now, by its settings."""

import pytest

from connector.topics.retention import retention_of

NOW_MS = 1_763_721_000_000  # 2025-11-21T10:30Z
DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("config", "until", "why"),
    [
        ({"retention.ms": str(14 * DAY_MS), "segment.ms": str(DAY_MS)}, "2025-12-06T10:30Z", "retention.ms, and segment.ms"),
        ({"cleanup.policy": "delete"}, "2025-12-05T10:30Z", "retention.ms"),
        ({"retention.ms": "-1"}, None, "retention.ms = -1 keeps it for ever"),
        ({"retention.ms": str(2**62)}, "9999-12-31T23:59Z", "retention.ms"),
        ({"cleanup.policy": "compact"}, None, "set the topic's max.compaction.lag.ms to bound it"),
        ({"cleanup.policy": "compact", "max.compaction.lag.ms": str(2**63 - 1)}, None, "max.compaction.lag.ms to bound it"),
        (
            {"cleanup.policy": "compact", "max.compaction.lag.ms": str(DAY_MS), "delete.retention.ms": str(2 * DAY_MS)},
            "2025-11-24T10:30Z",
            "delete.retention.ms for the tombstone",
        ),
        (
            {"cleanup.policy": "compact,delete", "retention.ms": str(DAY_MS), "segment.ms": "0"},
            "2025-11-22T10:30Z",
            "retention.ms",
        ),
        (None, None, "allow DESCRIBE_CONFIGS"),
    ],
)
def test_retention_of_a_record_written_now(config: dict[str, str] | None, until: str | None, why: str) -> None:
    found = retention_of(config, NOW_MS)
    assert found.until == until
    assert why in found.why


def test_settings_that_the_broker_does_not_report_are_not_called_denied() -> None:
    unknown = retention_of(None, NOW_MS, reports_settings=False)
    assert unknown.until is None
    assert "does not report them" in unknown.why
    assert "DESCRIBE_CONFIGS" in retention_of(None, NOW_MS).why
