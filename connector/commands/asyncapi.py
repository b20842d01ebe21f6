"""`connector asyncapi`: the topics as an AsyncAPI 3 document: keys, headers, Avro values, partitions and settings.

A catalogue and settings in, the document out. It says what `topics create` and `schemas register` make, and asks no server.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer

from connector import __version__
from connector.catalogue import Catalogue, RecordType
from connector.commands.options import Config
from connector.commands.resources import catalogue_without_privacy, open_settings
from connector.record_tables import ANY_TYPE
from connector.records import Json
from connector.settings.tables import Settings
from connector.topics.wanted import REPLAYED, Wanted

_KAFKA: Final = "0.5.0"
"""Version of AsyncAPI's Kafka bindings."""
_AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
_LISTS: Final = ("cleanup.policy",)
_INTEGERS: Final = ("retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes")
"""Settings of topics whose types the bindings define; all others are texts."""

_TEXT: Final = {"type": "string"}
_EVERY: Final[dict[str, Json]] = {
    "ce_specversion": {"type": "string", "const": "1.0", "description": "Version of CloudEvents."},
    "ce_id": {
        **_TEXT,
        "description": "32 hexadecimal digits that identify the event: the same for a second delivery. Drop duplicates by it.",
    },
    "ce_source": {**_TEXT, "description": "/kaleyra/whatsapp/ and the business number, or unknown."},
    "ce_time": {"type": "string", "format": "date-time", "description": "Time of the event, else of receipt, in UTC."},
}
_WITH_VALUE: Final[dict[str, Json]] = {
    "ce_dataschema": {"type": "string", "format": "uri", "description": "URL of the schema in the registry."},
    "content-type": {"type": "string", "const": "application/avro"},
}
_SOMETIMES: Final[dict[str, Json]] = {
    "connector_unfit": {
        **_TEXT,
        "description": "Paths of values that did not fit a side field, which is null; comma-separated.",
    },
    "traceparent": {**_TEXT, "description": "As received with the callback."},
    "tracestate": {**_TEXT, "description": "As received with the callback."},
    "replayed_at": {"type": "string", "format": "date-time", "description": "When the replay began that wrote the record."},
}
_OF_DEAD_LETTERS: Final[dict[str, Json]] = {
    "__connect.errors.stage": {**_TEXT, "description": "Field step of the dead letter."},
    "__connect.errors.exception.class.name": {**_TEXT, "description": "Field reason of the dead letter."},
    "__connect.errors.exception.message": {**_TEXT, "description": "Field detail of the dead letter."},
}

app = typer.Typer()


@app.command("asyncapi")
def asyncapi_command(*, config: Config = None) -> None:
    """Print the topics as an AsyncAPI 3 document, in JSON, which YAML parsers read too."""
    settings = open_settings(config)
    typer.echo(json.dumps(document(catalogue_without_privacy(settings), settings), ensure_ascii=False, indent=2))


def document(catalogue: Catalogue, settings: Settings) -> Json:
    """Return the whole document."""
    wanted, prefix = Wanted.of(settings), settings.topics.prefix
    names = {record_type.name: _name(record_type, prefix) for record_type in catalogue}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kaleyra WhatsApp callbacks on Kafka",
            "version": __version__,
            "description": (
                "Every callback of Kaleyra as typed Avro records. Values have five bytes before the Avro binary: a zero byte "
                "and the schema's id in the registry. Keys are UTF-8 text. Delivery is at least once."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": dict(_servers(settings)),
        "channels": {names[one.name]: _channel(one, wanted, names[one.name]) for one in catalogue},
        "operations": dict(_operations(catalogue, names)),
        "components": {"messages": dict(_messages(catalogue))},
    }


def _servers(settings: Settings) -> Iterator[tuple[str, Json]]:
    client = settings.kafka.client
    protocol = str(client.get("security.protocol", "plaintext")).lower()
    binding = {
        "schemaRegistryUrl": settings.registry.url.partition(",")[0].strip(),
        "schemaRegistryVendor": "confluent",
        "bindingVersion": _KAFKA,
    }
    for number, host in enumerate(str(client["bootstrap.servers"]).split(","), 1):
        if host.strip():
            yield (
                f"broker{number}",
                {
                    "host": host.strip().rpartition("://")[2],
                    "protocol": "kafka-secure" if protocol in ("ssl", "sasl_ssl") else "kafka",
                    "description": f"security.protocol={protocol}",
                    "bindings": {"kafka": binding},
                },
            )


