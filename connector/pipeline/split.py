"""A `Callback` in, one `Item` per message, status, contact and event out, each with its key and its view of the callback.

People are matched by id, so that no one gets the name or key of another person. Nothing is converted here.
The rules are those of the contract's keys and identities; see README, "Keys".
"""

from typing import Any, Final

import msgspec

from connector.mapping.conversions import kind_of
from connector.pipeline.addressing import NOT_OF_ONE_NUMBER, addressed, of_system
from connector.pipeline.digest import request_parts
from connector.pipeline.keys import NO_KEY, change_key, first_key, message_key, number_key, status_key, system_key
from connector.pipeline.people import People, by_user_id, is_user_id, new_user_id, readable, text_of
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
"""Keys of `extra_info` that belong to one message or status: with several, it is unknown to which."""

_OF_ONE_STATUS: Final = ("status", "message_id")
"""Root keys that belong to one status, likewise."""


class Split(msgspec.Struct, frozen=True, gc=False):
    """The items of a callback, and what was left out on purpose, for the metrics."""

    items: list[Item]
    contacts_without_profile: int
    contacts_without_key: int
    ambiguous_extras: int


class _CallbackContext(msgspec.Struct, frozen=True, gc=False):
    """What all items of a callback share."""

    metadata: Json
    extra: Json
    facts: Json
    people: People

    def without_keys_of_one_item(self) -> "_CallbackContext":
        """Return the context for items that these keys do not belong to."""
        extra = {name: value for name, value in self.extra.items() if name not in _OF_ONE_ITEM}
        facts = {name: fact for name, fact in self.facts.items() if name not in _OF_ONE_STATUS}
        return msgspec.structs.replace(self, extra=extra, facts=facts)


def split(callback: Callback, raw: RawCallback) -> Split:
    """Split a callback into its items: messages, then statuses, then contacts, then events of the account."""
    # Unknown objects beside messages and statuses change nothing about these.
    events = len(callback.messages) + len(callback.statuses)
    contacts = callback.contacts
    for contact in contacts:
        if contact.__class__ is dict and is_user_id(contact.get("wa_id")):
            contacts = [by_user_id(one, "wa_id", "user_id") if one.__class__ is dict else one for one in contacts]
            break
    people = People(contacts, raw, alone=events == 1)
    context = _CallbackContext(callback.metadata, callback.extra, _facts(callback, raw), people)
    of_others, ambiguous = context, 0
    if events > 1 or len(callback.others) > (not events):
        of_others = context.without_keys_of_one_item()
        if events != 1:
            context = of_others
            ambiguous = sum(bool(callback.extra.get(name)) for name in _OF_ONE_ITEM)
    items = []
    for index, message in enumerate(callback.messages):
        items.append(_message(index, message, context, is_typed=callback.is_typed))
    for index, other in enumerate(callback.others, len(callback.messages)):
        items.append(_other(index, other.message, of_others))
    if callback.statuses:
        # The keys beside the only status, which its record uses too.
        extra, facts = context.extra, context.facts
        beside = {"id": extra.get("message_id") or facts.get("message_id"), "status": facts.get("status")}
        for index, status in enumerate(callback.statuses):
            items.append(_status(index, status, context, beside))
    without_profile, without_key = _add_contacts(items, contacts, context)
    if callback.events:
        items += (_event(index, callback, raw, context) for index in range(len(callback.events)))
    return Split(items, without_profile, without_key, ambiguous)


def _add_contacts(items: list[Item], contacts: list[Any], context: _CallbackContext) -> tuple[int, int]:
    """Add the items of contacts; return how many have no profile, and how many no key."""
    without_profile = without_key = 0
    for index, contact in enumerate(contacts):
        if contact.__class__ is not dict:
            items.append(_no_object("contacts", index, contact, context))
        elif not _has_profile(contact):
            without_profile += 1
        elif item := _contact(index, contact, context):
            items.append(item)
        else:
            without_key += 1
    return without_profile, without_key


def _facts(callback: Callback, raw: RawCallback) -> Json:
    return {
        **callback.root,
        "received_at": raw.received_at,
        "method": raw.method,
        "query": raw.query,
        "content_type": raw.content_type,
        "body": raw.body,
    }


def _message(index: int, message: Any, context: _CallbackContext, *, is_typed: bool) -> Item:
    if message.__class__ is not dict:
        return _no_object("messages", index, message, context)
    kind = text_of(message.get("type")) or ""
    is_system = kind == "system"
    number, user_id, moved = message.get("from"), message.get("from_user_id"), False
    if is_system or is_user_id(number):
        moved = is_user_id(number) and not user_id
        message = by_user_id(of_system(message) if is_system else message, "from", "from_user_id")
        number, user_id = message.get("from"), message.get("from_user_id")
    contact = context.people.match(number, user_id, "message", message, by_position=not is_system)
    key = system_key(message, contact, moved=moved) if is_system else message_key(contact, number, user_id, moved=moved)
    identity: tuple[Any, ...] = ("message", message.get("id"))
    reaction = message.get("reaction")
    fault = None
    if reaction.__class__ is dict:
        identity += (reaction.get("message_id"), reaction.get("emoji") or None, message.get("timestamp"))
        if not reaction.get("message_id") and kind == "reaction":
            # It would read as a reaction that was taken back, and from nothing.
            fault = Fault("missing", "split", f"messages[{index}].reaction.message_id is missing")
    return _message_item(index, message, kind if is_typed else "", contact, key, identity, fault, context)


