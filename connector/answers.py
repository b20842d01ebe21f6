"""Every HTTP answer of the callback path: the delivery promise, one row a constant.

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
NOT_AUTHENTIC: Final = Answer(401, ((b"www-authenticate", b'Bearer realm="callbacks"'), *_CLOSE))
"""No credential fits; nothing was produced. The connection is closed: the body of a stranger is not read."""
WRONG_PATH: Final = Answer(404, _CLOSE)
"""The path is none of the callback path, the token endpoint and the health path; nothing was read or produced."""
WRONG_METHOD: Final = Answer(405, ((b"allow", b"GET, POST"), *_CLOSE))
"""The callback path takes GET and POST only; nothing was produced."""
ONLY_POST: Final = Answer(405, ((b"allow", b"POST"), *_CLOSE))
"""The token endpoint takes POST only."""
NOT_FOR_META: Final = Answer(400, ((b"content-type", b"text/plain; charset=utf-8"),), f"{FOR_META}\n".encode())
"""Meta asks whether this is its webhook; nothing was produced. Only an authenticated caller gets this text."""
TOO_LARGE: Final = Answer(413, _CLOSE)
"""The body is larger than http.max_body_bytes, or its content-length is no number; nothing was produced."""
COMPRESSED: Final = Answer(415, ((b"accept-encoding", b"identity"), *_CLOSE))
"""The body is compressed: its decompressed size has no bound. Nothing was produced."""
TOO_OFTEN: Final = Answer(429, ((b"retry-after", b"1"),))
"""Above the rate limit of the credential, or of the source address at the token endpoint; nothing was produced."""
TARGET_TOO_LONG: Final = Answer(414, _CLOSE)
"""The query is longer than 8,192 bytes (POST) or 57,344 (GET); nothing was produced."""
NOT_CONFIRMED: Final = Answer(503, _LATER)
"""Outcome unknown: Kafka did not acknowledge in time, so a record may still have been written."""
NO_ROOM: Final = Answer(503, _LATER)
"""Nothing was enqueued: the queue is full, too many callbacks or bytes are in flight, or the bridge is starting or stopping."""
HEALTHY: Final = Answer(200, _NOT_STORED)
"""The worker takes callbacks."""
UNHEALTHY: Final = Answer(503, _NOT_STORED)
"""The worker takes no callbacks, or the instance is stopping and takes them only for shutdown.delay_seconds more."""
ONLY_GET: Final = Answer(405, ((b"allow", b"GET, HEAD"), *_CLOSE))
"""The health path takes GET and HEAD only."""
