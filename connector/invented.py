"""Invented callbacks of every type, seeded: for `send`, `dev --demo` and load. No value in them is anybody's.

A callback is made of a type's template, a person and a running number, so that ids are distinct and runs repeatable.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

_NAMES: Final = ("Giulia 🌻", "Ada Prova", "Luca", "Chiara Esempio", "Zoë", "Marco")
_BUSINESS: Final = {"display_phone_number": "390299955501", "phone_number_id": "104600000000001"}
_WABA_ID: Final = "347000000000069"


def _document(chance: random.Random) -> dict[str, Any]:
    return {
        "filename": chance.choice(("fattura.pdf", "ordine.pdf", "listino.xlsx")),
        "mime_type": "application/pdf",
        "sha256": "A" * 43 + "=",
        "id": str(chance.randrange(10**15, 10**16)),
    }


def _order(chance: random.Random) -> dict[str, Any]:
    items = [
        {
            "product_retailer_id": f"maglia-{chance.randrange(100)}",
            "quantity": chance.randrange(1, 5),
            "item_price": chance.choice((7.99, 1600, 12.5, 30)),
            "currency": "EUR",
        }
        for _ in range(chance.randrange(1, 4))
    ]
    return {"catalog_id": "329400000000002474", "text": "per favore entro venerdì", "product_items": items}


def _text(chance: random.Random) -> dict[str, Any]:
    return {"body": chance.choice(("Ciao", "Taglia M?", "Grazie!", "C'è ancora?"))}


_MESSAGES: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "document": _document,
    "order": _order,
    "text": _text,
}
TYPES: Final = (*_MESSAGES, "status")
"""The types that can be invented."""


def callback(kind: str, number: int, seed: int = 0) -> bytes:
    """Return the body of one callback of a type; the same type, number and seed give the same bytes."""
    chance = random.Random(f"{seed}/{kind}/{number}")  # noqa: S311 - invented data, no secret
    person = chance.randrange(1000)
    wa_id = f"39333555{person:04d}"
    message_id = f"wamid.INVENTED{seed:04X}{kind.upper()}{number:012d}"
    timestamp = str(1_763_720_000 + number)
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": _BUSINESS,
        "contacts": [{"profile": {"name": _NAMES[person % len(_NAMES)]}, "wa_id": wa_id}],
    }
    extra = {"trace_id": f"00000000-0000-4000-8000-{number:012d}", "waba_id": _WABA_ID, "ref": "", "ref1": "", "ref2": ""}
    root: dict[str, Any] = {"meta_object": {"value": value, "field": "messages"}, "extra_info": extra}
    if kind == "status":
        status = chance.choice(("sent", "delivered", "read"))
        value["statuses"] = [{"id": message_id, "status": status, "timestamp": timestamp, "recipient_id": wa_id}]
        root |= {"status": status, "message_id": message_id}
    else:
        content = _MESSAGES[kind](chance)
        value["messages"] = [{"from": wa_id, "id": message_id, "timestamp": timestamp, "type": kind, kind: content}]
        extra |= {"media_url": "", "reply_to": ""}
    return json.dumps(root, ensure_ascii=False).encode()


def callbacks(kinds: Sequence[str], count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield `count` callbacks, the types in turn."""
    for number in range(count):
        yield callback(kinds[number % len(kinds)], number, seed)
