"""Callbacks for tests: the samples, a builder of invented ones, and a flow that needs no servers.

Names, numbers and ids are invented. `flow` carries callbacks into a `MemorySink`; `decoded` reads a record back as a
consumer would, by the schema that is registered.
"""

import asyncio
import functools
import io
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import fastavro

from connector.answers import TOO_LARGE
from connector.auth.authenticate import Credentials
from connector.catalogue import Catalogue, read_catalogue
from connector.errors import NoRoom
from connector.metrics import Metrics
from connector.pipeline.decode import decode
from connector.pipeline.deliver import Deliverer
from connector.pipeline.encode import Encoder, encoders
from connector.pipeline.flow import Flow
from connector.pipeline.outcome import Failure, Outcome
from connector.pipeline.ports import Sink, Spool
from connector.pipeline.split import split
from connector.pipeline.translate import Translator
from connector.record_tables import OPTIONAL_TOPICS
from connector.records import EMPTY, Answer, Callback, Item, Json, KafkaMessage, Place, RawCallback, Request

_FOLDER: Final = Path(__file__).parents[1] / "samples"
SAMPLES: Final[list[Path]] = sorted(file for file in _FOLDER.glob("*/*") if file.parent.name not in ("rejected", "bodies"))
"""Callbacks in JSON by message type, each with at least one record."""
REJECTED: Final[list[Path]] = sorted((_FOLDER / "rejected").iterdir())
"""Callbacks that become one dead letter, named by its reason."""
BODIES: Final[list[Path]] = sorted((_FOLDER / "bodies").iterdir())
"""Callbacks in every other type of body, each with at least one record and no dead letter."""
_CONTENT_TYPES: Final = {
    ".xml": "application/xml",
    ".multipart": "multipart/form-data; boundary=invented-boundary",
    ".form": "application/x-www-form-urlencoded",
    ".txt": "text/plain; charset=utf-8",
    ".html": "text/html",
}

RECEIVED_AT: Final = 1_763_721_000_000
"""When every callback of the tests was received: 2025-11-21T10:30:00Z, minutes after the samples' events."""
MAX_MESSAGE_BYTES: Final = 4_194_304 + 65_536
REGISTRY_URL: Final = "http://registry"

NUMBER: Final = "393335550142"
OTHER_NUMBER: Final = "393335550143"
USER_ID: Final = "IT.13490000000000001"
METADATA: Final[Json] = {"display_phone_number": "390299955501", "phone_number_id": "104600000000001"}
EXTRA: Final[Json] = {
    "media_url": "https://media.example/wa/1",
    "ref": "campaign-7",
    "ref1": "order-12",
    "ref2": "it",
    "reply_to": "0b6f6c1e-9999-4222-8333-444455550000",
    "trace_id": "0b6f6c1e-1111-4222-8333-444455556666",
    "waba_id": "347000000000069",
}
ABSENT: Final = object()
"""As the value of a key: the key is not there."""


def sample_name(path: Path) -> str:
    """Name a sample for pytest's ids."""
    return f"{path.parent.name}/{path.name}"


def read(path: Path) -> bytes:
    """Return the body of a sample."""
    return path.read_bytes()


def sample(path: Path) -> RawCallback:
    """Return the request that brought a sample, with the content type of its file's name."""
    return raw(path.read_bytes(), content_type=_CONTENT_TYPES.get(path.suffix, "application/json"))


def _without_absent(given: Mapping[str, Any]) -> Json:
    return {name: value for name, value in given.items() if value is not ABSENT}


def contact(name: str | None = "Giulia", wa_id: Any = NUMBER, **more: Any) -> Json:
    """Return an entry of `contacts[]`."""
    profile = {"profile": {"name": name}} if name else {}
    return _without_absent({**profile, "wa_id": wa_id, **more})


def message(number: Any = NUMBER, message_type: Any = "text", **more: Any) -> Json:
    """Return an entry of `messages[]`; keywords replace or add keys."""
    content = {"text": {"text": {"body": "Ciao"}}, "document": {"document": {"id": "1062", "filename": "fattura.pdf"}}}
    given = {"from": number, "id": "wamid.SU5WVDAx", "timestamp": "1763720001", "type": message_type}
    return _without_absent({**given, **content.get(str(message_type), {}), **more})


