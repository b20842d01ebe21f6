"""The meaning of every HTTP answer: for the reference page and the OpenAPI document, so that both say the same.

The answers of connector/answers.py and refusals.py have their texts below them; those of the token endpoint have them here. The
tests fail for an answer without a text.
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
    "ONLY_POST": "The token endpoint takes POST only.",
    "TOO_MANY_TOKENS": "The source asks for tokens more often than `oauth.max_requests_per_minute`.",
}
"""Meanings of the answers of connector/http/token_endpoint.py, by the constant's name."""
HEALTH_ANSWERS: Final = ("HEALTHY", "UNHEALTHY", "ONLY_GET")
"""The answers of connector/answers.py that only the health path gives."""


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
