"""The answers of the code in, docs/reference/http.md out.

Answers come from connector/answers.py and connector/http/refusals.py with the texts below them, those of the token
endpoint in connector/http/answer_texts.py, which the OpenAPI document has too.
"""

import re
from typing import Final

from connector import answers
from connector.http import refusals
from connector.http.answer_texts import HEALTH_ANSWERS, TOKEN_ENDPOINT, texts, token_answers
from connector.records import Answer
from supply.reference import markdown
from supply.reference.markdown import code

READINESS: Final = {
    "starting": "The worker has not verified schema ids, topics and producer yet.",
    "schemas": "The registry does not answer, or does not have our schemas: `connector schemas register`.",
    "topics_and_producer": (
        "Kafka does not answer, also at an address that one of its brokers advertises; a topic or a right is missing; a "
        "partition has no leader: `connector doctor`."
    ),
    "schema_ids": "The registry has other schemas under our ids: nothing is produced.",
    "spool": "The spool accepts no callbacks: it is full, its oldest callback is too old, or its disk fails.",
    "open_files": "The worker can open no more files, so the operating system resets new connections.",
    "spool_locked": "Another instance uses `spool.folder`: this one waits for it, up to `spool.lock_timeout_seconds`.",
    "draining": "The instance is stopping.",
}
"""Meanings of the reasons that `/readyz` gives, by name (connector/instance/readiness.py)."""

_INTRODUCTION: Final = """\
# HTTP answers

{notice}
A sender needs two rules. 2xx means that the callback is stored durably. After anything else it sends the callback again. A
second delivery is harmless: its records have the same `ce_id`. No answer has a body unless the table says so.

Every answer but 200 has a reason. It is counted in `connector_refused_requests_total{{reason}}` and logged as
`request_refused`, at most ten lines a minute for a reason. [Metrics](metrics.md#reasons-of-refused-requests) lists the reasons
with what helps. `connector doctor` shows those of a running instance.

## Callbacks

`POST` and `PUT`, `GET` and `DELETE` on `http.path`, by default `/callbacks/kaleyra`; with a URL token `<path>/<token>`. `PUT`
is taken like `POST`, and `DELETE` like `GET`: what was sent is the body, or without a body the query.
"""

_TOKENS: Final = """\
## Token endpoint

`POST` on `oauth.path`, by default `/oauth/token`; it exists if a credential has the kind `oauth`. Bodies are JSON:
`{"access_token", "token_type", "expires_in"}`, or `{"error"}` with a code of RFC 6749. The answers 404, 413, 415 and 503 of the
callback path occur here too.
"""

_LISTENER_TEXT: Final = """\
## Listener

These answers come before a request reaches a path, and the connection is closed after each of them. `100 Continue` is sent to a
client that asks for it (`expect: 100-continue`), once its headers are accepted. A failed TLS handshake (`tls_handshake`) and a
sender that hangs up in its body (`body_incomplete`) get no answer, and are counted.
"""

_HEALTH: Final = """\
## Health path

`GET` and `HEAD` on `http.health_path`, by default `/readyz`, for load balancers that reach only the data port. It needs no
credential, and no metric counts it. No answer has a body.
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
    columns = ("status", "reason", "headers", "meaning")
    found = texts(answers)
    tokens = [(*_facts(answer), TOKEN_ENDPOINT[name]) for name, answer in token_answers().items()]
    granted = ("200", "", "`content-type: application/json`, `cache-control: no-store`", "A token for the client.")
    callbacks = sorted(_row(getattr(answers, name), text) for name, text in found.items() if name not in HEALTH_ANSWERS)
    return "\n".join(
        (
            _INTRODUCTION.format(notice=markdown.notice("make docs", markdown.link("connector/answers.py"))),
            markdown.table(columns, callbacks),
            _TOKENS,
            markdown.table(columns, [granted, *sorted(tokens)]),
            _HEALTH,
            markdown.table(columns, [_row(getattr(answers, name), found[name]) for name in HEALTH_ANSWERS]),
            _LISTENER_TEXT,
            markdown.table(columns, sorted(_row(getattr(refusals, name), text) for name, text in texts(refusals).items())),
            _MANAGEMENT,
            markdown.table(("reason", "meaning"), [(code(name), meaning) for name, meaning in READINESS.items()]),
        )
    )


def _row(answer: Answer, text: str) -> tuple[str, str, str, str]:
    text = re.sub(r"\b(?:http|oauth|shutdown)\.[a-z_]+", lambda setting: code(setting[0]), text)
    return (*_facts(answer), text + (" The body is a text that says what to do." if answer.body else ""))


def _facts(answer: Answer) -> tuple[str, str, str]:
    headers = ", ".join(code(f"{name.decode()}: {value.decode()}") for name, value in answer.headers)
    return str(answer.status), code(answer.refusal) if answer.refusal else "", headers