def order(*product_items: Json, **more: Any) -> Json:
    """Return an order's entry of `messages[]`."""
    return message(message_type="order", order={"catalog_id": "3294", "product_items": list(product_items)}, **more)


def status(recipient_id: Any = NUMBER, **more: Any) -> Json:
    """Return an entry of `statuses[]`."""
    given = {"id": "wamid.SU5WRU5U", "status": "sent", "timestamp": "1763720100", "recipient_id": recipient_id}
    return _without_absent({**given, **more})


def envelope(
    messages: Any = ABSENT,
    contacts: Any = ABSENT,
    statuses: Any = ABSENT,
    extra: Any = EXTRA,
    metadata: Any = METADATA,
    **root: Any,
) -> bytes:
    """Return a whole callback; keywords are further root keys. Text may hold lone surrogates, numbers may be Decimals."""
    value = _without_absent(
        {
            "messaging_product": "whatsapp",
            "metadata": metadata,
            "contacts": contacts,
            "messages": messages,
            "statuses": statuses,
        }
    )
    return body_of({"meta_object": {"value": value, "field": "messages"}, "extra_info": extra, **root})


def field_value(field: Any, value: Json, extra: Any = EXTRA) -> bytes:
    """Return a callback of another `field` than messages."""
    return body_of({"meta_object": {"value": value, "field": field}, "extra_info": extra})


def v1_message(**more: Any) -> Json:
    """Return the keys of a v1 message, as Kaleyra documents them: all there, most of them empty."""
    names = ("mime_type", "media_url", "reply_to", "message", "contacts", "location")
    said = {"body": "Ciao", "name": "Giulia", "type": "text", "created_at": "1763720000", "custom_response": "false"}
    return _without_absent(
        {**dict.fromkeys(names, ""), **said, "from": NUMBER, "mobile": NUMBER, "wanumber": "390299955501", **more}
    )


def v1_status(**more: Any) -> Json:
    """Return the keys of a v1 status, as Kaleyra documents them."""
    said = {"id": "0b6f6c1e-7777-4222-8333-444455556666:0", "status": "delivered", "timestamp": "1763720100"}
    empty = dict.fromkeys(("message", "phone_number", "error", "error_code", "ref1", "ref2"), "")
    return _without_absent(
        {**empty, **said, "custom_response": "false", "mobile": NUMBER, "ref": "campaign-7", "price": "0.01", **more}
    )


def template_status(**more: Any) -> Json:
    """Return the keys of a template's status, as Kaleyra documents them."""
    template = {"id": "777000000000001", "name": "saldi", "language": "it"}
    said = {f"message_template_{name}": value for name, value in template.items()}
    beside = {"id": "1", "time": "1763720200", "event": "REJECTED", "reason": "INVALID_FORMAT", "company_id": "9"}
    return _without_absent({**said, **beside, "callback_profile_id": "5", **more})


def quality_notice(**more: Any) -> Json:
    """Return the keys of a notice about a number's rating and limit, as Kaleyra documents them."""
    given = {"display_phone_number": "390299955501", "event": "FLAGGED", "current_limit": "TIER_10K"}
    return _without_absent({**given, **more})


def body_of(root: Mapping[str, Any]) -> bytes:
    """Return the JSON of a callback, keys that are `ABSENT` left out; a lone surrogate is written as its escape."""
    return _json(_without_absent(root)).encode("utf-8", "backslashreplace")


def _json(value: Any) -> str:
    """Return the JSON of a value. No library writes both Decimals and lone surrogates."""
    match value:
        case dict():
            return "{" + ",".join(f"{_json(str(name))}:{_json(part)}" for name, part in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_json, value)) + "]"
        case Decimal():
            return str(value)
    return json.dumps(value, ensure_ascii=False)


def by_query(keys: Json) -> RawCallback:
    """Return the GET request that brought these keys."""
    return raw(b"", method="GET", query=urlencode(keys), content_type="")


def by_form(keys: Json) -> RawCallback:
    """Return the request whose form brought these keys."""
    return raw(urlencode(keys).encode(), content_type="application/x-www-form-urlencoded; charset=utf-8")


