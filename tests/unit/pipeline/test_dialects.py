"""Every dialect of a callback becomes one `Callback`, or is refused by name: a test for each row of the table."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.dialects.recognise import DIALECTS, Received
from connector.pipeline.split import split
from connector.records import PROFILE_KEYS, Callback, Json, RawCallback
from tests.support.callbacks import (
    ABSENT,
    EXTRA,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    body_of,
    by_form,
    by_query,
    contact,
    envelope,
    message,
    messages_of,
    on,
    quality_notice,
    raw,
    status,
    template_status,
    topics,
    translator,
    v1_message,
    v1_status,
)

FLAT: list[Callable[[Json], RawCallback]] = [by_query, by_form, lambda keys: raw(body_of(keys))]
CARRIERS = pytest.mark.parametrize("carry", FLAT, ids=["a GET's query", "a form", "JSON"])

META_BODY = {"object": "whatsapp_business_account", "entry": [{"changes": [{"value": {}, "field": "messages"}]}]}
VERIFICATION = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": "x"}
CIPHER_TEXT = "q83vEjRWeJrN7xI0VniazwAA"
QUOTED = {"meta_object": '{"value": {"messages": [{"from": "393335550142", "id": "wamid.A"}]}}'}

ROWS: list[tuple[str, list[RawCallback]]] = [
    ("v2", [raw(envelope([message()])), raw(envelope([message()]), method="GET", query="from=1&type=text")]),
    ("v2 in quotes", [raw(body_of(QUOTED)), by_form(QUOTED)]),
    ("meta's verification", [by_query(VERIFICATION)]),
    ("meta's own body", [raw(body_of(META_BODY))]),
    ("on-premises", [raw(body_of({"messages": [message()]})), raw(body_of({"statuses": [status()]}))]),
    ("encrypted values", [carry(v1_message(**{"from": CIPHER_TEXT})) for carry in FLAT]),
    ("v1 message", [carry(v1_message()) for carry in FLAT] + [by_query(v1_message(**{"from": ABSENT}))]),
    ("v1 status", [carry(v1_status()) for carry in FLAT]),
    ("quality notice", [by_query(quality_notice()), raw(body_of(quality_notice()))]),
    ("template status", [carry(template_status()) for carry in FLAT]),
    ("v1 message without a person", [carry(v1_message(**{"from": "", "mobile": ""})) for carry in FLAT]),
    ("on-premises, contacts alone or nothing", [raw(body_of({"contacts": [contact()]}))]),
]


def first_that_fits(request: RawCallback) -> str:
    """Return the name of the table's row that reads a request."""
    keys: Json = {}
    if request.body[:1] == b"{":
        keys, carrier = json.loads(request.body), "body"
    else:
        pairs = request.body.decode() or request.query
        keys, carrier = dict(pair.split("=", 1) for pair in pairs.split("&")), "form" if request.body else "query"
    received = Received(carrier, keys, 0)  # type: ignore[arg-type]  # one of the three
    return next(dialect.name for dialect in DIALECTS if dialect.fits(received))


def refusal_of(request: RawCallback, **renamed_keys: str) -> NotDecodable:
    with pytest.raises(NotDecodable) as refused:
        decode(request, renamed_keys)
    return refused.value


@pytest.mark.parametrize(("row", "requests"), ROWS, ids=[name for name, _ in ROWS])
def test_row_of_the_table_is_recognised(row: str, requests: list[RawCallback]) -> None:
    for request in requests:
        assert first_that_fits(request) == row


FILLED: list[tuple[str, Json]] = [
    ("v1 status", v1_status(type="text")),
    ("v1 status", v1_status(type="", message_template_id="777")),
    ("v1 status", v1_status(**{"type": "<type>", "from": "", "price": "0.01"})),
    ("v1 message", v1_message(id="<id>", status="<status>")),
    ("v1 message", v1_message(current_limit="")),
    ("v1 message", v1_message(current_limit="TIER_10K", message_template_id="777")),
    ("v1 message", v1_message(messages=[], statuses={})),
    ("quality notice", quality_notice(**{"from": "", "type": "<type>", "id": "", "status": "<status>"})),
    ("template status", template_status(**{"from": "<from>", "type": "", "current_limit": "<current_limit>"})),
]


