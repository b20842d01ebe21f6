"""The value of a field in, what it says beside messages, statuses and contacts out, split by whether it names a person.

One rule for every field, known (`user_preferences`, `calls`, `smb_message_echoes`, `history`, ...) or not yet:

- The outermost object that names a person becomes one `PersonalObject`. `from` is the person, whichever side wrote or called:
  the business's own number is no person. Absent keys are left out of its message.
- A number or user id in a list of them (`wa_ids`, `participants`) becomes one too, with `{"wa_ids": [it]}` as its entry.
- Everything that names no person, judged by the names below, becomes one event, with the rest of the value as its payload.
- If something is nested too deep to be searched, the event is marked `is_too_deep`.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
"""

import re
from typing import Any, Final, NamedTuple

from connector.pipeline.dialects.events import event_of
from connector.pipeline.digest import digest
from connector.pipeline.people import OLD_USER_IDS, is_user_id, new_user_id, old_user_id, text_of
from connector.pipeline.people import USER_ID as BUSINESS_SCOPED
from connector.records import EMPTY, AccountEvent, Json, PersonalObject

MESSAGES: Final = "messages"
KNOWN: Final = frozenset({"messaging_product", "metadata", "contacts", "messages", "statuses", "errors"})
"""What a value of the field `messages` has; every other key is an other field."""
_OWN_WAY: Final = frozenset({"messages", "statuses", "contacts"})
_NOT_SEARCHED: Final = frozenset({"metadata", "messaging_product", "errors"})
_BUSINESS: Final = ("phone_number_id", "display_phone_number")

_MEMBERS: Final = ("recipient_participant_id", "participant_recipient_id")
_NUMBERS: Final = ("wa_id", "from", *_MEMBERS, "recipient_id", "to", "input", "sender", "recipient", "participant")
_NUMBERS_OF_ECHOES: Final = ("wa_id", "to", *_MEMBERS, "recipient_id", "from", "input", "sender", "recipient", "participant")
"""In an echo the business writes, so the recipient comes first."""
_OF_MEMBERS: Final = ("recipient_participant_user_id", "participant_recipient_user_id")
_USER_IDS: Final = (*OLD_USER_IDS, "user_id", "from_user_id", *_OF_MEMBERS, "recipient_user_id", "to_user_id")
_OF_GROUPS: Final = frozenset({"recipient_id", "to", "recipient"})
"""In a message to a group these are the group, which is no person."""
_PERSON_KEYS: Final = ("contact", "sender", "recipient", "user", "customer", "person", "participant")
"""Objects that name the person of the object around them; only in these does `phone_number` name a person."""
_PEOPLE: Final = frozenset({"wa_ids", "user_ids", "participants", "users", "members", "recipients", "customers"})
"""Lists of such objects, or of plain numbers and user ids; also as the end of a name, as in `removed_participants`."""
_OF_PERSON_KEYS: Final = ("phone_number", "phone")
_TIMES: Final = frozenset({"period", "time_range", "date_range"})
"""`from` and `to` are times in these."""

_NOT_OF_THE_NUMBER: Final = str.maketrans("", "", "+ -.()\u00a0")
_NUMBER: Final = re.compile(r"[0-9]{5,20}", re.ASCII)
_SMALLEST_NUMBER: Final = 10_000
_DATE: Final = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}", re.ASCII)
_USER_ID: Final = re.compile(rf"{BUSINESS_SCOPED.pattern}|[0-9]+", re.ASCII)

_DEEPEST: Final = 8
"""Containers in containers that are searched; `history` has six."""
_MOST_PEOPLE: Final = 10_000
"""More than a callback may have items."""
_MOST_FACTS: Final = 32
_LONGEST_FACT: Final = 256
"""Facts are repeated with each of many people, so they must be small."""


class OtherField(NamedTuple):
    """What a value says beside its own lists: objects that name a person, events of the account, the business's number."""

    people: list[PersonalObject]
    events: tuple[AccountEvent, ...]
    metadata: Json


NO_OTHER_FIELD: Final = OtherField([], (), EMPTY)


