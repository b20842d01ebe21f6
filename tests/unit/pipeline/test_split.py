"""A callback becomes items: whose contact, which key, what identity, and what is left out on purpose."""

from typing import Any

import pytest

from connector.pipeline.digest import digest
from connector.pipeline.people import text_of
from connector.pipeline.split import Split, split
from connector.records import Callback, Item, Json
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    USER_ID,
    callback_of,
    contact,
    message,
    raw,
    status,
)

GROUP = "grp-inventato-1"


def split_of(callback: Callback, body: bytes = b"{}") -> Split:
    return split(callback, raw(body))


def items_of(messages: Any = (), contacts: Any = (), statuses: Any = ()) -> list[Item]:
    return split_of(callback_of(messages, contacts, statuses)).items


def key_of(messages: Any = (), contacts: Any = (), statuses: Any = ()) -> tuple[Any, Any]:
    key = items_of(messages, contacts, statuses)[0].key
    return key["value"], key["source"]


def system(number: Any = NUMBER, **news: Any) -> Json:
    return message(number, "system", system=news)


@pytest.mark.parametrize(
    ("given", "contacts", "expected"),
    [
        (message(), [contact(wa_id=NUMBER)], (NUMBER, "wa_id")),
        (message("+39 333 555 0142"), [contact(wa_id=NUMBER)], (NUMBER, "wa_id")),
        (message(), [contact(wa_id="+39 3335550142")], ("+39 3335550142", "wa_id")),
        (message(int(NUMBER)), [contact(wa_id=NUMBER), contact()], (NUMBER, "wa_id")),
        (message(OTHER_NUMBER), [contact(wa_id=NUMBER)], (NUMBER, "wa_id")),
        (message(OTHER_NUMBER), [contact(wa_id=NUMBER), contact(wa_id="1")], (OTHER_NUMBER, "from")),
        (message(), [], (NUMBER, "from")),
        (message(int(NUMBER)), [], (NUMBER, "from")),
        (message("+39 333"), [], ("+39 333", "from")),
        (message(), [contact(wa_id="")], (NUMBER, "from")),
        (message(), [contact(wa_id=ABSENT, user_id=USER_ID)], (NUMBER, "from")),
        (message("", from_user_id=USER_ID), [contact(wa_id="", user_id=USER_ID)], (USER_ID, "user_id")),
        (message(ABSENT, from_user_id=USER_ID), [contact(wa_id=ABSENT, user_id=USER_ID)], (USER_ID, "user_id")),
        (message(ABSENT, from_user_id=USER_ID), [contact(wa_id=NUMBER, user_id=USER_ID)], (NUMBER, "wa_id")),
        (message(ABSENT, from_user_id=USER_ID), [], (USER_ID, "from_user_id")),
        (message(None, from_user_id=USER_ID), [contact(wa_id="1"), contact(wa_id="2")], (USER_ID, "from_user_id")),
        (message(ABSENT), [contact(wa_id=NUMBER)], (NUMBER, "wa_id")),
        (message(ABSENT), [contact(wa_id=NUMBER), contact(wa_id="1")], (None, None)),
        (message(ABSENT), [], (None, None)),
        (message(""), [], (None, None)),
        (message(" "), [contact(wa_id=" + ")], (None, None)),
        (message("\t", from_user_id=USER_ID), [contact(wa_id=" ")], (USER_ID, "from_user_id")),
        (message(None, from_user_id=""), [contact(wa_id=[])], (None, None)),
        (message(ABSENT), [contact("Giulia", ABSENT, username="giulia.prova")], (None, None)),
    ],
)
def test_message_key_is_the_first_that_its_rules_give(given: Json, contacts: list[Json], expected: tuple[str, str]) -> None:
    assert key_of([given], contacts) == expected


