"""A `RawCallback` in, its Kafka records and dead letters out: decode, split, encode. Pure, except for the counters.

An item that fails becomes a dead letter for this item alone; a callback that cannot be read becomes one as a whole.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from connector.answers import FOR_META
from connector.catalogue import Catalogue
from connector.errors import NotDecodable
from connector.logs import RateLimitedEvent, event, fault_location
from connector.metrics import Metrics
from connector.pipeline.archive import Archive
from connector.pipeline.deadletter import DeadLetters
from connector.pipeline.decode import decode
from connector.pipeline.encode import Encoder
from connector.pipeline.split import split
from connector.pipeline.tombstones import tombstones
from connector.records import EMPTY, Callback, Fault, Item, KafkaMessage, Place, RawCallback, Source
from connector.settings.tables import ENVELOPE_BYTES

MAX_ITEMS: Final = 5000
"""WhatsApp sends at most 1,000 updates at once; a callback with more than this is a dead letter as a whole."""
MAX_CALLBACK_BYTES: Final = 16 * 1024 * 1024
"""All records of a callback together: each of them may repeat what the callback says once."""


class Translator:
    """Translates callbacks with an encoder for each record type.

    `renamed_keys` maps the keys of a customer's own template to Kaleyra's. Sources in `leave_out` become neither records nor
    dead letters.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encoders: Mapping[str, Encoder],
        metrics: Metrics,
        renamed_keys: Mapping[str, str] = EMPTY,
        *,
        leave_out: Collection[Source] = (),
    ) -> None:
        self.topics = [record_type.topic for record_type in catalogue]
        self.dead_letter_topic = catalogue.dead_letter.topic
        self._of_message = {kind: encoders[record_type.name] for kind, record_type in catalogue.by_message_type.items()}
        self._of_other_message = encoders[catalogue.any_message.name]
        by_source = {"statuses": catalogue.status, "contacts": catalogue.contact, "events": catalogue.account_event}
        self._of_source = {source: encoders[record_type.name] for source, record_type in by_source.items()}
        self._of_elements = _encoders_of_elements(catalogue, encoders)
        self._dead_letters = DeadLetters(encoders[catalogue.dead_letter.name])
        self._archive = Archive(encoders[catalogue.raw.name]) if catalogue.raw else None
        self._metrics = metrics
        self._renamed_keys = renamed_keys
        self._leave_out = leave_out
        self._forgets_changed_numbers = catalogue.policy.rules.forget_changed_numbers
        self._from_meta = RateLimitedEvent("callbacks_from_meta")

    def translate(self, raw: RawCallback) -> Sequence[KafkaMessage]:
        """Return the records and dead letters of a callback, in the order of its items; the raw copy, if any, comes last."""
        known: Callback | NotDecodable | None = None
        try:
            known = decode(raw, self._renamed_keys)
            messages = self._records_of(raw, known)
        except NotDecodable as refused:
            known = refused
            if refused.reason == "meta_direct":
                self.log_from_meta()
            messages = [self._dead_letter_for_callback(raw, Fault(refused.reason, "decode", refused.detail), refused)]
        except Exception as unexpected:  # noqa: BLE001 - a defect of ours must not lose a callback; it is logged and counted
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            messages = [self._dead_letter_for_callback(raw, Fault("internal_error", "encode", type(unexpected).__name__))]
        if self._archive:
            metadata, extra = (known.metadata, known.extra) if known else (EMPTY, EMPTY)
            messages.append(self._archive.copy_of(raw, metadata, extra))
        return messages

    def dead_letter(self, raw: RawCallback, place: Place | None, fault: Fault) -> KafkaMessage:
        """Return the dead letter of one record of a callback, by its place; of the whole callback where that is None."""
        if place is None:
            return self._dead_letter_for_callback(raw, fault)
        self._metrics.dead_letters.labels(fault.reason).inc()
        callback = decode(raw, self._renamed_keys)
        item = next(item for item in split(callback, raw).items if Place(item.source, item.index) == place)
        return self._dead_letters.of_item(raw, callback, item, fault)

    def log_from_meta(self) -> None:
        """Log that Meta calls the bridge directly, at most once a minute for callbacks and verifications together."""
        self._from_meta.event(advice=FOR_META)

    def _records_of(self, raw: RawCallback, callback: Callback) -> list[KafkaMessage]:
        parted = split(callback, raw)
        self._metrics.count_adjusted(
            callback.replaced_surrogates, parted.contacts_without_profile, parted.contacts_without_key, parted.ambiguous_extras
        )
        items = parted.items
        if self._leave_out:
            items = [item for item in items if item.source not in self._leave_out]
        if len(items) > MAX_ITEMS:
            fault = Fault("too_many_items", "split", f"{len(items)} items; the limit is {MAX_ITEMS}")
            return [self._dead_letter_for_callback(raw, fault, callback)]
        messages: list[KafkaMessage] = []
        faults: list[Fault] = []
        size_bytes = 0
        # A record is hardly larger than its callback, which is small as a rule: then there is nothing to measure.
        may_be_too_large = len(items) * 4 * (len(raw.body) + ENVELOPE_BYTES) > MAX_CALLBACK_BYTES
        for item in items:
            encoded = self._encoder_of(item).encode(item, raw)
            elements: Sequence[KafkaMessage] = ()
            if self._of_elements and not isinstance(encoded, Fault):
                encoded, elements = self._with_elements(item, encoded, raw)
            if isinstance(encoded, Fault):
                faults.append(encoded)
                encoded = self._dead_letters.of_item(raw, callback, item, encoded)
            messages.append(encoded)
            messages += elements
            if may_be_too_large or elements:
                size_bytes += encoded.size_bytes() + sum(element.size_bytes() for element in elements)
                if size_bytes > MAX_CALLBACK_BYTES:
                    fault = Fault("too_large", "encode", f"its records have over {MAX_CALLBACK_BYTES} bytes")
                    return [self._dead_letter_for_callback(raw, fault, callback)]
        if self._forgets_changed_numbers and "contacts" not in self._leave_out:
            messages += tombstones(items, self._of_source["contacts"], raw)
        for fault in faults:
            self._metrics.dead_letters.labels(fault.reason).inc()
        return messages

    def _with_elements(
        self, item: Item, encoded: KafkaMessage, raw: RawCallback
    ) -> tuple[KafkaMessage | Fault, Sequence[KafkaMessage]]:
        """Return the record of an item and those of its elements, or the fault of one of them: then it has none."""
        elements: list[KafkaMessage] = []
        for encoder in self._of_elements.get((item.source, item.message_type), ()):
            further = encoder.encode_each(item, raw)
            if isinstance(further, Fault):
                return further, ()
            elements += further
        return encoded, elements

    def _encoder_of(self, item: Item) -> Encoder:
        if item.source == "messages":
            return self._of_message.get(item.message_type, self._of_other_message)
        return self._of_source[item.source]

    def _dead_letter_for_callback(
        self, raw: RawCallback, fault: Fault, known: Callback | NotDecodable | None = None
    ) -> KafkaMessage:
        self._metrics.dead_letters.labels(fault.reason).inc()
        if known is None:
            return self._dead_letters.of_callback(raw, fault)
        return self._dead_letters.of_callback(raw, fault, known.metadata, known.extra)


def _encoders_of_elements(catalogue: Catalogue, encoders: Mapping[str, Encoder]) -> dict[tuple[Source, str], list[Encoder]]:
    """Return the encoders of the record types that are made of an item's elements, by its source and message type."""
    found: dict[tuple[Source, str], list[Encoder]] = {}
    for record_type in catalogue.each:
        for kind in record_type.message_types or ("",):
            found.setdefault((record_type.source, kind), []).append(encoders[record_type.name])
    return found
