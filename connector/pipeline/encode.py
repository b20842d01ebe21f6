"""An item in, a `KafkaMessage` out, or the `Fault` that makes it a dead letter.

The record is filled and written by functions compiled from the schema, and framed by hand with the id under which the
registry knows the schema: a zero byte and four bytes of id. What the broker would refuse is refused here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import quote

from connector.catalogue import Catalogue, RecordType
from connector.errors import Misfit
from connector.mapping.avro_writer import TEXT
from connector.mapping.conversions import AHEAD_MS, to_elements
from connector.metrics import Metrics
from connector.pipeline.digest import identity_text
from connector.pipeline.people import text_of
from connector.records import EMPTY, Fault, Headers, Item, Json, KafkaMessage, Place, RawCallback

_OLDEST_MS: Final = 7 * 24 * 3600 * 1000
"""An event's time is taken as the record's timestamp from 7 days before to `AHEAD_MS` after receipt. Brokers refuse what lies
more than an hour ahead (`message.timestamp.after.max.ms`), and with it the whole batch."""

_BESIDE_VALUE_BYTES: Final = 65536
"""More than key, headers and overhead of a record take: a record smaller by this need not be measured."""

_LONGEST_SOURCE: Final = 64
_ID_LENGTH: Final = TEXT[32]
"""What an id of 32 characters begins with in Avro."""
_MOST_ELEMENTS: Final = 5000
"""A record type made of the elements of a list makes at most so many of one item."""
_MOST_UNFIT_PATHS: Final = 32
_INDEX: Final = re.compile(r"\[[0-9]+\]")


class Encoder:
    """Encodes items as one record type; counts the values that became null, and the times that it repaired."""

    def __init__(
        self,
        record_type: RecordType,
        schema_id: int,
        registry_url: str,
        max_message_bytes: int,
        metrics: Metrics,
        more_headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._topic = record_type.topic
        self._name = record_type.name
        self._each = record_type.each
        self._unfit_values = metrics.unfit_values
        self._clamped_times = metrics.adjusted["clamped_times"]
        self._write = record_type.mapping.write
        self._key_of = record_type.key_of
        self._event_id = record_type.event_id
        self._frame = b"\0" + schema_id.to_bytes(4, "big")
        self._max_message_bytes = max_message_bytes
        self._measured_from = max_message_bytes - _BESIDE_VALUE_BYTES
        self._headers: Headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", f"kaleyra.whatsapp.{record_type.name}".encode()),
            # A registry may have several URLs, for when one of them is away; the first names its schemas.
            ("ce_dataschema", f"{registry_url.partition(',')[0].rstrip('/ ')}/schemas/ids/{schema_id}".encode()),
            ("content-type", b"application/avro"),
            *more_headers,
        ]

    def encode(self, item: Item, raw: RawCallback) -> KafkaMessage | Fault:
        """Encode a message, status or contact."""
        if item.fault:
            return item.fault
        if item.key["value"] is None:
            return Fault("no_key", "split", f"{item.source}[{item.index}] has neither a number nor a user id")
        try:
            message = self.write(item, EMPTY, self._event_id(identity_text(item.identity)), raw)
        except Misfit as misfit:
            return Fault(misfit.reason, "encode", str(misfit))
        if len(message.value) + len(raw.body) > self._measured_from:
            return self._too_large(message) or message
        return message

    def encode_each(self, item: Item, raw: RawCallback) -> list[KafkaMessage] | Fault:
        """Encode each element of the list that this record type is made of; a fault if one of them has one."""
        path = self._each
        of_item = self.ce_id(item.identity).decode()
        encoded: list[KafkaMessage] = []
        try:
            elements = _elements(item, path)
            if len(elements) > _MOST_ELEMENTS:
                return Fault("too_many_items", "split", f"{path} has {len(elements)} elements; the limit is {_MOST_ELEMENTS}")
            for number, element in enumerate(elements, 1):
                ce_id = self.ce_id((*item.identity, self._name, number))
                content = partial(self._write, element, {"number": number, "event_id": of_item})
                message = self.write(item, EMPTY, ce_id, raw, content)
                if fault := self._too_large(message):
                    return fault
                encoded.append(message)
        except Misfit as misfit:
            return Fault(misfit.reason, "encode", str(misfit.within(path, len(encoded))))
        return encoded

    def _too_large(self, message: KafkaMessage) -> Fault | None:
        limit = self._max_message_bytes
        if message.size_bytes() > limit:
            return Fault("too_large", "encode", f"the record has {message.size_bytes()} bytes; the limit is {limit}")
        return None

    def ce_id(self, identity: tuple[Any, ...]) -> bytes:
        """Return an event's id: the same event, the same id, and no number in clear."""
        return self._event_id(identity_text(identity))

    def write(
        self,
        item: Item,
        fault: Json,
        ce_id: bytes,
        raw: RawCallback,
        content_of: Callable[..., tuple[bytes, int | None]] | None = None,
    ) -> KafkaMessage:
        """Fill, write and frame one record; `content_of` is for the elements of a list.

        Raises:
            Misfit: when a value does not fit its field.
        """
        unfit: list[str] = []
        content, event_ms = (content_of or self._write)(
            item.message,
            item.status,
            item.contact,
            item.event,
            item.metadata,
            item.extra,
            item.callback,
            item.key,
            fault,
            _ID_LENGTH + ce_id,
            unfit,
        )
        key = item.key["value"]
        received_at = raw.received_at
        headers = [
            *self._headers,
            ("ce_id", ce_id),
            _source(item.metadata),
            _time(event_ms or received_at),
        ]
        if unfit:
            headers.append(self._unfit_header(unfit))
        if raw.traceparent:
            headers.append(("traceparent", raw.traceparent.encode("ascii")))
            if raw.tracestate:
                headers.append(("tracestate", raw.tracestate.encode("ascii")))
        return KafkaMessage(
            self._topic,
            self._key_of(key) if key is not None else None,
            self._frame + content,
            headers,
            received_at if event_ms is None else self._timestamp(event_ms, received_at),
            Place(item.source, item.index) if not fault else None,
        )

    def _unfit_header(self, unfit: list[str]) -> tuple[str, bytes]:
        """Count the values that became null, and name their source paths; without indexes if there are many."""
        bounded = [_INDEX.sub("[]", path) for path in unfit]
        for path in bounded:
            self._unfit_values.labels(path).inc()
        paths = unfit if len(unfit) <= _MOST_UNFIT_PATHS else bounded
        return "connector_unfit", ",".join(dict.fromkeys(paths)).encode()

    def tombstone(self, key: str, identity: tuple[Any, ...], at_ms: int, item: Item | None = None) -> KafkaMessage:
        """Return the tombstone of a key: compaction removes the key's records."""
        source = _source(item.metadata if item else EMPTY)
        headers = [
            *self._headers[:2],
            ("ce_id", self.ce_id(identity)),
            source,
            _time(at_ms),
        ]
        place = Place(item.source, item.index) if item else None
        return KafkaMessage(self._topic, self._key_of(key), b"", headers, at_ms, place)

    def _timestamp(self, event_ms: int, received_at: int) -> int:
        if received_at - _OLDEST_MS <= event_ms <= received_at + AHEAD_MS:
            return event_ms
        self._clamped_times.count += 1
        return received_at


