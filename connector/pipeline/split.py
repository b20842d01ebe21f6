"""A `Callback` in, one `Item` per message, status, contact and event out, each with its key and its view of the callback.

People are matched by id, never by position: nobody gets somebody else's name or key. Nothing is converted here.
The rules are those of the contract's keys and identities; see README, "Keys".
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from connector.mapping.conversions import kind_of
from connector.pipeline.dialects.events import MAY_NAME_SOMEBODY
from connector.pipeline.people import People, comparable, readable, text_of
from connector.records import EMPTY, Callback, Fault, Item, Json, RawCallback, Source

_OF_ONE_ITEM: Final = (
    "media_url",
    "ref",
    "ref1",
    "ref2",
    "reply_to",
    "message_id",
    "price",
    "error_code",
    "error",
    "enable_url_tracking_body",
    "enable_url_tracking_button",
)
"""Keys of `extra_info` that belong to one message or status: with several, nobody knows to which."""

_OF_ONE_STATUS: Final = ("status", "message_id")
"""Root keys that belong to one status, likewise."""

_EMPTY_KEY: Final[Json] = {"value": None, "source": None}


class Split(msgspec.Struct, frozen=True, gc=False):
    """The items of a callback, and what was left out on purpose, for the metrics."""

    items: list[Item]
    contacts_without_profile: int
    contacts_without_key: int
    ambiguous_extras: int


class _Whole(msgspec.Struct, frozen=True, gc=False):
    """What all items of a callback share."""

    metadata: Json
    extra: Json
    facts: Json
    people: People


def split(callback: Callback, raw: RawCallback) -> Split:
    """Split a callback into its items: messages, then statuses, then contacts, then events of the account."""
    facts = _facts(callback, raw)
    events = len(callback.messages) + len(callback.statuses)
    extra, ambiguous = callback.extra, 0
    if events > 1:
        extra = {name: value for name, value in extra.items() if name not in _OF_ONE_ITEM}
        ambiguous = sum(bool(callback.extra.get(name)) for name in _OF_ONE_ITEM)
        facts = {name: fact for name, fact in facts.items() if name not in _OF_ONE_STATUS}
    whole = _Whole(callback.metadata, extra, facts, People(callback.contacts, raw.body, alone=events == 1))
    items = []
    for index, message in enumerate(callback.messages):
        items.append(_message(index, message, whole))
    if callback.statuses:
        # What stands beside the only status, where its record looks too.
        beside = {"id": extra.get("message_id") or facts.get("message_id"), "status": facts.get("status")}
        for index, status in enumerate(callback.statuses):
            items.append(_status(index, status, whole, beside))
    without_profile = without_key = 0
    for index, contact in enumerate(callback.contacts):
        if contact.__class__ is not dict:
            items.append(_no_object("contacts", index, contact, whole))
        elif not _has_profile(contact):
            without_profile += 1
        else:
            item = _contact(index, contact, whole)
            if item is None:
                without_key += 1
            else:
                items.append(item)
    if callback.events:
        items += (_event(index, callback, raw, whole) for index in range(len(callback.events)))
    return Split(items, without_profile, without_key, ambiguous)


def _facts(callback: Callback, raw: RawCallback) -> Json:
    return {
        **callback.root,
        "received_at": raw.received_at,
        "method": raw.method,
        "query": raw.query,
        "content_type": raw.content_type,
        "body": raw.body,
    }


def _first_key(rules: Iterable[tuple[str, Any]]) -> Json:
    for source, value in rules:
        text = value if value.__class__ is str else text_of(value)
        # Blanks alone, or a plus, are no id.
        if text and (text.isalnum() or comparable(text)):
            return {"value": text, "source": source}
    return _EMPTY_KEY


def _message(index: int, message: Any, whole: _Whole) -> Item:
    if message.__class__ is not dict:
        return _no_object("messages", index, message, whole)
    is_system = message.get("type") == "system"
    number, user_id = message.get("from"), message.get("from_user_id")
    contact = whole.people.match(number, user_id, "message", message, by_position=not is_system)
    key = _system_key(message, contact) if is_system else _message_key(contact, number, user_id)
    identity: tuple[Any, ...] = ("message", message.get("id"))
    reaction = message.get("reaction")
    fault = None
    if "entry" in message:
        # Of another field (`dialects.fields`): the events of one call share its id.
        identity += (message,)
    elif reaction.__class__ is dict:
        identity += (reaction.get("message_id"), reaction.get("emoji") or None, message.get("timestamp"))
        if not reaction.get("message_id") and message.get("type") == "reaction":
            # It would read as a reaction that was taken back, and from nothing.
            fault = Fault("missing", "split", f"messages[{index}].reaction.message_id is missing")
    return Item(
        source="messages",
        index=index,
        message_type=text_of(message.get("type")) or "",
        message=message,
        status=EMPTY,
        contact=contact,
        event=EMPTY,
        metadata=whole.metadata,
        extra=whole.extra,
        callback=whole.facts,
        key=key,
        identity=identity,
        fault=fault,
    )


def _message_key(contact: Json, number: Any, user_id: Any) -> Json:
    wa_id = contact.get("wa_id")
    if wa_id.__class__ is str and wa_id.isalnum():
        # Nearly every message: no need to make a list of the rules.
        return {"value": wa_id, "source": "wa_id"}
    return _first_key((("wa_id", wa_id), ("from", number), ("user_id", contact.get("user_id")), ("from_user_id", user_id)))


def _system_key(message: Json, contact: Json) -> Json:
    """Return the key of a system message: it tells of a change of `from`, so that comes first, and the new ids last."""
    system = message.get("system")
    news = system if system.__class__ is dict else EMPTY
    return _first_key(
        (
            ("from", message.get("from")),
            ("wa_id", contact.get("wa_id")),
            ("user_id", contact.get("user_id")),
            ("from_user_id", message.get("from_user_id")),
            ("system.wa_id", news.get("wa_id")),
            ("system.user_id", news.get("user_id")),
        )
    )


def _status(index: int, status: Any, whole: _Whole, beside: Json) -> Item:
    if status.__class__ is not dict:
        return _no_object("statuses", index, status, whole)
    recipient, user_id = status.get("recipient_id"), status.get("recipient_user_id")
    member, member_user_id = _participant(status)
    of_member: tuple[tuple[str, Any], ...] = ()
    if member or member_user_id or status.get("recipient_type") == "group":
        # The recipient is the group; the person is who takes part in it.
        contact = whole.people.match(member or recipient, member_user_id or user_id, "status", status)
        of_member = (("recipient_participant_id", member), ("recipient_participant_user_id", member_user_id))
    else:
        contact = whole.people.match(recipient, user_id, "status", status)
    key = _first_key(
        (
            ("wa_id", contact.get("wa_id")),
            *of_member,
            ("recipient_id", recipient),
            ("recipient_user_id", user_id),
            ("user_id", contact.get("user_id")),
        )
    )
    return Item(
        source="statuses",
        index=index,
        message_type="",
        message=EMPTY,
        status=status,
        contact=contact,
        event=EMPTY,
        metadata=whole.metadata,
        extra=whole.extra,
        callback=whole.facts,
        key=key,
        identity=_status_identity(status, member or member_user_id or recipient or user_id, beside),
    )


def _participant(status: Json) -> tuple[Any, Any]:
    """Return the number and the user id of who got a message in a group, in either of WhatsApp's spellings."""
    return (
        status.get("recipient_participant_id") or status.get("participant_recipient_id"),
        status.get("recipient_participant_user_id") or status.get("participant_recipient_user_id"),
    )