def _channel(record_type: RecordType, wanted: Wanted, name: str) -> Json:
    replicas = wanted.replicas_of(record_type)
    config = wanted.config_of(record_type, replicas)
    return {
        "address": record_type.topic,
        "title": record_type.schema["name"],
        "description": f"{record_type.schema['doc']} {_origin(record_type)}",
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message, _ in _messages_of(record_type)},
        "bindings": {
            "kafka": {
                "topic": record_type.topic,
                "partitions": wanted.partitions_of(record_type, ()),
                "replicas": replicas,
                "topicConfiguration": {key: _setting(key, value) for key, value in config.items()},
                "bindingVersion": _KAFKA,
            }
        },
        "tags": [{"name": "compacted" if record_type.compacted else "append-only"}, {"name": name}],
    }


def _operations(catalogue: Catalogue, names: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    for record_type in catalogue:
        name = names[record_type.name]
        operation = {
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message, _ in _messages_of(record_type)],
        }
        summary = f"The bridge writes {record_type.schema['name']} records."
        yield f"send_{name}", {"action": "send", "summary": summary, **operation}
        if record_type.source in REPLAYED:
            # Readers choose their own groups; the bridge itself reads only to replay.
            group = {**_TEXT, "pattern": "^connector-replay-", "description": "One for each selection, or --group."}
            yield (
                f"replay_{name}",
                {
                    "action": "receive",
                    "summary": "`connector replay` reads it, and processes the callbacks in it again.",
                    **operation,
                    "bindings": {"kafka": {"groupId": group, "bindingVersion": _KAFKA}},
                },
            )


def _messages(catalogue: Catalogue) -> Iterator[tuple[str, Json]]:
    for record_type in catalogue:
        yield from _messages_of(record_type)


def _messages_of(record_type: RecordType) -> Iterator[tuple[str, Json]]:
    schema = record_type.schema
    yield (
        record_type.name,
        {
            "name": schema["name"],
            "title": schema["name"],
            "summary": schema["doc"],
            "contentType": "application/avro",
            "headers": headers_of(record_type),
            "payload": {"schemaFormat": _AVRO, "schema": json.loads(record_type.published_text)},
            "bindings": {"kafka": _binding(record_type)},
        },
    )
    if record_type.compacted:
        yield (
            f"{record_type.name}_deleted",
            {
                "name": f"{schema['name']}Deleted",
                "title": f"{schema['name']}, deleted",
                "summary": "A record without a value: the latest record of its key is deleted. `connector forget` writes it.",
                "headers": _object(_EVERY | _of_type(record_type), {}),
                "payload": {"type": "null"},
                "bindings": {"kafka": {"key": _key(record_type), "bindingVersion": _KAFKA}},
            },
        )


def headers_of(record_type: RecordType) -> Json:
    """Return the schema of the headers of records with a value."""
    more = _OF_DEAD_LETTERS if record_type.source == "dead_letters" else {}
    return _object(_EVERY | _of_type(record_type) | _WITH_VALUE, _SOMETIMES | more)


def _of_type(record_type: RecordType) -> Json:
    return {"ce_type": {"type": "string", "const": f"kaleyra.whatsapp.{record_type.name}"}}


def _object(required: Json, optional: Mapping[str, Json]) -> Json:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _binding(record_type: RecordType) -> Json:
    return {
        "key": _key(record_type),
        "schemaIdLocation": "payload",
        "schemaIdPayloadEncoding": "confluent",
        "schemaLookupStrategy": "TopicNameStrategy",
        "bindingVersion": _KAFKA,
    }


def _key(record_type: RecordType) -> Json:
    if record_type.keyed_by_wa_id:
        return {**_TEXT, "description": "The person's WhatsApp id or user id, or its hash; the field record_key has it too."}
    if record_type.source == "events":
        return {**_TEXT, "description": "The number, template or account that the event is about; also in record_key."}
    return {"type": ["string", "null"], "description": "Id of the business number; null if the callback has none."}


def _origin(record_type: RecordType) -> str:
    if record_type.each:
        return f"One for each element of {record_type.each}."
    if record_type.source != "messages":
        return f"Made from {record_type.source.replace('_', ' ')}."
    if ANY_TYPE in record_type.message_types:
        return "Made from messages of any other type."
    return f"Made from messages of type {', '.join(record_type.message_types)}."


def _setting(key: str, value: str) -> Any:
    if key in _LISTS:
        return value.replace(" ", "").split(",")
    return int(value) if key in _INTEGERS else value


def _name(record_type: RecordType, prefix: str) -> str:
    """Return the topic's name in the document, where references allow few characters."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", record_type.topic.removeprefix(prefix))
