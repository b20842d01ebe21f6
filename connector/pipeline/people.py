"""The ids of people, and the contacts of one callback found by them.

People are matched by id, never by position, unless a callback has exactly one of each. Ids are compared without `+` and
blanks and used as received: nothing is normalised. A business-scoped user id in the place of a number is a user id.
"""

import re
from typing import Any, Final

from connector.errors import Misfit
from connector.mapping.conversions import to_text
from connector.pipeline.digest import request_parts
from connector.records import EMPTY, Json, RawCallback

USER_ID: Final = re.compile(r"[A-Z]{2}(\.ENT)?\.[A-Za-z0-9]+", re.ASCII)
"""A business-scoped user id: the person's country and letters or digits, `IT.13490000000000001` or `IT.ENT.1180`."""
_OLD: Final = ("previous", "old")
_NEW: Final = ("current", "new")
"""What a change of a user id calls the two: `{"previous": ..., "current": ...}`, or `previous_user_id` beside `user_id`."""
OLD_USER_IDS: Final = tuple(f"{name}_user_id" for name in _OLD)


def text_of(value: Any) -> str | None:
    """Return an id as text; `None` for no value and for a value that cannot be an id."""
    if value.__class__ is str:
        return value or None
    if value is None:
        return None
    try:
        return to_text(value, "")
    except Misfit:
        return None


def comparable(value: Any) -> str | None:
    """Return an id as it is compared: without `+` and blanks. An empty one equals nothing, and is None."""
    text = value if value.__class__ is str else text_of(value)
    if text is None or text.isalnum():
        return text
    return "".join(text.replace("+", "").split()) or None


def is_user_id(value: Any) -> bool:
    """Return whether a value has the form of a business-scoped user id."""
    return value.__class__ is str and "." in value and USER_ID.fullmatch(value) is not None


def by_user_id(entry: Json, number: str, user_id: str) -> Json:
    """Return an entry of the wire; a user id in the place of its number is moved to the place of user ids."""
    value = entry.get(number)
    return {**entry, number: None, user_id: entry.get(user_id) or value} if is_user_id(value) else entry


def old_user_id(entry: Json) -> Any:
    """Return the user id that a person had before a change, if the entry says so: earlier records have it."""
    changed = entry.get("user_id")
    inside = (changed.get(name) for name in _OLD) if changed.__class__ is dict else ()
    return next((value for value in (*inside, *(entry.get(name) for name in OLD_USER_IDS)) if value), None)


def new_user_id(entry: Json) -> Any:
    """Return the user id that a person has after a change, if the entry says so."""
    changed = entry.get("user_id")
    inside = (changed.get(name) for name in _NEW) if changed.__class__ is dict else (changed,)
    return next((value for value in (*inside, *(entry.get(f"{name}_user_id") for name in _NEW)) if value), None)


def readable(event: Json) -> Json:
    """Return what a profile takes from its message, so that odd parts of the message do not sink the profile."""
    return {**event, "id": text_of(event.get("id"))}


class People:
    """The contacts of one callback, found by id; `owners` remembers the first message or status of each."""

    __slots__ = ("_alone", "_by_number", "_by_user_id", "_contacts", "_raw", "owners")

    def __init__(self, contacts: list[Any], raw: RawCallback, *, alone: bool) -> None:
        self._contacts = contacts
        self._raw = raw
        self._alone = alone and len(contacts) == 1 and contacts[0].__class__ is dict
        self._by_number: dict[str | None, int] | None = None
        self._by_user_id: dict[str | None, int] | None = None
        self.owners: dict[int, tuple[str, Json]] = {}

    def match(self, number: Any, user_id: Any, root: str, event: Json, *, by_position: bool = True) -> Json:
        """Return the contact that belongs to an event: by number, else by user id, else the only one; or an empty one."""
        # The only one is found by position if by nothing else, unless its user id is another one's.
        if self._alone and by_position and (user_id is None or self._may_have(user_id)):
            index: int | None = 0
        else:
            index = self._found(number, user_id)
        if index is None:
            return EMPTY
        self.owners.setdefault(index, (root, event))
        contact: Json = self._contacts[index]
        return contact

    def has(self, number: Any) -> bool:
        """Return whether a contact has this number."""
        return number is not None and self._found(number, None) is not None

    def _may_have(self, user_id: Any) -> bool:
        given, own = comparable(user_id), comparable(self._contacts[0].get("user_id"))
        return given is None or own is None or given == own

    def _found(self, number: Any, user_id: Any) -> int | None:
        if self._by_number is None:
            self._by_number = self._index("wa_id")
        index = self._by_number.get(comparable(number))
        if index is None:
            if self._by_user_id is None:
                self._by_user_id = self._index("user_id")
            index = self._by_user_id.get(comparable(user_id))
        return index

    def request_parts(self) -> tuple[str, str, str]:
        """Return what identifies the request: it identifies contacts that belong to no event."""
        return request_parts(self._raw)

    def _index(self, name: str) -> dict[str | None, int]:
        found: dict[str | None, int] = {}
        for index, contact in enumerate(self._contacts):
            if contact.__class__ is dict and (number := comparable(contact.get(name))) is not None:
                found.setdefault(number, index)
        return found
