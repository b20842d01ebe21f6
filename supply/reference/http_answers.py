"""The answers of the code in, docs/reference/http.md out.

The callback path's answers come from connector/answers.py with the texts below them; those of the token endpoint and the
listener have their texts here. The tests fail for an answer without a text.
"""

import ast
import inspect
import re
from types import ModuleType
from typing import Final

from connector import answers
from connector.http import exchange, protocol, token_endpoint
from connector.records import Answer
from supply.reference import markdown
from supply.reference.markdown import code

TOKEN_ENDPOINT: Final = {
    "INVALID_REQUEST": "The body is neither JSON nor a form.",
    "UNSUPPORTED_GRANT": "`grant_type` is not `client_credentials`.",
    "INVALID_CLIENT": "Id or secret is wrong, or the client's `networks` do not include the caller.",
}
"""Meanings of the answers of connector/http/token_endpoint.py, by the constant's name."""

LISTENER: Final = {
    "_BAD_REQUEST": "The request is not valid HTTP, or a proxy in front could read it in another way.",
    "_TIMED_OUT": "Headers or body took longer than `http.header_timeout_seconds` or `http.body_timeout_seconds`.",
    "_HEADERS_TOO_LARGE": "The headers are larger than 64 KiB, or there are more than 128.",
    "_TOO_MANY_CONNECTIONS": "The worker has `http.max_connections` connections already.",
    "_INTERNAL_ERROR": "An error in the bridge, or the drain time ended before the answer. A callback is answered 503 instead.",
    "_CONTINUE": "The client sent `expect: 100-continue`, and its headers are accepted: it can send the body.",
}
"""Meanings of the listener's own answers, by the constant's name."""

READINESS: Final = {
    "starting": "The worker has not verified schema ids, topics and producer yet.",
    "schemas": "The registry does not answer, or does not have our schemas: `connector schemas register`.",
    "topics_and_producer": "Kafka does not answer, a topic is missing, or a right is missing: `connector doctor`.",
    "schema_ids": "The registry has other schemas under our ids: nothing is produced.",
    "spool": "The spool accepts no callbacks: it is full, its oldest callback is too old, or its disk fails.",
    "spool_locked": "Another instance uses `spool.folder`: this one waits for it, up to `spool.lock_timeout_seconds`.",
    "draining": "The instance is stopping.",
}
"""Meanings of the reasons that `/readyz` gives, by name (connector/instance/readiness.py)."""

_INTRODUCTION: Final = """\
# HTTP answers

{notice}
A sender needs two rules. 2xx means that the callback is stored durably. After anything else it sends the callback again. A
second delivery is harmless: its records have the same `ce_id`. No answer has a body unless the table says so.

## Callbacks

`POST` and `GET` on `http.path`, by default `/callbacks/kaleyra`; with a URL token `<path>/<token>`.
"""

_TOKENS: Final = """\
## Token endpoint

`POST` on `oauth.path`, by default `/oauth/token`; it exists if a credential has the kind `oauth`. Bodies are JSON:
`{"access_token", "token_type", "expires_in"}`, or `{"error"}` with a code of RFC 6749. The answers 404, 405, 413, 415, 429 and
503 of the callback path occur here too.
"""

_LISTENER_TEXT: Final = """\
## Listener

These answers come before a request reaches a path. After each of them, except 100, the connection is closed.
"""

_HEALTH: Final = """\
## Health path

`GET` and `HEAD` on `http.health_path`, by default `/readyz`, for load balancers that reach only the data port. It needs no
credential, and no metric counts it. No answer has a body.
"""
_HEALTH_ANSWERS: Final = ("HEALTHY", "UNHEALTHY", "ONLY_GET")

_MANAGEMENT: Final = """\
## Management port

`management.host` and `management.port`, by default `127.0.0.1:8090`. It has no authentication.

| request | status | body |
| --- | --- | --- |
| `GET /healthz` | 200 | `ok`: the process runs |
| `GET /readyz` | 200 or 503 | JSON: `ready`; `reasons`, a text for each; `workers`, the same of each worker |
| `GET /metrics` | 200 | [metrics](metrics.md) in Prometheus' text format |

Reasons of `/readyz`:
"""


def page() -> str:
    """Return the whole page."""
    columns = ("status", "headers", "meaning")
    found = texts(answers)
    elsewhere = {"ONLY_POST", *_HEALTH_ANSWERS}
    listener = {**raw_answers(exchange), **raw_answers(protocol)}
    tokens = [(str(answer.status), _headers(answer), TOKEN_ENDPOINT[name]) for name, answer in token_answers().items()]
    granted = ("200", "`content-type: application/json`, `cache-control: no-store`", "A token for the client.")
    return "\n".join(
        (
            _INTRODUCTION.format(notice=markdown.notice("make docs", markdown.link("connector/answers.py"))),
            markdown.table(columns, sorted(_row(name, text) for name, text in found.items() if name not in elsewhere)),
            _TOKENS,
            markdown.table(columns, [granted, *tokens]),
            _HEALTH,
            markdown.table(columns, [_row(name, found[name]) for name in _HEALTH_ANSWERS]),
            _LISTENER_TEXT,
            markdown.table(columns, sorted((*_of_bytes(given), LISTENER[name]) for name, given in listener.items())),
            _MANAGEMENT,
            markdown.table(("reason", "meaning"), [(code(name), meaning) for name, meaning in READINESS.items()]),
        )
    )


def texts(module: ModuleType) -> dict[str, str]:
    """Return the text below each answer of a module, by the constant's name; an answer without one has an empty text."""
    body = ast.parse(inspect.getsource(module)).body
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if isinstance(getattr(module, name), Answer):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                found[name] = str(after.value.value) if is_text else ""  # type: ignore[union-attr]
    return found


def token_answers() -> dict[str, Answer]:
    """Return the answers that the token endpoint has itself, by the constant's name."""
    common = set(texts(answers))
    return {name: given for name, given in vars(token_endpoint).items() if isinstance(given, Answer) and name not in common}


def raw_answers(module: ModuleType) -> dict[str, bytes]:
    """Return the answers that a module writes itself, as bytes or as an ASGI message, by the constant's name."""
    found = {}
    for name, given in vars(module).items():
        if isinstance(given, bytes) and given.startswith(b"HTTP/1.1 "):
            found[name] = given
        elif isinstance(given, dict) and given.get("type") == "http.response.start":
            found[name] = b"HTTP/1.1 %d\r\nconnection: close\r\n" % given["status"]
    return found


def _row(name: str, text: str) -> tuple[str, str, str]:
    answer: Answer = getattr(answers, name)
    text = re.sub(r"\b(?:http|oauth|shutdown)\.[a-z_]+", lambda setting: code(setting[0]), text)
    return str(answer.status), _headers(answer), text + (" The body is a text that says what to do." if answer.body else "")


def _headers(answer: Answer) -> str:
    return ", ".join(code(f"{name.decode()}: {value.decode()}") for name, value in answer.headers)


def _of_bytes(answer: bytes) -> tuple[str, str]:
    first, *headers = answer.decode().rstrip("\r\n").split("\r\n")
    shown = ", ".join(code(header) for header in headers if not header.startswith("content-length"))
    return first.split()[1], shown
