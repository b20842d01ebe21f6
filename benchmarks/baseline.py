"""The baseline: the bridge as it is usually written, for comparison. It is no part of the connector.

A Starlette route with a function, `json.loads`, confluent's `AvroSerializer`, a future for each record and a thread that
polls. The records have the plain fields only; there are no headers, no metrics and no authentication. A callback that it does
not understand goes to a topic of dead letters as it is.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "baseline."
TOPICS = {
    name: f"{PREFIX}{topic}"
    for name, topic in {
        "document": "documents",
        "order": "orders",
        "media": "media",
        "text": "texts",
        "status": "statuses",
        "contact": "contacts",
        "dead_letter": "dead-letters",
    }.items()
}


def _record(name: str, strings: str, others: list[dict[str, Any]]) -> str:
    fields = [{"name": field, "type": ["null", "string"], "default": None} for field in strings.split()]
    return json.dumps({"type": "record", "name": name, "namespace": "baseline", "fields": [*fields, *others]})


_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
_RECEIVED_AT: dict[str, Any] = {"name": "received_at", "type": _MILLIS}
_TIMES: list[dict[str, Any]] = [{"name": "sent_at", "type": ["null", _MILLIS], "default": None}, _RECEIVED_AT]
_COMMON = "message_id wa_id profile_name phone_number_id display_phone_number waba_id trace_id context_message_id"
_ITEM = _record(
    "OrderItem", "product_retailer_id currency", [{"name": n, "type": "double"} for n in ("quantity", "item_price")]
)
_ITEMS: dict[str, Any] = {"name": "product_items", "type": {"type": "array", "items": json.loads(_ITEM)}}
_CONVERSATION = "conversation_id conversation_origin_type pricing_model pricing_type pricing_category"
SCHEMAS = {
    "document": _record("Document", f"{_COMMON} document_id filename mime_type sha256 caption url", _TIMES),
    "media": _record("Media", f"{_COMMON} media_id mime_type sha256 caption url", _TIMES),
    "text": _record("Text", f"{_COMMON} body", _TIMES),
    "status": _record(
        "Status",
        f"message_id wa_id status phone_number_id display_phone_number waba_id trace_id ref ref1 ref2 {_CONVERSATION}",
        _TIMES,
    ),
    "order": _record("Order", f"{_COMMON} catalog_id text ref ref1 ref2", [_ITEMS, *_TIMES]),
    "contact": _record(
        "Contact", "wa_id profile_name phone_number_id display_phone_number waba_id last_message_id", [_RECEIVED_AT]
    ),
}


class Baseline:
    """The usual application: a producer with its poll thread, a serializer for each topic."""

    def __init__(self, bootstrap_servers: str, registry_url: str) -> None:
        client = SchemaRegistryClient({"url": registry_url})
        self._serializers = {name: AvroSerializer(client, schema) for name, schema in SCHEMAS.items()}
        self._contexts = {name: SerializationContext(topic, MessageField.VALUE) for name, topic in TOPICS.items()}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "partitioner": "murmur2_random",
            }
        )
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Poll as long as the application runs."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._poll)
        thread.start()
        yield
        self._stopping = True
        thread.join()
        self._producer.flush(10)

    async def callback(self, request: Request) -> Response:
        """Take one callback: produce a record for each message and each contact, answer when all are acknowledged."""
        body = await request.body()
        try:
            futures = self._futures(json.loads(body))
        except (ValueError, TypeError, KeyError):
            futures = [self._send("dead_letter", None, body)]
        await asyncio.gather(*futures)
        return Response(status_code=200)

    def _futures(self, root: dict[str, Any]) -> "list[asyncio.Future[None]]":
        value, extra = root["meta_object"]["value"], root["extra_info"]
        received_at = time.time_ns() // 1_000_000
        people = {contact["wa_id"]: contact for contact in value.get("contacts", [])}
        futures = []
        for message in value.get("messages", []):
            contact = people.get(message["from"], {})
            record = self._message(message, contact, value["metadata"], extra, received_at)
            name = "media" if message["type"] == "image" else message["type"]
            futures.append(self._produce(name, message["from"], record))
        futures += [
            self._produce("contact", contact["wa_id"], self._contact(contact, value, extra, received_at))
            for contact in value.get("contacts", [])
        ]
        futures += [
            self._produce("status", status["recipient_id"], self._status(status, value["metadata"], extra, received_at))
            for status in value.get("statuses", [])
        ]
        return futures

    def _message(
        self,
        message: dict[str, Any],
        contact: dict[str, Any],
        metadata: dict[str, Any],
        extra: dict[str, Any],
        received_at: int,
    ) -> dict[str, Any]:
        content = message[message["type"]]
        record = {
            "message_id": message["id"],
            "wa_id": message["from"],
            "profile_name": contact.get("profile", {}).get("name"),
            "phone_number_id": metadata["phone_number_id"],
            "display_phone_number": metadata["display_phone_number"],
            "waba_id": extra["waba_id"] or None,
            "trace_id": extra["trace_id"] or None,
            "context_message_id": message.get("context", {}).get("id"),
            "sent_at": int(message["timestamp"]) * 1000,
            "received_at": received_at,
        }
        if message["type"] == "text":
            record["body"] = content["body"]
        elif message["type"] in ("document", "image"):
            record["document_id" if message["type"] == "document" else "media_id"] = content["id"]
            for name in ("filename", "mime_type", "sha256", "caption", "url"):
                record[name] = content.get(name)
        else:
            record["catalog_id"] = content["catalog_id"]
            record["text"] = content.get("text")
            for name in ("ref", "ref1", "ref2"):
                record[name] = extra.get(name) or None
            record["product_items"] = content["product_items"]
        return record

    def _contact(
        self, contact: dict[str, Any], value: dict[str, Any], extra: dict[str, Any], received_at: int
    ) -> dict[str, Any]:
        return {
            "wa_id": contact["wa_id"],
            "profile_name": contact["profile"]["name"],
            "phone_number_id": value["metadata"]["phone_number_id"],
            "display_phone_number": value["metadata"]["display_phone_number"],
            "waba_id": extra["waba_id"] or None,
            "last_message_id": value["messages"][0]["id"],
            "received_at": received_at,
        }

    def _status(
        self, status: dict[str, Any], metadata: dict[str, Any], extra: dict[str, Any], received_at: int
    ) -> dict[str, Any]:
        conversation, pricing = status.get("conversation", {}), status.get("pricing", {})
        return {
            "message_id": status["id"],
            "wa_id": status["recipient_id"],
            "status": status["status"],
            "phone_number_id": metadata["phone_number_id"],
            "display_phone_number": metadata["display_phone_number"],
            "waba_id": extra["waba_id"] or None,
            "trace_id": extra["trace_id"] or None,
            "ref": extra["ref"] or None,
            "ref1": extra["ref1"] or None,
            "ref2": extra["ref2"] or None,
            "conversation_id": conversation.get("id"),
            "conversation_origin_type": conversation.get("origin", {}).get("type"),
            "pricing_model": pricing.get("pricing_model"),
            "pricing_type": pricing.get("type"),
            "pricing_category": pricing.get("category"),
            "sent_at": int(status["timestamp"]) * 1000,
            "received_at": received_at,
        }

    def _produce(self, name: str, key: str, record: dict[str, Any]) -> "asyncio.Future[None]":
        return self._send(name, key.encode(), self._serializers[name](record, self._contexts[name]))

    def _send(self, name: str, key: bytes | None, value: bytes | None) -> "asyncio.Future[None]":
        assert self._loop is not None
        loop, future = self._loop, self._loop.create_future()

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is None:
                loop.call_soon_threadsafe(future.set_result, None)
            else:
                loop.call_soon_threadsafe(future.set_exception, KafkaException(error))

        self._producer.produce(TOPICS[name], value, key, on_delivery=delivered)
        return future

    def _poll(self) -> None:
        while not self._stopping:
            self._producer.poll(0.1)


def main() -> None:
    """Serve on 127.0.0.1; arguments: port, bootstrap servers, URL of the registry."""
    baseline = Baseline(sys.argv[2], sys.argv[3])

    async def ready(_request: Request) -> Response:
        return Response(str(os.getpid()))

    app = Starlette(
        routes=[
            Route("/callbacks/kaleyra", baseline.callback, methods=["POST"]),
            Route("/readyz", ready),
        ],
        lifespan=baseline.lifespan,
    )
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
