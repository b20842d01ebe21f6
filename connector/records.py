"""The values that travel through the pipeline, from the HTTP request to the answer.

All are frozen. None shows a body, a number or a key in its `repr`: `__repr__` names the kind and sizes only.
The reasons of dead letters and the steps are closed sets, so that a typo is a type error.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from connector.refusals import Refusal

Json = dict[str, Any]
"""A JSON object as decoded: strings, ints, Decimals for numbers with a fraction, lists, dicts, booleans, None."""

Step = Literal["decode", "split", "encode", "produce"]

Reason = Literal[
    "not_utf8",
    "not_json",
    "not_multipart",
    "not_xml",
    "too_deep",
    "not_an_object",
    "unknown_shape",
    "meta_direct",
    "nothing_in_it",
    "too_many_items",
    "too_large",
    "not_an_object_item",
    "no_key",
    "missing",
    "does_not_fit",
    "refused_by_kafka",
    "internal_error",
]
"""Why something became a dead letter. The `doc` of the dead letter's schema has the same list (a test compares)."""

REASONS: tuple[Reason, ...] = get_args(Reason)

ProfileKey = Literal[
    "meta_object",
    "extra_info",
    # An incoming message.
    "body",
    "mime_type",
    "media_url",
    "from",
    "name",
    "type",
    "created_at",
    "reply_to",
    "wanumber",
    "mobile",
    "custom_response",
    "message",
    "contacts",
    "location",
    # A status.
    "id",
    "timestamp",
    "status",
    "phone_number",
    "error",
    "error_code",
    "ref",
    "ref1",
    "ref2",
    "price",
    # A template's status, and a number's quality.
    "time",
    "event",
    "message_template_id",
    "message_template_name",
    "message_template_language",
    "reason",
    "callback_profile_id",
    "company_id",
    "other_info",
    "display_phone_number",
    "current_limit",
]
"""The keys that Kaleyra documents for callback profiles, whose templates its customers write."""

PROFILE_KEYS: frozenset[str] = frozenset(get_args(ProfileKey))

EMPTY: Json = {}
"""What an absent object of the wire is to the code that reads it. Never written to."""


class RawCallback(msgspec.Struct, frozen=True, gc=False):
    """One authentic HTTP request of Kaleyra, as received.

    `query` is the query string without the credential; `received_at` is in milliseconds since 1970. A callback that is
    replayed was received then too, and knows when it is replayed (likewise), and how often it was tried with this time.
    """

    method: str
    query: str
    content_type: str
    body: bytes
    received_at: int
    traceparent: str | None = None
    tracestate: str | None = None
    attempts: int = 1
    replayed_at: int | None = None

    def __repr__(self) -> str:
        return f"RawCallback({self.method}, {len(self.body)} bytes)"


class AccountEvent(msgspec.Struct, frozen=True):
    """What a callback says about the account, not about a person.

    `content` is `{"type", "payload"}` and, where known, `event`, `timestamp`, `current_limit`, `reason`, `errors`,
    `message_template_id`, `_name`, `_language`. `is_too_deep`: nested too deep to be searched for people.
    """

    content: Json
    is_too_deep: bool = False

    def __repr__(self) -> str:
        return "AccountEvent()"


class PersonalObject(msgspec.Struct, frozen=True):
    """An object that names a person, found in another `field` of WhatsApp's than `messages`.

    `message` has the shape of a message: `{"id", "type": field, "timestamp", "from", "from_user_id", "entry": the object as
    received, "within": the plain facts of the objects around it}`. `path` leads from the value of `field` to the object:
    for each container, outermost first, its plain facts and the key inside it, or None for a list.
    """

    message: Json
    field: str
    element: Any
    path: tuple[tuple[Json, str] | None, ...]

    def value(self) -> Json:
        """Return the smallest value of `field` in which the same object is found."""
        inner = self.element
        for step in reversed(self.path):
            inner = [inner] if step is None else {**step[0], step[1]: inner}
        # The value of a field is an object, so the outermost step is one too.
        assert isinstance(inner, dict)
        return inner

    def __repr__(self) -> str:
        return "PersonalObject()"


class Callback(msgspec.Struct, frozen=True):
    """One callback in one shape, whatever dialect it arrived in.

    `root` holds the root keys beside the envelope; `contacts`, `messages` and `statuses` are lists as received, not yet
    checked to hold objects; `others` and `events` are what other fields say, of people and of the account;
    `replaced_surrogates` counts lone surrogates that became U+FFFD. If it is not `is_typed`, its message has no content of its
    type, and only keys.
    """

    metadata: Json
    contacts: list[Any]
    messages: list[Any]
    statuses: list[Any]
    extra: Json
    root: Json
    replaced_surrogates: int = 0
    others: Sequence[PersonalObject] = ()
    events: Sequence[AccountEvent] = ()
    is_typed: bool = True

    def __repr__(self) -> str:
        named = ("contacts", "messages", "statuses", "others", "events")
        return f"Callback({', '.join(f'{len(getattr(self, name))} {name}' for name in named)})"


class Fault(msgspec.Struct, frozen=True):
    """Why an item or a callback could not go its way: safe text, never content."""

    reason: Reason
    step: Step
    detail: str


Source = Literal["messages", "statuses", "contacts", "events", "dead_letters", "raw"]
"""What a record type is made from: a list of the callback, what could not go its way, or the callback as received."""


class Item(msgspec.Struct, frozen=True):
    """One message, status, contact or event on its way to become a record: its key and its view of the callback.

    The fields from `message` to `key` are the roots of the source paths in the schemas; what does not apply is empty.
    `identity` is what makes the event itself, digested into `ce_id`. `fault` is set when split already knows that no
    record can be made of it.
    """

    source: Source
    index: int
    message_type: str
    message: Json
    status: Json
    contact: Json
    event: Json
    metadata: Json
    extra: Json
    callback: Json
    key: Json
    identity: tuple[Any, ...]
    fault: Fault | None = None

    def __repr__(self) -> str:
        return f"Item({self.source}[{self.index}])"


Headers = list[tuple[str, bytes]]


class Place(msgspec.Struct, frozen=True, gc=False):
    """The position of an item in its callback: the list, and the index in it."""

    source: Source
    position: int


class KafkaMessage(msgspec.Struct, frozen=True, gc=False):
    """A record ready for Kafka: framed Avro in `value`, UTF-8 in `key`, `timestamp_ms` since 1970.

    An empty `value` is a tombstone, null on Kafka: compaction removes the records of its key.
    `place` is that of its item, None for dead letters and raw callbacks. The item itself is not kept: what was decoded of
    hundreds of callbacks that wait for Kafka would push the next ones out of the processor's cache.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers
    timestamp_ms: int
    place: Place | None

    def size_bytes(self) -> int:
        """Return the size that counts against the limits of producer and broker, headers and overhead included."""
        return (
            len(self.value)
            + (len(self.key) if self.key else 0)
            + sum(len(name) + len(content) + 10 for name, content in self.headers)
            + 64
        )

    def __repr__(self) -> str:
        return f"KafkaMessage({self.topic}, {len(self.value)} bytes)"


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before its body is read.

    Raw headers, the path's segment behind the callbacks' path, and the peer's address as text (empty: not known).
    """

    headers: list[tuple[bytes, bytes]]
    url_token: str | None
    peer: str = ""

    def __repr__(self) -> str:
        return f"Request({len(self.headers)} headers)"


class Answer(NamedTuple):
    """The HTTP answer: never a body that gives a stranger anything.

    Every answer but 200 has a `refusal`, under which it is counted and logged when it is sent.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    refusal: Refusal | None = None
