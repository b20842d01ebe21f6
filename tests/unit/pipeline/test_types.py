"""The records of each sample: its own fields, by type; and everything that is optional on the wire can be missing."""

import copy
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connector.record_tables import ANY_TYPE
from tests.support.callbacks import (
    EXTRA,
    NUMBER,
    OTHER_NUMBER,
    SAMPLES,
    USER_ID,
    body_of,
    catalogue,
    header,
    messages_of,
    on,
    outcome,
    price,
    read,
    sample_name,
)

FOLDER = SAMPLES[0].parents[1]
SHA256 = "A" * 43 + "="
ORIGINAL = "wamid.SU5WRU5URUQwMDAy"
PARENT = "IT.ENT.1180000000001"
GROUP = "grp-inventato-1"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def error(code: int, title: str | None = None, message: str | None = None, details: str | None = None) -> dict[str, Any]:
    return {"code": code, "title": title, "message": message, "details": details, "href": None}


UNSUPPORTED = "Message type is currently not supported."

MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "text/plain": ("texts", {"body": "Taglia M?", "message_type": "text", "context_from": None}),
    "text/reply": (
        "texts",
        {"context_message_id": ORIGINAL, "context_from": "390299955501", "ref": "campaign-7", "reply_to": EXTRA["reply_to"]},
    ),
    "text/in_a_group": ("texts", {"group_id": GROUP, "record_key": NUMBER}),
    "text/product_enquiry": (
        "texts",
        {"referred_catalog_id": "194800000000035", "referred_product_retailer_id": "maglia-11", "body": "C'è ancora?"},
    ),
    "text/ad_click": (
        "texts",
        {
            "referral_source_url": "https://fb.example/1",
            "referral_source_type": "ad",
            "referral_media_url": "https://img.example/1",
            "referral_ctwa_clid": "Aff-inventato",
        },
    ),
    "text/post_with_a_video": (
        "texts",
        {"referral_source_type": "post", "referral_media_url": "https://img.example/2.mp4", "referral_ctwa_clid": None},
    ),
    "text/forwarded": ("texts", {"forwarded": True, "frequently_forwarded": None, "context_message_id": None}),
    "text/frequently_forwarded": ("texts", {"forwarded": None, "frequently_forwarded": True}),
    "text/identity": (
        "texts",
        {"identity_hash": "hash-inventato", "identity_acknowledged": True, "identity_created_at": at(1_763_700_000)},
    ),
    "text/false_for_what_is_absent": ("texts", {"body": "Ciao", "context_message_id": None, "username": None, "ref": None}),
    "text/side_fields_that_do_not_fit": (
        "texts",
        {"forwarded": None, "referral_source_url": None, "identity_created_at": None, "context_message_id": ORIGINAL},
    ),
    "image/url": (
        "media",
        {
            "message_type": "image",
            "media_id": "4621000000000001",
            "mime_type": "image/jpeg",
            "sha256": SHA256,
            "caption": "ecco",
            "url": "https://lookaside.example/attachments/?mid=1",
            "media_url": "https://media.example/wa/1.jpg",
            "voice": None,
            "animated": None,
        },
    ),
    "image/reply_without_caption": ("media", {"caption": None, "context_message_id": ORIGINAL, "url": None}),
    "video/caption": ("media", {"message_type": "video", "media_id": "4621000000000003", "caption": "guarda"}),
    "audio/recorded": ("media", {"message_type": "audio", "mime_type": "audio/ogg; codecs=opus", "voice": True}),
    "audio/file": ("media", {"mime_type": "audio/mpeg", "voice": False, "media_url": None}),
    "voice/older": ("media", {"message_type": "voice", "media_id": "1908000000000003", "sha256": "00" * 32, "voice": None}),
    "sticker/animated": ("media", {"message_type": "sticker", "animated": True, "caption": None}),
    "sticker/still": ("media", {"media_id": "1034000000000002", "animated": False}),
    "location/current": ("locations", {"latitude": 45.4641, "longitude": 9.1919, "name": None, "url": None}),
    "location/address": (
        "locations",
        {
            "latitude": 45.464100000001,
            "longitude": 9.191900000001,
            "name": "Bar Prova",
            "address": "Via Inventata 1, Milano",
            "url": "https://places.example/v/1",
        },
    ),
    "location/whole_degrees_in_quotes": ("locations", {"latitude": 45.0, "longitude": -9.0}),
    "button/tapped": (
        "replies",
        {"button_payload": "btn-0", "button_text": "Confermo", "interactive_type": None, "interactive_json": None},
    ),
    "interactive/list_reply": (
        "replies",
        {"interactive_type": "list_reply", "reply_id": "row-1", "reply_title": "Roma ಅ", "reply_description": "Centro"},
    ),
    "interactive/button_reply": ("replies", {"reply_id": "b-1", "reply_title": "Annulla", "reply_description": None}),
    "interactive/flow": (
        "replies",
        {"nfm_name": "flow", "nfm_body": "Sent", "nfm_response_json": '{"flow_token": "t-1", "city": "Roma"}'},
    ),
    "interactive/flow_response_as_an_object": ("replies", {"nfm_response_json": '{"flow_token":"t-1","city":"Roma"}'}),
    "interactive/address_message": ("replies", {"interactive_type": "nfm_reply", "nfm_name": "address_message"}),
    "interactive/response_that_is_no_json": ("replies", {"nfm_response_json": "tagliato a met", "nfm_name": None}),
    "interactive/call_permission_given": (
        "replies",
        {
            "call_permission_response": "accept",
            "call_permission_is_permanent": False,
            "call_permission_expires_at": at(1_764_324_814),
            "call_permission_response_source": "user_action",
        },
    ),
    "interactive/call_permission_refused": (
        "replies",
        {"call_permission_response": "reject", "call_permission_expires_at": None, "call_permission_is_permanent": None},
    ),
    "interactive/call_permission_without_its_object": (
        "replies",
        {"interactive_type": "call_permission_reply", "call_permission_response": None},
    ),
    "interactive/kind_not_yet_known": (
        "replies",
        {
            "interactive_type": "dice_reply",
            "interactive_json": '{"type":"dice_reply","dice_reply":{"eyes":[3,5.5],"again":null}}',
            "reply_id": None,
        },
    ),
    "reaction/added": ("reactions", {"reaction_message_id": ORIGINAL, "emoji": "😂"}),
    "reaction/removed": ("reactions", {"reaction_message_id": ORIGINAL, "emoji": None}),
    "system/number_changed": (
        "system",
        {
            "system_type": "user_changed_number",
            "from_number": NUMBER,
            "wa_id": NUMBER,
            "new_wa_id": "393335550777",
            "body": "User Giulia changed from 393335550142 to 393335550777",
        },
    ),
    "system/new_wa_id": (
        "system",
        {"system_type": "customer_changed_number", "new_wa_id": "393335550777", "record_key": NUMBER, "key_source": "from"},
    ),
    "system/user_id_changed": (
        "system",
        {"system_type": "user_changed_user_id", "new_user_id": "IT.200", "new_wa_id": None, "key_source": "system.user_id"},
    ),
    "system/user_id_changed_with_the_old_one": (
        "system",
        {"record_key": "IT.100", "key_source": "from_user_id", "user_id": "IT.100", "new_user_id": "IT.200"},
    ),
    "system/user_id_changed_old_id_beside": ("system", {"record_key": "IT.100", "new_user_id": "IT.200"}),
    "system/identity_changed": (
        "system",
        {"system_type": "customer_identity_changed", "identity_hash": "hash-inventato", "customer_wa_id": NUMBER},
    ),
    "request_welcome/opened": ("system", {"message_type": "request_welcome", "system_type": None, "body": None}),
    "unsupported/poll": (
        "others",
        {
            "unsupported_type": "poll_update",
            "errors": [error(131051, "Message type unknown", "Message type unknown", UNSUPPORTED)],
        },
    ),
    "unsupported/without_its_object": ("others", {"unsupported_type": None, "group_id": GROUP}),
    "unsupported/errors_as_an_object": ("others", {"errors": [error(131051, "Message type unknown")]}),
    "unknown/details_at_the_top": (
        "others",
        {"message_type": "unknown", "errors": [error(131051, "Unsupported message type", details="not supported")]},
    ),
    "edit/text": ("others", {"message_type": "edit", "errors": []}),
    "revoke/deleted": ("others", {"message_type": "revoke"}),
    "media_placeholder/from_history": ("others", {"message_type": "media_placeholder"}),
    "hologram/type_not_yet_known": ("others", {"message_type": "hologram", "unsupported_type": None}),
}

