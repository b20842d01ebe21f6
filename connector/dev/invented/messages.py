"""Invented messages: a table of every message type, and of special cases such as hidden numbers and groups.

A kind is WhatsApp's message type, unless its row sets another one.
"""

import json
from collections.abc import Callable
from typing import Final

from connector.dev.invented.event import BUSINESS, Event, Invented, envelope, posted
from connector.records import Json

_SHA256: Final = "A" * 43 + "="
_ANSWERED: Final = {"from": BUSINESS["display_phone_number"], "id": "wamid.INVENTEDBYTHEBUSINESS"}


def _file(event: Event, mime_type: str, **more: object) -> Json:
    return {"id": event.digits(), "mime_type": mime_type, "sha256": _SHA256, **more}


def _text(event: Event, **more: object) -> Json:
    return {"text": {"body": event.one_of("Ciao", "Taglia M?", "Grazie!", "C'è ancora?")}, "type": "text", **more}


def _interactive(kind: str, **answer: object) -> Json:
    return {"type": "interactive", "context": _ANSWERED, "interactive": {"type": kind, kind: answer}}


def _form(name: str, body: str, **filled_in: str) -> Json:
    return _interactive("nfm_reply", name=name, body=body, response_json=json.dumps(filled_in))


def _order(event: Event) -> Json:
    items = [
        {
            "product_retailer_id": f"maglia-{event.chance.randrange(100)}",
            "quantity": event.chance.randrange(1, 5),
            "item_price": event.one_of(7.99, 1600, 12.5, 30),
            "currency": "EUR",
        }
        for _ in range(event.chance.randrange(1, 4))
    ]
    return {"order": {"catalog_id": "329400000000002474", "text": "per favore entro venerdì", "product_items": items}}


def _card(event: Event) -> Json:
    phone = {"phone": "+39 333 555 0199", "wa_id": "393335550199", "type": "MOBILE"}
    # Kaleyra documents one object, WhatsApp a list.
    return {
        "name": {"formatted_name": "Ada Prova", "first_name": "Ada", "last_name": "Prova"},
        "phones": event.one_of(phone, [phone]),
        "emails": [{"email": "ada@prova.example", "type": "WORK"}],
        "org": {"company": "Prova S.r.l."},
    }


def _number_change(event: Event) -> Json:
    new = f"39333556{event.person:04d}"
    body = f"User {event.name} changed from {event.wa_id} to {new}"
    return {"system": {"type": "user_changed_number", "body": body, "wa_id": new}}


def _user_id_change(event: Event) -> Json:
    new = f"IT.1350{event.person:013d}"
    body = f"User {event.name} changed from {event.user_id} to {new}"
    return {"type": "system", "from": "", "system": {"type": "user_changed_user_id", "body": body, "user_id": new}}


def _unsupported(code: int, details: str) -> Json:
    return {"errors": [{"code": code, "title": "Message type unknown", "error_data": {"details": details}}]}


MESSAGES: Final[dict[str, Callable[[Event], Json]]] = {
    "text": _text,
    "image": lambda event: {"image": _file(event, "image/jpeg", caption="ecco")},
    "video": lambda event: {"video": _file(event, "video/mp4")},
    "audio": lambda event: {"audio": _file(event, "audio/ogg; codecs=opus", voice=event.yes_or_no())},
    "voice": lambda event: {"voice": _file(event, "audio/ogg; codecs=opus")},
    "sticker": lambda event: {"sticker": _file(event, "image/webp", animated=event.yes_or_no())},
    "document": lambda event: {
        "document": _file(event, "application/pdf", filename=event.one_of("fattura.pdf", "ordine.pdf", "listino.pdf"))
    },
    "location": lambda event: {
        "location": {"latitude": 45 + event.chance.randrange(10**6) / 10**6, "longitude": 9.1919, "name": "Bar Prova"}
    },
    "contacts": lambda event: {"contacts": [_card(event)]},
    "order": _order,
    "reaction": lambda event: {"reaction": {"message_id": _ANSWERED["id"], "emoji": event.one_of("😂", "🌻", "👍")}},
    "reaction_removed": lambda _: {"type": "reaction", "reaction": {"message_id": _ANSWERED["id"]}},
    "button": lambda _: {"context": _ANSWERED, "button": {"payload": "btn-0", "text": "Confermo"}},
    "list_reply": lambda _: _interactive("list_reply", id="row-1", title="Roma", description="Centro"),
    "button_reply": lambda _: _interactive("button_reply", id="b-1", title="Annulla"),
    "flow_reply": lambda event: _form("flow", "Sent", flow_token=f"t-{event.number}", city="Roma"),
    "address_reply": lambda _: _form("address_message", "Via Inventata 1", address="Via Inventata 1", city="Milano"),
    "call_permission_reply": lambda event: _interactive(
        "call_permission_reply",
        response=event.one_of("accept", "reject"),
        is_permanent=False,
        expiration_timestamp=event.seconds + 604_800,
        response_source="user_action",
    ),
    "interactive_not_yet_known": lambda _: _interactive("dice_reply", eyes=[3, 5]),
    "system": _number_change,
    "user_id_changed": _user_id_change,
    "request_welcome": lambda _: {},
    "unsupported": lambda _: {"unsupported": {"type": "poll_update"}, **_unsupported(131051, "not supported")},
    "unknown": lambda _: _unsupported(131051, "not supported"),
    "edit": lambda event: {
        "edit": {"original_message_id": _ANSWERED["id"], "message": {"context": {"id": "M0"}, **_text(event)}}
    },
    "revoke": lambda _: {"revoke": {"original_message_id": _ANSWERED["id"]}},
    "media_placeholder": lambda _: {},
    "type_not_yet_known": lambda _: {"type": "hologram", "hologram": {"depth": 12.5}},
    "group_text": lambda event: _text(event, group_id="grp-inventato-1"),
    "product_enquiry": lambda event: _text(
        event,
        context={**_ANSWERED, "referred_product": {"catalog_id": "194800000000035", "product_retailer_id": "maglia-11"}},
    ),
    "ad_click": lambda event: _text(
        event,
        referral={
            "source_url": "https://fb.example/1",
            "source_id": "120226300000000001",
            "source_type": "ad",
            "headline": "Scrivici",
            "media_type": "image",
            "image_url": "https://img.example/1",
            "ctwa_clid": "Aff-inventato",
        },
    ),
    "forwarded_text": lambda event: _text(event, context={"forwarded": True}),
    "hidden_number": lambda event: _text(event, **{"from": ""}),
}
_WITHOUT_CONTACT: Final = ("system", "user_id_changed")
_WITH_MEDIA: Final = ("image", "video", "audio", "voice", "sticker", "document")


def message(kind: str, event: Event) -> Invented:
    """Return the callback of one message."""
    facts = {"from": event.wa_id, "from_user_id": event.user_id, "id": event.message_id, "timestamp": str(event.seconds)}
    entry = {**facts, "type": kind, **MESSAGES[kind](event)}
    contact = {"profile": {"name": event.name, "username": event.username}, "wa_id": event.wa_id, "user_id": event.user_id}
    if not entry["from"]:
        del entry["from"], contact["wa_id"]
    value: Json = {} if kind in _WITHOUT_CONTACT else {"contacts": [contact]}
    media_url = f"https://media.example/wa/{event.number}" if kind in _WITH_MEDIA else ""
    return posted(envelope(event, {**value, "messages": [entry]}, extra={"media_url": media_url, "reply_to": ""}))