@pytest.mark.parametrize(("row", "keys"), FILLED)
def test_only_non_empty_keys_determine_the_dialect(row: str, keys: Json) -> None:
    assert first_that_fits(raw(body_of(keys))) == row


def test_notice_that_says_something_of_a_person_is_none() -> None:
    refused = refusal_of(raw(body_of({"from": NUMBER, "body": "segreto", "current_limit": "TIER_10K"})))

    assert refused.reason == "unknown_shape"


def test_every_row_of_the_table_has_its_test() -> None:
    assert [name for name, _ in ROWS] == [dialect.name for dialect in DIALECTS]


@pytest.mark.parametrize(
    "request_", [one for name, requests in ROWS for one in requests if not name.startswith(("meta", "encrypted"))]
)
def test_recognised_callback_is_read(request_: RawCallback) -> None:
    assert isinstance(decode(request_), Callback)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (raw(b"", method="GET"), "not_json"),
        (raw(b"", method="GET", query="utm_source=x"), "unknown_shape"),
        (raw(b" \n", method="GET", query="utm_source=x"), "unknown_shape"),
        (raw(b"", query="utm_source=x"), "unknown_shape"),
        (raw(b"", method="GET", query="name=%ff&from=1&type=text"), "not_utf8"),
        (raw(b"", method="GET", query="&".join(f"k{number}=1" for number in range(1001))), "unknown_shape"),
        (raw(b"no=1", content_type="application/x-www-form-urlencoded"), "unknown_shape"),
        (raw(b"utm_source=1&x=text", content_type="text/plain"), "not_json"),
        (raw(b"<from>1</from>", content_type="application/xml"), "unknown_shape"),
        (raw(b"<from>1", content_type="application/xml"), "not_xml"),
        (raw(b'{"from": "1"}', method="GET", query="type=text"), "unknown_shape"),
        (raw(b"[", method="GET", query="from=1&type=text"), "not_json"),
        (raw(b"[1]", content_type="application/x-www-form-urlencoded"), "not_an_object"),
        (raw(body_of({"messages": "x", "statuses": 1, "contacts": "y"})), "unknown_shape"),
        (raw(body_of({"object": "whatsapp_business_account"})), "unknown_shape"),
        (raw(body_of({"hub.mode": "subscribe"})), "unknown_shape"),
    ],
)
def test_callback_of_no_dialect_is_refused(request_: RawCallback, reason: str) -> None:
    assert refusal_of(request_).reason == reason


# Without a body the query is what was sent.


def test_query_counts_only_without_a_body() -> None:
    callback = decode(raw(envelope([message()]), method="GET", query="from=1&type=text&body=x"))

    assert callback.messages == [message()]


def test_query_is_read_as_utf_8_whether_encoded_or_not() -> None:
    encoded = by_query(v1_message(body="Città 🌻", name="Zoë & C."))
    as_the_server_hands_it_on = raw(b"", method="GET", query="from=1&type=text&body=Città 🌻".encode().decode("latin-1"))

    assert decode(encoded).messages[0]["text"] == {"body": "Città 🌻"}
    assert decode(encoded).contacts[0]["profile"] == {"name": "Zoë & C."}
    assert decode(as_the_server_hands_it_on).messages[0]["text"] == {"body": "Città 🌻"}


def test_last_of_two_equal_keys_of_a_query_wins() -> None:
    assert decode(raw(b"", method="GET", query="from=1&type=text&from=2")).messages[0]["from"] == "2"


# Meta.


@pytest.mark.parametrize("request_", [raw(body_of(META_BODY)), by_query(VERIFICATION)])
def test_callback_directly_from_meta_has_advice(request_: RawCallback) -> None:
    refused = refusal_of(request_)

    assert refused.reason == "meta_direct"
    assert "point Meta's app at Kaleyra" in refused.detail


# V2 in quotes.


