"""The same event has the same `ce_id` whichever callback it comes in; different events have different ones."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.records import Item, Json
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    USER_ID,
    body_of,
    contact,
    envelope,
    header,
    items_of,
    message,
    messages_of,
    status,
)
from tests.support.examples import examples

PEOPLE = (NUMBER, OTHER_NUMBER, USER_ID)
BY_ID = {"wamid.A": NUMBER, "wamid.B": OTHER_NUMBER, "wamid.C": USER_ID, "wamid.D": NUMBER}


def sender(person: str) -> Json:
    return {"number": ABSENT, "from_user_id": person} if person == USER_ID else {"number": person}


def reaction(person: str, emoji: Any, timestamp: str, target: str) -> Json:
    content = {"message_id": target} | ({} if emoji is ABSENT else {"emoji": emoji})
    return message(message_type="reaction", id="wamid.R", timestamp=timestamp, reaction=content, **sender(person))


plain = st.sampled_from([message(id=wamid, **sender(person)) for wamid, person in BY_ID.items()])
# One wamid for a reaction, its removal, and the same reaction again, as WhatsApp's own samples have it.
reactions = st.builds(
    reaction,
    st.just(NUMBER),
    st.sampled_from(["😂", "🌻", ABSENT]),
    st.sampled_from(["1763720010", "1763720011"]),
    st.sampled_from(["wamid.A", "wamid.B"]),
)
statuses = st.builds(
    status,
    st.sampled_from([NUMBER, OTHER_NUMBER]),
    id=st.sampled_from(["wamid.A", "wamid.O"]),
    status=st.sampled_from(["sent", "delivered", "failed"]),
    type=st.sampled_from([ABSENT, "payment"]),
    timestamp=st.sampled_from(["1763720100", "1763720101"]),
)


class Event(NamedTuple):
    """A message or a status, and its person."""

    source: str
    entry: Json


events = st.builds(Event, st.just("messages"), plain | reactions) | st.builds(Event, st.just("statuses"), statuses)
callbacks = st.lists(
    st.tuples(st.lists(events, min_size=1, max_size=5), st.permutations(PEOPLE), st.booleans()), min_size=1, max_size=5
)


def person_of(entry: Json) -> str:
    person = entry.get("from") or entry.get("from_user_id") or entry["recipient_id"]
    assert isinstance(person, str)
    return person


def contact_of(person: str) -> Json:
    return contact("Giulia", ABSENT, user_id=person) if person == USER_ID else contact("Giulia", person)


def body_with(given: Sequence[Event], people: Iterable[str], *, has_envelope: bool) -> bytes:
    """Return a callback of these events, with a contact for each person who has one of them."""
    named = {person_of(event.entry) for event in given}
    lists: dict[str, Any] = {
        "messages": [event.entry for event in given if event.source == "messages"],
        "statuses": [event.entry for event in given if event.source == "statuses"],
        "contacts": [contact_of(person) for person in people if person in named],
    }
    bare = body_of({**lists, "metadata": METADATA, "extra_info": EXTRA})
    return envelope(**lists) if has_envelope else bare


def what_it_is(item: Item) -> str:
    """Return what identifies an event, independent of the callback it came in."""
    if item.source == "contacts":
        owner = item.message or item.status
        return json.dumps(["contact", item.key["value"], owner["id"], owner.get("status"), owner["timestamp"]])
    return json.dumps([item.source, item.message or item.status], sort_keys=True)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(callbacks)
def test_ids_survive_shuffled_repeated_and_merged_events(drawn: list[tuple[list[Event], list[str], bool]]) -> None:
    ids: dict[str, str] = {}
    for given_, people, has_envelope in drawn:
        body = body_with(given_, people, has_envelope=has_envelope)
        items = items_of(body)
        for record in messages_of(body):
            ce_id = header(record, "ce_id")
            assert ce_id is not None
            assert record.place is not None
            assert ids.setdefault(what_it_is(items[record.place]), ce_id) == ce_id

    assert len(set(ids.values())) == len(ids), "two events share an id"


def id_of(event: Event) -> str | None:
    return header(messages_of(body_with([event], [], has_envelope=True))[0], "ce_id")


def test_failed_payment_and_failed_delivery_have_different_ids() -> None:
    failed = [Event("statuses", status(status="failed", **kind)) for kind in ({}, {"type": "payment"})]

    assert len({id_of(event) for event in failed}) == 2


def test_reaction_removal_and_repetition_have_different_ids() -> None:
    given_ = [reaction(NUMBER, "😂", "1763720010", "wamid.A"), reaction(NUMBER, ABSENT, "1763720010", "wamid.A")]
    again = reaction(NUMBER, "😂", "1763720099", "wamid.A")

    assert len({id_of(Event("messages", entry)) for entry in (*given_, again)}) == 3


def test_second_delivery_of_a_callback_has_the_same_ids() -> None:
    bodies = [
        envelope([message(), message(id="wamid.B", message_type="document")], [contact()], [status()]),
        envelope([message(id="wamid.C", order={"product_items": [{"quantity": "x"}]}, message_type="order")]),
        b"no JSON",
    ]
    for body in bodies:
        first, second = (messages_of(body, received_at=1_763_720_000_000 + late) for late in (0, 86_400_000))

        assert [header(one, "ce_id") for one in first] == [header(one, "ce_id") for one in second]


def test_id_holds_no_number_in_clear() -> None:
    for record in messages_of(body_with([Event("messages", message())], PEOPLE, has_envelope=True)):
        assert NUMBER not in str(header(record, "ce_id"))
        assert len(str(header(record, "ce_id"))) == 32
