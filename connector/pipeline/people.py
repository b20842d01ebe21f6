"""The ids of people, and the contacts of one callback found by them.

People are matched by id, never by position, unless a callback has exactly one of each. Ids are compared without `+` and
blanks and used as received: nothing is normalised.
"""

import hashlib
from typing import Any

from connector.errors import Misfit
from connector.mapping.conversions import to_text
from connector.records import EMPTY, Json


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


def readable(event: Json) -> Json:
    """Return what a profile takes from its message, so that odd parts of the message do not sink the profile."""
    identity = event.get("identity")
    hashed = identity.get("hash") if identity.__class__ is dict else None
    return {**event, "id": text_of(event.get("id")), "identity": {"hash": text_of(hashed)}}


class People:
    """The contacts of one callback, found by id; `owners` remembers the first message or status of each."""

    __slots__ = ("_alone", "_body", "_body_digest", "_by_number", "_by_user_id", "_contacts", "owners")

    def __init__(self, contacts: list[Any], body: bytes, *, alone: bool) -> None:
        self._contacts = contacts
        self._body = body
        self._body_digest: str | None = None
        self._alone = alone and len(contacts) == 1 and contacts[0].__class__ is dict
        self._by_number: dict[str | None, int] | None = None
        self._by_user_id: dict[str | None, int] | None = None
        self.owners: dict[int, tuple[str, Json]] = {}

    def match(self, number: Any, user_id: Any, root: str, event: Json, *, by_position: bool = True) -> Json:
        """Return the contact that belongs to an event: by number, else by user id, else the only one; or an empty one."""
        # The only one is found by position if by nothing else.
        index = 0 if self._alone and by_position else self._found(number, user_id)
        if index is None:
            return EMPTY
        self.owners.setdefault(index, (root, event))
        contact: Json = self._contacts[index]
        return contact

    def _found(self, number: Any, user_id: Any) -> int | None:
        if self._by_number is None:
            self._by_number = self._index("wa_id")
        index = self._by_number.get(comparable(number))
        if index is None:
            if self._by_user_id is None:
                self._by_user_id = self._index("user_id")
            index = self._by_user_id.get(comparable(user_id))
        return index

    def body_digest(self) -> str:
        """Return a digest of the whole body, made once: it identifies contacts that belong to no event."""
        if self._body_digest is None:
            self._body_digest = hashlib.sha256(self._body).hexdigest()
        return self._body_digest

    def _index(self, name: str) -> dict[str | None, int]:
        found: dict[str | None, int] = {}
        for index, contact in enumerate(self._contacts):
            if contact.__class__ is dict and (number := comparable(contact.get(name))) is not None:
                found.setdefault(number, index)
        return found
