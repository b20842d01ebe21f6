"""A request in, nothing out but what it adds to the account; an error when anything about it does not hold."""

import json
import random
from collections.abc import Iterable
from typing import Any, Final

from connector.errors import NotDecodable
from connector.metrics import Metrics
from connector.pipeline.decode import decode
from connector.pipeline.dialects.fields import read_other_field
from connector.pipeline.dialects.recognise import is_verification
from connector.records import REASONS, Callback, Json, KafkaMessage, RawCallback, Request
from tests.fuzz.mutate import Mutator
from tests.support.callbacks import MemorySink, carry_request, counted, decoded, flow, header, messages_of

OF_THE_WHOLE: Final = ("items; the limit is", "its records have over")
"""What the detail says where a callback that could be read is one dead letter as a whole."""


class Account:
    """Carries requests and accounts for them: what came in, and what went out."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = dict.fromkeys(
            (
                "callbacks",
                "verifications",
                "whole",
                "messages",
                "statuses",
                "contacts",
                "others",
                "events",
                "records",
                "letters",
                "left_out",
            ),
            0,
        )
        self._metrics = Metrics()
        self._sink = MemorySink()
        self._flow = flow(self._sink, metrics=self._metrics)

    async def carry(self, one: RawCallback) -> None:
        """Carry one request.

        Raises:
            AssertionError: when anything about it does not hold.
        """

        async def fetch() -> RawCallback:
            return one

        self._sink.messages.clear()
        before = self._left_out()
        answer = await carry_request(self._flow, Request([], None), fetch)
        records = list(self._sink.messages)
        self.sums["callbacks"] += 1
        if one.method in ("GET", "DELETE") and is_verification(one.query):
            assert (answer.status, records) == (400, [])
            self.sums["verifications"] += 1
            return
        assert answer.status == 200, answer.status
        self._add_up(one, records, self._left_out() - before)
        again = messages_of(one.body, **_fields(one, received_at=one.received_at + 1))
        assert [header(record, "ce_id") for record in again] == [header(record, "ce_id") for record in records], "other ids"

    def _left_out(self) -> int:
        named = ("contacts_without_profile", "contacts_without_key")
        return sum(int(counted(self._metrics, "connector_adjusted_values", kind=what)) for what in named)

    def _add_up(self, one: RawCallback, records: list[KafkaMessage], left_out: int) -> None:
        letters = [value for record in records if "reason" in (value := decoded(record)) and record.place is None]
        assert all(letter["reason"] in REASONS and letter["reason"] != "internal_error" for letter in letters), letters
        assert all(record.key for record in records if record.place is not None), "a record without a key"
        callback, refusal = _decoded(one)
        if callback is None:
            assert [letter["reason"] for letter in letters] == [refusal], letters
            assert len(records) == 1
            self.sums["whole"] += 1
            return
        _check_counts(one, callback)
        _check_others(callback)
        parts = {name: len(getattr(callback, name)) for name in ("messages", "others", "statuses", "contacts", "events")}
        if len(records) == 1 and letters and any(words in letters[0]["detail"] for words in OF_THE_WHOLE):
            self.sums["whole"] += 1
            return
        assert len(records) + left_out == sum(parts.values()), (parts, len(records), left_out)
        for letter in letters:
            _check_replay(letter)
        counts = {"records": len(records) - len(letters), "letters": len(letters), "left_out": left_out}
        for name, count in (parts | counts).items():
            self.sums[name] += count

    def table(self) -> str:
        """Return the sums as text, and whether they add up."""
        sums = self.sums
        came = {name: sums[name] for name in ("messages", "others", "statuses", "contacts", "events")}
        went = {"records": sums["records"], "dead letters": sums["letters"], "contacts left out": sums["left_out"]}
        whole = f"{sums['callbacks']} callbacks, {sums['whole']} of them one dead letter, {sums['verifications']} verifications"
        rows = [f"{name:>20} {count:>9}" for name, count in came.items()]
        rows.append(f"{'came in':>20} {sum(came.values()):>9}")
        rows += [f"{name:>20} {count:>9}" for name, count in went.items()]
        rows.append(f"{'went out':>20} {sum(went.values()):>9}")
        assert sum(came.values()) == sum(went.values())
        return "\n".join([whole, *rows])


def _decoded(one: RawCallback) -> tuple[Callback | None, str]:
    try:
        return decode(one), ""
    except NotDecodable as refused:
        return None, refused.reason


def _fields(one: RawCallback, **changes: Any) -> dict[str, Any]:
    given = {name: getattr(one, name) for name in ("method", "query", "content_type")}
    return {**given, **changes}


def _check_counts(one: RawCallback, callback: Callback) -> None:
    """Count an envelope with its own parser: decode must not lose or invent an entry."""
    try:
        root = json.loads(one.body)
        value = root["meta_object"]["value"]
        # Items beside the envelope count too.
        lists = {name: _count(value.get(name)) + _count(root.get(name)) for name in ("messages", "statuses", "contacts")}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return
    for name, expected in lists.items():
        assert len(getattr(callback, name)) == expected, name


def _check_others(callback: Callback) -> None:
    """Read each object of another field from its smallest value: the same person and nothing else is found."""
    for other in callback.others:
        again = read_other_field({"metadata": callback.metadata, **other.value()}, other.field)
        assert [one.message for one in again.people] == [other.message], other.field
        assert not again.events, other.field


def _count(part: Any) -> int:
    if isinstance(part, dict):
        # PHP writes a list like this, with its indexes, and an empty one as {}.
        numbered = all(name.isdigit() and isinstance(inner, dict) for name, inner in part.items())
        return len(part) if numbered else 1
    return len(part) if isinstance(part, list) else 0


def _check_replay(letter: Json) -> None:
    """Replay a dead letter: it ends in the same fault, and makes no other event."""
    # An empty one is null in the record, and empty again in the request that a replay makes of it.
    request = {name: letter[name] or "" for name in ("method", "query", "content_type")}
    again = [decoded(record) for record in messages_of(letter["body"], **request) if record.place is None]
    assert [one["reason"] for one in again if "reason" in one][:1] == [letter["reason"]], (letter, again)


async def run(seed: int, cases: Iterable[int], account: Account) -> None:
    """Carry cases; name the one that fails."""
    for case in cases:
        one = Mutator(random.Random(f"{seed}/{case}")).request()
        try:
            await account.carry(one)
        except Exception as fault:
            command = f"python -m tests.fuzz --seed {seed} --case {case}\n{one.method} ?{one.query[:500]} {one.content_type}\n"
            raise AssertionError(f"{fault}\n{command}{one.body[:3000]!r}") from fault