@pytest.mark.parametrize(
    ("given", "contacts", "expected"),
    [
        (system(NUMBER, wa_id=OTHER_NUMBER), [], (NUMBER, "from")),
        (system(NUMBER, wa_id=OTHER_NUMBER), [contact(wa_id=OTHER_NUMBER)], (NUMBER, "from")),
        (system(NUMBER, wa_id=OTHER_NUMBER), [contact(wa_id="+" + NUMBER)], (NUMBER, "from")),
        (system(ABSENT, wa_id=OTHER_NUMBER), [contact(wa_id=NUMBER)], (OTHER_NUMBER, "system.wa_id")),
        (system(ABSENT, user_id="IT.200"), [], ("IT.200", "system.user_id")),
        (system("", wa_id="", user_id="IT.200"), [], ("IT.200", "system.user_id")),
        (message(ABSENT, "system", from_user_id=USER_ID, system={"user_id": "IT.200"}), [], (USER_ID, "from_user_id")),
        (
            message(ABSENT, "system", from_user_id=USER_ID, system={}),
            [contact(wa_id=NUMBER, user_id=USER_ID)],
            (NUMBER, "wa_id"),
        ),
        (message(ABSENT, "system", from_user_id="1", system={}), [contact(wa_id=ABSENT, user_id="1")], ("1", "user_id")),
        (message(ABSENT, "system", system="text"), [contact()], (None, None)),
        (message(ABSENT, "system"), [], (None, None)),
    ],
)
def test_system_message_is_keyed_by_the_number_it_is_about(
    given: Json, contacts: list[Json], expected: tuple[str, str]
) -> None:
    assert key_of([given], contacts) == expected


def test_system_message_takes_no_contact_by_position() -> None:
    assert items_of([system(NUMBER)], [contact("Giulia", OTHER_NUMBER)])[0].contact == {}


@pytest.mark.parametrize(
    ("given", "contacts", "expected"),
    [
        (status(), [contact(wa_id=NUMBER)], (NUMBER, "wa_id")),
        (status("+" + NUMBER), [contact(wa_id=NUMBER), contact(wa_id="1")], (NUMBER, "wa_id")),
        (status("5582912345678"), [contact(wa_id="558212345678")], ("558212345678", "wa_id")),
        (status(), [], (NUMBER, "recipient_id")),
        (status(), [contact(wa_id="1"), contact(wa_id="2")], (NUMBER, "recipient_id")),
        (status(ABSENT, recipient_user_id=USER_ID), [], (USER_ID, "recipient_user_id")),
        (status("", recipient_user_id=USER_ID), [contact(wa_id="", user_id=USER_ID)], (USER_ID, "recipient_user_id")),
        (status(ABSENT, recipient_user_id=USER_ID), [contact(user_id=USER_ID)], (NUMBER, "wa_id")),
        (status(GROUP, recipient_type="group", recipient_participant_id=NUMBER), [], (NUMBER, "recipient_participant_id")),
        (status(GROUP, recipient_type="group", participant_recipient_id=NUMBER), [], (NUMBER, "recipient_participant_id")),
        (
            status(GROUP, recipient_type="group", recipient_participant_user_id=USER_ID),
            [],
            (USER_ID, "recipient_participant_user_id"),
        ),
        (
            status(GROUP, recipient_type="group", participant_recipient_user_id=USER_ID),
            [],
            (USER_ID, "recipient_participant_user_id"),
        ),
        (
            status(GROUP, recipient_type="group", recipient_participant_user_id=USER_ID),
            [contact(wa_id="1"), contact(user_id=USER_ID)],
            (NUMBER, "wa_id"),
        ),
        (
            status(GROUP, recipient_type="group", recipient_participant_id="+" + NUMBER),
            [contact(wa_id="1"), contact()],
            (NUMBER, "wa_id"),
        ),
        (status(GROUP, recipient_type="group"), [], (GROUP, "recipient_id")),
        (status(ABSENT), [contact(wa_id=ABSENT, user_id=USER_ID)], (USER_ID, "user_id")),
        (status(ABSENT), [contact(wa_id=ABSENT, user_id=USER_ID), contact()], (None, None)),
        (status(GROUP, recipient_participant_id=NUMBER), [], (NUMBER, "recipient_participant_id")),
        (status(" + "), [], (None, None)),
        (status(ABSENT), [], (None, None)),
        (status(""), [contact(wa_id="")], (None, None)),
    ],
)
def test_status_key_is_the_first_that_its_rules_give(given: Json, contacts: list[Json], expected: tuple[str, str]) -> None:
    assert key_of((), contacts, [given]) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (contact(), (NUMBER, "wa_id")),
        (contact(wa_id=int(NUMBER)), (NUMBER, "wa_id")),
        (contact(wa_id=ABSENT, user_id=USER_ID), (USER_ID, "user_id")),
        (contact(wa_id="", user_id=USER_ID), (USER_ID, "user_id")),
        (contact(user_id=USER_ID), (NUMBER, "wa_id")),
    ],
)
def test_contact_is_keyed_by_its_own_ids(given: Json, expected: tuple[str, str]) -> None:
    assert key_of((), [given]) == expected


