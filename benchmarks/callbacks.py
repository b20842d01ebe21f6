"""Invented callbacks for the loads: documents and orders with their contacts, the mix of production, big and bad ones.

What differs from request to request is a placeholder, which `load.lua` fills with text of the same length.
"""

import json
import random
from collections.abc import Callable
from typing import Any, Final, Literal

ID: Final = "%ID%"
NUMBER: Final = "%NUMBER%"
TIME: Final = "%TIME%"
SMALLEST_BYTES: Final = 1200
LARGEST_BYTES: Final = 1500

LoadName = Literal["documents", "mix", "big", "bad"]
"""`documents`: documents and orders in turn. `mix`: 70 % statuses, 20 % texts, 10 % documents, orders and images. `big`: 1,000
statuses in each callback, the most that WhatsApp sends. `bad`: documents and orders, of which every tenth is a dead letter."""
BIG_STATUSES: Final = 1000
_KINDS: Final[dict[LoadName, tuple[str, ...]]] = {
    "documents": ("order", "document") * 32,
    "mix": (*("status",) * 70, *("text",) * 20, *("document", "order") * 4, "image", "image"),
    "bad": (*("order", "document") * 27, *("cut", "unfit", "empty") * 2),
}
_TEXT: Final = "per favore conferma la consegna del pacco prima di venerdì mattina grazie mille città più 🌻"
_NAMES: Final = ("Giulia Bianchi", "Rahul Sharma", "Zoë Müller", "ಕನ್ನಡ ಹೆಸರು", "Mario 🌻 Rossi", "Ana")


def templates(load: LoadName = "documents") -> list[str]:
    """Return the bodies with their placeholders; the same ones in every run."""
    if load == "big":
        return statuses(BIG_STATUSES)
    chance = random.Random(1)  # noqa: S311 - the same callbacks each time, no secret
    kinds = list(_KINDS[load])
    if load != "documents":
        chance.shuffle(kinds)
    return [_template(chance, kind) for kind in kinds]


def statuses(count: int) -> list[str]:
    """Return a few callbacks with so many statuses each, all with the id of their callback."""
    chance = random.Random(1)  # noqa: S311 - the same callbacks each time, no secret
    return [_statuses(chance, count) for _ in range(max(1, 32 // count))]


def _template(chance: random.Random, kind: str) -> str:
    if kind == "status":
        return _statuses(chance, 1)
    if kind in _SPOILT:
        good_kind, spoil = _SPOILT[kind]
        return spoil(_body(chance, good_kind))
    return _body(chance, kind)


def _cut(text: str) -> str:
    return text[:-2]


def _unfit(text: str) -> str:
    return text.replace('"quantity":', '"quantity":"many","was":')


def _empty(text: str) -> str:
    return text.replace('"document":', '"was":')


_SPOILT: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "cut": ("order", _cut),
    "unfit": ("order", _unfit),
    "empty": ("document", _empty),
}


def _statuses(chance: random.Random, count: int) -> str:
    entries = [_status(chance, NUMBER if count == 1 else f"39333{chance.randrange(10**7):07}") for _ in range(count)]
    root = _envelope(chance, {"statuses": entries})
    root["extra_info"] |= {"message_id": ID, "enable_url_tracking_body": False, "enable_url_tracking_button": False}
    return _text_of(chance, root | {"status": entries[0]["status"], "message_id": ID})


def _status(chance: random.Random, number: str) -> dict[str, Any]:
    name = chance.choice(("sent", "delivered", "read"))
    status: dict[str, Any] = {"id": ID, "status": name, "timestamp": TIME, "recipient_id": number}
    if name != "read":
        status["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
    if name == "sent":
        origin = {"id": _letters(chance, 32), "expiration_timestamp": TIME, "origin": {"type": "marketing"}}
        status["conversation"] = origin
    return status


def _text_of(chance: random.Random, root: dict[str, Any]) -> str:
    text = json.dumps(root, separators=(",", ":"), ensure_ascii=chance.random() < 0.5)
    # PHP writes slashes with a backslash, as Kaleyra's samples show.
    return text.replace("/", "\\/")


def _body(chance: random.Random, kind: str) -> str:
    while True:
        message = {"from": NUMBER, "id": ID, "timestamp": TIME, "type": kind, kind: _CONTENT[kind](chance)}
        if chance.random() < 0.3:
            message["context"] = {"from": "390299955501", "id": f"wamid.HBgL{_letters(chance, 44)}"}
        contacts = [{"profile": {"name": chance.choice(_NAMES)}, "wa_id": NUMBER}]
        text = _text_of(chance, _envelope(chance, {"contacts": contacts, "messages": [message]}, kind))
        # The placeholders are shorter than the values that replace them. A text is as short as people write.
        if kind == "text" or SMALLEST_BYTES <= len(text.encode()) + 80 <= LARGEST_BYTES:
            return text


def _envelope(chance: random.Random, lists: dict[str, Any], kind: str = "") -> dict[str, Any]:
    return {
        "meta_object": {
            "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "390299955501", "phone_number_id": "104600000000001"},
                **lists,
            },
            "field": "messages",
        },
        "extra_info": {
            "media_url": f"https://media.example.com/{_letters(chance, 60)}" if kind in ("document", "image") else "",
            "ref": chance.choice(("", "campaign-7")),
            "ref1": chance.choice(("", "order-12")),
            "ref2": "",
            "reply_to": "",
            "trace_id": f"0b6f6c1e-1111-4222-8333-{_letters(chance, 12)}",
            "waba_id": "347000000000069",
        },
    }


def _document(chance: random.Random) -> dict[str, Any]:
    return {
        "filename": f"{_text(chance, 3)}.pdf",
        "mime_type": "application/pdf",
        "sha256": f"{_letters(chance, 43)}=",
        "id": str(chance.randrange(10**15, 10**16)),
        "caption": _text(chance, chance.randrange(10, 30)),
        "url": f"https://lookaside.example.com/whatsapp_business/attachments/?mid={_letters(chance, 120)}",
    }


def _order(chance: random.Random) -> dict[str, Any]:
    return {
        "catalog_id": str(chance.randrange(10**14, 10**15)),
        "text": _text(chance, chance.randrange(5, 30)),
        "product_items": [
            {
                "product_retailer_id": f"sku-{_letters(chance, 8)}",
                "quantity": chance.randrange(1, 9),
                "item_price": chance.choice((7.99, 12, 129.5, 0.25)),
                "currency": "EUR",
            }
            for _ in range(chance.randrange(1, 4))
        ],
    }


def _image(chance: random.Random) -> dict[str, Any]:
    return {**_document(chance), "mime_type": "image/jpeg"}


def _short_text(chance: random.Random) -> dict[str, Any]:
    return {"body": _text(chance, chance.randrange(1, 25))}


_CONTENT: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "document": _document,
    "order": _order,
    "image": _image,
    "text": _short_text,
}


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=count))


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_TEXT.split(), k=words))