STATUSES: dict[str, dict[str, Any]] = {
    "sent": {
        "status": "sent",
        "status_kind": "message",
        "status_rank": 20,
        "is_failure": False,
        "conversation_expires_at": at(1_763_806_500),
        "conversation_origin_type": "marketing",
        "pricing_model": "PMP",
        "enable_url_tracking_body": False,
        "enable_url_tracking_button": False,
    },
    "delivered": {"status": "delivered", "recipient_user_id": USER_ID, "profile_name": "Giulia 🌻", "conversation_id": None},
    "read": {
        "status": "read",
        "status_rank": 50,
        "recipient_parent_user_id": PARENT,
        "recipient_identity_key_hash": "hash-inventato",
        "biz_opaque_callback_data": "carrello-7",
    },
    "played": {"status": "played", "pricing_billable": None},
    "free_service": {"pricing_billable": False, "pricing_type": "free_customer_service", "conversation_expires_at": None},
    "id_is_no_wamid_and_model_in_words": {
        "message_id": "9f00000000000000000000000000aa03",
        "pricing_model": "Conversation-Based Pricing",
    },
    "not_sent": {
        "message_id": ORIGINAL,
        "status": "NOT-SENT",
        "status_rank": 30,
        "is_failure": True,
        "sent_at": None,
        "kaleyra_error_code": "1013",
        "kaleyra_error": "Number blocked by Kaleyra",
        "errors": [error(1013, "User is not valid")],
    },
    "failed_with_an_id_alone": {"status": "failed", "profile_name": None, "errors": [error(131026, "Message undeliverable")]},
    "failed_to_a_hidden_number": {"wa_id": None, "record_key": USER_ID, "key_source": "recipient_user_id"},
    "side_fields_that_do_not_fit": {
        "status_rank": 40,
        "conversation_id": "9f00000000000000000000000000aa07",
        "conversation_expires_at": None,
        "conversation_origin_type": "marketing",
        "pricing_billable": None,
        "pricing_model": "PMP",
        "enable_url_tracking_body": None,
        "errors": [{"code": None, "title": "Not delivered", "message": None, "details": None, "href": None}],
    },
    "group_without_a_participant": {
        "record_key": GROUP,
        "key_source": "recipient_id",
        "recipient_id": GROUP,
        "group_id": GROUP,
        "wa_id": None,
        "user_id": None,
        "profile_name": None,
    },
    "user_id_in_place_of_a_number": {
        "record_key": USER_ID,
        "key_source": "user_id",
        "wa_id": None,
        "user_id": USER_ID,
        "recipient_id": None,
        "recipient_user_id": USER_ID,
        "group_id": None,
    },
    "participant_by_user_id": {
        "record_key": USER_ID,
        "key_source": "user_id",
        "wa_id": None,
        "user_id": USER_ID,
        "recipient_id": GROUP,
        "group_id": GROUP,
        "recipient_participant_id": None,
    },
    "false_for_what_is_absent": {"status": "sent", "conversation_id": None, "errors": [], "wa_id": NUMBER},
    "errors_as_an_object": {"errors": [error(131049, "Not delivered", details="older spelling")]},
    "to_a_hidden_number": {"wa_id": None, "user_id": USER_ID, "username": "giulia.prova", "recipient_id": None},
    "group": {
        "recipient_id": GROUP,
        "group_id": GROUP,
        "recipient_type": "group",
        "wa_id": OTHER_NUMBER,
        "record_key": OTHER_NUMBER,
    },
    "older_spellings": {
        "recipient_participant_id": OTHER_NUMBER,
        "recipient_parent_user_id": PARENT,
        "wa_id": OTHER_NUMBER,
        "key_source": "recipient_participant_id",
    },
    "group_user_id": {"recipient_participant_user_id": USER_ID, "recipient_participant_parent_user_id": PARENT},
    "payment_captured": {
        "status": "captured",
        "status_kind": "payment",
        "status_rank": 40,
        "is_failure": False,
        "status_type": "payment",
        "payment_reference_id": "ordine-12",
        "payment_amount_value": 2100,
        "payment_amount_offset": 100,
        "payment_currency": "INR",
        "payment_receipt": "ricevuta-1",
        "payment_transaction_id": "transazione-1",
        "payment_transaction_type": "razorpay",
        "payment_transaction_status": "success",
    },
    "payment_pending": {"status": "pending", "status_rank": 10, "payment_amount_value": 450, "payment_transaction_id": None},
    "payment_failed": {
        "status": "failed",
        "is_failure": True,
        "status_kind": "payment",
        "payment_json": '{"reference_id":"ordine-14"}',
        "payment_amount_value": None,
        "errors": [],
    },
    "price": {"price": price("0.01"), "payment_json": None},
}

