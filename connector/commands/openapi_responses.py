"""The bridge's answers in, the responses of the OpenAPI document out, with the meanings of the reference."""

import json
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Final, NamedTuple

from connector import answers
from connector.http import refusals
from connector.http.answer_texts import HEALTH_ANSWERS, TOKEN_ENDPOINT, texts, token_answers
from connector.records import Answer, Json

_OF_TOKENS: Final = ("TOO_LARGE", "COMPRESSED", "INTERNAL_ERROR")
"""The answers of connector/answers.py that the token endpoint gives too."""
_NOT_OF_CALLBACKS: Final = ("WRONG_PATH", *HEALTH_ANSWERS)
_JSON: Final = "application/json"


class Given(NamedTuple):
    """An answer and its meaning."""

    answer: Answer
    text: str


def of_callbacks() -> Json:
    """Return the responses of the callback path."""
    own = (_given(answers, name) for name in texts(answers) if name not in _NOT_OF_CALLBACKS)
    return _by_status([*own, *_of_listener()])


def of_tokens() -> Json:
    """Return the responses of the token endpoint, without the one with a token."""
    own = (Given(answer, TOKEN_ENDPOINT[name]) for name, answer in token_answers().items())
    return _by_status([*own, *(_given(answers, name) for name in _OF_TOKENS), *_of_listener()])


def of_health() -> Json:
    """Return the responses of the health path."""
    return _by_status([*(_given(answers, name) for name in HEALTH_ANSWERS), *_of_listener()])


def _of_listener() -> Iterator[Given]:
    return (_given(refusals, name) for name in texts(refusals))


def _given(module: ModuleType, name: str) -> Given:
    return Given(getattr(module, name), texts(module)[name])


def _by_status(given: Iterable[Given]) -> Json:
    """Return the responses by status; those of one status share their headers, which are not in all of them."""
    by_status: dict[int, list[Given]] = {}
    for one in given:
        by_status.setdefault(one.answer.status, []).append(one)
    return {str(status): _response(same) for status, same in sorted(by_status.items())}


def _response(same: list[Given]) -> Json:
    values: dict[str, list[str]] = {}
    content: Json = {}
    for answer, _ in same:
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        media = headers.pop("content-type", "text/plain").partition(";")[0]
        for name, value in headers.items():
            values.setdefault(name, []).append(value)
        if answer.body:
            is_json = media == _JSON
            described = {"schema": {"type": "object" if is_json else "string"}, "examples": {}}
            examples = content.setdefault(media, described)["examples"]
            shown = json.loads(answer.body) if is_json else answer.body.decode()
            examples[answer.refusal or f"answer{len(examples)}"] = {"value": shown}
    response: Json = {"description": " Or: ".join(dict.fromkeys(one.text for one in same))}
    if values:
        response["headers"] = {
            name: {"schema": {"type": "string", "enum": list(dict.fromkeys(each))}} for name, each in values.items()
        }
    return {**response, **({"content": content} if content else {})}
