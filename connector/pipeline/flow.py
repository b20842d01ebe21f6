"""The way of a callback, on one screen.

authenticate   the raw request passes, or 401 and nothing is produced
decode         bytes → Callback, or one dead letter with the original bytes
split          Callback → one Item per message, status, contact and event
encode         Item → KafkaMessage, or a dead letter for this item alone
produce        all records together → every delivery report awaited; or the callback into the spool, while Kafka is away
acknowledge    outcomes → the HTTP answer
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from connector.answers import FOR_META, NO_ROOM, NOT_AUTHENTIC, NOT_FOR_META, SPOOLED, TOO_OFTEN
from connector.auth.authenticate import Credentials, Gate
from connector.auth.quota import Caller
from connector.catalogue import Catalogue
from connector.errors import NoRoom, NotDecodable
from connector.logs import RateLimitedEvent, event, fault_location
from connector.metrics import Metrics
from connector.pipeline.acknowledge import acknowledge
from connector.pipeline.archive import Archive
from connector.pipeline.deadletter import DeadLetters
from connector.pipeline.decode import decode
from connector.pipeline.dialects.recognise import is_verification
from connector.pipeline.encode import Encoder
from connector.pipeline.outcome import Outcome
from connector.pipeline.ports import NoSpool, Sink, Spool
from connector.pipeline.split import split
from connector.pipeline.tombstones import tombstones
from connector.records import EMPTY, Answer, Callback, Fault, Item, KafkaMessage, Place, RawCallback, Request, Source
from connector.settings.tables import ENVELOPE_BYTES

MAX_ITEMS: Final = 5000
"""WhatsApp sends at most 1,000 updates at once; a callback with more than this is a dead letter as a whole."""
MAX_CALLBACK_BYTES: Final = 16 * 1024 * 1024
"""All records of a callback together: what it says once may stand in each of its records."""


class Flow:
    """Carries callbacks: `handle` from request to answer, `deliver` into Kafka, `messages_of` the pure part of the way.

    What comes of the sources in `leave_out` becomes neither record nor dead letter.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encoders: Mapping[str, Encoder],
        credentials: Credentials,
        sink: Sink,
        metrics: Metrics,
        renamed_keys: Mapping[str, str] = EMPTY,
        spool: Spool | None = None,
        *,
        leave_out: Collection[Source] = (),
    ) -> None:
        self._of_message = {kind: encoders[record_type.name] for kind, record_type in catalogue.by_message_type.items()}
        self._of_other_message = encoders[catalogue.any_message.name]
        by_source = {"statuses": catalogue.status, "contacts": catalogue.contact, "events": catalogue.account_event}
        self._of_source = {source: encoders[record_type.name] for source, record_type in by_source.items()}
        self._gate = Gate(credentials)
        self._callers = {name: Caller(name, limit, metrics) for name, limit in credentials.limits().items()}
        self._sink = sink
        self._spool = spool or NoSpool()
        self._metrics = metrics
        self._renamed_keys = renamed_keys
        self._from_meta = RateLimitedEvent("callbacks_from_meta")
        self._letter_refused = RateLimitedEvent("dead_letter_refused", "error")
        self._acknowledged = {record_type.topic: metrics.acknowledged(record_type.topic) for record_type in catalogue}
        self._dead_letters = DeadLetters(encoders[catalogue.dead_letter.name])
        self._archive = Archive(encoders[catalogue.raw.name]) if catalogue.raw else None
        self._leave_out = leave_out
        self._forgets_changed_numbers = catalogue.policy.rules.forget_changed_numbers

    async def handle(  # noqa: PLR0911 - a return an answer
        self, request: Request, read: Callable[[], Awaitable[RawCallback | Answer]]
    ) -> Answer:
        """Carry one callback; `read` fetches its body once it is known to be authentic, or the answer that refuses it."""
        credential = self._gate.credential_of(request)
        if credential is None:
            return NOT_AUTHENTIC
        if not self._callers[credential].may_call():
            return TOO_OFTEN
        raw = await read()
        if isinstance(raw, Answer):
            return raw
        if raw.method == "GET" and is_verification(raw.query):
            self._from_meta.event(advice=FOR_META)
            return NOT_FOR_META
        try:
            if not (self._spool.is_waiting and await self._spool.is_ahead()):
                outcome = await self.deliver(raw)
                if not outcome.may_pass_later:
                    return acknowledge(outcome)
        except NoRoom:
            pass
        try:
            await self._spool.keep(raw, credential)
        except NoRoom:
            return NO_ROOM
        return SPOOLED

    async def deliver(self, raw: RawCallback, only: Collection[Place | None] | None = None) -> Outcome:
        """Bring a callback into Kafka; what Kafka refuses for good is a dead letter by then.

        `only` are the places of the records that are sent, when the others are in Kafka already (None: all of them are sent).
        Refused in the outcome are the records whose dead letters are refused, too.

        Raises:
            NoRoom: when nothing of it was enqueued.
        """
        messages = self.messages_of(raw)
        if only is not None:
            messages = [message for message in messages if message.place in only]
        outcome = await self._sink.send(messages)
        self._count(messages, outcome)
        if outcome.refused:
            outcome = await self._send_dead_letters(raw, outcome)
        for failure in outcome.unconfirmed:
            self._metrics.unconfirmed_records.labels(failure.error).inc()
        return outcome

    def _count(self, messages: Sequence[KafkaMessage], outcome: Outcome) -> None:
        for message in outcome.acknowledged(messages):
            self._acknowledged[message.topic].count += 1

    def messages_of(self, raw: RawCallback) -> Sequence[KafkaMessage]:
        """Return the records and dead letters that a callback becomes. Pure, but for the counters."""
        known: Callback | NotDecodable | None = None
        try:
            known = decode(raw, self._renamed_keys)
            messages = self._records_of(raw, known)
        except NotDecodable as refused:
            known = refused
            if refused.reason == "meta_direct":
                self._from_meta.event(advice=FOR_META)
            messages = [self._whole(raw, Fault(refused.reason, "decode", refused.detail), refused)]
        except Exception as unexpected:  # noqa: BLE001 - a defect of ours must not lose a callback; it is logged and counted
            event("internal_error", where=fault_location(unexpected), error=type(unexpected).__name__)
            messages = [self._whole(raw, Fault("internal_error", "encode", type(unexpected).__name__))]
        if self._archive:
            metadata, extra = (known.metadata, known.extra) if known else (EMPTY, EMPTY)
            messages.append(self._archive.copy_of(raw, metadata, extra))
        return messages

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
            return [self._whole(raw, fault, callback)]
        messages: list[KafkaMessage] = []
        faults: list[Fault] = []
        size_bytes = 0
        # A record has little more than its callback, which is small as a rule: then there is nothing to measure.
        may_be_too_large = len(items) * 4 * (len(raw.body) + ENVELOPE_BYTES) > MAX_CALLBACK_BYTES
        for item in items:
            encoded = self._encoder_of(item).encode(item, raw)
            if isinstance(encoded, Fault):
                faults.append(encoded)
                encoded = self._dead_letters.of_item(raw, callback, item, encoded)
            messages.append(encoded)
            if may_be_too_large:
                size_bytes += encoded.size_bytes()
                if size_bytes > MAX_CALLBACK_BYTES:
                    fault = Fault("too_large", "encode", f"its records have over {MAX_CALLBACK_BYTES} bytes")
                    return [self._whole(raw, fault, callback)]
        if self._forgets_changed_numbers and "contacts" not in self._leave_out:
            messages += tombstones(items, self._of_source["contacts"], raw)
        for fault in faults:
            self._metrics.dead_letters.labels(fault.reason).inc()
        return messages

    def _encoder_of(self, item: Item) -> Encoder:
        if item.source == "messages":
            return self._of_message.get(item.message_type, self._of_other_message)
        return self._of_source[item.source]

    def _whole(self, raw: RawCallback, fault: Fault, known: Callback | NotDecodable | None = None) -> KafkaMessage:
        self._metrics.dead_letters.labels(fault.reason).inc()
        if known is None:
            return self._dead_letters.of_callback(raw, fault)
        return self._dead_letters.of_callback(raw, fault, known.metadata, known.extra)

    async def _send_dead_letters(self, raw: RawCallback, outcome: Outcome) -> Outcome:
        """Send a dead letter for each record that Kafka refuses for good, even alone."""
        letters = [
            self._refused(raw, failure.message.place, Fault("refused_by_kafka", "produce", failure.error))
            for failure in outcome.refused
        ]
        again = await self._sink.send(letters)
        self._count(letters, again)
        if again.refused:
            topic, error = again.refused[0].message.topic, again.refused[0].error
            self._letter_refused.event(topic=topic, error=error, see="connector topics check")
        failure_of = dict(zip(map(id, letters), outcome.refused, strict=True))
        refused = [failure_of[id(failure.message)] for failure in again.refused]
        return Outcome(refused, outcome.unconfirmed + again.unconfirmed)

    def _refused(self, raw: RawCallback, place: Place | None, fault: Fault) -> KafkaMessage:
        if place is None:
            # A dead letter or raw callback that Kafka refuses: one of the whole, and if that is refused too, 503.
            return self._whole(raw, fault)
        self._metrics.dead_letters.labels(fault.reason).inc()
        callback = decode(raw, self._renamed_keys)
        item = next(item for item in split(callback, raw).items if Place(item.source, item.index) == place)
        return self._dead_letters.of_item(raw, callback, item, fault)
