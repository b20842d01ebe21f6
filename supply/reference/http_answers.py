"""The answers of the code in, docs/reference/http.md out.

Answers and their meanings are those of connector/http/answer_texts.py, which the OpenAPI document has too.
"""

import re
from typing import Final

from connector import answers
from connector.http import exchange, protocol
from connector.http.answer_texts import LISTENER, TOKEN_ENDPOINT, raw_answers, texts, token_answers
from connector.records import Answer
from supply.reference import markdown
from supply.reference.markdown import code

READINESS: Final = {
    "starting": "The worker has not verified schema ids, topics and producer yet.",
    "schemas": "The registry does not answer, or does not have our schemas: `connector schemas register`.",
    "topics_and_producer": "Kafka does not answer, a topic is missing, or a right is missing: `connector doctor`.",
    "schema_ids": "The registry has other schemas under our ids: nothing is produced.",
    "spool": "The spool accepts no callbacks: it is full, its oldest callback is too old, or its disk fails.",
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
    listener = {**raw_answers(exchange), **raw_answers(protocol)}
    tokens = [(str(answer.status), _headers(answer), TOKEN_ENDPOINT[name]) for name, answer in token_answers().items()]
    granted = ("200", "`content-type: application/json`, `cache-control: no-store`", "A token for the client.")
    return "\n".join(
        (
            _INTRODUCTION.format(notice=markdown.notice("make docs", markdown.link("connector/answers.py"))),
            markdown.table(columns, sorted(_row(name, text) for name, text in texts(answers).items() if name != "ONLY_POST")),
            _TOKENS,
            markdown.table(columns, [granted, *tokens]),
            _LISTENER_TEXT,
            markdown.table(columns, sorted((*_of_bytes(given), LISTENER[name]) for name, given in listener.items())),
            _MANAGEMENT,
            markdown.table(("reason", "meaning"), [(code(name), meaning) for name, meaning in READINESS.items()]),
        )
    )


def _row(name: str, text: str) -> tuple[str, str, str]:
    answer: Answer = getattr(answers, name)
    text = re.sub(r"\b(?:http|oauth)\.[a-z_]+", lambda setting: code(setting[0]), text)
    return str(answer.status), _headers(answer), text + (" The body is a text that says what to do." if answer.body else "")


def _headers(answer: Answer) -> str:
    return ", ".join(code(f"{name.decode()}: {value.decode()}") for name, value in answer.headers)


def _of_bytes(answer: bytes) -> tuple[str, str]:
    first, *headers = answer.decode().rstrip("\r\n").split("\r\n")
    shown = ", ".join(code(header) for header in headers if not header.startswith("content-length"))
    return first.split()[1], shown
