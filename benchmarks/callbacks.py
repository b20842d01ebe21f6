"""Invented callbacks for the load: documents and orders, each with its contact, 1.2 to 1.5 kB.

What differs from request to request is a placeholder, which `load.lua` fills with text of the same length.
"""

import json
import random
from typing import Any, Final

ID: Final = "%ID%"
NUMBER: Final = "%NUMBER%"
TIME: Final = "%TIME%"
SMALLEST_BYTES: Final = 1200
LARGEST_BYTES: Final = 1500

_COUNT: Final = 64
_TEXT: Final = "per favore conferma la consegna del pacco prima di venerdì mattina grazie mille città più 🌻"
_NAMES: Final = ("Giulia Bianchi", "Rahul Sharma", "Zoë Müller", "ಕನ್ನಡ ಹೆಸರು", "Mario 🌻 Rossi", "Ana")


def templates() -> list[str]:
    """Return the bodies with their placeholders; the same ones in every run."""
    chance = random.Random(1)  # noqa: S311 - the same callbacks each time, no secret
    return [_body(chance, "document" if number % 2 else "order") for number in range(_COUNT)]


def _body(chance: random.Random, kind: str) -> str:
    while True:
        message = {"from": NUMBER, "id": ID, "timestamp": TIME, "type": kind, kind: _CONTENT[kind](chance)}
        if chance.random() < 0.3:
            message["context"] = {"from": "390299955501", "id": f"wamid.HBgL{_letters(chance, 44)}"}
        text = json.dumps(_envelope(chance, message), separators=(",", ":"), ensure_ascii=chance.random() < 0.5)
        # PHP writes slashes with a backslash, as Kaleyra's samples show.
        text = text.replace("/", "\\/")
        # The placeholders are shorter than what will stand there.
        if SMALLEST_BYTES <= len(text.encode()) + 80 <= LARGEST_BYTES:
            return text


def _envelope(chance: random.Random, message: dict[str, Any]) -> dict[str, Any]:
    return {
        "meta_object": {
            "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "390299955501", "phone_number_id": "104600000000001"},
                "contacts": [{"profile": {"name": chance.choice(_NAMES)}, "wa_id": NUMBER}],
                "messages": [message],
            },
            "field": "messages",
        },
        "extra_info": {
            "media_url": f"https://media.example.com/{_letters(chance, 60)}" if "document" in message else "",
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


_CONTENT: Final = {"document": _document, "order": _order}


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=count))


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_TEXT.split(), k=words))