def by_multipart(keys: Mapping[str, str | bytes]) -> RawCallback:
    """Return the request whose form in parts brought these keys."""
    parts = [
        b'--invented-boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode("utf-8", "replace"), part if isinstance(part, bytes) else part.encode("utf-8", "replace"))
        for name, part in keys.items()
    ]
    return raw(b"".join(parts) + b"--invented-boundary--\r\n", content_type=_CONTENT_TYPES[".multipart"])


def by_xml(keys: Mapping[str, str]) -> RawCallback:
    """Return the request whose XML brought these keys, which must be names of elements."""
    elements = "".join(f"<{name}>{escape(part)}</{name}>" for name, part in keys.items())
    return raw(f"<callback>{elements}</callback>".encode("utf-8", "replace"), content_type="application/xml")


def raw(body: bytes, **more: Any) -> RawCallback:
    """Return the request that brought a body."""
    given: Json = {"method": "POST", "query": "", "content_type": "application/json", "received_at": RECEIVED_AT}
    return RawCallback(body=body, **{**given, **more})


def item_of(
    *, message: Json | None = None, status: Json | None = None, contact: Json | None = None, key: str | None = NUMBER
) -> Item:
    """Return an item as split makes it, for steps behind it."""
    return Item(
        source="messages" if message is not None else "statuses" if status is not None else "contacts",
        index=0,
        message_type="",
        message=message or {},
        status=status or {},
        contact=contact or {},
        event={},
        metadata=METADATA,
        extra={},
        callback={"received_at": RECEIVED_AT},
        key={"value": key, "source": "from" if key else None},
        identity=("test", message, status, contact),
    )


def callback_of(messages: Any = (), contacts: Any = (), statuses: Any = (), extra: Json | None = None) -> Callback:
    """Return a callback as decode makes it."""
    return Callback(METADATA, list(contacts), list(messages), list(statuses), extra or {}, {})


class MemorySink:
    """Keeps the records that it acknowledges in `messages`.

    `refuse` says which records Kafka would refuse for good, `confirm=False` confirms none, `room=False` has no room.
    """

    def __init__(
        self, *, refuse: Callable[[KafkaMessage], bool] | None = None, confirm: bool = True, room: bool = True
    ) -> None:
        self.messages: list[KafkaMessage] = []
        self.sends = 0
        self._refuse = refuse
        self._confirm = confirm
        self._room = room

    async def send(self, messages: Sequence[KafkaMessage]) -> Outcome:
        """Acknowledge what is neither refused nor left unconfirmed."""
        self.sends += 1
        if not self._room:
            raise NoRoom("the queue is full")
        refused = [one for one in messages if self._refuse and self._refuse(one)]
        left = [one for one in messages if not any(one is other for other in refused)]
        if self._confirm:
            self.messages += left
            left = []
        return Outcome(
            [Failure(one, "MSG_SIZE_TOO_LARGE", for_good=True) for one in refused],
            [Failure(one, "_MSG_TIMED_OUT", for_good=False) for one in left],
        )


@functools.cache
def catalogue() -> Catalogue:
    """Return the catalogue of the checkout, loaded once."""
    return read_catalogue()


@functools.cache
def whole_catalogue() -> Catalogue:
    """Return the catalogue with the copies of whole callbacks, loaded once."""
    return read_catalogue(optional=OPTIONAL_TOPICS)


def schema_ids(of: Catalogue) -> dict[str, int]:
    """Return the ids under which the tests' registry knows the schemas: 1, 2, 3, … in the order of the whole catalogue."""
    known = list(whole_catalogue().record_types)
    names = [*known, *(name for name in of.record_types if name not in known)]
    return {name: names.index(name) + 1 for name in of.record_types}


def new_encoders(of: Catalogue | None = None, metrics: Metrics | None = None) -> dict[str, Encoder]:
    """Return encoders; what they repair is counted in `metrics`."""
    of = of or catalogue()
    return encoders(of, schema_ids(of), REGISTRY_URL, MAX_MESSAGE_BYTES, metrics or Metrics())


