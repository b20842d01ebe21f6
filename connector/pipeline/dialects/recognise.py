"""The one table of dialects: what a callback's keys are tested for, in this order, and what reads it.

V2 is what nearly all are. The others are older, or made by a customer's template; of what none of them explains the bytes
are kept as a dead letter.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Never

from connector.errors import NotDecodable
from connector.pipeline.dialects import envelope, profiles
from connector.pipeline.dialects.envelope import ENVELOPE, EXTRA
from connector.pipeline.reading import read_json
from connector.records import Callback, Json

FOR_META: Final = (
    "this is Meta's own webhook, and this bridge takes Kaleyra's callbacks: point Meta's app at Kaleyra, and the number's "
    "callback URL at Kaleyra at this bridge"
)
"""What to do about a callback that comes from Meta directly."""

_NO_VALUE: Final = f"there is no object {ENVELOPE}.value"


class Received(NamedTuple):
    """The keys of a callback, and what carried them."""

    carrier: Literal["body", "form", "query"]
    keys: Json
    replaced_surrogates: int


class Dialect(NamedTuple):
    """One shape: the test that recognises it, and what makes a `Callback` of it or raises `NotDecodable`."""

    name: str
    fits: Callable[[Received], bool]
    read: Callable[[Received], Callback]


def recognise(received: Received) -> Callback:
    """Return what the first dialect that fits makes of a callback.

    Raises:
        NotDecodable: when none fits, or the one that does cannot read it.
    """
    for dialect in DIALECTS:
        if dialect.fits(received):
            return dialect.read(received)
    if ENVELOPE in received.keys:
        raise NotDecodable("unknown_shape", _NO_VALUE)
    raise NotDecodable("unknown_shape", f"the {received.carrier} is of no known shape")


def _has(*names: str) -> Callable[[Received], bool]:
    return lambda received: all(name in received.keys for name in names)


def _has_container(*names: str) -> Callable[[Received], bool]:
    return lambda received: any(received.keys.get(name).__class__ in (list, dict) for name in names)


def _is_v2(received: Received) -> bool:
    outer = received.keys.get(ENVELOPE)
    return outer.__class__ is dict and outer.get("value").__class__ is dict


def _is_in_quotes(received: Received) -> bool:
    return received.keys.get(ENVELOPE).__class__ is str


def _read_quoted(received: Received) -> Callback:
    """Read an envelope that a profile's template has put in quotes, or a form in one of its fields."""
    keys, surrogates = dict(received.keys), received.replaced_surrogates
    for name in (ENVELOPE, EXTRA):
        text = keys.get(name)
        if name == ENVELOPE or (text.__class__ is str and text[:1] == "{"):
            keys[name], more = read_json(keys[name].encode("utf-8", "surrogatepass"), name)
            surrogates += more
    inner = received._replace(keys=keys, replaced_surrogates=surrogates)
    if not _is_v2(inner):
        raise NotDecodable("unknown_shape", _NO_VALUE)
    return envelope.read_envelope(keys, keys[ENVELOPE], surrogates)


def _refuse_meta(_received: Received) -> Never:
    raise NotDecodable("meta_direct", FOR_META)


def is_verification(query: str) -> bool:
    """Return whether a query asks, as Meta does, if this is its webhook."""
    return "hub.mode=" in query and any(pair.startswith("hub.mode=") for pair in query.split("&"))


def _is_v1_message(received: Received) -> bool:
    return "type" in received.keys and ("from" in received.keys or "mobile" in received.keys)


DIALECTS: Final = (
    Dialect("v2", _is_v2, lambda got: envelope.read_envelope(got.keys, got.keys[ENVELOPE], got.replaced_surrogates)),
    Dialect("v2 in quotes", _is_in_quotes, _read_quoted),
    Dialect("meta's verification", lambda got: got.carrier == "query" and "hub.mode" in got.keys, _refuse_meta),
    Dialect("meta's own body", _has("object", "entry"), _refuse_meta),
    Dialect(
        "on-premises",
        _has_container("messages", "statuses"),
        lambda got: envelope.read_bare(got.keys, got.replaced_surrogates),
    ),
    Dialect("quality notice", _has("current_limit"), lambda got: profiles.read_quality(got.keys, got.replaced_surrogates)),
    Dialect(
        "template status",
        _has("message_template_id"),
        lambda got: profiles.read_template_status(got.keys, got.replaced_surrogates),
    ),
    Dialect("v1 message", _is_v1_message, lambda got: profiles.read_message(got.keys, got.replaced_surrogates)),
    Dialect("v1 status", _has("id", "status"), lambda got: profiles.read_status(got.keys, got.replaced_surrogates)),
    Dialect(
        "on-premises, contacts alone",
        _has_container("contacts"),
        lambda got: envelope.read_bare(got.keys, got.replaced_surrogates),
    ),
)
