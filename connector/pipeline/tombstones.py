"""The items of a callback in, tombstones out for the profiles of people who have another number now.

The old number may get another owner, so its profile must not stay: in `contacts` a tombstone removes it.
"""

from collections.abc import Iterable
from typing import Final

from connector.pipeline.encode import Encoder
from connector.pipeline.people import comparable
from connector.records import Item, KafkaMessage, RawCallback

CHANGED_NUMBER: Final = ("user_changed_number", "customer_changed_number")
"""What WhatsApp calls it in `system.type`, now and in older callbacks."""


def tombstones(items: Iterable[Item], contacts: Encoder, raw: RawCallback) -> list[KafkaMessage]:
    """Return a tombstone of the old key for each change of a number."""
    return [
        contacts.tombstone(item.key["value"], ("tombstone", *item.identity), raw.received_at, item)
        for item in items
        if item.message_type == "system" and _leaves_its_number(item)
    ]


def _leaves_its_number(item: Item) -> bool:
    """Return whether the key of a system message is a number that is its sender's no more."""
    system = item.message.get("system")
    if system.__class__ is not dict or system.get("type") not in CHANGED_NUMBER:
        return False
    new = comparable(system.get("wa_id")) or comparable(system.get("new_wa_id"))
    old = comparable(item.message.get("from"))
    # Without `from` the key is another id of the person, maybe the new number itself.
    return item.key["source"] == "from" and new is not None and new != old