def flow(
    sink: Sink | None = None,
    *,
    credentials: Credentials | None = None,
    metrics: Metrics | None = None,
    of: Catalogue | None = None,
    renamed_keys: Mapping[str, str] = EMPTY,
    spool: Spool | None = None,
) -> Flow:
    """Return a flow without servers."""
    of = of or catalogue()
    metrics = metrics or Metrics()
    allowed = credentials or Credentials(allow_anyone=True)
    steps = translator(metrics=metrics, of=of, renamed_keys=renamed_keys)
    return Flow(allowed, Deliverer(steps, sink or MemorySink(), metrics), metrics, spool)


def translator(
    *, metrics: Metrics | None = None, of: Catalogue | None = None, renamed_keys: Mapping[str, str] = EMPTY
) -> Translator:
    """Return a translator without servers."""
    of = of or catalogue()
    metrics = metrics or Metrics()
    return Translator(of, new_encoders(of, metrics), metrics, renamed_keys)


@functools.cache
def _shared_translator() -> Translator:
    return translator()


def messages_of(body: bytes, **more: Any) -> Sequence[KafkaMessage]:
    """Return what a body becomes; keywords are fields of the raw callback."""
    return _shared_translator().translate(raw(body, **more))


def items_of(body: bytes) -> dict[Place, Item]:
    """Return the items that a body is split into, by their places."""
    given = raw(body)
    return {Place(item.source, item.index): item for item in split(decode(given), given).items}


def answer_to(
    body: bytes | RawCallback | None,
    carrier: Flow,
    headers: Iterable[tuple[bytes, bytes]] = (),
    url_token: str | None = None,
) -> Answer:
    """Carry a body or a whole request all the way and return the answer; None is a body over the limit."""

    async def read() -> RawCallback | Answer:
        return raw(body) if isinstance(body, bytes) else body or TOO_LARGE

    return asyncio.run(carry_request(carrier, Request(list(headers), url_token), read))


async def carry_request(carrier: Flow, request: Request, read: Callable[[], Awaitable[RawCallback | Answer]]) -> Answer:
    """Carry a request as the endpoint does; `read` fetches its body once it is admitted."""
    credential = carrier.admit(request)
    if isinstance(credential, Answer):
        return credential
    received = await read()
    return received if isinstance(received, Answer) else await carrier.carry(received, credential)


@functools.cache
def _parsed(schema_text: str) -> Any:
    return fastavro.parse_schema(json.loads(schema_text))


def decoded(record: KafkaMessage, of: Catalogue | None = None) -> Json:
    """Read a record as a consumer does: magic byte and schema id checked, decoded by the registered schema."""
    of = of or catalogue()
    by_topic = {record_type.topic: record_type for record_type in of}
    record_type = by_topic[record.topic]
    assert record.value[0] == 0, "no Confluent header"
    assert int.from_bytes(record.value[1:5], "big") == schema_ids(of)[record_type.name], "another schema's id"
    stream = io.BytesIO(record.value[5:])
    value = fastavro.schemaless_reader(stream, _parsed(record_type.published_text), None)
    assert not stream.read(), "bytes behind the record"
    assert isinstance(value, dict)
    return value


def header(record: KafkaMessage, name: str) -> str | None:
    """Return a header's text; None when it is not there, an error when it is there twice."""
    values = [value.decode() for key, value in record.headers if key == name]
    assert len(values) <= 1, f"header {name} occurs {len(values)} times"
    return values[0] if values else None


def topics(records: Iterable[KafkaMessage]) -> list[str]:
    """Return the records' topics without the prefix."""
    return [record.topic.removeprefix("kaleyra.whatsapp.") for record in records]


def on(topic: str, records: Iterable[KafkaMessage]) -> list[Json]:
    """Return the decoded records of one topic, named without the prefix."""
    return [decoded(record) for record in records if record.topic == f"kaleyra.whatsapp.{topic}"]


def outcome(records: Iterable[KafkaMessage]) -> list[str]:
    """Return one word per record: its topic, or for a dead letter `dead-letters/<reason>`."""
    named = []
    for record in records:
        topic = record.topic.removeprefix("kaleyra.whatsapp.")
        named.append(f"{topic}/{decoded(record)['reason']}" if topic == "dead-letters" else topic)
    return named


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the value of a counter, 0 where it never counted."""
    metrics.flush()
    return metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0


def price(text: str) -> Decimal:
    """Return a price as a schema of scale 6 gives it back."""
    return Decimal(text).quantize(Decimal("0.000001"))