def encoders(
    catalogue: Catalogue,
    schema_ids: Mapping[str, int],
    registry_url: str,
    max_message_bytes: int,
    metrics: Metrics,
    more_headers: Sequence[tuple[str, bytes]] = (),
) -> dict[str, Encoder]:
    """Return an encoder per record type; `schema_ids` holds the registry's id per record type.

    `more_headers` are added to every record.
    """
    return {
        one.name: Encoder(one, schema_ids[one.name], registry_url, max_message_bytes, metrics, more_headers)
        for one in catalogue
    }


def _elements(item: Item, path: str) -> list[Json]:
    root, *names = path.split(".")
    part = getattr(item, root)
    for name in names:
        part = part.get(name) if part.__class__ is dict else None
    return [] if part is None else to_elements(part, path)


def _source(metadata: Json) -> tuple[str, bytes]:
    number = text_of(metadata.get("phone_number_id")) or text_of(metadata.get("display_phone_number")) or "unknown"
    return _source_of(number[:_LONGEST_SOURCE])


# A business has a few numbers, and the messages of a second share their time.
@lru_cache(maxsize=1024)
def _source_of(number: str) -> tuple[str, bytes]:
    return "ce_source", b"/kaleyra/whatsapp/" + quote(number, safe="+").encode()


@lru_cache(maxsize=4096)
def _time(millis: int) -> tuple[str, bytes]:
    return "ce_time", iso(millis)


def iso(millis: int) -> bytes:
    """Return a time in milliseconds since 1970 as headers have it."""
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (millis % 1000)
