"""Fields beside messages and statuses, about a person or the account; nothing is lost."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.dialects.fields import read_other_field
from connector.pipeline.digest import digest
from connector.pipeline.split import split
from connector.records import Callback, Item, Json
from tests.support.callbacks import (
    EXTRA,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    USER_ID,
    body_of,
    contact,
    decoded,
    envelope,
    field_value,
    header,
    message,
    messages_of,
    on,
    outcome,
    quality_notice,
    raw,
    status,
    template_status,
    topics,
    v1_message,
)

BUSINESS = METADATA["display_phone_number"]
PRINTED = {**METADATA, "display_phone_number": "+1 555-078-3881"}
BUSINESS_DIGITS = "15550783881"
PREFERENCE = {"wa_id": NUMBER, "category": "marketing_messages", "value": "stop", "timestamp": 1763720300}
CALL = {"id": "wacid.A", "from": NUMBER, "to": BUSINESS, "event": "connect", "timestamp": "1763720310"}
ECHO = {
    "id": "wamid.E",
    "from": BUSINESS,
    "to": NUMBER,
    "type": "text",
    "text": {"body": "Buongiorno"},
    "timestamp": "1763720320",
}
SYNCED = {"type": "contact", "contact": {"full_name": "Ada Prova", "phone_number": NUMBER}, "action": "add"}
HISTORY = {
    "metadata": {"phase": 0, "chunk_order": 1},
    "threads": [
        {"id": NUMBER, "messages": [{**ECHO, "id": "wamid.1"}, {"id": "wamid.2", "from": NUMBER, "type": "text"}]},
        {"id": OTHER_NUMBER, "messages": [{"id": "wamid.3", "from": OTHER_NUMBER, "type": "text"}]},
    ],
}
GROUP = {
    "group_id": "grp-1",
    "type": "group_participants_add",
    "timestamp": "1763720330",
    "added_participants": [{"wa_id": NUMBER}, {"input": OTHER_NUMBER}],
}
HANDOVER = {
    "type": "control_passed",
    "timestamp": "1763720340",
    "sender": {"phone_number": NUMBER},
    "recipient": METADATA,
    "control_passed": {"metadata": "x"},
}
TEMPLATE = {"event": "APPROVED", "message_template_id": 777000000000001, "message_template_name": "saldi"}
LIMIT = {"display_phone_number": BUSINESS, "event": "ONBOARDING", "current_limit": "TIER_1K"}
ERRORS = [{"code": 130429, "title": "Rate limit hit"}]


def people(callback: Callback) -> list[Json]:
    return [one.message for one in callback.others]


def events(callback: Callback) -> list[Json]:
    return [one.content for one in callback.events]


def read(field: Any, extra: Any = EXTRA, **value: Any) -> Callback:
    return decode(raw(field_value(field, value, extra)))


def items_of(field: Any, extra: Any = EXTRA, **value: Any) -> list[Item]:
    received = raw(field_value(field, value, extra))
    return split(decode(received), received).items


PEOPLE: list[tuple[str, Json, list[tuple[Any, Any, Json]]]] = [
    ("user_preferences", {"user_preferences": [PREFERENCE]}, [(NUMBER, None, PREFERENCE)]),
    (
        "user_preferences",
        {"user_preferences": [{"user_id": USER_ID}, {"wa_id": OTHER_NUMBER, "user_id": USER_ID}]},
        [(None, USER_ID, {"user_id": USER_ID}), (OTHER_NUMBER, USER_ID, {"wa_id": OTHER_NUMBER, "user_id": USER_ID})],
    ),
    (
        "user_id_update",
        {"user_id_update": {"wa_id": NUMBER, "user_id": {"previous": "IT.1", "current": "IT.2"}}},
        [(NUMBER, "IT.1", {"wa_id": NUMBER, "user_id": {"previous": "IT.1", "current": "IT.2"}})],
    ),
    (
        "user_id_update",
        {"user_id_update": [{"user_id": {"previous": "IT.1", "current": "IT.2"}}, {"user_id": {"current": "IT.3"}}]},
        [
            (None, "IT.1", {"user_id": {"previous": "IT.1", "current": "IT.2"}}),
            (None, "IT.3", {"user_id": {"current": "IT.3"}}),
        ],
    ),
    ("calls", {"calls": [CALL]}, [(NUMBER, None, CALL)]),
    (
        "calls",
        {"calls": [{**CALL, "from": f"+{BUSINESS}", "to": NUMBER}]},
        [(NUMBER, None, {**CALL, "from": f"+{BUSINESS}", "to": NUMBER})],
    ),
    ("smb_message_echoes", {"message_echoes": [ECHO]}, [(NUMBER, None, ECHO)]),
    ("standby", {"standby": {"message_echoes": [ECHO]}}, [(NUMBER, None, ECHO)]),
    ("smb_app_state_sync", {"state_sync": [SYNCED]}, [(NUMBER, None, SYNCED)]),
    (
        "history",
        {"history": [HISTORY]},
        [
            (NUMBER, None, {**ECHO, "id": "wamid.1"}),
            (NUMBER, None, {"id": "wamid.2", "from": NUMBER, "type": "text"}),
            (OTHER_NUMBER, None, {"id": "wamid.3", "from": OTHER_NUMBER, "type": "text"}),
        ],
    ),
    (
        "group_participants_update",
        {"groups": [GROUP]},
        [(NUMBER, None, {"wa_id": NUMBER}), (OTHER_NUMBER, None, {"input": OTHER_NUMBER})],
    ),
    (
        "not_known_yet",
        {"things": [{"recipient_user_id": USER_ID, "n": 1}]},
        [(None, USER_ID, {"recipient_user_id": USER_ID, "n": 1})],
    ),
]


@pytest.mark.parametrize(("field", "value", "expected"), PEOPLE)
def test_each_object_that_names_a_person_is_a_message(field: str, value: Json, expected: list[tuple[Any, Any, Json]]) -> None:
    callback = read(field, metadata=METADATA, **value)

    found = [(one.get("from"), one.get("from_user_id"), one["entry"]) for one in people(callback)]
    assert found == expected
    assert {one["type"] for one in people(callback)} == {field}


OF_PEOPLE: list[tuple[str, Json, list[tuple[Any, Any]]]] = [
    ("groups", {"wa_ids": [NUMBER, f"+{OTHER_NUMBER}"]}, [(NUMBER, None), (f"+{OTHER_NUMBER}", None)]),
    ("groups", {"n": {"participants": [int(NUMBER), USER_ID]}}, [(NUMBER, None), (None, USER_ID)]),
    (
        "groups",
        {"users": [{"phone_number": NUMBER}, {"phone": "+39 333-555 (0143)"}]},
        [(NUMBER, None), ("+39 333-555 (0143)", None)],
    ),
    ("x", {"x": {"sender": NUMBER}}, [(NUMBER, None)]),
    ("x", {"x": [{"person": {"phone": NUMBER}}]}, [(NUMBER, None)]),
    ("x", {"x": {"user_id": "IT.ENT.13490000000000001"}}, [(None, "IT.ENT.13490000000000001")]),
    (
        "smb_message_echoes",
        {"metadata": PRINTED, "message_echoes": [{"from": BUSINESS_DIGITS, "to": NUMBER}]},
        [(NUMBER, None)],
    ),
    ("smb_message_echoes", {"message_echoes": [{"from": BUSINESS_DIGITS, "to": NUMBER}]}, [(NUMBER, None)]),
    (
        "history",
        {
            "metadata": PRINTED,
            "history": [{"threads": [{"id": NUMBER, "messages": [{"from": BUSINESS_DIGITS, "type": "text"}]}]}],
        },
        [(NUMBER, None)],
    ),
    ("history", {"history": [{"threads": [{"id": NUMBER, "messages": []}]}]}, [(NUMBER, None)]),
]


@pytest.mark.parametrize(("field", "value", "expected"), OF_PEOPLE)
def test_people_are_found_by_any_name_and_removed_from_the_event(
    field: str, value: Json, expected: list[tuple[Any, Any]]
) -> None:
    callback = read(field, **value)

    assert [(one.get("from"), one.get("from_user_id")) for one in people(callback)] == expected
    assert callback.events == ()


def test_number_in_a_list_of_numbers_has_itself_as_its_entry() -> None:
    first, _second = people(read("groups", groups={"group_id": "g", "wa_ids": [NUMBER, OTHER_NUMBER]}))

    assert (first["entry"], first["within"]) == ({"wa_ids": [NUMBER]}, {"group_id": "g"})


def test_rest_of_a_thread_does_not_name_its_person() -> None:
    thread = {"id": NUMBER, "messages": [{"type": "text"}], "alerts": [{"n": 1}]}

    (event,) = events(read("history", history=[{"threads": [thread]}]))

    assert event["payload"] == {"history": [{"threads": [{"alerts": [{"n": 1}]}]}]}


def test_hand_over_has_person_as_sender_and_business_as_recipient() -> None:
    callback = read("messaging_handovers", **HANDOVER)

    (given,) = people(callback)
    assert given["from"] == NUMBER
    assert given["entry"] == HANDOVER
    assert callback.metadata == METADATA
    assert callback.events == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message_template_status_update", TEMPLATE),
        ("phone_number_quality_update", LIMIT),
        ("account_update", {"event": "VERIFIED_ACCOUNT", "phone_number": "390299955501"}),
        ("flows", {"flow_id": "1", "errors": [], "alerts": [{"n": 1}]}),
        ("smb_message_echoes", {"metadata": METADATA, "message_echoes": [{"from": BUSINESS}]}),
        ("calls", {"metadata": METADATA, "calls": [{"from": BUSINESS, "to": METADATA["phone_number_id"]}]}),
        ("calls", {"metadata": METADATA, "calls": [{"from": "", "to": None, "user_id": {}}]}),
        ("phone_number_quality_update", {"event": "TIER_CHANGE", "from": "TIER_1K", "to": "TIER_10K"}),
        ("analytics", {"period": {"from": "1763720000", "to": "1763806400"}, "n": 1}),
        ("analytics", {"range": {"from": "2026-01-01", "to": "2026-01-31"}, "counts": {"from": 17, "to": 9999}}),
        ("flows", {"answers": [{"input": "voglio un rimborso", "user_id": "not an id"}]}),
        ("calls", {"metadata": PRINTED, "calls": [{"from": BUSINESS_DIGITS}]}),
        (5, {"n": 1}),
    ],
)
def test_value_without_a_person_is_one_event_of_the_account(field: Any, value: Json) -> None:
    callback = read(field, **value)

    (event,) = events(callback)
    assert event["type"] == str(field)
    assert event["payload"] == value
    assert callback.messages == people(callback) == []


def test_event_has_the_general_fields() -> None:
    (event,) = events(read("message_template_status_update", **TEMPLATE, reason="NONE", timestamp="1763720200", errors=ERRORS))

    assert {name: event[name] for name in ("event", "reason", "timestamp", "errors")} == {
        "event": "APPROVED",
        "reason": "NONE",
        "timestamp": "1763720200",
        "errors": ERRORS,
    }
    assert event["message_template_id"] == 777000000000001


@pytest.mark.parametrize(
    "odd", [{"event": {"a": 1}}, {"reason": ["x"]}, {"current_limit": True}, {"errors": "text"}, {"errors": ["text"]}]
)
def test_odd_key_of_an_event_is_only_in_its_payload(odd: Json) -> None:
    (event,) = events(read("account_update", **odd, n=1))

    assert event == {"type": "account_update", "payload": {**odd, "n": 1}}
    assert outcome(messages_of(field_value("account_update", {**odd, "n": 1}))) == ["account-events"]


def test_objects_without_a_person_beside_people_are_an_event() -> None:
    callback = read(
        "calls", metadata=METADATA, calls=[CALL, {"n": 1}], other={"list": [{"wa_id": NUMBER}, {"m": 2}]}, errors=ERRORS
    )

    assert [one["entry"] for one in people(callback)] == [CALL, {"wa_id": NUMBER}]
    (event,) = events(callback)
    assert event["payload"] == {
        "metadata": METADATA,
        "calls": [{"n": 1}],
        "other": {"list": [{"m": 2}]},
        "errors": ERRORS,
    }
    assert event["errors"] == ERRORS


def test_plain_facts_around_a_person_come_along_and_give_the_time() -> None:
    first, _second = people(read("group_participants_update", metadata=METADATA, groups=[GROUP]))

    assert first["within"] == {"group_id": "grp-1", "type": "group_participants_add", "timestamp": "1763720330"}
    assert first["timestamp"] == "1763720330"


def test_long_context_of_several_people_is_not_repeated_for_each() -> None:
    facts = {f"k{number}": number for number in range(100)}
    callback = read("calls", metadata=METADATA, around={**facts, "text": "x" * 1000, "list": [{"wa_id": NUMBER}]})

    assert people(callback)[0]["within"] == dict(list(facts.items())[:32])
    assert events(callback)[0]["payload"]["around"] == {**facts, "text": "x" * 1000}


def test_too_deeply_nested_field_becomes_dead_letter() -> None:
    value: Any = {"wa_id": NUMBER}
    for _ in range(20):
        value = [value]

    records = messages_of(field_value("deep", {"metadata": METADATA, "deep": value, "list": [PREFERENCE]}))

    assert outcome(records) == ["others", "dead-letters/too_deep"]


def test_items_of_another_field_are_read_as_its_items() -> None:
    callback = read("calls", metadata=METADATA, messages=[message()], statuses=[status()], contacts=[contact()], calls=[CALL])

    assert callback.messages == [message()]
    assert [one["entry"] for one in people(callback)] == [CALL]
    assert callback.statuses == [status()]
    assert callback.contacts == [contact()]
    assert callback.events == ()


@pytest.mark.parametrize("field", ["messages", None, "", "standby"])
def test_errors_of_a_value_are_one_event_beside_its_siblings(field: Any) -> None:
    callback = read(field, metadata=METADATA, messages=[message()], contacts=[contact()], errors=ERRORS)

    assert callback.messages == [message()]
    assert callback.contacts == [contact()]
    (event,) = events(callback)
    assert event["type"] == (field if field == "standby" else "errors")
    assert event["errors"] == ERRORS
    assert event["payload"] == {"metadata": METADATA, "errors": ERRORS}


def test_messages_of_another_field_make_no_event_of_the_number() -> None:
    assert read("standby", messaging_product="whatsapp", metadata=METADATA, messages=[message()]).events == ()


@pytest.mark.parametrize("field", ["messages", None])
def test_lists_unknown_to_the_messages_field_are_read_too(field: Any) -> None:
    value = {"messages": [message()], "calls": [CALL], "flags": {"n": 1}, "errors": ERRORS, "plain": "x", "none": []}

    callback = read(field, metadata=METADATA, **value)

    assert callback.messages == [message()]
    assert [(one["type"], one["entry"]) for one in people(callback)] == [("calls", CALL)]
    assert [(event["type"], event["payload"]) for event in events(callback)] == [
        ("errors", {"metadata": METADATA, "errors": ERRORS}),
        ("flags", {"metadata": METADATA, "flags": {"n": 1}}),
    ]


@pytest.mark.parametrize("errors", [[], {}, "", None, 0])
def test_empty_errors_are_no_event(errors: Any) -> None:
    assert read("messages", messages=[message()], errors=errors).events == ()


def test_errors_as_one_object_are_an_event_too() -> None:
    assert events(read("messages", errors={"code": 1}))[0]["errors"] == {"code": 1}
    (record,) = on("account-events", messages_of(field_value("messages", {"metadata": METADATA, "errors": {"code": 1}})))
    assert record["errors"][0]["code"] == 1


@pytest.mark.parametrize("field", ["calls", "account_update", "messages", None, [], {}])
def test_empty_value_makes_no_event(field: Any) -> None:
    with pytest.raises(NotDecodable) as refused:
        read(field)
    assert refused.value.reason == "nothing_in_it"


def test_money_in_an_object_of_another_field_stays_exact() -> None:
    body = field_value("payments", {"metadata": METADATA, "payments": [{"wa_id": NUMBER, "amount": "HERE"}]})

    (record,) = on("others", messages_of(body.replace(b'"HERE"', b"[7.10,1e400,123456789012.123456]")))
    assert '"amount":[7.10,1E+400,123456789012.123456]' in record["payload"]


# Keys and ids.


@pytest.mark.parametrize(
    ("field", "value", "extra", "expected"),
    [
        ("x", {"metadata": METADATA, **TEMPLATE}, EXTRA, ("104600000000001", "phone_number_id")),
        ("x", LIMIT, EXTRA, (BUSINESS, "display_phone_number")),
        ("x", {"phone_number_id": "104", **LIMIT}, EXTRA, ("104", "phone_number_id")),
        ("x", {"metadata": {"phone_number_id": ""}, **LIMIT}, EXTRA, (BUSINESS, "display_phone_number")),
        ("x", TEMPLATE, EXTRA, ("777000000000001", "message_template_id")),
        ("x", {"event": "y"}, EXTRA, (EXTRA["waba_id"], "waba_id")),
        ("x", {"event": "y"}, {"waba_id": ""}, (None, None)),
        ("x", {"event": "y"}, None, (None, None)),
    ],
)
def test_event_is_keyed_by_the_first_id_of_the_business(field: str, value: Json, extra: Any, expected: Any) -> None:
    (item,) = items_of(field, extra, **value)

    assert (item.key["value"], item.key["source"]) == expected
    assert (item.fault.reason if item.fault else None) == (None if expected[0] else "no_key")


def test_event_without_any_id_of_the_business_is_a_dead_letter() -> None:
    (letter,) = on("dead-letters", messages_of(field_value("x", {"event": "y"}, None)))

    assert (letter["reason"], letter["step"]) == ("no_key", "split")
    assert letter["detail"] == "events[0] names no number, no template and no account of the business"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("calls", {"calls": [CALL]}, (NUMBER, "from")),
        ("calls", {"calls": [CALL], "contacts": [contact(wa_id=NUMBER)]}, (NUMBER, "wa_id")),
        ("calls", {"calls": [{"from_user_id": USER_ID}]}, (USER_ID, "from_user_id")),
        ("calls", {"calls": [{"from_user_id": USER_ID}], "contacts": [contact(user_id=USER_ID)]}, (NUMBER, "wa_id")),
        ("smb_message_echoes", {"message_echoes": [ECHO]}, (NUMBER, "from")),
    ],
)
def test_message_of_another_field_is_keyed_by_the_same_rules(field: str, value: Json, expected: Any) -> None:
    key = items_of(field, metadata=METADATA, **value)[0].key

    assert (key["value"], key["source"]) == expected


def ids_of(field: str, **value: Any) -> list[str]:
    return [digest(item.identity) for item in items_of(field, metadata=METADATA, **value)]


def test_events_of_one_call_have_different_ids() -> None:
    ended = {**CALL, "event": "terminate"}

    assert len({*ids_of("calls", calls=[CALL]), *ids_of("calls", calls=[ended]), *ids_of("calls", calls=[CALL, ended])}) == 2


def test_message_of_another_field_has_the_same_id_in_any_callback() -> None:
    alone = ids_of("user_preferences", user_preferences=[PREFERENCE])
    beside = ids_of("user_preferences", user_preferences=[{**PREFERENCE, "value": "resume"}, PREFERENCE], messages=[message()])

    assert alone[0] in beside
    assert len(set(beside)) == 3
    assert people(read("user_preferences", user_preferences=[PREFERENCE]))[0]["id"].startswith("v1:")


def test_echo_and_its_message_have_different_ids() -> None:
    assert ids_of("smb_message_echoes", message_echoes=[ECHO]) != ids_of("messages", messages=[ECHO])


def test_event_identity_includes_its_request() -> None:
    def id_of(body: bytes, **more: Any) -> str | None:
        (record,) = messages_of(body, **more)
        return header(record, "ce_id")

    body = field_value("x", LIMIT)
    assert id_of(body) == id_of(body, received_at=1_763_999_999_999)
    by_query = {"method": "GET", "query": "display_phone_number=1&current_limit=T1"}
    ids = {
        id_of(body),
        id_of(body, query="a=1"),
        id_of(body.replace(b"TIER", b"TIGER")),
        id_of(b"", **by_query),
        id_of(b"", **{**by_query, "query": "display_phone_number=1&current_limit=T2"}),
        id_of(b"", **{**by_query, "method": "POST"}),
    }
    assert len(ids) == 6


# Records.


def test_message_of_another_field_is_on_others_with_its_object() -> None:
    (record,) = messages_of(field_value("smb_message_echoes", {"metadata": METADATA, "message_echoes": [ECHO]}))

    assert topics([record]) == ["others"]
    value = decoded(record)
    assert value["message_type"] == "smb_message_echoes"
    assert value["message_id"] == "wamid.E"
    assert value["wa_id"] == NUMBER
    assert record.key == NUMBER.encode()
    assert value["sent_at"] is not None
    assert '"entry":{"id":"wamid.E","from":"390299955501","to":"393335550142","type":"text"' in value["payload"]


def test_notices_are_records_on_account_events() -> None:
    by_template = messages_of(body_of(template_status()))
    by_number = messages_of(b"", method="GET", query="display_phone_number=390299955501&event=FLAGGED&current_limit=TIER_10K")

    assert topics([*by_template, *by_number]) == ["account-events", "account-events"]
    assert by_template[0].key == b"777000000000001"
    assert by_number[0].key == b"390299955501"
    assert decoded(by_template[0])["message_template_name"] == "saldi"
    assert decoded(by_number[0])["current_limit"] == "TIER_10K"
    assert header(by_number[0], "ce_source") == "/kaleyra/whatsapp/390299955501"
    assert quality_notice()["event"] == decoded(by_number[0])["event"]


def test_v1_message_is_a_record_with_its_contact() -> None:
    record, profile = messages_of(body_of(v1_message(type="hologram", reply_to="r-1")))

    assert topics([record, profile]) == ["others", "contacts"]
    assert record.key == profile.key == NUMBER.encode()
    assert decoded(record)["reply_to"] == "r-1"
    assert decoded(record)["message_id"] == decoded(profile)["last_message_id"]
    assert decoded(profile)["profile_name"] == "Giulia"


@pytest.mark.parametrize(
    "body",
    [
        envelope([message()], [contact()]).replace(b'"messaging_product"', b'"unknown":[[[[[[[[[[[1]]]]]]]]]]],"m"', 1),
        field_value("calls", {"metadata": METADATA, "calls": [CALL, {"n": [[[[[[[[[[1]]]]]]]]]]}]}),
    ],
)
def test_replayed_dead_letter_of_several_has_the_same_single_fault(body: bytes) -> None:
    records = messages_of(body)
    letters = on("dead-letters", records)

    assert letters
    for letter in letters:
        again = messages_of(letter["body"])
        assert outcome(again) == [f"dead-letters/{letter['reason']}"]
        assert on("dead-letters", again)[0]["detail"].replace("[0]", "") == letter["detail"].replace("[0]", "")


# Where an object of another field is found again.

_KEYS = [
    "id",
    "from",
    "to",
    "wa_id",
    "wa_ids",
    "participants",
    "contact",
    "messages",
    "recipient",
    "period",
    "list",
    "n",
    "user_id",
]
_LEAVES = st.sampled_from([NUMBER, OTHER_NUMBER, "IT.100", BUSINESS, "x", 1, None, True, "x" * 300])
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(
    value=st.dictionaries(st.sampled_from([*_KEYS, "calls", "history"]), _VALUES, max_size=4),
    field=st.sampled_from(["calls", "history", "smb_message_echoes", "groups"]),
)
@example(value={"history": [{"threads": [{"id": NUMBER, "messages": [{"type": "text"}], "n": 1}]}]}, field="history")
@example(value={"groups": {"group_id": "g", "wa_ids": [NUMBER, OTHER_NUMBER]}}, field="groups")
def test_object_of_a_field_is_found_again_in_its_smallest_value(value: Json, field: str) -> None:
    for other in read_other_field({**value, "metadata": METADATA}, field).people:
        again = read_other_field({**other.value(), "metadata": METADATA}, other.field)

        assert [one.message for one in again.people] == [other.message]
        assert not again.events


def test_group_of_another_field_is_no_person() -> None:
    sent = {"id": "m-1", "recipient_id": "120363000000000001", "recipient_type": "group"}
    body = field_value("group_echoes", {"metadata": METADATA, "entries": [sent, {**sent, "recipient_participant_id": NUMBER}]})

    (record,) = on("others", messages_of(body))
    assert (record["record_key"], record["wa_id"]) == (NUMBER, NUMBER)
    assert outcome(messages_of(body)) == ["others", "account-events"]
