"""The one table of dialects: what a callback's keys are tested for, in this order, and what reads it.

V2 is what nearly all are. The others are older, or made by a customer's template; of what none of them explains the bytes
are kept as a dead letter.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Never

from connector.answers import FOR_META
from connector.errors import NotDecodable
from connector.pipeline.dialects import encrypted, envelope, profiles
from connector.pipeline.dialects.envelope import ENVELOPE
from connector.pipeline.reading import read_json
from connector.records import Callback, Json

_NO_VALUE: Final = f"there is no object {ENVELOPE}.value"


class Received(NamedTuple):
    """The keys of a callback, and what carried them."""

    carrier: Literal["body", "form", "query", "XML"]
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


def _has_filled_container(*names: str) -> Callable[[Received], bool]:
    return lambda received: any(part.__class__ in (list, dict) and part for name in names if (part := received.keys.get(name)))


def _is_filled(received: Received, *names: str) -> bool:
    """Return whether all these keys have a value: a template's keys are there, filled or not."""
    return all(profiles.value_of(name, received.keys.get(name)) is not None for name in names)


def _is_v2(received: Received) -> bool:
    outer = received.keys.get(ENVELOPE)
    return outer.__class__ is dict and outer.get("value").__class__ is dict


def _is_in_quotes(received: Received) -> bool:
    return received.keys.get(ENVELOPE).__class__ is str


def _read_quoted(received: Received) -> Callback:
    """Read an envelope that a profile's template has put in quotes, or a form in one of its fields."""
    if encrypted.is_cipher_text(received.keys[ENVELOPE]):
        _refuse_encrypted(received)
    keys, surrogates = dict(received.keys), received.replaced_surrogates
    keys[ENVELOPE], more = read_json(keys[ENVELOPE].encode("utf-8", "surrogatepass"), ENVELOPE)
    inner = received._replace(keys=keys, replaced_surrogates=surrogates + more)
    if not _is_v2(inner):
        raise NotDecodable("unknown_shape", _NO_VALUE)
    return envelope.read_envelope(keys, keys[ENVELOPE], surrogates + more)


def _refuse_meta(_received: Received) -> Never:
    raise NotDecodable("meta_direct", FOR_META)


def _refuse_encrypted(_received: Received) -> Never:
    raise NotDecodable("unknown_shape", encrypted.DETAIL)


def is_verification(query: str) -> bool:
    """Return whether a query asks, as Meta does, if this is its webhook."""
    return "hub.mode=" in query and any(pair.startswith("hub.mode=") for pair in query.split("&"))


def _is_v1_message(received: Received) -> bool:
    if not _is_filled(received, "type"):
        return False
    return _is_filled(received, "from") or (_is_filled(received, "mobile") and not _is_filled(received, "status"))


def _is_v1_status(received: Received) -> bool:
    return _is_filled(received, "id", "status")


def _is_notice(name: str) -> Callable[[Received], bool]:
    """Return the test for a notice of the account, which has this key and says nothing of a person."""
    return lambda received: (
        _is_filled(received, name) and not any(_is_filled(received, of_person) for of_person in profiles.OF_A_PERSON)
    )


def _is_message_without_sender(received: Received) -> bool:
    return _is_filled(received, "type") and ("from" in received.keys or "mobile" in received.keys)


DIALECTS: Final = (
    Dialect("v2", _is_v2, lambda got: envelope.read_envelope(got.keys, got.keys[ENVELOPE], got.replaced_surrogates)),
    Dialect("v2 in quotes", _is_in_quotes, _read_quoted),
    Dialect("meta's verification", lambda got: got.carrier == "query" and "hub.mode" in got.keys, _refuse_meta),
    Dialect("meta's own body", _has("object", "entry"), _refuse_meta),
    Dialect(
        "on-premises",
        _has_filled_container("messages", "statuses"),
        lambda got: envelope.read_bare(got.keys, got.replaced_surrogates),
    ),
    # Before all that is read from a profile: a cipher's text would be taken for a number.
    Dialect("encrypted values", lambda got: encrypted.has_encrypted_values(got.keys), _refuse_encrypted),
    # What a person said, or what became of a message, before notices: a template may have the keys of several.
    Dialect("v1 message", _is_v1_message, lambda got: profiles.read_message(got.keys, got.replaced_surrogates)),
    Dialect("v1 status", _is_v1_status, lambda got: profiles.read_status(got.keys, got.replaced_surrogates)),
    Dialect(
        "quality notice",
        _is_notice("current_limit"),
        lambda got: profiles.read_quality(got.keys, got.replaced_surrogates),
    ),
    Dialect(
        "template status",
        _is_notice("message_template_id"),
        lambda got: profiles.read_template_status(got.keys, got.replaced_surrogates),
    ),
    # It has no key, and its dead letter says so.
    Dialect(
        "v1 message without a person",
        _is_message_without_sender,
        lambda got: profiles.read_message(got.keys, got.replaced_surrogates),
    ),
    Dialect(
        "on-premises, contacts alone or nothing",
        _has_container("messages", "statuses", "contacts"),
        lambda got: envelope.read_bare(got.keys, got.replaced_surrogates),
    ),
)
