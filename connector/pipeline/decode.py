"""Bytes in, one `Callback` out, or `NotDecodable` with a reason.

msgspec reads what is clean JSON. What it refuses may still be a real callback (a name cut in the middle of an emoji), so
it is read a second time, tolerantly: a byte order mark is passed over, lone surrogates become U+FFFD and are counted,
numbers of any length are kept. What is no JSON even so stays a dead letter with its bytes; nothing is guessed.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Never

import msgspec

from connector.errors import Misfit, NotDecodable
from connector.pipeline.conversions import as_object, kind_of
from connector.records import Callback, Json, RawCallback

_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_INT: Final = 4000
"""Python refuses to read integers of more than 4,300 digits; longer ones are kept as Decimal, which reads in linear time."""

_ENVELOPE: Final = "meta_object"
_EXTRA: Final = "extra_info"


def decode(raw: RawCallback) -> Callback:
    """Read a callback.

    Raises:
        NotDecodable: when the bytes are no JSON object of a shape that we know, or there is nothing in it.
    """
    root, surrogates = _read_json(raw.body)
    if root.__class__ is not dict:
        raise NotDecodable("not_an_object", f"the body is {kind_of(root)}")
    envelope = root.get(_ENVELOPE)
    if envelope.__class__ is str:
        # A profile's template that put the envelope in quotes.
        envelope, more = _read_json(envelope.encode("utf-8", "surrogatepass"))
        surrogates += more
    if envelope.__class__ is not dict or envelope.get("value").__class__ is not dict:
        raise NotDecodable("unknown_shape", f"there is no object {_ENVELOPE}.value")
    value = envelope["value"]
    try:
        callback = Callback(
            metadata=as_object(value.get("metadata"), "metadata"),
            contacts=_list(value, "contacts"),
            messages=_list(value, "messages"),
            statuses=_list(value, "statuses"),
            extra=as_object(root.get(_EXTRA), "extra"),
            root={name: part for name, part in root.items() if name not in (_ENVELOPE, _EXTRA)},
            replaced_surrogates=surrogates,
        )
    except Misfit as misfit:
        raise NotDecodable("unknown_shape", str(misfit)) from None
    if not (callback.messages or callback.statuses or callback.contacts):
        told = "there are no messages, statuses or contacts"
        raise NotDecodable("nothing_in_it", told, callback.metadata, callback.extra)
    return callback


def _list(value: Json, name: str) -> list[Any]:
    part = value.get(name)
    if part.__class__ is list:
        return part
    if part is None or part == "":
        return []
    if part.__class__ is dict:
        return [part]
    raise Misfit(name, f"is {kind_of(part)} where a list is meant")


def _read_json(body: bytes) -> tuple[Any, int]:
    try:
        return _DECODER.decode(body), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return _read_tolerantly(body)


def _read_tolerantly(body: bytes) -> tuple[Any, int]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotDecodable("not_utf8", "the body is not UTF-8") from None
    try:
        value = json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse)
    except RecursionError:
        raise NotDecodable("too_deep", "the body is nested too deep") from None
    except ValueError:
        raise NotDecodable("not_json", "the body is not JSON" if text.strip() else "the body is empty") from None
    return _replace_surrogates(value)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # An exponent beyond what Decimal holds: no number of a callback, and JSON's grammar alone does not forbid it.
        raise ValueError("an exponent out of range") from None


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INT else Decimal(text)


def _refuse(_constant: str) -> Never:
    raise ValueError("NaN and Infinity are no JSON")


def _replace_surrogates(value: Any) -> tuple[Any, int]:
    """Replace lone surrogates in all texts and names of a decoded value, without recursion; return how many."""
    holder = [value]
    count = 0
    pending: list[Any] = [holder]
    while pending:
        container = pending.pop()
        entries = list(container.items()) if container.__class__ is dict else list(enumerate(container))
        for name, part in entries:
            if part.__class__ is str:
                container[name], replaced = _LONE_SURROGATE.subn("\ufffd", part)
                count += replaced
            elif part.__class__ is dict or part.__class__ is list:
                pending.append(part)
            if name.__class__ is str and _LONE_SURROGATE.search(name):
                container[_LONE_SURROGATE.sub("\ufffd", name)] = container.pop(name)
                count += 1
    return holder[0], count
