"""Options of a command and records of a topic in; `RawCallback`s to replay, or why a record is skipped, out. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from connector.errors import ConfigurationInvalid, NotOpened
from connector.records import REASONS, RawCallback, Source
from connector.seals import NO_KEYS, Seals, open_sealed

What = Literal["dead-letters", "raw"]
"""What is replayed, by the last part of its topic's name."""

Why = Literal["unreadable", "outside_time_range", "other_reason", "too_many_attempts"]
"""Why a record is skipped."""

MAX_ATTEMPTS: Final = 5
"""Default maximum of attempts for a dead letter: a replay that only creates it again is of no use."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BacklogRecord(NamedTuple):
    """A record of the topic that is replayed; `value` is None if it cannot be decoded."""

    partition: int
    offset: int
    value: dict[str, Any] | None
    traceparent: str | None
    tracestate: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects callbacks received at or after `since` and before `until`, in milliseconds since 1970 (None: any time).

    It selects dead letters with one of the `reasons` (empty: any) and fewer than `max_attempts` attempts. `contacts` says
    whether contact records are recreated; `seals` decrypt encrypted callbacks.
    """

    what: What
    since: int | None
    until: int | None
    reasons: tuple[str, ...]
    max_attempts: int
    contacts: bool
    seals: Seals = NO_KEYS

    def group(self) -> str:
        """Return the consumer group that stores the position of this selection.

        Each selection has its own group, since another one may select what this one skips.
        """
        name = f"connector-replay-{self.what}"
        chosen = (self.since, self.until, self.reasons, self.max_attempts, self.contacts)
        if chosen == (None, None, (), MAX_ATTEMPTS, False):
            return name
        return f"{name}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"

    def omitted_sources(self) -> tuple[Source, ...]:
        """Return the sources that no record is created from."""
        return () if self.contacts else ("contacts",)

    def callback_of(self, record: BacklogRecord, replayed_at: int) -> RawCallback | Why:
        """Return the callback in a record as it was received, or why the record is skipped.

        Raises:
            ConfigurationInvalid: when it is encrypted, and our keys do not decrypt it.
        """
        value = record.value
        if value is None or not isinstance(received := value.get("received_at"), datetime):
            return "unreadable"
        received_at = _millis(received)
        if (self.since is not None and received_at < self.since) or (self.until is not None and received_at >= self.until):
            return "outside_time_range"
        attempts = value.get("attempts") or 1
        if self.what == "dead-letters":
            if self.reasons and value.get("reason") not in self.reasons:
                return "other_reason"
            if attempts >= self.max_attempts:
                return "too_many_attempts"
        try:
            opened = open_sealed(value, self.seals)
        except NotOpened as sealed:
            # If it were skipped, the next run would not replay it either.
            raise ConfigurationInvalid([f"{sealed}; add that key to privacy.seal_keys"]) from None
        return RawCallback(
            method=value.get("method") or "POST",
            query=opened.get("query") or "",
            content_type=value.get("content_type") or "",
            body=opened.get("body") or b"",
            received_at=received_at,
            traceparent=record.traceparent,
            tracestate=record.tracestate,
            attempts=attempts + 1,
            replayed_at=replayed_at,
        )


def time_of(text: str, option: str) -> int:
    """Parse a time from the command line; return milliseconds since 1970.

    Raises:
        ConfigurationInvalid: when it is not a time, or has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        example = "2025-11-21T10:30:00Z or 2025-11-21T11:30:00+01:00"
        raise ConfigurationInvalid([f"{option} needs a time with a time zone, as {example}"])
    return _millis(moment)


def require_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return reasons of dead letters, sorted, each once.

    Raises:
        ConfigurationInvalid: when one of them does not exist.
    """
    wrong = [reason for reason in reasons if reason not in REASONS]
    if wrong:
        raise ConfigurationInvalid([f"--reason: unknown reason {', '.join(wrong)}; known are {', '.join(REASONS)}"])
    return tuple(sorted(set(reasons)))


def _millis(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
