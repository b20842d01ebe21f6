"""What could not go its way in, a record for the dead-letter topic out, with the bytes to try it again.

For a whole callback the body is what was received. For one bad item among several it is a callback that holds just that
item and its contact, so that replaying it repeats nothing else.
"""

from typing import Any, Final

import msgspec

from connector.pipeline.digest import request_parts
from connector.pipeline.encode import Encoder
from connector.pipeline.people import text_of
from connector.records import EMPTY, Callback, Fault, Item, Json, KafkaMessage, RawCallback, Source

_JSON: Final = msgspec.json.Encoder(decimal_format="number")
_NOBODY: Final[Json] = {"value": None, "source": None}
_DETAIL_CHARACTERS: Final = 1000
_LONGER_BYTES: Final = 4096
"""How much longer a rewritten body may be than the one received (numbers and texts have longer forms): the dead letter of a
body that was not too large must not be too large either."""
_ID_CHARACTERS: Final = 200


class DeadLetters:
    """Makes dead letters with the encoder of their record type."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def of_callback(self, raw: RawCallback, fault: Fault, metadata: Json = EMPTY, extra: Json = EMPTY) -> KafkaMessage:
        """Return the dead letter of a callback as a whole; metadata and extra are what could be read of it."""
        return self._letter(raw, fault, raw.body, metadata, extra, None)

    def of_item(self, raw: RawCallback, callback: Callback, item: Item, fault: Fault) -> KafkaMessage:
        """Return the dead letter of one item of a callback."""
        lists = (callback.messages, callback.statuses, callback.contacts, callback.others, callback.events)
        several = sum(map(len, lists)) > 1
        body = raw.body
        if several and not _belongs_alone(callback, item):
            alone = _body_of(callback, item)
            body = alone if alone and len(alone) <= len(raw.body) + _LONGER_BYTES else raw.body
        return self._letter(raw, fault, body, item.metadata, item.extra, (item.source, item.index))

    def _letter(self, raw: RawCallback, fault: Fault, body: bytes, metadata: Json, extra: Json, position: Any) -> KafkaMessage:
        ce_id = self._encoder.ce_id(("dead_letter", *request_parts(raw), position))
        item = item_of_request("dead_letters", raw, body, metadata, extra)
        detail = fault.detail[:_DETAIL_CHARACTERS]
        tried = {"attempts": raw.attempts, "replayed_at": raw.replayed_at}
        about = {"reason": fault.reason, "step": fault.step, "detail": detail, **tried}
        letter = self._encoder.write(item, about, ce_id, raw)
        letter.headers.extend(
            (
                ("__connect.errors.stage", fault.step.encode()),
                ("__connect.errors.exception.class.name", fault.reason.encode()),
                ("__connect.errors.exception.message", detail.encode()),
            )
        )
        return letter


def item_of_request(source: Source, raw: RawCallback, body: bytes, metadata: Json, extra: Json) -> Item:
    """Return the view of a request by itself, keyed by the business number."""
    phone_number_id = _short(metadata.get("phone_number_id"))
    facts = {
        "received_at": raw.received_at,
        "method": raw.method,
        "query": raw.query,
        "content_type": raw.content_type,
        "body": body,
    }
    return Item(
        source=source,
        index=0,
        message_type="",
        message=EMPTY,
        status=EMPTY,
        contact=EMPTY,
        event=EMPTY,
        # Anything but an id is left out: such a record never becomes a dead letter itself, and fits where its body fits.
        metadata={"phone_number_id": phone_number_id},
        extra={name: _short(extra.get(name)) for name in ("waba_id", "trace_id")},
        callback=facts,
        key={"value": phone_number_id, "source": "phone_number_id"} if phone_number_id else _NOBODY,
        identity=(),
    )


def _short(value: Any) -> str | None:
    text = text_of(value)
    return text if text is not None and len(text) <= _ID_CHARACTERS else None


def _belongs_alone(callback: Callback, item: Item) -> bool:
    """Return whether the callback is just this one event and its contact already."""
    events = len(callback.messages) + len(callback.statuses) + len(callback.others) + len(callback.events)
    return item.source != "contacts" and events == 1 and len(callback.contacts) == (item.contact is not EMPTY)


def _body_of(callback: Callback, item: Item) -> bytes:
    field = "messages"
    value: Json = {"metadata": callback.metadata}
    others_from = len(callback.messages)
    if item.source == "events":
        value |= item.event["payload"]
        field = item.event["type"]
    elif item.source == "messages" and item.index >= others_from:
        other = callback.others[item.index - others_from]
        value |= other.value()
        field = other.field
    else:
        value[item.source] = [getattr(callback, item.source)[item.index]]
    if item.source != "contacts" and item.contact is not EMPTY:
        value["contacts"] = [item.contact]
    # Keys beside the envelope can be the id of the only status; with several statuses, split has removed them.
    beside = {name: part for name, part in callback.root.items() if name in item.callback}
    try:
        return _JSON.encode({**beside, "meta_object": {"value": value, "field": field}, "extra_info": item.extra})
    except RecursionError:
        # Nested too deep to be written again: the whole body is kept instead.
        return b""