@pytest.mark.parametrize("extra", ["[]", " [] ", "", " ", "<extra_info>", "{}", " {}"])
def test_quoted_extra_info_may_be_empty(extra: str) -> None:
    whole = json.loads(envelope([message()]))["meta_object"]

    assert decode(raw(body_of({"meta_object": json.dumps(whole), "extra_info": extra}))).extra == {}
    assert decode(raw(body_of({"meta_object": whole, "extra_info": extra}))).extra == {}


def test_quoted_extra_info_beside_an_invalid_envelope_is_read() -> None:
    whole = json.loads(envelope([message()]))["meta_object"]

    assert decode(raw(body_of({"meta_object": whole, "extra_info": "\n" + json.dumps(EXTRA)}))).extra == EXTRA


def test_quoted_envelope_may_have_a_quoted_extra_info() -> None:
    quoted = {"meta_object": json.dumps(json.loads(envelope([message()]))["meta_object"]), "extra_info": json.dumps(EXTRA)}

    for request in (raw(body_of(quoted)), by_form(quoted)):
        callback = decode(request)
        assert callback.messages == [message()]
        assert callback.metadata == METADATA
        assert callback.extra == EXTRA
        assert callback.root == {}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"meta_object": "no JSON"}, "not_json"),
        ({"meta_object": ""}, "not_json"),
        ({"meta_object": '{"value": []}'}, "unknown_shape"),
        ({"meta_object": "[]"}, "unknown_shape"),
        ({"meta_object": '"{}"'}, "unknown_shape"),
        ({**QUOTED, "extra_info": "{no JSON"}, "not_json"),
        ({**QUOTED, "extra_info": "text"}, "unknown_shape"),
    ],
)
def test_quoted_envelope_that_is_none_is_refused(keys: Json, reason: str) -> None:
    assert refusal_of(raw(body_of(keys))).reason == reason


# On-premises.


def test_body_without_an_envelope_is_read_like_one_with_it() -> None:
    bare = {"contacts": [contact()], "messages": [message()], "statuses": [status()], "metadata": METADATA}

    callback = decode(raw(body_of({**bare, "extra_info": EXTRA, "meta": {"version": "2.45"}})))

    assert callback.contacts == [contact()]
    assert callback.messages == [message()]
    assert callback.statuses == [status()]
    assert callback.metadata == METADATA
    assert callback.extra == EXTRA
    assert callback.root == {"meta": {"version": "2.45"}}


def test_errors_without_an_envelope_are_an_event_of_the_account() -> None:
    errors = [{"code": 1014, "title": "Internal error"}]

    callback = decode(raw(body_of({"messages": [message()], "errors": errors})))

    assert callback.messages == [message()]
    assert [one.content for one in callback.events] == [{"type": "errors", "errors": errors, "payload": {"errors": errors}}]


def test_lists_of_another_type_without_an_envelope_are_unknown_shape() -> None:
    assert refusal_of(raw(body_of({"messages": [message()], "statuses": "text"}))).reason == "unknown_shape"
    assert refusal_of(raw(body_of({"messages": []}))).reason == "nothing_in_it"


# A message of v1.


@CARRIERS
def test_v1_message_is_a_message_with_its_contact(carry: Any) -> None:
    callback = decode(carry(v1_message()))

    (given,) = callback.messages
    assert given.pop("id").startswith("v1:")
    assert given == {"from": NUMBER, "type": "text", "timestamp": "1763720000", "text": {"body": "Ciao"}}
    assert callback.contacts == [{"profile": {"name": "Giulia"}, "wa_id": NUMBER}]
    assert callback.metadata == {"display_phone_number": "390299955501"}
    assert callback.extra == {"custom_response": "false"}
    assert callback.statuses == []
    assert callback.events == ()


@CARRIERS
@pytest.mark.parametrize("kind", ["image", "video", "audio", "voice", "document", "sticker"])
def test_media_of_v1_has_its_content_where_media_have_it(carry: Any, kind: str) -> None:
    keys = v1_message(type=kind, body="ecco", mime_type="image/jpeg", media_url="https://media.example/1", reply_to="r-1")

    callback = decode(carry(keys))

    assert callback.messages[0][kind] == {"mime_type": "image/jpeg", "caption": "ecco"}
    assert callback.extra["media_url"] == "https://media.example/1"
    assert callback.extra["reply_to"] == "r-1"