@pytest.mark.parametrize("order", [1, -1])
def test_two_people_get_each_their_own_contact_whatever_the_order(order: int) -> None:
    contacts = [contact("Giulia", "+39 3335550142"), contact("Marco", OTHER_NUMBER)][::order]

    first, second, *_ = items_of([message(NUMBER), message(OTHER_NUMBER)], contacts)

    assert first.contact["profile"]["name"] == "Giulia"
    assert second.contact["profile"]["name"] == "Marco"


@pytest.mark.parametrize(
    ("messages", "contacts", "statuses"),
    [
        ([message(NUMBER), message("1")], [contact("Giulia", "9")], []),
        ([message(NUMBER)], [contact("Giulia", "9"), contact("Marco", "8")], []),
        ([message(NUMBER)], [contact("Giulia", "9")], [status("1")]),
        ([message(NUMBER)], ["text"], []),
        ([message(NUMBER)], [], []),
    ],
)
def test_contact_is_matched_by_position_only_if_there_is_one_of_each(
    messages: list[Json], contacts: list[Any], statuses: list[Json]
) -> None:
    events = [item for item in items_of(messages, contacts, statuses) if item.source != "contacts"]

    assert all(item.contact == {} for item in events)


def test_only_contact_belongs_to_only_event_despite_other_ids() -> None:
    assert items_of([message("1")], [contact("Giulia", "2")])[0].contact["profile"]["name"] == "Giulia"
    assert items_of((), [contact("Giulia", "2")], [status("1")])[0].contact["profile"]["name"] == "Giulia"


def test_empty_ids_name_no_person() -> None:
    contacts = [contact("Giulia", "", user_id=""), contact("Marco", " + ")]

    assert all(item.contact == {} for item in items_of([message(""), message("+")], contacts) if item.source == "messages")


def test_number_decides_before_the_user_id() -> None:
    contacts = [contact("Marco", OTHER_NUMBER, user_id=USER_ID), contact("Giulia", NUMBER)]

    assert items_of([message(NUMBER, from_user_id=USER_ID)], contacts)[0].contact["profile"]["name"] == "Giulia"


@pytest.mark.parametrize(
    "entry",
    [
        {"wa_id": NUMBER},
        {"wa_id": NUMBER, "user_id": USER_ID},
        {"wa_id": NUMBER, "profile": {}},
        {"wa_id": NUMBER, "profile": []},
        {"wa_id": NUMBER, "profile": {"name": ""}},
        {"wa_id": NUMBER, "profile": None, "username": "", "identity_key_hash": None},
        {},
    ],
)
def test_contact_of_ids_alone_makes_no_item_and_is_counted(entry: Json) -> None:
    parts = split_of(callback_of((), [entry], [status()]))

    assert [item.source for item in parts.items] == ["statuses"]
    assert parts.contacts_without_profile == 1
    assert parts.contacts_without_key == 0


@pytest.mark.parametrize(
    "said",
    [
        {"profile": {"name": "Giulia"}},
        {"profile": {"username": "giulia.prova"}},
        {"username": "giulia.prova"},
        {"identity_key_hash": "hash-inventato"},
    ],
)
def test_contact_that_says_more_than_ids_makes_an_item(said: Json) -> None:
    assert [item.source for item in items_of((), [{"wa_id": NUMBER, **said}])] == ["contacts"]


def test_contact_without_a_key_makes_no_item_and_is_counted() -> None:
    parts = split_of(callback_of([message()], [contact(wa_id=ABSENT), contact(wa_id="", user_id="")]))

    assert [item.source for item in parts.items] == ["messages"]
    assert parts.contacts_without_key == 2
    assert parts.contacts_without_profile == 0