def read_other_field(value: Json, field: Any) -> OtherField:
    """Return what a value says beside messages, statuses and contacts.

    In the field `messages`, or without one: `errors`, and each unknown list or object as if it were a field of that name.
    """
    kind = text_of(field)
    if kind is not None and kind != MESSAGES:
        return _of_field(kind, value)
    found = []
    if value.get("errors"):
        said: Json = {name: value[name] for name in ("metadata", "errors") if name in value}
        found.append(OtherField([], (event_of("errors", said),), EMPTY))
    about = {name: value[name] for name in ("metadata",) if name in value}
    found += (
        _of_field(name, {**about, name: part})
        for name, part in value.items()
        if name not in KNOWN and part and isinstance(part, dict | list)
    )
    if not found:
        return NO_OTHER_FIELD
    people = [person for part in found for person in part.people]
    return OtherField(people, tuple(event for part in found for event in part.events), EMPTY)


def _of_field(kind: str, value: Json) -> OtherField:
    business = _business(value)
    numbers = _NUMBERS_OF_ECHOES if kind.endswith("_echoes") else _NUMBERS
    search = _Search(numbers, {_digits(number) for number in business.values()})
    said = {name: part for name, part in value.items() if name not in _OWN_WAY}
    left = search.take({name: part for name, part in said.items() if name not in _NOT_SEARCHED}) or {}
    people = [_personal_object(kind, found) for found in search.found]
    if people or any(value.get(name) for name in _OWN_WAY):
        # What only says whose number it was is no event beside what was said.
        left = {**left, **{name: value[name] for name in ("errors",) if value.get(name)}}
        said = left and {**{name: value[name] for name in ("metadata",) if name in value}, **left}
    if not said:
        return OtherField(people, (), business)
    return OtherField(people, (event_of(kind, said, is_too_deep=search.is_cut_off),), business)


def _business(value: Json) -> Json:
    """Return the business's own number as far as it is given; a hand-over gives it as the recipient."""
    places = (value.get("recipient"), value, value.get("metadata"))
    return {name: place[name] for place in places if place.__class__ is dict for name in _BUSINESS if name in place}


class _Person(NamedTuple):
    number: str | None
    user_id: str | None


class _Found(NamedTuple):
    """An object that names a person: `around` are the plain facts of the containers, `trail` leads back out of them."""

    entry: Json
    element: Any
    around: Json
    person: _Person
    trail: "_Trail | None"


class _Trail(NamedTuple):
    """A container on the way to an object: the one around it, and its plain facts and the key inside it, or None for a list."""

    outer: "_Trail | None"
    step: tuple[Json, str] | None


