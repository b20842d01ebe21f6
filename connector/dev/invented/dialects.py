"""Invented callbacks of the other and older dialects that the same URL can receive.

Kaleyra's callback profiles are templates of its customers, which contain only texts, as JSON or in the query.
"""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

from connector.dev.invented.event import BUSINESS, Event, Invented, envelope, posted
from connector.dev.invented.messages import message
from connector.records import Json

_RATE_LIMIT: Final = {"code": 130429, "title": "Rate limit hit", "error_data": {"details": "too many messages"}}


def _by_get(pairs: Json) -> Invented:
    return Invented("GET", urlencode(pairs), b"")


def _v1_message(event: Event) -> Json:
    return {
        "body": event.one_of("Ciao", "Grazie!"),
        "mime_type": "",
        "media_url": "",
        "from": event.wa_id,
        "name": event.name,
        "type": "text",
        "created_at": str(event.seconds),
        "reply_to": "",
        "wanumber": BUSINESS["display_phone_number"],
        "mobile": event.wa_id,
        "custom_response": "false",
        "message": "",
        "contacts": "",
        "location": "",
    }


def _v1_status(event: Event) -> Json:
    return {
        "id": f"{event.uuid()}:0",
        "custom_response": "false",
        "timestamp": str(event.seconds),
        "mobile": event.wa_id,
        "message": "",
        "status": event.one_of("sent", "delivered", "read"),
        "phone_number": BUSINESS["display_phone_number"],
        "error": "",
        "error_code": "",
        "ref": "campaign-7",
        "ref1": "",
        "ref2": "",
        "price": "0.01",
    }


def _template_status(event: Event) -> Json:
    return {
        "id": event.digits(),
        "time": str(event.seconds),
        "event": event.one_of("APPROVED", "REJECTED", "PAUSED"),
        "message_template_id": event.digits(),
        "message_template_name": "saldi_di_prova",
        "message_template_language": "it",
        "reason": "NONE",
        "callback_profile_id": "1",
        "company_id": "1",
    }


def _quality(event: Event) -> Json:
    number = BUSINESS["display_phone_number"]
    return {"display_phone_number": number, "event": event.one_of("FLAGGED", "UNFLAGGED"), "current_limit": "TIER_1K"}


def _text_value(event: Event) -> Json:
    value: Json = json.loads(message("text", event).body)["meta_object"]["value"]
    return value


def _in_quotes(event: Event) -> Json:
    callback = envelope(event, _text_value(event))
    return {**callback, "meta_object": json.dumps(callback["meta_object"], ensure_ascii=False)}


def _bare(event: Event) -> Json:
    return {name: _text_value(event)[name] for name in ("contacts", "messages")}


def _account_update(event: Event) -> Json:
    banned = {"event": "ACCOUNT_UPDATE", "ban_info": {"waba_ban_state": event.one_of("SCHEDULE_FOR_DISABLE", "REINSTATE")}}
    return envelope(event, banned, field="account_update")


def _preference(event: Event) -> Json:
    preference = {"wa_id": event.wa_id, "category": "marketing_messages", "value": "stop", "timestamp": event.seconds}
    return envelope(event, {"user_preferences": [preference]}, field="user_preferences")


DIALECTS: Final[dict[str, Callable[[Event], Invented]]] = {
    "v1_message": lambda event: posted(_v1_message(event)),
    "v1_message_by_get": lambda event: _by_get(_v1_message(event)),
    "v1_answer": lambda event: posted({**_v1_message(event), "type": "button", "body": "Confermo"}),
    "v1_status": lambda event: posted(_v1_status(event)),
    "v1_status_by_get": lambda event: _by_get(_v1_status(event)),
    "template_status": lambda event: posted(_template_status(event)),
    "template_status_by_get": lambda event: _by_get({**_template_status(event), "other_info": ""}),
    "quality_notice": lambda event: _by_get(_quality(event)),
    "on_premises": lambda event: posted(_bare(event)),
    "envelope_in_quotes": lambda event: posted(_in_quotes(event)),
    "account_update": lambda event: posted(_account_update(event)),
    "account_errors": lambda event: posted(envelope(event, {"errors": [_RATE_LIMIT]})),
    "user_preference": lambda event: posted(_preference(event)),
}