@pytest.mark.parametrize(
    ("messages", "statuses"),
    [([message(), message()], []), ([], [status(), status()]), ([message()], [status()]), ([message(), "text"], [])],
)
def test_extra_info_of_one_event_is_dropped_for_several_and_counted(messages: list[Any], statuses: list[Json]) -> None:
    parts = split_of(callback_of(messages, [contact()], statuses, {**EXTRA, "ref2": ""}))

    assert all(item.extra == {"ref2": "", **_shared_extra()} or item.extra == _shared_extra() for item in parts.items)
    assert parts.ambiguous_extras == 4


def _shared_extra() -> Json:
    return {name: EXTRA[name] for name in ("trace_id", "waba_id")}


def test_price_and_error_beside_several_statuses_are_dropped() -> None:
    beside = {"price": "0.01", "error_code": "470", "error": "x", "enable_url_tracking_body": True}

    parts = split_of(callback_of((), (), [status("1"), status("2")], {**beside, "waba_id": "347"}))

    assert all(item.extra == {"waba_id": "347"} for item in parts.items)
    assert parts.ambiguous_extras == len(beside)


def test_reaction_to_no_message_is_not_one_that_was_taken_back() -> None:
    (item,) = items_of([message(message_type="reaction", reaction={})])

    assert item.fault is not None
    assert (item.fault.reason, item.fault.detail) == ("missing", "messages[0].reaction.message_id is missing")


def test_extra_info_stays_with_the_only_event() -> None:
    parts = split_of(callback_of([message()], [contact(), contact(wa_id="1")], (), EXTRA))

    assert all(item.extra == EXTRA for item in parts.items)
    assert parts.ambiguous_extras == 0


@pytest.mark.parametrize("entry", ["text", 5, None, [], True])
def test_entry_that_is_no_object_is_an_item_with_a_fault(entry: Any) -> None:
    for source in ("messages", "statuses", "contacts"):
        (item,) = items_of(**{source: [entry]})

        assert item.fault is not None
        assert item.fault.reason == "not_an_object_item"
        assert item.fault.detail.startswith(f"{source}[0] is ")


def test_message_type_that_is_no_text_is_none() -> None:
    assert items_of([message(message_type=ABSENT)])[0].message_type == ""
    assert items_of([message(message_type=[])])[0].message_type == ""
    assert items_of([message(message_type=5)])[0].message_type == "5"


def reaction(emoji: Any = ABSENT, at: str = "1763720010", target: str = "wamid.A", of: str = "wamid.R") -> Json:
    content = {"message_id": target} if emoji is ABSENT else {"message_id": target, "emoji": emoji}
    return message(message_type="reaction", id=of, timestamp=at, reaction=content)


DISTINCT: list[tuple[str, list[dict[str, Any]]]] = [
    ("two messages", [{"messages": [message(id="wamid.A")]}, {"messages": [message(id="wamid.B")]}]),
    (
        "a reaction, its removal, and the same again",
        [{"messages": [reaction("😂")]}, {"messages": [reaction()]}, {"messages": [reaction("😂", at="1763720099")]}],
    ),
    ("two emojis", [{"messages": [reaction("😂")]}, {"messages": [reaction("🌻")]}]),
    ("two targets", [{"messages": [reaction("😂")]}, {"messages": [reaction("😂", target="wamid.B")]}]),
    (
        "the statuses of one message",
        [{"statuses": [status(status=name)]} for name in ("sent", "delivered", "read", "played", "failed")],
    ),
    ("a message and its status", [{"messages": [message(id="wamid.A")]}, {"statuses": [status(id="wamid.A")]}]),
    ("a status and a payment's", [{"statuses": [status()]}, {"statuses": [status(type="payment")]}]),
    ("statuses of two times", [{"statuses": [status()]}, {"statuses": [status(timestamp="1763720101")]}]),
    ("statuses of two recipients", [{"statuses": [status("1")]}, {"statuses": [status("2")]}]),
    (
        "statuses of two participants",
        [
            {"statuses": [status(GROUP, recipient_type="group", recipient_participant_id=participant)]}
            for participant in (NUMBER, OTHER_NUMBER)
        ],
    ),
    (
        "statuses of two participants without a number",
        [
            {"statuses": [status(GROUP, recipient_type="group", recipient_participant_user_id=participant)]}
            for participant in ("IT.1", "IT.2")
        ],
    ),
    ("two contacts of no event", [{"contacts": [contact("Giulia", "1")]}, {"contacts": [contact("Giulia", "2")]}]),
]