class _Search:
    """Takes objects that name a person out of a value.

    `found` holds each; `is_cut_off` says that something was nested too deep.
    """

    def __init__(self, numbers: tuple[str, ...], own_numbers: set[str | None]) -> None:
        self._numbers = numbers
        self._own_numbers = own_numbers
        self.found: list[_Found] = []
        self.is_cut_off = False

    def take(
        self,
        part: Any,
        around: Json = EMPTY,
        trail: _Trail | None = None,
        depth: int = 0,
        name: str = "",
        owner: _Person | None = None,
    ) -> Any:
        """Return what is left of a part without the people in it: itself when there are none, None when nothing is left.

        `name` is its key; `owner` is the person it belongs to, where it does not say so itself.
        """
        if not isinstance(part, dict | list) or len(self.found) > _MOST_PEOPLE:
            return part
        if depth > _DEEPEST:
            self.is_cut_off = self.is_cut_off or bool(part)
            return part
        before = len(self.found)
        if isinstance(part, list):
            inside = _Trail(trail, None)
            elements = (self._of_list(element, around, inside, depth + 1, name, owner) for element in part)
            left: Any = [rest for rest in elements if rest is not None]
        else:
            person = self._person(part, name) or owner
            if person:
                self.found.append(_Found(part, part, around, person, trail))
                return None
            left = self._of_object(part, around, trail, depth)
        if len(self.found) == before:
            return part
        return left or None

    def _of_list(self, element: Any, around: Json, trail: _Trail, depth: int, name: str, owner: _Person | None) -> Any:
        if _names_people(name) and not isinstance(element, dict | list):
            number = self._number(element)
            user_id = None if number or (name == "wa_ids" and not is_user_id(element)) else _user_id(element)
            if number or user_id:
                self.found.append(_Found({name: [element]}, element, around, _Person(number, user_id), trail))
                return None
        return self.take(element, around, trail, depth, name, owner)

    def _of_object(self, part: Json, around: Json, trail: _Trail | None, depth: int) -> Json | None:
        facts = {name: fact for name, fact in part.items() if _is_plain(fact)}
        if len(facts) > _MOST_FACTS:
            # Not the first ones: a second delivery can have them in another order.
            facts = {name: facts[name] for name in sorted(facts, key=_by_length)[:_MOST_FACTS]}
        around = {**around, **facts}
        # A thread of `history` belongs to a person, whichever side wrote in it.
        of_thread = self._number(part.get("id")) if part.get("messages").__class__ is list else None
        left: Json = {}
        for name, inner in part.items():
            if name not in facts:
                owner = _Person(of_thread, None) if of_thread and name == "messages" else None
                inside = _Trail(trail, (facts, name))
                left[name] = inner if name in _TIMES else self.take(inner, around, inside, depth + 1, name, owner)
        kept = {name: rest for name, rest in left.items() if rest is not None}
        if of_thread:
            facts = {name: fact for name, fact in facts.items() if name != "id"}
        return {**facts, **kept} if kept else None

    def _person(self, part: Json, name: str) -> _Person | None:
        person = self._named(part, (*self._numbers, *_OF_PERSON_KEYS) if _names_people(name) else self._numbers)
        for key in _PERSON_KEYS:
            if person is None and part.get(key).__class__ is dict:
                person = self._named(part[key], (*self._numbers, *_OF_PERSON_KEYS))
        if person is None and part.get("messages") == [] and (number := self._number(part.get("id"))):
            person = _Person(number, None)
        return person

    def _named(self, part: Json, numbers: tuple[str, ...]) -> _Person | None:
        if part.get("recipient_type") == "group":
            numbers = tuple(name for name in numbers if name not in _OF_GROUPS)
        number = next((text for name in numbers if (text := self._number(part.get(name)))), None)
        user_id = next((text for name in _USER_IDS if (text := _user_id(part.get(name)))), None)
        # A user id can come in the place of a number.
        user_id = user_id or next((value for name in numbers if is_user_id(value := part.get(name))), None)
        return _Person(number, user_id) if number or user_id else None

    def _number(self, value: Any) -> str | None:
        digits = _digits(value)
        return None if digits is None or digits in self._own_numbers else text_of(value)


def _by_length(name: str) -> tuple[int, str]:
    return len(name), name


def _names_people(name: str) -> bool:
    return name in _PEOPLE or name.rpartition("_")[2] in _PEOPLE


def _digits(value: Any) -> str | None:
    """Return the digits of what looks like a person's number, however it is printed; None otherwise."""
    if value.__class__ is int:
        return str(value) if _SMALLEST_NUMBER <= value < 10**20 else None
    if value.__class__ is not str or _DATE.match(value):
        return None
    digits = value.translate(_NOT_OF_THE_NUMBER)
    return digits if _NUMBER.fullmatch(digits) else None


def _user_id(value: Any) -> str | None:
    """Return a user id; of a change (`{"previous", "current"}`) the one that earlier records have."""
    if value.__class__ is dict:
        value = old_user_id({"user_id": value}) or new_user_id({"user_id": value})
    text = text_of(value)
    return text if text and _USER_ID.fullmatch(text) else None


def _is_plain(part: Any) -> bool:
    if part.__class__ is str:
        return len(part) <= _LONGEST_FACT
    return part is None or part.__class__ is bool or (part.__class__ is int and abs(part) < 2**63)


def _personal_object(kind: str, found: _Found) -> PersonalObject:
    entry, around, person = found.entry, found.around, found.person
    given = {
        # Events of one call share its id, so split identifies these messages by their whole content.
        "id": text_of(entry.get("id")) or f"v1:{digest((kind, entry, around))}",
        "type": kind,
        "timestamp": entry.get("timestamp") or around.get("timestamp"),
        "from": person.number,
        "from_user_id": person.user_id,
        "entry": entry,
        "within": around,
    }
    steps = []
    trail = found.trail
    while trail:
        steps.append(trail.step)
        trail = trail.outer
    return PersonalObject({name: part for name, part in given.items() if part}, kind, found.element, tuple(reversed(steps)))