def test_v1_document_with_only_a_url_is_not_empty() -> None:
    keys = v1_message(type="document", body="", media_url="https://media.example/1")

    assert decode(by_query(keys)).messages[0]["document"]


@CARRIERS
def test_location_and_contacts_of_v1_are_read_where_they_hold_json(carry: Any) -> None:
    place = decode(carry(v1_message(type="location", body="", location='{"latitude": 45.10, "longitude": 9.19}')))
    cards = decode(carry(v1_message(type="contacts", body="", contacts='[{"name": {"formatted_name": "Ada"}}]')))

    assert str(place.messages[0]["location"]["latitude"]) == "45.10", "as written, exactly"
    assert cards.messages[0]["contacts"] == [{"name": {"formatted_name": "Ada"}}]
    assert cards.contacts == [{"profile": {"name": "Giulia"}, "wa_id": NUMBER}]


def test_location_and_contacts_of_v1_may_be_json_without_quotes() -> None:
    keys = v1_message(type="location", location={"latitude": 45.5}, contacts=[{"birthday": "x"}])

    assert decode(raw(body_of(keys))).messages[0]["location"] == {"latitude": 45.5}
    assert decode(raw(body_of(keys))).messages[0]["contacts"] == [{"birthday": "x"}]


@pytest.mark.parametrize("text", ["45.1,9.2", "{no JSON", "5", "[" * 5000])
def test_location_of_v1_that_holds_no_json_stays_as_it_is(text: str) -> None:
    assert decode(by_query(v1_message(type="location", location=text))).messages[0]["location"] == text


def test_v1_message_takes_the_sender_from_mobile_if_from_is_empty() -> None:
    callback = decode(by_query(v1_message(**{"from": "", "mobile": OTHER_NUMBER})))

    assert callback.messages[0]["from"] == OTHER_NUMBER
    assert callback.contacts[0]["wa_id"] == OTHER_NUMBER


def test_message_of_v1_without_a_name_has_no_contact() -> None:
    assert decode(by_query(v1_message(name=""))).contacts == []


def test_message_of_v1_whose_sender_is_hidden_has_no_key() -> None:
    request = by_query(v1_message(**{"from": "", "mobile": ""}))

    assert [item.key["value"] for item in split(decode(request), request).items] == [None]


def test_type_of_v1_cannot_take_the_place_of_another_key() -> None:
    assert decode(by_query(v1_message(type="from"))).messages[0]["from"] == NUMBER
    assert decode(by_query(v1_message(type="id"))).messages[0]["id"].startswith("v1:")


@pytest.mark.parametrize("kind", ["reaction", "order", "location", "system", "request_welcome", "contacts"])
def test_v1_message_without_content_of_its_type_keeps_its_keys(kind: str) -> None:
    (record,) = on("others", messages_of(body_of(v1_message(type=kind, body="Ciao", name="", location="45,9", contacts="Ada"))))

    assert record["message_type"] == kind
    payload = json.loads(record["payload"])
    assert (payload["body"], payload["location"], payload["contacts"]) == ("Ciao", "45,9", "Ada")
    assert (payload["type"], payload["from"]) == (kind, NUMBER)


@pytest.mark.parametrize("by", [lambda keys: raw(body_of(keys)), by_query, by_form])
@pytest.mark.parametrize(("kind", "field"), [("button", "button_text"), ("interactive", "reply_title")])
def test_v1_answer_is_a_reply_with_its_text(kind: str, field: str, by: Callable[[Json], RawCallback]) -> None:
    (record,) = on("replies", translator().translate(by(v1_message(type=kind, body="Confermo"))))
    others = translator().translate(by(v1_message(type=kind, body="")))

    assert record[field] == "Confermo"
    assert topics(others)[0] == "others", "without a text it is no reply"


@pytest.mark.parametrize("name", ["name", "location", "contacts", "reply_to", "media_url", "body"])
def test_false_of_a_template_is_no_value(name: str) -> None:
    assert messages_of(body_of(v1_message(**{name: False})))[0].value == messages_of(body_of(v1_message(**{name: ""})))[0].value


