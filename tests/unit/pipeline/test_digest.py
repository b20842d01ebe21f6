"""The identity of a request that belongs to no message: the same content in another order or notation is the same request."""

import pytest

from connector.pipeline.digest import request_parts
from connector.records import RawCallback

FORM = "application/x-www-form-urlencoded"


def parts(body: bytes, content_type: str) -> tuple[str, str, str]:
    return request_parts(RawCallback("POST", "", content_type, body, 0))


def in_parts(boundary: str, *pairs: tuple[str, str]) -> tuple[bytes, str]:
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in pairs]
    return f"{''.join(lines)}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b'{"a": 1, "b": 2}', ""), (b'{"b":2,"a":1}', "")),
        ((b"a=1&b=2", FORM), (b"b=2&a=1", FORM)),
        (in_parts("x1", ("a", "1"), ("b", "2")), in_parts("y2", ("b", "2"), ("a", "1"))),
        ((b"<r><a>1</a><b>2</b></r>", "text/xml"), (b"<r>\n <b>2</b>\n <a>1</a>\n</r>", "application/xml")),
    ],
    ids=["JSON", "form", "form in parts", "XML"],
)
def test_order_and_notation_do_not_count(one: tuple[bytes, str], other: tuple[bytes, str]) -> None:
    assert parts(*one) == parts(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"a=1&b=2", FORM), (b"a=1&b=3", FORM)),
        ((b"a=1&b=2", "text/plain"), (b"b=2&a=1", "text/plain")),
        (in_parts("x1", ("a", "1")), in_parts("x1", ("a", "2"))),
        ((b"<r><a>1</a></r>", "text/xml"), (b"<r><a>2</a></r>", "text/xml")),
        ((b"<r>", "text/xml"), (b"<r", "text/xml")),
        ((b"{", ""), (b"[", "")),
    ],
    ids=["form", "text", "form in parts", "XML", "no XML", "no JSON"],
)
def test_other_content_is_another_request(one: tuple[bytes, str], other: tuple[bytes, str]) -> None:
    assert parts(*one) != parts(*other)
