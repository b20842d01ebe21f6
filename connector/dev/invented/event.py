"""The event of an invented callback: a person, an id, a time, and random choices for the rest; and the V2 envelope.

The same kind, number and seed give the same event, so that runs are repeatable and ids unique.
"""

import json
import random
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from connector.records import Json

_NAMES: Final = ("Giulia 🌻", "Ada Prova", "Luca", "Chiara Esempio", "Zoë", "Marco")
_FIRST_SECOND: Final = 1_763_720_000
BUSINESS: Final = {"display_phone_number": "390299955501", "phone_number_id": "104600000000001"}
WABA_ID: Final = "347000000000069"

Choice = TypeVar("Choice")


class Invented(NamedTuple):
    """One callback, ready to send: `query` without its question mark, `body` empty for GET."""

    method: str
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """The event that a callback reports; the person is one of a thousand."""

    chance: random.Random
    number: int
    message_id: str
    person: int

    @property
    def wa_id(self) -> str:
        """The person's number."""
        return f"39333555{self.person:04d}"

    @property
    def user_id(self) -> str:
        """The person's business-scoped user id."""
        return f"IT.1349{self.person:013d}"

    @property
    def name(self) -> str:
        """The person's name."""
        return _NAMES[self.person % len(_NAMES)]

    @property
    def username(self) -> str:
        """The person's username."""
        return f"prova.{self.person:04d}"

    @property
    def seconds(self) -> int:
        """When it happened, in seconds since 1970."""
        return _FIRST_SECOND + self.number

    def one_of(self, *choices: Choice) -> Choice:
        """Return one of several values at random."""
        return self.chance.choice(choices)

    def yes_or_no(self) -> bool:
        """Return true or false at random."""
        return self.chance.random() < 0.5

    def digits(self, count: int = 16) -> str:
        """Return a random id with this many digits."""
        return str(self.chance.randrange(10 ** (count - 1), 10**count))

    def uuid(self) -> str:
        """Return an id in the form of Kaleyra's ids."""
        return f"00000000-0000-4000-8000-{self.number:012d}"


def event_of(kind: str, number: int, seed: int) -> Event:
    """Return the event of a kind, a running number and a seed."""
    chance = random.Random(f"{seed}/{kind}/{number}")  # noqa: S311 - invented data, no secret
    return Event(chance, number, f"wamid.INVENTED{seed:04X}{kind.upper()}{number:012d}", chance.randrange(1000))


def envelope(event: Event, value: Json, field: str = "messages", extra: Json | None = None, **root: Any) -> Json:
    """Return a callback of Kaleyra's V2 shape around a `value`; keywords are further root keys."""
    full_value = {"messaging_product": "whatsapp", "metadata": BUSINESS, **value}
    extra_info = {"trace_id": event.uuid(), "waba_id": WABA_ID, "ref": "", "ref1": "", "ref2": "", **(extra or {})}
    return {"meta_object": {"value": full_value, "field": field}, "extra_info": extra_info, **root}


def posted(root: Json) -> Invented:
    """Return a callback whose body is JSON."""
    return Invented("POST", "", json.dumps(root, ensure_ascii=False).encode())
