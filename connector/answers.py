"""Every HTTP answer of the callback path: the delivery guarantee, one row a constant.

200 says "durable, forget it"; 503 says "outcome unknown, send it again": a second delivery carries the same ids.
No answer has a body that gives a stranger anything.
"""

from typing import Final

from connector.records import Answer

FOR_META: Final = (
    "this is a request of Meta's own webhook, but this bridge takes Kaleyra's callbacks: point Meta's app at Kaleyra, and in "
    "Kaleyra's settings set this bridge as the callback URL of the number"
)
"""What to do about a callback that Meta sent directly."""

_LATER: Final = ((b"retry-after", b"5"),)
_CLOSE: Final = ((b"connection", b"close"),)
_NOT_STORED: Final = ((b"cache-control", b"no-store"),)

ACKNOWLEDGED: Final = Answer(200)
"""Every record and dead letter is acknowledged by Kafka, or there was nothing to send."""
SPOOLED: Final = Answer(200)
"""The callback is on this instance's disk, and is delivered in the order in which it was accepted."""
NOT_AUTHENTIC: Final = Answer(401, ((b"www-authenticate", b'Bearer realm="callbacks"'), *_CLOSE), refusal="not_authentic")
"""No credential fits; nothing was produced. The connection is closed: the body of a stranger is not read."""
WRONG_PATH: Final = Answer(404, _CLOSE, refusal="wrong_path")
"""The path is none of the callback path, the token endpoint and the health path; nothing was read or produced."""
WRONG_METHOD: Final = Answer(405, ((b"allow", b"GET, POST, PUT, DELETE"), *_CLOSE), refusal="wrong_method")
"""The callback path takes POST and PUT, GET and DELETE only; nothing was produced."""
NOT_FOR_META: Final = Answer(
    400, ((b"content-type", b"text/plain; charset=utf-8"),), f"{FOR_META}\n".encode(), "meta_verification"
)
"""Meta asks whether this is its webhook; nothing was produced. Only an authenticated caller gets this text."""
TOO_LARGE: Final = Answer(413, _CLOSE, refusal="too_large")
"""The body is larger than http.max_body_bytes, or its content-length is no number; nothing was produced."""
COMPRESSED: Final = Answer(415, ((b"accept-encoding", b"identity"), *_CLOSE), refusal="compressed")
"""The body is compressed: its decompressed size has no bound. Nothing was produced."""
TOO_OFTEN: Final = Answer(429, ((b"retry-after", b"1"),), refusal="too_often")
"""Above the rate limit of the credential; nothing was produced."""
TARGET_TOO_LONG: Final = Answer(414, _CLOSE, refusal="uri_too_long")
"""The query is longer than 8,192 bytes (POST, PUT) or 57,344 (GET, DELETE); nothing was produced."""
NOT_CONFIRMED: Final = Answer(503, _LATER, refusal="not_confirmed")
"""Outcome unknown: Kafka did not acknowledge in time, so a record may still have been written."""
TOPIC_UNAVAILABLE: Final = Answer(503, _LATER, refusal="topic_unavailable")
"""A topic is missing, or the bridge may not write to it. The callback's records on other topics may have been written."""
KAFKA_UNAVAILABLE: Final = Answer(503, _LATER, refusal="kafka_unavailable")
"""Nothing was enqueued: Kafka does not answer or the producer's queue is full, and the spool is off or full."""
NO_ROOM: Final = Answer(503, _LATER, refusal="no_room")
"""Nothing was enqueued: too many callbacks or bytes are in flight."""
NOT_READY: Final = Answer(503, _LATER, refusal="not_ready")
"""Nothing was enqueued: the bridge is starting or stopping, or the registry has other schemas under our ids."""
CUT_OFF: Final = Answer(503, _LATER, refusal="stopping")
"""Outcome unknown: the bridge stops, and the time to drain ended before Kafka acknowledged."""
INTERNAL_ERROR: Final = Answer(503, _LATER, refusal="internal_error")
"""Outcome unknown: an error in the bridge."""
HEALTHY: Final = Answer(200, _NOT_STORED)
"""The worker takes callbacks."""
UNHEALTHY: Final = Answer(503, _NOT_STORED)
"""The worker takes no callbacks, or the instance is stopping and takes them only for shutdown.delay_seconds more."""
ONLY_GET: Final = Answer(405, ((b"allow", b"GET, HEAD"), *_CLOSE), refusal="wrong_method")
"""The health path takes GET and HEAD only."""