@pytest.mark.parametrize("callbacks", [given for _, given in DISTINCT], ids=[name for name, _ in DISTINCT])
def test_different_events_never_share_an_identity(callbacks: list[dict[str, Any]]) -> None:
    ids = [digest(items_of(**callback)[0].identity) for callback in callbacks]

    assert len(set(ids)) == len(callbacks)
    assert ids == [digest(items_of(**callback)[0].identity) for callback in callbacks], "a second delivery has the same ids"


def test_status_without_an_id_is_identified_by_the_outer_one() -> None:
    def id_of(extra: Json, root: Json) -> str:
        callback = Callback(METADATA, [], [], [status(id=ABSENT, status=ABSENT)], extra, root)
        return digest(split_of(callback).items[0].identity)

    ids = [
        id_of({"message_id": "wamid.A"}, {}),
        id_of({"message_id": "wamid.B"}, {}),
        id_of({}, {"message_id": "wamid.C"}),
        id_of({}, {"message_id": "wamid.C", "status": "failed"}),
        id_of({}, {}),
    ]
    assert len(set(ids)) == len(ids)


def test_no_status_of_several_gets_the_id_or_the_status_of_another() -> None:
    callback = Callback(
        METADATA,
        [],
        [],
        [status(), status(id=ABSENT)],
        {"message_id": "wamid.A"},
        {"message_id": "wamid.A", "status": "read", "trace": "kept"},
    )

    for item in split_of(callback).items:
        assert "message_id" not in item.extra
        assert "message_id" not in item.callback
        assert "status" not in item.callback
        assert item.callback["trace"] == "kept"


def test_removal_without_emoji_equals_one_with_an_empty_or_null_one() -> None:
    assert len({digest(items_of([reaction(emoji)])[0].identity) for emoji in (ABSENT, "", None)}) == 1


def test_contacts_of_one_message_have_distinct_identities_based_on_it() -> None:
    def ids(message_id: str) -> list[str]:
        people = [contact("Giulia", NUMBER), contact("Marco", OTHER_NUMBER), contact("Giulia", NUMBER)]
        items = items_of([message(id=message_id), message(OTHER_NUMBER, id=message_id)], people)
        return [digest(item.identity) for item in items if item.source == "contacts"]

    assert len(set(ids("wamid.A"))) == 3
    assert ids("wamid.A") == ids("wamid.A")
    assert ids("wamid.A")[0] != ids("wamid.B")[0], "the same profile, seen with another message"


def test_contact_without_event_is_identified_by_body_and_position() -> None:
    def id_of(body: bytes, place: int) -> str:
        entries = [contact("Giulia", "1"), contact("Giulia", "1")]
        return digest(split_of(callback_of((), entries), body).items[place].identity)

    body = b'{"a": 1, "b": [2]}'
    assert len({id_of(body, 0), id_of(body, 1), id_of(b'{"a": 1, "b": [3]}', 0)}) == 3
    assert id_of(body, 0) == id_of(b'{"b":[2], "a":1}', 0), "the same body, its keys in another order"


def test_identity_holds_nothing_of_the_request() -> None:
    one = split(callback_of([message()], [contact()]), raw(b"{}"))
    other = split(callback_of([message()], [contact()]), raw(b"{ }", received_at=1_763_999_999_999, query="again=1"))

    assert [item.identity for item in one.items] == [item.identity for item in other.items]


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), ("", None), (None, None), (5, "5"), (True, None), ([], None), ({}, None)]
)
def test_id_is_text_or_a_number(value: Any, text: str | None) -> None:
    assert text_of(value) == text


def test_no_item_shows_what_it_holds() -> None:
    assert repr(items_of([message()])[0]) == "Item(messages[0])"