@pytest.mark.parametrize("kind", ["from", "id", "hologram"])
def test_v1_message_of_an_undocumented_type_keeps_its_text(kind: str) -> None:
    (record,) = on("others", messages_of(body_of(v1_message(type=kind, body="Ciao"))))

    assert record["message_type"] == kind
    assert '"body":"Ciao"' in record["payload"]


@CARRIERS
@pytest.mark.parametrize("number", [" 39333", "+39333"])
def test_plus_of_a_number_that_was_read_as_a_blank_is_a_plus(carry: Any, number: str) -> None:
    assert decode(carry(v1_message(**{"from": number}))).messages[0]["from"] == "+39333"
    assert decode(carry(v1_status(mobile=number))).statuses[0]["recipient_id"] == "+39333"


def test_unfilled_placeholder_is_no_value() -> None:
    keys = {name: f"<{name}>" for name in v1_message()}

    callback = decode(by_query({**keys, "from": NUMBER, "type": "text", "wanumber": "<wa-number>"}))

    assert callback.messages == [{"id": callback.messages[0]["id"], "from": NUMBER, "type": "text", "text": {"body": None}}]
    assert callback.contacts == []
    assert callback.metadata == {}
    assert callback.extra == {}


@pytest.mark.parametrize("text", ["<3>", "<ciao>", "<a href='x'>", "<", ">", "<>", "a <body>"])
def test_angle_brackets_in_a_message_are_no_placeholder(text: str) -> None:
    assert decode(by_query(v1_message(body=text))).messages[0]["text"]["body"] == text


def id_of(**changes: Any) -> str:
    identifier = decode(by_query(v1_message(**changes))).messages[0]["id"]
    assert isinstance(identifier, str)
    return identifier


def test_v1_message_id_depends_on_content_sender_and_time() -> None:
    assert id_of() == id_of() == id_of(name="Giulia 🌻") == id_of(trace_id="1")
    others = [
        {"body": "Ciao!"},
        {"created_at": "1763720001"},
        {"from": OTHER_NUMBER},
        {"wanumber": "390299955502"},
        {"type": "image"},
        {"media_url": "https://media.example/1"},
        {"media_url": "https://media.example/2"},
        {"body": "", "reply_to": "Ciao"},
        {"location": "{}"},
        {"message": "x"},
        {"custom_response": "true"},
        {"extra": "1"},
    ]
    assert len({id_of(), *(id_of(**changes) for changes in others)}) == len(others) + 1
    assert len(id_of()) == len("v1:") + 32


@pytest.mark.parametrize("carry", FLAT)
def test_id_of_a_v1_message_is_the_same_whatever_carried_it(carry: Any) -> None:
    assert decode(carry(v1_message())).messages[0]["id"] == id_of()


def test_v1_message_that_has_an_id_keeps_it() -> None:
    assert id_of(id="0b6f6c1e:0") == "0b6f6c1e:0"


# A status of v1.


@CARRIERS
def test_v1_status_is_a_status(carry: Any) -> None:
    callback = decode(carry(v1_status()))

    assert callback.statuses == [
        {
            "id": "0b6f6c1e-7777-4222-8333-444455556666:0",
            "status": "delivered",
            "timestamp": "1763720100",
            "recipient_id": NUMBER,
        }
    ]
    assert callback.extra == {"ref": "campaign-7", "price": "0.01", "custom_response": "false"}
    assert (callback.messages, callback.contacts, callback.events) == ([], [], ())


def test_v1_status_names_its_recipient_by_phone_number_too() -> None:
    assert decode(by_query(v1_status(mobile="", phone_number="1"))).statuses[0]["recipient_id"] == "1"
    assert decode(by_query(v1_status(phone_number="1"))).statuses[0]["recipient_id"] == NUMBER


