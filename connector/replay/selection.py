"""Which records of a topic are replayed, and the callback that each of them is. Pure.

In go the options of a command and records as they are read back; out come `RawCallback`s, or a word why not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from connector.errors import ConfigurationInvalid, NotOpened
from connector.records import REASONS, RawCallback, Source
from connector.seals import NO_KEYS, Seals, open_sealed

What = Literal["dead-letters", "raw"]
"""What is replayed, by the name of its topic."""

Why = Literal["unreadable", "outside_of_the_time", "of_another_reason", "tried_too_often"]
"""Why a record is passed over."""

MAX_ATTEMPTS: Final = 5
"""A dead letter that was tried so often is left alone, unless said otherwise: a replay that only makes it anew helps nobody."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kept(NamedTuple):
    """A record of a topic as read back; `value` is None when it cannot be read."""

    partition: int
    offset: int
    value: dict[str, Any] | None
    traceparent: str | None
    tracestate: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is chosen: callbacks received from `since` on and before `until`, in milliseconds since 1970 (None: any time).

    Dead letters may be of certain `reasons` alone (none: of any), and must have been tried less often than `max_attempts`.
    `contacts` tells whether contact records are made again; `seals` open what is sealed.
    """

    what: What
    since: int | None
    until: int | None
    reasons: tuple[str, ...]
    max_attempts: int
    contacts: bool
    seals: Seals = NO_KEYS

    def group(self) -> str:
        """Return the consumer group that remembers where this selection ended.

        Another selection has another group: what one passes over, the other may want.
        """
        name = f"connector-replay-{self.what}"
        chosen = (self.since, self.until, self.reasons, self.max_attempts, self.contacts)
        if chosen == (None, None, (), MAX_ATTEMPTS, False):
            return name
        return f"{name}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"

    def left_out(self) -> tuple[Source, ...]:
        """Return of what no record is made, whatever the callbacks hold."""
        return () if self.contacts else ("contacts",)

    def callback_of(self, kept: Kept, replayed_at: int) -> RawCallback | Why:
        """Return the callback that a record holds, as it was received, or why it is passed over.

        Raises:
            ConfigurationInvalid: when it is sealed, and our keys do not open it.
        """
        value = kept.value
        if value is None or not isinstance(received := value.get("received_at"), datetime):
            return "unreadable"
        received_at = _millis(received)
        if (self.since is not None and received_at < self.since) or (self.until is not None and received_at >= self.until):
            return "outside_of_the_time"
        attempts = value.get("attempts") or 1
        if self.what == "dead-letters":
            if self.reasons and value.get("reason") not in self.reasons:
                return "of_another_reason"
            if attempts >= self.max_attempts:
                return "tried_too_often"
        try:
            opened = open_sealed(value, self.seals)
        except NotOpened as sealed:
            # Passed over, it would not be replayed by the next run either.
            raise ConfigurationInvalid([f"{sealed}; add that key to privacy.seal_keys"]) from None
        return RawCallback(
            method=value.get("method") or "POST",
            query=opened.get("query") or "",
            content_type=value.get("content_type") or "",
            body=opened.get("body") or b"",
            received_at=received_at,
            traceparent=kept.traceparent,
            tracestate=kept.tracestate,
            attempts=attempts + 1,
            replayed_at=replayed_at,
        )


def time_of(text: str, option: str) -> int:
    """Return a time given on the command line, in milliseconds since 1970.

    Raises:
        ConfigurationInvalid: when it is none, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        example = "2025-11-21T10:30:00Z or 2025-11-21T11:30:00+01:00"
        raise ConfigurationInvalid([f"{option} needs a time with its zone, as {example}"])
    return _millis(moment)


def require_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return reasons of dead letters in order, each once.

    Raises:
        ConfigurationInvalid: when one is none.
    """
    wrong = [reason for reason in reasons if reason not in REASONS]
    if wrong:
        raise ConfigurationInvalid([f"--reason: there is no reason {', '.join(wrong)}; known are {', '.join(REASONS)}"])
    return tuple(sorted(set(reasons)))


def _millis(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
