"""A request of the corpus in, the same made odd out: JSON by its structure, bytes by place, the way it is carried."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from connector.records import PROFILE_KEYS, Json, RawCallback
from tests.support.callbacks import (
    BODIES,
    METADATA,
    NUMBER,
    OTHER_NUMBER,
    REJECTED,
    SAMPLES,
    body_of,
    by_form,
    by_multipart,
    by_query,
    by_xml,
    contact,
    envelope,
    field_value,
    message,
    quality_notice,
    raw,
    read,
    sample,
    status,
    template_status,
    v1_message,
    v1_status,
)

LARGEST_SEED_BYTES: Final = 20_000
SCALARS: Final[list[Any]] = [None, True, False, 0, -1, 7, 2**63, 10**30, Decimal("7.99"), Decimal("1e400"), Decimal("-0.0")]
TEXTS: Final = [
    "",
    " ",
    "0",
    "<body>",
    "wamid.A",
    NUMBER,
    f"+{NUMBER}",
    "IT.100",
    "\ud83d",
    "\0",
    "é🌻",
    "x" * 3000,
    "[]",
    "{}",
]
WORDS: Final = ["1763720000", "messages", "system", "document", '{"a": 1}']
CONTAINERS: Final[list[Any]] = [[], {}, [[]], [{}], {"": ""}, [None], {"wa_id": NUMBER}, {"errors": [{"code": "x"}]}]
ODD: Final = [*SCALARS, *TEXTS, *WORDS, *CONTAINERS]
CONTENT_TYPES: Final = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/html",
    "",
    "application/xml",
    "text/xml; charset=iso-8859-1",
    "application/soap+xml",
    "multipart/form-data; boundary=invented-boundary",
    "multipart/form-data",
    "multipart/mixed; boundary=invented-boundary",
)


def corpus() -> list[RawCallback]:
    """Return what is mutated: the samples, and a callback of every dialect."""
    bodies = [read(path) for path in [*SAMPLES, *REJECTED]]
    flat: list[Json] = [
        v1_message(),
        v1_message(type="location", location='{"latitude": 45.1}'),
        v1_status(),
        template_status(),
    ]
    flat.append(quality_notice())
    fields = [
        field_value("calls", {"metadata": METADATA, "calls": [{"id": "c", "from": NUMBER}, {"n": 1}], "errors": [{"code": 1}]}),
        field_value("history", {"history": [{"threads": [{"id": "1", "messages": [{"from": NUMBER}, {"to": OTHER_NUMBER}]}]}]}),
        field_value("account_update", {"event": "VERIFIED_ACCOUNT"}),
        body_of({"messages": [message()], "contacts": [contact()], "errors": [{"code": 1}]}),
        body_of({"meta_object": envelope([message()]).decode(), "extra_info": "{}"}),
        envelope([message(), message(OTHER_NUMBER, "document")], [contact(), contact("Marco", OTHER_NUMBER)], [status()]),
    ]
    posts = [raw(body) for body in [*bodies, *fields, *map(body_of, flat)] if len(body) <= LARGEST_SEED_BYTES]
    carried = [carry(keys) for keys in flat for carry in (by_query, by_form, by_multipart, by_xml)]
    return [*posts, *carried, *map(sample, BODIES), by_query({"hub.mode": "subscribe"})]


CORPUS: Final = corpus()


def parsed(one: RawCallback) -> Json | None:
    """Return the object that a body holds, if it does."""
    try:
        value = json.loads(one.body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def places(container: Any) -> Iterator[tuple[Any, Any]]:
    pending = [container]
    while pending:
        inner = pending.pop()
        for key in inner if isinstance(inner, dict) else range(len(inner)):
            yield inner, key
            if isinstance(inner[key], dict | list):
                pending.append(inner[key])


PARSED: Final = [value for one in CORPUS if (value := parsed(one))]
KEYS: Final = sorted({str(key) for value in PARSED for _, key in places(value)} | PROFILE_KEYS | {"hub.mode", "payload", ""})


class Mutator:
    """Makes one request of the corpus odd; everything it decides comes from its dice."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def request(self) -> RawCallback:
        """Return a mutated request."""
        one = self._dice.choice(CORPUS)
        kind = self._dice.random()
        value: Any = parsed(one)
        if value and kind < 0.75:
            for _ in range(self._dice.choice((1, 1, 1, 2, 3, 8))):
                value = self._value(value)
            one = self._carried(value, one) if kind < 0.05 else with_changes(one, body=_text(value))
        return self._bytes(one) if kind > 0.65 else one

    def _value(self, root: Any) -> Any:
        """Change one place of a JSON value."""
        holder = [root]
        container, key = self._dice.choice(list(places(holder)))
        part = container[key]
        match self._dice.randrange(9):
            case 0 if isinstance(container, dict):
                del container[key]
            case 1:
                container[key] = _copy(self._dice.choice(ODD))
            case 2 if isinstance(part, dict):
                part[self._dice.choice(KEYS)] = _copy(self._dice.choice(ODD))
            case 3 if isinstance(container, dict):
                container[self._dice.choice(KEYS)] = container.pop(key)
            case 4 if isinstance(part, list):
                part += [_copy(one) for one in part] * self._dice.choice((1, 2, 20))
                self._dice.shuffle(part)
            case 5:
                container[key] = part[0] if isinstance(part, list) and part else [part]
            case 6:
                other, there = self._dice.choice(list(places([self._dice.choice(PARSED)])))
                container[key] = _copy(other[there])
            case 7:
                for _ in range(self._dice.choice((1, 5, 500))):
                    part = {"a": part} if self._dice.random() < 0.5 else [part]
                container[key] = part
            case _:
                container[key] = _text(part).decode("utf-8", "replace") if isinstance(part, dict | list) else str(part)
        return holder[0]

    def _carried(self, value: Any, one: RawCallback) -> RawCallback:
        """Carry the top of an object another way."""
        keys = value if isinstance(value, dict) else {"a": value}
        texts = {str(name): part if isinstance(part, str) else _text(part) for name, part in keys.items()}
        pairs = urlencode(texts, errors="replace")[:6000]
        match self._dice.randrange(5):
            case 0 | 1:
                return with_changes(one, body=b"", method=self._dice.choice(("GET", "DELETE")), query=pairs)
            case 2:
                carried = by_multipart(texts)
            case 3:
                # A name that is no name of an element makes the XML unreadable: a dead letter.
                carried = by_xml({name: part if isinstance(part, str) else part.decode() for name, part in texts.items()})
            case _:
                return with_changes(one, body=pairs.encode(), content_type=CONTENT_TYPES[1])
        return with_changes(carried, received_at=one.received_at)

    def _bytes(self, one: RawCallback) -> RawCallback:
        """Change some bytes of the body, or of the query if there is none; seldom the method or the kind of content."""
        data = bytearray(one.body or one.query.encode("latin-1", "replace"))
        for _ in range(self._dice.choice((1, 2, 5))):
            place = self._dice.randrange(len(data) + 1)
            match self._dice.randrange(5):
                case 0:
                    data[place : place + self._dice.randrange(1, 9)] = b""
                case 1:
                    data[place:place] = self._dice.choice(
                        (
                            *(b"\xff", b"\0", b'"', b"[", b"{", b",", b"9" * 400, b"&=", b"%", b"\\ud83d"),
                            *(b"<a>", b"</a>", b"<![CDATA[", b"<!DOCTYPE a [", b"&x;", b"<?xml", b"--invented-boundary\r\n"),
                        )
                    )
                case 2 if place < len(data):
                    data[place] ^= 1 << self._dice.randrange(8)
                case 3:
                    data[place:place] = data[place : place + self._dice.randrange(1, 200)]
                case _:
                    del data[max(place, len(data) - 60) :]
        changed = with_changes(one, body=bytes(data)) if one.body else with_changes(one, query=bytes(data).decode("latin-1"))
        if self._dice.random() < 0.1:
            method, kind = self._dice.choice(("GET", "POST", "PUT", "DELETE")), self._dice.choice(CONTENT_TYPES)
            changed = with_changes(changed, method=method, content_type=kind)
        return changed


def with_changes(one: RawCallback, **changes: Any) -> RawCallback:
    given = {name: getattr(one, name) for name in ("method", "query", "content_type", "body", "received_at")}
    return RawCallback(**{**given, **changes})


def _copy(value: Any) -> Any:
    """Return a copy that shares nothing: what is mutated must not be what the next case is made of."""
    try:
        return json.loads(_text(value), parse_float=Decimal) if isinstance(value, dict | list) else value
    except (ValueError, RecursionError):
        return "too deep"


def _text(value: Any) -> bytes:
    try:
        return body_of({"": value})[len('{"":') : -1]
    except RecursionError:
        return b"[" * 3000
