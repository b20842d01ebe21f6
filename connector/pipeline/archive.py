"""A callback in, the record that keeps it as received out, for the topic that any span of time can be replayed from."""

import hashlib

import msgspec

from connector.pipeline.deadletter import item_of_request
from connector.pipeline.encode import Encoder
from connector.records import EMPTY, Json, KafkaMessage, RawCallback


class Archive:
    """Makes raw callbacks with the encoder of their record type."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def copy_of(self, raw: RawCallback, metadata: Json, extra: Json) -> KafkaMessage:
        """Return a callback as received; metadata and extra are what could be read of it."""
        ce_id = self._encoder.ce_id(("raw_callback", raw.method, raw.query, hashlib.sha256(raw.body).hexdigest()))
        item = item_of_request("raw", raw, raw.body, metadata, extra)
        # Without a place: a copy that Kafka refuses is a dead letter of the whole callback.
        return msgspec.structs.replace(self._encoder.write(item, EMPTY, ce_id, raw), place=None)
