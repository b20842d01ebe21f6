"""A status or system message in, whom it is about out: the person, never the group, and old and new ids of a change."""

from typing import Any, Final, NamedTuple

from connector.pipeline.people import by_user_id, comparable, is_user_id, new_user_id, old_user_id
from connector.records import Json

_IN_GROUPS: Final = ("recipient_participant_id", "participant_recipient_id")
_USER_IDS_IN_GROUPS: Final = ("recipient_participant_user_id", "participant_recipient_user_id")
NOT_OF_ONE_NUMBER: Final = frozenset((*_IN_GROUPS, *_USER_IDS_IN_GROUPS, "recipient_type", "group_id", "recipient_user_id"))
"""A status without these keys is about the number in `recipient_id`."""


class Addressed(NamedTuple):
    """A status and its recipient: the person's `number` and `user_id`, and the rules under which the status gives them.

    `status` is the view for its record: the ids of a group are in `recipient_group_id` and `recipient_group_user_id`. `group`
    are the rules that the key falls back to. `identity` is the recipient in the event's id.
    """

    status: Json
    number: Any
    user_id: Any
    number_rule: str
    user_id_rule: str
    group: tuple[tuple[str, Any], ...]
    identity: Any

    @property
    def names_no_person(self) -> bool:
        """Whether it is of a group, and names no participant."""
        return bool(self.group) and not (self.number or self.user_id)


def addressed(status: Json) -> Addressed:
    """Return whom a status is about: in a group the participant, or no person if none is named."""
    recipient, user_id = status.get("recipient_id"), status.get("recipient_user_id")
    member = status.get(_IN_GROUPS[0]) or status.get(_IN_GROUPS[1])
    member_user_id = status.get(_USER_IDS_IN_GROUPS[0]) or status.get(_USER_IDS_IN_GROUPS[1])
    if not (member or member_user_id) and not _is_of_group(status, recipient):
        identity = recipient or user_id
        if not is_user_id(recipient):
            return Addressed(status, recipient, user_id, "recipient_id", "recipient_user_id", (), identity)
        status = by_user_id(status, "recipient_id", "recipient_user_id")
        rule = "recipient_user_id" if user_id else "user_id"
        return Addressed(status, None, status["recipient_user_id"], "recipient_id", rule, (), identity)
    rule = "recipient_participant_user_id"
    view = {**status, "recipient_id": None, "recipient_user_id": None}
    view |= {"recipient_group_id": recipient, "recipient_group_user_id": user_id}
    if is_user_id(member):
        for number, of_user in zip(_IN_GROUPS, _USER_IDS_IN_GROUPS, strict=True):
            view = by_user_id(view, number, of_user)
        rule = rule if member_user_id else "user_id"
        member, member_user_id = None, member_user_id or member
    identity = status.get(_IN_GROUPS[0]) or status.get(_IN_GROUPS[1]) or member_user_id or recipient or user_id
    group = (("recipient_id", recipient), ("recipient_user_id", user_id))
    return Addressed(view, member, member_user_id, "recipient_participant_id", rule, group, identity)


def _is_of_group(status: Json, recipient: Any) -> bool:
    if status.get("recipient_type") == "group":
        return True
    group = status.get("group_id")
    return bool(group) and comparable(group) == comparable(recipient)


def of_system(message: Json) -> Json:
    """Return a system message with the old user id of a change in its own place, and the new one as plain text."""
    system = message.get("system")
    if system.__class__ is not dict:
        return message
    old = old_user_id(system)
    news = by_user_id(system, "wa_id", "user_id")
    if news.get("user_id").__class__ is dict or old:
        news = {**news, "user_id": new_user_id(system)}
        message = {**message, "from_user_id": old or message.get("from_user_id")}
    return message if news is system else {**message, "system": news}
