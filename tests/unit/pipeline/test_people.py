"""The person of a callback, in every case of missing or different ids: the key as received, never guessed."""

from typing import Any

import pytest

from connector.pipeline.split import split
from connector.records import Json
from tests.support.callbacks import (
    ABSENT,
    NUMBER,
    OTHER_NUMBER,
    USER_ID,
    callback_of,
    contact,
    envelope,
    header,
    items_of,
    message,
    messages_of,
    on,
    order,
    outcome,
    raw,
    status,
)

USERNAME: Json = {"profile": {"name": "Giulia", "username": "giulia.prova"}}
GROUP = "grp-inventato-1"

CASES: dict[str, tuple[Json, Json]] = {
    "an ordinary user": (
        {"messages": [message(from_user_id=USER_ID)], "contacts": [contact(user_id=USER_ID)]},
        {"messages": (NUMBER, "wa_id"), "contacts": (NUMBER, "wa_id")},
    ),
    "a username and a number that is shown": (
        {"messages": [message(from_user_id=USER_ID)], "contacts": [contact(user_id=USER_ID, **USERNAME)]},
        {"messages": (NUMBER, "wa_id"), "contacts": (NUMBER, "wa_id")},
    ),
    "a number hidden by leaving it out": (
        {
            "messages": [message(ABSENT, from_user_id=USER_ID)],
            "contacts": [contact(wa_id=ABSENT, user_id=USER_ID, **USERNAME)],
        },
        {"messages": (USER_ID, "user_id"), "contacts": (USER_ID, "user_id")},
    ),
    "a number hidden by an empty text": (
        {"messages": [message("", from_user_id=USER_ID)], "contacts": [contact(wa_id="", user_id=USER_ID, **USERNAME)]},
        {"messages": (USER_ID, "user_id"), "contacts": (USER_ID, "user_id")},
    ),
    "a number hidden, and no contact": (
        {"messages": [message(ABSENT, from_user_id=USER_ID)]},
        {"messages": (USER_ID, "from_user_id")},
    ),
    "a number hidden in the message alone": (
        {"messages": [message(ABSENT, from_user_id=USER_ID), message("1")], "contacts": [contact(user_id=USER_ID)]},
        {"messages": (NUMBER, "wa_id"), "contacts": (NUMBER, "wa_id")},
    ),
    "a changed number": (
        {"messages": [message(NUMBER, "system", system={"wa_id": OTHER_NUMBER, "type": "user_changed_number"})]},
        {"messages": (NUMBER, "from")},
    ),
    "a changed number with a contact, as older callbacks have it": (
        {
            "messages": [message(NUMBER, "system", system={"new_wa_id": OTHER_NUMBER, "type": "user_changed_number"})],
            "contacts": [contact("Giulia", OTHER_NUMBER)],
        },
        {"messages": (NUMBER, "from"), "contacts": (OTHER_NUMBER, "wa_id")},
    ),
    "a changed user id of a person without a number": (
        {"messages": [message(ABSENT, "system", system={"user_id": "IT.200", "type": "user_changed_user_id"})]},
        {"messages": ("IT.200", "system.user_id")},
    ),
    "a contact without a profile": (
        {"messages": [message()], "contacts": [contact(None)]},
        {"messages": (NUMBER, "wa_id")},
    ),
    "a failed status, which has no contact": ({"statuses": [status(status="failed")]}, {"statuses": (NUMBER, "recipient_id")}),
    "a status of a person without a number": (
        {"statuses": [status(ABSENT, recipient_user_id=USER_ID)], "contacts": [{"user_id": USER_ID}]},
        {"statuses": (USER_ID, "recipient_user_id")},
    ),
    "a message in a group": (
        {"messages": [message(group_id=GROUP)], "contacts": [contact()]},
        {"messages": (NUMBER, "wa_id"), "contacts": (NUMBER, "wa_id")},
    ),
    "a status in a group": (
        {"statuses": [status(GROUP, recipient_type="group", recipient_participant_id=NUMBER)]},
        {"statuses": (NUMBER, "recipient_participant_id")},
    ),
    "a number with a plus and blanks": (
        {"messages": [message("+39 333 555 0142"), message("1")], "contacts": [contact(), contact("Marco", "2")]},
        {"messages": (NUMBER, "wa_id"), "contacts": (NUMBER, "wa_id")},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES.keys())
def test_key_of_each_case(given: Json, expected: Json) -> None:
    first: Json = {}
    for item in split(callback_of(**given), raw(b"{}")).items:
        first.setdefault(item.source, (item.key["value"], item.key["source"]))

    assert first == expected


COUNTRIES = pytest.mark.parametrize(
    ("dialled", "wa_id"),
    [("5582912345678", "558212345678"), ("525512345678", "5215512345678"), ("541112345678", "5491112345678")],
    ids=["Brazil", "Mexico", "Argentina"],
)


@COUNTRIES
def test_number_is_keyed_by_the_wa_id_of_its_contact(dialled: str, wa_id: str) -> None:
    records = messages_of(envelope(statuses=[status(dialled)], contacts=[{"wa_id": wa_id}]))

    assert [record.key for record in records] == [wa_id.encode()]
    assert on("statuses", records)[0]["recipient_id"] == dialled


@COUNTRIES
def test_unmatched_number_is_kept_as_received(dialled: str, wa_id: str) -> None:
    sent, *_ = messages_of(envelope(statuses=[status(dialled)]))
    answered, *_ = messages_of(envelope([message(wa_id)], [contact(wa_id=wa_id)]))

    assert (sent.key, answered.key) == (dialled.encode(), wa_id.encode()), "two keys: merging them would be a guess"


def test_person_with_and_without_number_has_two_keys_and_one_user_id() -> None:
    shown, hidden = (
        messages_of(envelope([message(number, from_user_id=USER_ID)], [contact(wa_id=number, user_id=USER_ID)]))
        for number in (NUMBER, ABSENT)
    )

    assert [record.key for record in (*shown, *hidden)] == [NUMBER.encode()] * 2 + [USER_ID.encode()] * 2
    assert {value["user_id"] for records in (shown, hidden) for value in on("contacts", records)} == {USER_ID}


def test_single_contact_is_given_to_its_own_person_of_two() -> None:
    body = envelope([message(OTHER_NUMBER), message(NUMBER)], [contact("Giulia", NUMBER)])
    records, items = messages_of(body), items_of(body)

    assert [record.key for record in records] == [OTHER_NUMBER.encode(), NUMBER.encode(), NUMBER.encode()]
    assert [items[record.place].contact.get("wa_id") for record in records if record.place] == [None, NUMBER, NUMBER]


@pytest.mark.parametrize("odd", [{}, {"a": 1}, [], [1], True, False])
@pytest.mark.parametrize("kind", ["messages", "statuses"])
def test_profile_is_not_refused_for_an_odd_id_of_its_message(kind: str, odd: Any) -> None:
    entry = message(id=odd) if kind == "messages" else status(id=odd)
    records = messages_of(envelope(contacts=[contact()], **{kind: [entry]}))

    (profile,) = on("contacts", records)
    assert profile["profile_name"] == "Giulia"
    assert profile["last_message_id"] is None
    assert profile["seen_at"] is not None
    assert outcome(records)[0].startswith("dead-letters/")


@pytest.mark.parametrize(
    ("identity", "expected"),
    [({"hash": "h", "acknowledged": True}, "h"), ({"hash": 5}, "5"), ({"hash": {"a": 1}}, None), ([], None), ("x", None)],
)
def test_profile_uses_the_identity_of_its_message_if_readable(identity: Any, expected: Any) -> None:
    (profile,) = on("contacts", messages_of(envelope([message(identity=identity)], [contact()])))

    assert profile["identity_key_hash"] == expected


def test_profile_is_not_refused_for_other_faults_of_its_message() -> None:
    bad = order({"item_price": "sette"}, timestamp=[1], context=5)

    (profile,) = on("contacts", messages_of(envelope([bad], [contact()])))
    assert (profile["last_message_id"], profile["seen_at"]) == ("wamid.SU5WVDAx", None)


def test_profiles_with_two_odd_ids_have_different_ids() -> None:
    callbacks = [envelope([message(id=odd)], [contact()]) for odd in ({"a": 1}, {"a": 2}, ABSENT)]
    ids = [header(messages_of(body)[1], "ce_id") for body in callbacks]

    assert len(set(ids)) == 3
    assert ids == [header(messages_of(body)[1], "ce_id") for body in callbacks], "a second delivery has the same ids"


def test_contact_that_is_the_group_is_not_the_participants() -> None:
    group = status("120363000000000001", recipient_type="group", recipient_participant_id=OTHER_NUMBER)

    (record,) = on("statuses", messages_of(envelope(statuses=[group], contacts=[contact("Gruppo", "120363000000000001")])))

    assert (record["record_key"], record["wa_id"], record["profile_name"]) == (OTHER_NUMBER, OTHER_NUMBER, None)
    assert record["group_id"] == record["recipient_id"] == "120363000000000001"


def test_contact_of_the_only_status_of_a_group_is_the_participants() -> None:
    group = status("120363000000000001", recipient_type="group", recipient_participant_id="550055500143")

    (record,) = on("statuses", messages_of(envelope(statuses=[group], contacts=[contact("Marco", OTHER_NUMBER)])))

    assert (record["record_key"], record["wa_id"], record["profile_name"]) == (OTHER_NUMBER, OTHER_NUMBER, "Marco")