def _status_identity(status: Json, recipient: Any, beside: Json) -> tuple[Any, ...]:
    message_id, name = status.get("id") or beside["id"], status.get("status") or beside["status"]
    return ("status", message_id, name, status.get("type"), recipient, status.get("timestamp"))


def _has_profile(contact: Json) -> bool:
    """Return whether the entry says more than ids: a record of ids alone would wipe the name on the compacted topic."""
    profile = contact.get("profile")
    named = profile.get("name") or profile.get("username") if profile.__class__ is dict else profile
    return bool(named or contact.get("username") or contact.get("identity_key_hash"))


def _contact(index: int, contact: Json, whole: _Whole) -> Item | None:
    """Return the item of a contact, or None when no rule gives it a key."""
    wa_id = contact.get("wa_id")
    if wa_id.__class__ is str and wa_id.isalnum():
        # Nearly every contact, as with messages.
        key: Json = {"value": wa_id, "source": "wa_id"}
    else:
        key = _first_key((("wa_id", wa_id), ("user_id", contact.get("user_id"))))
    if key is _EMPTY_KEY:
        return None
    root, event = whole.people.owners.get(index, ("", EMPTY))
    event_id = event.get("id")
    if event_id and event_id.__class__ is str:
        seen_with: tuple[Any, ...] = (event_id, event.get("status"), event.get("timestamp"))
    else:
        seen_with = (whole.people.body_digest(), index)
    if root and (event_id.__class__ is not str or "identity" in event):
        event = readable(event)
    return Item(
        source="contacts",
        index=index,
        message_type="",
        message=event if root == "message" else EMPTY,
        status=event if root == "status" else EMPTY,
        contact=contact,
        event=EMPTY,
        metadata=whole.metadata,
        extra=whole.extra,
        callback=whole.facts,
        key=key,
        identity=("contact", key["value"], *seen_with),
    )


def _event(index: int, callback: Callback, raw: RawCallback, whole: _Whole) -> Item:
    """Return the item of an account event: nobody's, so it is told apart by the request that brought it."""
    event, metadata = callback.events[index], callback.metadata
    key = _first_key(
        (
            ("phone_number_id", metadata.get("phone_number_id")),
            ("display_phone_number", metadata.get("display_phone_number")),
            ("message_template_id", event.get("message_template_id")),
            ("waba_id", callback.extra.get("waba_id")),
        )
    )
    fault = None
    if MAY_NAME_SOMEBODY in event:
        fault = Fault("too_deep", "split", f"events[{index}] is nested too deep to be searched for people")
    elif key is _EMPTY_KEY:
        fault = Fault("no_key", "split", f"events[{index}] names no number, no template and no account of the business")
    return _of_nobody(
        "events", index, event, key, ("event", raw.method, raw.query, whole.people.body_digest(), index), whole, fault
    )


def _no_object(source: Source, index: int, value: Any, whole: _Whole) -> Item:
    fault = Fault("not_an_object_item", "split", f"{source}[{index}] is {kind_of(value)}")
    return _of_nobody(source, index, EMPTY, _EMPTY_KEY, (), whole, fault)


def _of_nobody(
    source: Source, index: int, event: Json, key: Json, identity: tuple[Any, ...], whole: _Whole, fault: Fault | None
) -> Item:
    metadata, extra, facts = whole.metadata, whole.extra, whole.facts
    return Item(source, index, "", EMPTY, EMPTY, EMPTY, event, metadata, extra, facts, key, identity, fault)
