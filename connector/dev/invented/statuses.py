"""Invented statuses: a table of the possible statuses of a message that the business sent."""

from collections.abc import Callable
from typing import Final

from connector.dev.invented.event import Event, Invented, envelope, posted
from connector.records import Json

_ERROR: Final = {
    "code": 131049,
    "title": "Not delivered",
    "message": "Not delivered",
    "error_data": {"details": "Ecosystem engagement."},
    "href": "/docs/error-codes",
}
_PRICING: Final = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}


def _conversation(event: Event) -> Json:
    ends = str(event.seconds + 86_400)
    return {"id": f"{event.number:032x}", "expiration_timestamp": ends, "origin": {"type": "marketing"}}


def _payment(event: Event) -> Json:
    amount = {"value": event.chance.randrange(100, 10_000), "offset": 100}
    transaction = {"id": event.digits(), "type": "razorpay", "status": "success", "created_timestamp": event.seconds}
    return {"reference_id": f"ordine-{event.number}", "amount": amount, "currency": "INR", "transaction": transaction}


STATUSES: Final[dict[str, Callable[[Event], Json]]] = {
    "status_sent": lambda event: {"status": "sent", "conversation": _conversation(event), "pricing": _PRICING},
    "status_delivered": lambda _: {"status": "delivered", "pricing": _PRICING},
    "status_read": lambda _: {"status": "read", "biz_opaque_callback_data": "carrello-7"},
    "status_played": lambda _: {"status": "played"},
    "status_failed": lambda _: {"status": "failed", "errors": [_ERROR]},
    "status_not_sent": lambda _: {"status": "NOT-SENT", "timestamp": "", "errors": {"code": 1013, "title": "Invented"}},
    "status_payment": lambda event: {"status": "captured", "type": "payment", "payment": _payment(event)},
    "status_of_a_group": lambda event: {
        "status": "read",
        "recipient_id": "grp-inventato-1",
        "recipient_type": "group",
        "recipient_participant_id": event.wa_id,
    },
    "status_to_a_hidden_number": lambda _: {"status": "delivered", "recipient_id": ""},
}


def status(kind: str, event: Event) -> Invented:
    """Return the callback of one status."""
    facts = {"id": event.message_id, "timestamp": str(event.seconds), "recipient_user_id": event.user_id}
    entry = {**facts, "recipient_id": event.wa_id, **STATUSES[kind](event)}
    tracked = {"enable_url_tracking_body": False, "enable_url_tracking_button": event.yes_or_no()}
    extra = {"message_id": event.message_id, "ref": "campaign-7", **tracked}
    root = {"status": entry["status"], "message_id": event.message_id}
    return posted(envelope(event, {"statuses": [entry]}, extra=extra, **root))
