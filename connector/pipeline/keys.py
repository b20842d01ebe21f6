"""The ids of an entry in, the key of its records out: the first rule that gives an id wins.

The rules are those of the contract; see README, "Keys".
"""

from collections.abc import Iterable
from typing import Any, Final

from connector.pipeline.addressing import Addressed
from connector.pipeline.people import comparable, text_of
from connector.records import EMPTY, Json

NO_KEY: Final[Json] = {"value": None, "source": None}


def first_key(rules: Iterable[tuple[str, Any]]) -> Json:
    """Return the first id that a rule `(source, value)` gives, as `{"value", "source"}`; `NO_KEY` if none does."""
    for source, value in rules:
        text = value if value.__class__ is str else text_of(value)
        # Blanks alone, or a plus, are no id.
        if text and (text.isalnum() or comparable(text)):
            return {"value": text, "source": source}
    return NO_KEY


def message_key(contact: Json, number: Any, user_id: Any, *, moved: bool = False) -> Json:
    """Return the key of a message, by the contact it belongs to and its own ids.

    `moved` says that its user id came in the place of the number.
    """
    wa_id = contact.get("wa_id")
    if wa_id.__class__ is str and wa_id.isalnum():
        # Nearly every message: no need to make a list of the rules.
        return {"value": wa_id, "source": "wa_id"}
    own = "user_id" if moved else "from_user_id"
    return first_key((("wa_id", wa_id), ("from", number), ("user_id", contact.get("user_id")), (own, user_id)))


def change_key(contact: Json, number: Any, old_user_id: Any) -> Json:
    """Return the key of a change of a user id: the contact has the new one, earlier records have the old one."""
    return first_key((("wa_id", contact.get("wa_id")), ("from", number), ("from_user_id", old_user_id)))


def system_key(message: Json, contact: Json, *, moved: bool = False) -> Json:
    """Return the key of a system message. It reports a change of `from`, so that comes first and the new ids last."""
    system = message.get("system")
    news = system if system.__class__ is dict else EMPTY
    return first_key(
        (
            ("from", message.get("from")),
            ("wa_id", contact.get("wa_id")),
            ("user_id", contact.get("user_id")),
            ("user_id" if moved else "from_user_id", message.get("from_user_id")),
            ("system.wa_id", news.get("wa_id")),
            ("system.user_id", news.get("user_id")),
        )
    )


def number_key(recipient: str, contact: Json) -> Json:
    """Return the key of a status that names a number and no other id."""
    if contact is EMPTY:
        return {"value": recipient, "source": "recipient_id"}
    return first_key((("wa_id", contact.get("wa_id")), ("recipient_id", recipient)))


def status_key(to: Addressed, contact: Json) -> Json:
    """Return the key of a status, by the contact it belongs to and whom it is about."""
    wa_id = contact.get("wa_id")
    if wa_id.__class__ is str and wa_id.isalnum():
        return {"value": wa_id, "source": "wa_id"}
    return first_key(
        (
            ("wa_id", wa_id),
            (to.number_rule, to.number),
            (to.user_id_rule, to.user_id),
            *to.group,
            ("user_id", contact.get("user_id")),
        )
    )
