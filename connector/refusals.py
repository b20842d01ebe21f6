"""The one table of refusals: why a request was not answered 200, what that means, and what helps.

The reasons are a closed set, so that a typo is a type error. `connector.answers` and `connector.http` give each its answer.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Refusal = Literal[
    # The listener's: the request did not reach a path.
    "tls_handshake",
    "too_many_connections",
    "malformed_http",
    "headers_too_large",
    "headers_too_slow",
    "body_too_slow",
    "body_incomplete",
    "too_many_pipelined",
    # The request itself.
    "wrong_path",
    "wrong_method",
    "uri_too_long",
    "not_authentic",
    "too_often",
    "meta_verification",
    "compressed",
    "too_large",
    # The token endpoint's.
    "token_wrong_method",
    "token_too_often",
    "token_malformed",
    "token_unsupported_grant",
    "token_not_authentic",
    # Ours: 503, and the sender should try again.
    "not_ready",
    "no_room",
    "kafka_unavailable",
    "topic_unavailable",
    "not_confirmed",
    "stopping",
    "internal_error",
]
"""Why a request was not answered 200. `REFUSALS` says what each means."""


class Explanation(NamedTuple):
    """What a refusal means, and what helps if the sender is one of yours."""

    meaning: str
    advice: str


_FROM_A_SCANNER: Final = "requests of strangers need nothing"
_CREDENTIAL: Final = (
    "compare the token or header in Kaleyra's settings with [authentication]; behind a proxy, check that it passes the header "
    f"on, and trusted_proxies if a credential has networks; {_FROM_A_SCANNER}"
)

REFUSALS: Final[Mapping[Refusal, Explanation]] = {
    "tls_handshake": Explanation(
        "The TLS handshake failed; the log has OpenSSL's word for why.",
        "a sender of yours needs https, TLS 1.2 or newer, and a client certificate if tls.client_ca_path is set",
    ),
    "too_many_connections": Explanation(
        "The worker has `http.max_connections` connections already.",
        "raise http.max_connections, add workers, or let the proxy in front reuse its connections",
    ),
    "malformed_http": Explanation(
        "The request is not valid HTTP, or a proxy in front could read it in another way.",
        "check that the sender's URL has the right scheme: https to a port without TLS gives this",
    ),
    "headers_too_large": Explanation(
        "The headers are larger than 64 KiB, or there are more than 128.",
        "have the callback profile send fewer headers, or its values in the body (POST)",
    ),
    "headers_too_slow": Explanation(
        "The headers were not complete within `http.header_timeout_seconds`.",
        "check for a health check or a proxy that opens connections and sends nothing",
    ),
    "body_too_slow": Explanation(
        "The body was not complete within `http.body_timeout_seconds`.",
        "check the network between sender and bridge, or raise http.body_timeout_seconds",
    ),
    "body_incomplete": Explanation(
        "The sender closed the connection before its body was complete. It got no answer.",
        "check the timeouts of the sender and of the proxy in front",
    ),
    "too_many_pipelined": Explanation(
        "More than 32 requests waited on one connection; it is closed after the answers to those before.",
        "have the sender wait for answers, or use more connections",
    ),
    "wrong_path": Explanation(
        "The path is neither the callback path nor the token endpoint.",
        f"compare the URL in Kaleyra's settings with http.path; a proxy must not change the path; {_FROM_A_SCANNER}",
    ),
    "wrong_method": Explanation(
        "The method is none of POST, PUT, GET, DELETE.",
        f"choose POST in Kaleyra's callback profile; {_FROM_A_SCANNER}",
    ),
    "uri_too_long": Explanation(
        "The query is too long.", "choose POST in Kaleyra's callback profile, so that the values are in the body"
    ),
    "not_authentic": Explanation("No credential fits.", _CREDENTIAL),
    "too_often": Explanation(
        "A credential is over its limit of callbacks per second; `connector_rate_limited_callbacks_total` says which.",
        "raise max_callbacks_per_second of the credential",
    ),
    "meta_verification": Explanation(
        "Meta asked whether this is its webhook.",
        "point Meta's app at Kaleyra, and in Kaleyra's settings set this bridge as the callback URL of the number",
    ),
    "compressed": Explanation(
        "The body is compressed, by its Content-Encoding.", "switch compression of requests off in the proxy in front"
    ),
    "too_large": Explanation(
        "The body is over `http.max_body_bytes`, or its Content-Length is no number.",
        "raise http.max_body_bytes, then run `connector topics create --alter`",
    ),
    "token_wrong_method": Explanation(
        "A request to the token endpoint was no POST.", "choose POST in the advanced authentication of Kaleyra's profile"
    ),
    "token_too_often": Explanation(
        "A source asked for tokens more often than `oauth.max_requests_per_minute`.",
        "raise oauth.max_requests_per_minute; behind a proxy, set authentication.trusted_proxies",
    ),
    "token_malformed": Explanation(
        "The body of a request for a token is neither JSON nor a form.", "have the client send a form or JSON"
    ),
    "token_unsupported_grant": Explanation(
        "`grant_type` of a request for a token is not `client_credentials`.",
        "have the client ask for client_credentials",
    ),
    "token_not_authentic": Explanation(
        "Id or secret of a request for a token is wrong, or the client's `networks` do not include the caller.",
        f"compare client id and secret in Kaleyra's profile with the credential of the kind oauth; {_FROM_A_SCANNER}",
    ),
    "not_ready": Explanation(
        "The bridge is starting or stopping, or the registry has other schemas under our ids.",
        "see the reasons in /readyz",
    ),
    "no_room": Explanation(
        "Too many callbacks or bytes are in flight.",
        "add workers, or raise http.max_callbacks_in_flight and http.max_bytes_in_flight",
    ),
    "kafka_unavailable": Explanation(
        "Kafka does not answer or the producer's queue is full, and the spool is off or full.",
        "check the brokers; set spool.folder",
    ),
    "topic_unavailable": Explanation("A topic is missing, or the bridge may not write to it.", "run `connector topics check`"),
    "not_confirmed": Explanation(
        "Kafka did not acknowledge every record in time, or refused a dead letter for good.",
        "see delivery_unconfirmed and dead_letter_refused in the log",
    ),
    "stopping": Explanation(
        "The bridge stopped before Kafka acknowledged.", "raise shutdown.drain_timeout_seconds and the grace period"
    ),
    "internal_error": Explanation("An error in the bridge.", "report the line internal_error of the log"),
}
"""Every reason for which a request is refused: the values of `connector_refused_requests_total{reason}`."""
