"""What a value of WhatsApp's says beside messages, statuses and contacts, sorted by whether it names a person.

One rule for every field, known (`user_preferences`, `calls`, `smb_message_echoes`, `history`, ...) or not yet:

- The outermost object that names a person is one message `{"id", "type": field, "timestamp", "from", "from_user_id",
  "entry": the object as received, "within": the plain facts of the objects around it}`; absent ones are left out. `from` is
  the person, whoever of the two wrote or called: the business's own number is nobody.
- All that names nobody is one event, with what is left of the value as its payload.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
"""

from itertools import islice
from typing import Any, Final, NamedTuple

from connector.pipeline.dialects.events import event_of
from connector.pipeline.encode import digest
from connector.pipeline.people import comparable, text_of
from connector.records import EMPTY, Json

MESSAGES: Final = "messages"
_OWN_WAY: Final = frozenset({"messages", "statuses", "contacts"})
_NOT_SEARCHED: Final = frozenset({"metadata", "messaging_product", "errors"})
_BUSINESS: Final = ("phone_number_id", "display_phone_number")

_NUMBERS: Final = ("wa_id", "from", "recipient_id", "to", "input")
_USER_IDS: Final = ("user_id", "from_user_id", "recipient_user_id", "to_user_id")
_SOMEBODY: Final = ("contact", "sender", "recipient", "user", "customer")
"""Objects that stand for the person of the object around them; only there a `phone_number` is a person's."""
_NUMBERS_OF_SOMEBODY: Final = (*_NUMBERS, "phone_number", "phone")

_DEEPEST: Final = 8
"""Containers in containers that are searched; `history` has six."""
_MOST_PEOPLE: Final = 10_000
"""More than a callback may have items."""
_MOST_FACTS: Final = 32
_LONGEST_FACT: Final = 256
"""What is told with each of many people must be small."""


class News(NamedTuple):
    """What a value says beside its own lists: messages that name a person, events of the account, the business's number."""

    messages: list[Json]
    events: tuple[Json, ...]
    metadata: Json


EMPTY_NEWS: Final = News([], (), EMPTY)


def read_news(value: Json, field: Any) -> News:
    """Return what a value says beside messages, statuses and contacts. Without a field of its own that is only `errors`."""
    kind = text_of(field)
    if kind is not None and kind != MESSAGES:
        return _of_field(kind, value)
    if not value.get("errors"):
        return EMPTY_NEWS
    return News([], (event_of("errors", {name: value[name] for name in ("metadata", "errors") if name in value}),), EMPTY)


def _of_field(kind: str, value: Json) -> News:
    business = _business(value)
    search = _Search({comparable(number) for number in business.values()})
    said = {name: part for name, part in value.items() if name not in _OWN_WAY}
    left = search.take({name: part for name, part in said.items() if name not in _NOT_SEARCHED}) or {}
    messages = [_message(kind, *found) for found in search.found]
    if messages:
        left |= {name: value[name] for name in ("errors",) if value.get(name)}
        said = left and {**{name: value[name] for name in ("metadata",) if name in value}, **left}
    return News(messages, (event_of(kind, said),) if said else (), business)


def _business(value: Json) -> Json:
    """Return the business's own number as far as it is told; a hand-over tells it as the recipient."""
    places = (value.get("recipient"), value, value.get("metadata"))
    return {name: place[name] for place in places if place.__class__ is dict for name in _BUSINESS if name in place}


class _Person(NamedTuple):
    number: str | None
    user_id: str | None


class _Search:
    """Takes objects that name a person out of a value; `found` holds each with the facts around it and the person."""

    def __init__(self, nobody: set[str | None]) -> None:
        self._nobody = nobody
        self.found: list[tuple[Json, Json, _Person]] = []

    def take(self, part: Any, around: Json = EMPTY, depth: int = 0) -> Any:
        """Return what is left of a part without the people in it: itself when there are none, None when nothing is left."""
        if not isinstance(part, dict | list) or depth > _DEEPEST or len(self.found) > _MOST_PEOPLE:
            return part
        before = len(self.found)
        if isinstance(part, list):
            left: Any = [rest for element in part if (rest := self.take(element, around, depth + 1)) is not None]
        else:
            person = self._person(part)
            if person:
                self.found.append((part, around, person))
                return None
            left = self._of_object(part, around, depth)
        if len(self.found) == before:
            return part
        return left or None

    def _of_object(self, part: Json, around: Json, depth: int) -> Json | None:
        facts = dict(islice(((name, fact) for name, fact in part.items() if _is_plain(fact)), _MOST_FACTS))
        told = {**around, **facts}
        left = {name: self.take(inner, told, depth + 1) for name, inner in part.items() if name not in facts}
        kept = {name: rest for name, rest in left.items() if rest is not None}
        return {**facts, **kept} if kept else None

    def _person(self, part: Json) -> _Person | None:
        person = self._named(part, _NUMBERS)
        for name in _SOMEBODY:
            if person is None and part.get(name).__class__ is dict:
                person = self._named(part[name], _NUMBERS_OF_SOMEBODY)
        return person

    def _named(self, part: Json, numbers: tuple[str, ...]) -> _Person | None:
        texts = (text_of(part.get(name)) for name in numbers)
        number = next((text for text in texts if text and comparable(text) not in self._nobody), None)
        user_id = next((text for name in _USER_IDS if (text := _user_id(part.get(name)))), None)
        return _Person(number, user_id) if number or user_id else None


def _user_id(value: Any) -> str | None:
    """Return a user id; of a change (`{"previous", "current"}`) the one that earlier records have."""
    if value.__class__ is dict:
        value = value.get("previous") or value.get("current")
    return text_of(value)


def _is_plain(part: Any) -> bool:
    if part.__class__ is str:
        return len(part) <= _LONGEST_FACT
    return part is None or part.__class__ is bool or (part.__class__ is int and abs(part) < 2**63)


def _message(kind: str, entry: Json, around: Json, person: _Person) -> Json:
    given = {
        # Events of one call share its id, which is why split tells these messages apart by all that they say.
        "id": text_of(entry.get("id")) or f"v1:{digest((kind, entry, around))}",
        "type": kind,
        "timestamp": entry.get("timestamp") or around.get("timestamp"),
        "from": person.number,
        "from_user_id": person.user_id,
        "entry": entry,
        "within": around,
    }
    return {name: part for name, part in given.items() if part}
