"""The bridge's answers in, the responses of the OpenAPI document out, with the meanings of the reference."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from connector import answers
from connector.http import exchange, protocol
from connector.http.answer_texts import LISTENER, TOKEN_ENDPOINT, raw_answers, texts, token_answers
from connector.records import Answer, Json

_OF_TOKENS: Final = ("ONLY_POST", "TOO_LARGE", "COMPRESSED", "TOO_OFTEN", "NOT_CONFIRMED")
"""The answers of connector/answers.py that the token endpoint gives too."""
_NOT_OF_CALLBACKS: Final = ("ONLY_POST", "WRONG_PATH")
_INTERIM: Final = "100"
_JSON: Final = "application/json"

Given = tuple[int, Mapping[str, str], str, str]
"""One answer: its status, headers, meaning and body."""


def of_callbacks() -> Json:
    """Return the responses of the callback path."""
    return _by_status(_of_callbacks())


def of_tokens() -> Json:
    """Return the responses of the token endpoint, without the one with a token."""
    return _by_status(_of_tokens())


def _of_callbacks() -> Iterator[Given]:
    for name, text in texts(answers).items():
        if name not in _NOT_OF_CALLBACKS:
            yield _given(getattr(answers, name), text)
    yield from _of_listener()


def _of_tokens() -> Iterator[Given]:
    for name, answer in token_answers().items():
        yield _given(answer, TOKEN_ENDPOINT[name])
    meanings = texts(answers)
    for name in _OF_TOKENS:
        yield _given(getattr(answers, name), meanings[name])
    yield from _of_listener()


def _of_listener() -> Iterator[Given]:
    for name, answer in {**raw_answers(exchange), **raw_answers(protocol)}.items():
        first, *lines = answer.decode().rstrip("\r\n").split("\r\n")
        status = first.split()[1]
        if status != _INTERIM:
            yield int(status), dict(line.split(": ", 1) for line in lines), LISTENER[name], ""


def _given(answer: Answer, text: str) -> Given:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return answer.status, headers, text, answer.body.decode()


def _by_status(given: Iterable[Given]) -> Json:
    """Return the responses by status; those of one status share their headers, which are not in all of them."""
    by_status: dict[int, list[Given]] = {}
    for one in given:
        by_status.setdefault(one[0], []).append(one)
    return {str(status): _response(same) for status, same in sorted(by_status.items())}


def _response(same: list[Given]) -> Json:
    values: dict[str, list[str]] = {}
    content: Json = {}
    for _, headers, _, body in same:
        for name, value in headers.items():
            if name not in ("content-type", "content-length"):
                values.setdefault(name, []).append(value)
        if body:
            media = headers.get("content-type", "text/plain").partition(";")[0]
            is_json = media == _JSON
            examples = content.setdefault(media, {"schema": {"type": "object" if is_json else "string"}, "examples": {}})[
                "examples"
            ]
            examples[f"answer{len(examples) + 1}"] = {"value": json.loads(body) if is_json else body}
    response: Json = {"description": " Or: ".join(dict.fromkeys(text for _, _, text, _ in same))}
    if values:
        shown = {name: {"schema": {"type": "string", "enum": list(dict.fromkeys(all_))}} for name, all_ in values.items()}
        response["headers"] = shown
    return {**response, **({"content": content} if content else {})}