def _other(index: int, message: Json, context: _CallbackContext) -> Item:
    """Return the item of an object of another field. Its identity is all of it, since the events of one call share its id.

    Its contact is found by id only: the callback's only contact need not be the person concerned.
    """
    number, user_id = message.get("from"), message.get("from_user_id")
    contact = context.people.match(number, user_id, "message", message, by_position=False)
    key = message_key(contact, number, user_id)
    if contact is EMPTY and (new_id := new_user_id(message["entry"])):
        # After a change of the user id the contact has the new one, but earlier records have the old one.
        contact = context.people.match(None, new_id, "message", message, by_position=False)
        key = change_key(contact, number, user_id)
    kind = text_of(message.get("type")) or ""
    return _message_item(index, message, kind, contact, key, ("message", message["id"], message), None, context)


def _message_item(
    index: int,
    message: Json,
    kind: str,
    contact: Json,
    key: Json,
    identity: tuple[Any, ...],
    fault: Fault | None,
    context: _CallbackContext,
) -> Item:
    return Item(
        source="messages",
        index=index,
        message_type=kind,
        message=message,
        status=EMPTY,
        contact=contact,
        event=EMPTY,
        metadata=context.metadata,
        extra=context.extra,
        callback=context.facts,
        key=key,
        identity=identity,
        fault=fault,
    )


def _status(index: int, status: Any, context: _CallbackContext, beside: Json) -> Item:
    if status.__class__ is not dict:
        return _no_object("statuses", index, status, context)
    recipient = status.get("recipient_id")
    if recipient.__class__ is str and recipient.isalnum() and NOT_OF_ONE_NUMBER.isdisjoint(status):
        # Nearly every status: it is about the number that it names.
        contact = context.people.match(recipient, None, "status", status)
        key = number_key(recipient, contact)
    else:
        to = addressed(status)
        status, recipient = to.status, to.identity
        contact = EMPTY
        if not to.names_no_person:
            # A contact that is the group itself is not the participant's, though it is the only one.
            by_position = not any(context.people.has(group) for _, group in to.group)
            contact = context.people.match(to.number, to.user_id, "status", status, by_position=by_position)
        key = status_key(to, contact)
    return Item(
        source="statuses",
        index=index,
        message_type="",
        message=EMPTY,
        status=status,
        contact=contact,
        event=EMPTY,
        metadata=context.metadata,
        extra=context.extra,
        callback=context.facts,
        key=key,
        identity=_status_identity(status, recipient, beside),
    )


def _status_identity(status: Json, recipient: Any, beside: Json) -> tuple[Any, ...]:
    message_id, name = status.get("id") or beside["id"], status.get("status") or beside["status"]
    return ("status", message_id, name, status.get("type"), recipient, status.get("timestamp"))


def _has_profile(contact: Json) -> bool:
    """Return whether the entry says more than ids: a record of ids alone would wipe the name on the compacted topic."""
    profile = contact.get("profile")
    named = profile.get("name") or profile.get("username") if profile.__class__ is dict else profile
    return bool(named or contact.get("username") or contact.get("identity_key_hash"))


def _contact(index: int, contact: Json, context: _CallbackContext) -> Item | None:
    """Return the item of a contact, or None when no rule gives it a key."""
    wa_id = contact.get("wa_id")
    if wa_id.__class__ is str and wa_id.isalnum():
        # Nearly every contact, as with messages.
        key: Json = {"value": wa_id, "source": "wa_id"}
    else:
        key = first_key((("wa_id", wa_id), ("user_id", contact.get("user_id"))))
    if key is NO_KEY:
        return None
    root, event = context.people.owners.get(index, ("", EMPTY))
    event_id = event.get("id")
    if event_id and event_id.__class__ is str:
        seen_with: tuple[Any, ...] = (event_id, event.get("status"), event.get("timestamp"))
    else:
        seen_with = (*context.people.request_parts(), index)
    if root and event_id.__class__ is not str:
        event = readable(event)
    return Item(
        source="contacts",
        index=index,
        message_type="",
        message=event if root == "message" else EMPTY,
        status=event if root == "status" else EMPTY,
        contact=contact,
        event=EMPTY,
        metadata=context.metadata,
        extra=context.extra,
        callback=context.facts,
        key=key,
        identity=("contact", key["value"], *seen_with),
    )


def _event(index: int, callback: Callback, raw: RawCallback, context: _CallbackContext) -> Item:
    """Return the item of an account event. No person identifies it, so the request that brought it does."""
    event, metadata = callback.events[index].content, callback.metadata
    key = first_key(
        (
            ("phone_number_id", metadata.get("phone_number_id")),
            ("display_phone_number", metadata.get("display_phone_number")),
            ("message_template_id", event.get("message_template_id")),
            ("waba_id", callback.extra.get("waba_id")),
        )
    )
    fault = None
    if callback.events[index].is_too_deep:
        fault = Fault("too_deep", "split", f"events[{index}] is nested too deep to be searched for people")
    elif key is NO_KEY:
        fault = Fault("no_key", "split", f"events[{index}] names no number, no template and no account of the business")
    return _item_without_person("events", index, event, key, ("event", *request_parts(raw), index), context, fault)


def _no_object(source: Source, index: int, value: Any, context: _CallbackContext) -> Item:
    fault = Fault("not_an_object_item", "split", f"{source}[{index}] is {kind_of(value)}")
    return _item_without_person(source, index, EMPTY, NO_KEY, (), context, fault)


def _item_without_person(
    source: Source,
    index: int,
    event: Json,
    key: Json,
    identity: tuple[Any, ...],
    context: _CallbackContext,
    fault: Fault | None,
) -> Item:
    metadata, extra, facts = context.metadata, context.extra, context.facts
    return Item(source, index, "", EMPTY, EMPTY, EMPTY, event, metadata, extra, facts, key, identity, fault)