@pytest.mark.parametrize(
    ("error_code", "error", "errors"),
    [
        ("470", "Not delivered", [{"code": "470", "title": "Not delivered"}]),
        ("470", "", [{"code": "470", "title": None}]),
        ("E-17", "Not delivered", [{"code": None, "title": "Not delivered"}]),
        ("", "Not delivered", [{"code": None, "title": "Not delivered"}]),
        ("<error_code>", "<error>", None),
        ("E-17", "", None),
        ("0", "", [{"code": "0", "title": None}]),
    ],
)
def test_error_of_a_v1_status_is_added_to_its_errors(error_code: str, error: str, errors: Any) -> None:
    callback = decode(by_query(v1_status(status="0", error_code=error_code, error=error)))

    assert callback.statuses[0].get("errors") == errors
    assert callback.statuses[0]["status"] == "0"
    filled = {"error_code": error_code, "error": error}
    for name, value in filled.items():
        assert callback.extra.get(name) == (value if value[:1] != "<" and value else None)


@CARRIERS
def test_success_code_on_a_status_that_is_not_failed_is_no_error(carry: Any) -> None:
    callback = decode(carry(v1_status(error_code="0", error="Success")))

    assert "errors" not in callback.statuses[0]
    assert callback.extra["error"] == "Success"


# Notices about templates and numbers.


@CARRIERS
def test_template_status_is_an_event_of_the_account(carry: Any) -> None:
    callback = decode(carry(template_status()))

    assert [one.content for one in callback.events] == [
        {
            "type": "template_status",
            "event": "REJECTED",
            "timestamp": "1763720200",
            "message_template_id": "777000000000001",
            "message_template_name": "saldi",
            "message_template_language": "it",
            "reason": "INVALID_FORMAT",
            "payload": template_status(),
        },
    ]
    assert (callback.messages, callback.statuses, callback.contacts) == ([], [], [])


@CARRIERS
def test_quality_notice_is_an_event_of_its_number(carry: Any) -> None:
    callback = decode(carry(quality_notice()))

    assert [one.content for one in callback.events] == [
        {"type": "quality", "event": "FLAGGED", "current_limit": "TIER_10K", "payload": quality_notice()},
    ]
    assert callback.metadata == {"display_phone_number": "390299955501"}


# A customer's own names.

OWN_NAMES = {"text": "body", "sender": "from", "kind": "type", "envelope": "meta_object"}


@CARRIERS
def test_renamed_keys_are_read_by_their_setting(carry: Any) -> None:
    keys = v1_message(**{"body": ABSENT, "from": ABSENT, "type": ABSENT, "mobile": ABSENT})

    callback = decode(carry({**keys, "text": "Ciao", "sender": NUMBER, "kind": "text"}), OWN_NAMES)

    assert callback.messages[0]["text"] == {"body": "Ciao"}
    assert callback.messages[0]["from"] == NUMBER
    assert callback.messages[0]["id"] == id_of(mobile="")


def test_renamed_key_counts_before_one_that_has_the_name_already() -> None:
    keys = v1_message(message="Ciao", body="<body>")

    assert decode(by_query(keys), {"message": "body"}).messages[0]["text"] == {"body": "Ciao"}
    assert decode(by_query(dict(reversed(keys.items()))), {"message": "body"}).messages[0]["text"] == {"body": "Ciao"}


def test_envelope_may_be_renamed_too() -> None:
    whole = json.loads(envelope([message()]))

    assert decode(raw(body_of({"envelope": whole["meta_object"]})), OWN_NAMES).messages == [message()]


def test_renamed_keys_do_not_change_an_envelope_with_its_own_name() -> None:
    callback = decode(raw(envelope([message()], text="beside")), OWN_NAMES)

    assert callback.messages == [message()]
    assert callback.root == {"text": "beside"}


def test_without_the_setting_renamed_keys_are_of_unknown_shape() -> None:
    assert refusal_of(by_query({"text": "Ciao", "sender": NUMBER, "kind": "text"})).reason == "unknown_shape"


def test_keys_that_can_be_renamed_are_those_that_are_read() -> None:
    documented = {*v1_message(), *v1_status(), *template_status(), *quality_notice()}

    assert documented <= PROFILE_KEYS
    assert PROFILE_KEYS - documented == {"meta_object", "extra_info", "other_info"}
