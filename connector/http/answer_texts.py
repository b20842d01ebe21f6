"""Every HTTP answer with its meaning: for the reference page and the OpenAPI document, so that both say the same.

The callback path's answers have their texts below them in connector/answers.py; those of the token endpoint and the listener
have them here. The tests fail for an answer without a text.
"""

import ast
import inspect
from types import ModuleType
from typing import Final

from connector import answers
from connector.http import token_endpoint
from connector.records import Answer

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