EVENTS: dict[str, dict[str, Any]] = {
    "rate_limit_hit": {"event_type": "errors", "record_key": "104600000000001", "key_source": "phone_number_id"},
    "template_approved": {
        "event_type": "template_status",
        "record_key": "594400000000001",
        "key_source": "message_template_id",
        "event_at": at(1_763_720_040),
        "event": "APPROVED",
        "message_template_name": "saldi_di_prova",
        "message_template_language": "it",
    },
    "template_rejected": {"event_type": "message_template_status_update", "event": "REJECTED", "reason": "INVALID_FORMAT"},
    "account_update": {
        "event_type": "account_update",
        "event": "DISABLED_UPDATE",
        "record_key": "347000000000069",
        "key_source": "waba_id",
        "errors": [],
    },
}

PEOPLE: dict[str, list[tuple[str, str, str | None, str | None]]] = {
    # Of each message: the record's key, the rule that gave it, wa_id, and the name.
    "ordinary": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "username_and_number": [(NUMBER, "wa_id", NUMBER, "Giulia")],
    "number_omitted": [(USER_ID, "user_id", None, "Giulia")],
    "number_empty": [(USER_ID, "user_id", None, "Giulia")],
    "contact_without_profile": [(NUMBER, "wa_id", NUMBER, None)],
    "no_contacts": [(NUMBER, "from", NUMBER, None)],
    "group_participant": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "plus_and_blanks": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "matched_by_user_id": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "two_people_one_contact": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻"), (OTHER_NUMBER, "from", OTHER_NUMBER, None)],
    "two_people_two_contacts": [(OTHER_NUMBER, "wa_id", OTHER_NUMBER, "Marco"), (NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "brazil_without_the_ninth_digit": [("550055500142", "wa_id", "550055500142", "Luana Exemplo")],
    "mexico_with_a_one": [("5210055500142", "wa_id", "5210055500142", "Lupe Ejemplo")],
    "argentina_without_the_nine": [("540055500142", "wa_id", "540055500142", "Sol Ejemplo")],
    "identity_key_hash": [(NUMBER, "wa_id", NUMBER, "Giulia 🌻")],
    "user_id_in_place_of_a_number": [(USER_ID, "user_id", None, "Giulia")],
    "user_id_as_sender_alone": [(PARENT, "user_id", None, None)],
    "contact_with_another_user_id": [(NUMBER, "from", NUMBER, None)],
}


def records_of(sample: str, topic: str) -> list[dict[str, Any]]:
    return on(topic, messages_of(read(FOLDER / f"{sample}.json")))


def fields_of(sample: str, topic: str, names: Iterable[str]) -> dict[str, Any]:
    """Return these fields of the one record that a sample becomes on a topic."""
    (record,) = records_of(sample, topic)
    return {name: record[name] for name in names}


def test_message_becomes_the_record_of_its_type() -> None:
    assert {sample: fields_of(sample, topic, fields) for sample, (topic, fields) in MESSAGES.items()} == {
        sample: fields for sample, (_, fields) in MESSAGES.items()
    }


def test_status_has_the_fields_of_its_callback() -> None:
    assert {name: fields_of(f"status/{name}", "statuses", fields) for name, fields in STATUSES.items()} == STATUSES


def test_account_event_names_its_number_or_template() -> None:
    assert {name: fields_of(f"account_event/{name}", "account-events", fields) for name, fields in EVENTS.items()} == EVENTS


def test_person_is_identified_by_number_contact_or_user_id() -> None:
    names = ("record_key", "key_source", "wa_id", "profile_name")
    found = {
        sample: [tuple(record[name] for name in names) for record in records_of(f"identity/{sample}", "texts")]
        for sample in PEOPLE
    }
    assert found == PEOPLE


OTHER_FIELDS: dict[str, list[tuple[str, str, str | None, str | None]]] = {
    # Of each person: the record's key, the rule that gave it, wa_id, and the name.
    "preference_of_another_person": [(NUMBER, "from", NUMBER, None)],
    "user_id_update_previous_and_current": [("IT.100", "from_user_id", None, "Giulia")],
    "user_id_update_previous_beside": [("IT.100", "from_user_id", None, "Giulia")],
    "participants_removed_from_a_group": [(NUMBER, "from", NUMBER, None), (USER_ID, "from_user_id", None, None)],
    "participants_removed_as_a_plain_list": [(NUMBER, "from", NUMBER, None), (USER_ID, "from_user_id", None, None)],
    "unknown_object_beside_the_only_message": [("393335550177", "from", "393335550177", None)],
}


def test_person_of_another_field_is_identified_by_ids_alone() -> None:
    names = ("record_key", "key_source", "wa_id", "profile_name")
    found = {
        sample: [tuple(record[name] for name in names) for record in records_of(f"mixed/{sample}", "others")]
        for sample in OTHER_FIELDS
    }
    assert found == OTHER_FIELDS


def test_unknown_object_beside_the_only_message_changes_nothing_about_it() -> None:
    (record,) = records_of("mixed/unknown_object_beside_the_only_message", "texts")

    assert record["media_url"] == "https://media.example/wa/9"
    assert record["reply_to"] == "0b6f6c1e-9999-4222-8333-444455556666"
    assert (record["record_key"], record["key_source"], record["profile_name"]) == ("550055500142", "wa_id", "Giulia")


V1: dict[str, tuple[str, dict[str, Any]]] = {
    "button": ("replies", {"button_text": "Confermo", "reply_title": None}),
    "interactive": ("replies", {"reply_title": "Confermo", "button_text": None}),
    "reaction": ("others", {"message_type": "reaction"}),
    "order": ("others", {"message_type": "order"}),
    "false_for_what_is_absent": ("texts", {"body": "Confermo", "media_url": None, "reply_to": None}),
}


def test_v1_message_becomes_the_record_of_its_content() -> None:
    assert {name: fields_of(f"v1/{name}", topic, fields) for name, (topic, fields) in V1.items()} == {
        name: fields for name, (_, fields) in V1.items()
    }
    for name in ("reaction", "order"):
        (record,) = records_of(f"v1/{name}", "others")
        assert json.loads(record["payload"])["body"] == "Confermo"


UNFIT = {
    "status/side_fields_that_do_not_fit": [
        "extra.enable_url_tracking_body",
        "status.conversation.expiration_timestamp",
        "status.errors[0].code",
        "status.pricing.billable",
    ],
    "text/side_fields_that_do_not_fit": [
        "extra.ref",
        "message.context.forwarded",
        "message.identity.acknowledged",
        "message.identity.created_timestamp",
        "message.identity.hash",
        "message.referral",
    ],
    "document/blackened_time": ["message.timestamp"],
    "status/sent": [],
}


def test_header_names_the_side_fields_that_do_not_fit() -> None:
    found = {name: header(messages_of(read(FOLDER / f"{name}.json"))[0], "connector_unfit") for name in UNFIT}

    assert {name: sorted(paths.split(",")) if paths else [] for name, paths in found.items()} == UNFIT


def test_origin_of_the_message_is_that_of_its_cards_without_one() -> None:
    (record,) = records_of("contacts/origin_of_the_message", "contact-cards")

    assert [card["origin"] for card in record["cards"]] == ["contact_request", "other"]


def test_zeros_and_noise_do_not_change_a_price() -> None:
    (record,) = records_of("order/zeros_and_noise", "orders")

    assert [line["item_price"] for line in record["product_items"]] == [price("7.99")] * 2


def test_every_sample_has_its_expected_fields() -> None:
    kinds = {"status", "identity", "account_event", "v1", *(name.partition("/")[0] for name in MESSAGES)}
    tables = {"status": [*STATUSES], "identity": [*PEOPLE], "account_event": [*EVENTS], "v1": [*V1]}
    expected = {*MESSAGES, *(f"{folder}/{name}" for folder, names in tables.items() for name in names)}
    elsewhere = {
        "image/caption",
        "status/failed",
        "status/several_at_once",
        "status/without_contacts",
        "text/empty_objects_as_lists",
        "text/hidden_number_empty_strings",
        "text/name_cut_in_an_emoji",
    }

    samples = {f"{path.parent.name}/{path.stem}" for path in SAMPLES if path.parent.name in kinds}
    assert samples - expected - elsewhere == set()


def test_card_has_all_its_fields() -> None:
    (record,) = records_of("contacts/full", "contact-cards")

    (card,) = record["cards"]
    assert card == {
        "formatted_name": "Dott.ssa Ada Maria Prova, PhD",
        "first_name": "Ada",
        "middle_name": "Maria",
        "last_name": "Prova",
        "name_prefix": "Dott.ssa",
        "name_suffix": "PhD",
        "birthday": "1990-01-31",
        "org_company": "Prova S.r.l.",
        "org_department": "Acquisti",
        "org_title": "Direttrice",
        "vcard": "BEGIN:VCARD\nVERSION:3.0\nFN:Ada Prova\nEND:VCARD",
        "origin": "contact_request",
        "phones": [
            {"phone": "+39 333 555 0199", "wa_id": "393335550199", "type": "MOBILE"},
            {"phone": "+39 02 999 5502", "wa_id": None, "type": "WORK"},
        ],
        "emails": [{"email": "ada@prova.example", "type": "WORK"}],
        "addresses": [
            {
                "street": "Via Inventata 1",
                "city": "Milano",
                "state": "MI",
                "zip": "20100",
                "country": "Italia",
                "country_code": "it",
                "type": "WORK",
            }
        ],
        "urls": [{"url": "https://prova.example", "type": "WORK"}],
    }


def test_phones_are_a_list_also_where_one_object_is_sent() -> None:
    (of_list,), (of_object,) = (
        records_of(f"contacts/phones_as_{kind}", "contact-cards")[0]["cards"] for kind in ("a_list", "an_object")
    )

    assert (
        of_list["phones"] == of_object["phones"] == [{"phone": "+39 333 555 0199", "wa_id": "393335550199", "type": "MOBILE"}]
    )


def test_several_cards_are_one_record_and_all_fields_optional() -> None:
    (record,) = records_of("contacts/several_and_bare", "contact-cards")

    assert [card["formatted_name"] for card in record["cards"]] == ["Ada Prova", "Solo Nome", None]
    assert [len(card["phones"]) for card in record["cards"]] == [1, 0, 1]


def test_shared_card_is_no_profile() -> None:
    (profile,) = records_of("contacts/full", "contacts")

    assert (profile["record_key"], profile["profile_name"]) == (NUMBER, "Giulia 🌻")


def test_reaction_and_its_removal_have_different_event_ids() -> None:
    added, removed = (messages_of(read(FOLDER / "reaction" / f"{name}.json"))[0] for name in ("added", "removed"))

    for name in ("message_id", "sent_at", "reaction_message_id"):
        assert on("reactions", [added])[0][name] == on("reactions", [removed])[0][name]
    assert header(added, "ce_id") != header(removed, "ce_id")


def test_several_statuses_are_a_record_each() -> None:
    records = records_of("status/several_at_once", "statuses")

    assert [(one["message_id"], one["status"], one["record_key"]) for one in records] == [
        ("wamid.SU5WRU5URUQwMDA1", "sent", NUMBER),
        ("wamid.SU5WRU5URUQwMDA1", "delivered", NUMBER),
        ("wamid.SU5WRU5URUQwMDA2", "sent", OTHER_NUMBER),
    ]
    assert [one["profile_name"] for one in records] == ["Giulia 🌻", "Giulia 🌻", "Marco"]
    assert [one["ref"] for one in records] == [None] * 3, "the person is unknown"


def test_identity_of_a_message_is_in_the_profile_too() -> None:
    (profile,) = records_of("text/identity", "contacts")

    assert profile["identity_key_hash"] == "hash-inventato"


# What may be missing

REQUIRED = {"id", "type"}
"""Of a message; beside them the object of its type."""


def paths_within(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything that has a name, objects and lists before what is in them."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in entries:
        if isinstance(name, str):
            yield (*path, name)
        yield from paths_within(part, (*path, name))


def without(root: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy without the value at a path."""
    changed = copy.deepcopy(root)
    place = changed
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return changed


def is_required(root: Any, path: tuple[Any, ...]) -> bool:
    """Return whether the contract requires the value at a path: the path to the event, its type, and its person."""
    (listed,) = {"messages", "statuses"} & set(root["meta_object"]["value"])
    way = ("meta_object", "value", listed)
    if path == way[: len(path)]:
        return True
    (event,) = root["meta_object"]["value"][listed]
    inner = path[4:] if path[:3] == way else None
    if inner == ("reaction", "message_id"):
        return True
    if not inner or len(inner) > 1:
        return False
    others_name_it = root["extra_info"].get("message_id") if listed == "statuses" else None
    return (inner[0] in REQUIRED and not others_name_it) or (
        listed == "messages" and inner[0] in SCHEMA_REQUIRES.get(event["type"], ())
    )


SCHEMA_REQUIRES = {
    kind: {kind}
    for record_type in catalogue()
    for kind in record_type.message_types
    if record_type.schema.get("requires") and kind != ANY_TYPE
}

WHOLE_AND_ALONE = [
    path
    for path in SAMPLES
    if path.parent.name not in ("mixed", "identity", "contact", "account_event", "v1")
    and path.stem not in ("several_at_once", "only_required", "name_cut_in_an_emoji")
]


def test_optional_values_may_be_missing() -> None:
    assert len(WHOLE_AND_ALONE) > 70
    offenders = [one for path in WHOLE_AND_ALONE for one in required_in_fact(path)]

    assert offenders == []


def required_in_fact(path: Path) -> list[str]:
    """Return what is optional in a sample and changes its records' topics when it is missing."""
    root = json.loads(read(path))
    # Each of the two ways to name the person may be missing while the other is there.
    for listed, number, user_id in (("messages", "from", "from_user_id"), ("statuses", "recipient_id", "recipient_user_id")):
        for event in root["meta_object"]["value"].get(listed, []):
            event[number], event[user_id] = event.get(number) or NUMBER, event.get(user_id) or USER_ID
    whole = outcome(messages_of(body_of(root)))

    optional = [place for place in paths_within(root) if not is_required(root, place)]
    assert len(optional) > 10, sample_name(path)
    allowed = (whole, [name for name in whole if name != "contacts"])
    return [
        f"{sample_name(path)}: {place}"
        for place in optional
        if outcome(messages_of(body_of(without(root, place)))) not in allowed
    ]


def test_message_without_the_object_of_its_type_is_a_dead_letter() -> None:
    for kind in SCHEMA_REQUIRES:
        (path, *_) = [path for path in SAMPLES if path.parent.name == kind]
        body = body_of(without(json.loads(read(path)), ("meta_object", "value", "messages", 0, kind)))
        assert "dead-letters/missing" in outcome(messages_of(body)), kind
