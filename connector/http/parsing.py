"""Adapts httptools: a parser, and bytes of a request as received in, bytes that it can parse out.

httptools refuses a target that is not ASCII, and after an offer to upgrade it takes the body for the other protocol's bytes.
"""

from collections.abc import Iterable
from typing import Final

from httptools import HttpRequestParser

_BLANK: Final = b"\r\n"
_UPGRADE_HEADERS: Final = frozenset({b"upgrade", b"connection", b"http2-settings"})


def new_parser(callbacks: object) -> HttpRequestParser:
    """Return a parser that calls the methods of an object, which are httptools' `on_url` and so on."""
    parser = HttpRequestParser(callbacks)
    # Otherwise a pipelined request behind one with `connection: close` is an error before that one is answered.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def with_ascii_target(data: bytes) -> tuple[bytes, bool]:
    """Percent-encode the bytes of the request line that are not ASCII; return whether the line ends in this data.

    The line starts or continues at the start of `data`. Templates of GET callbacks put a person's text into the query as it is.
    """
    # Nearly always: a complete line, and nothing but ASCII.
    if data.isascii() and b"\n" in data and data[0] not in _BLANK:
        return data, True
    # Blank lines may precede the request line.
    start = len(data) - len(data.lstrip(_BLANK))
    end = data.find(b"\n", start)
    line = data if end < 0 else data[:end]
    if line.isascii():
        return data, end >= 0
    encoded = b"".join(b"%%%02X" % byte if byte >= 0x80 else bytes((byte,)) for byte in line)
    return encoded + data[len(line) :], end >= 0


def head_without_upgrade(parser: HttpRequestParser, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a parsed request without its offer to upgrade, which RFC 9110, section 7.8, lets a server ignore."""
    lines = [b"%s %s HTTP/%s" % (parser.get_method(), target, parser.get_http_version().encode("ascii"))]
    lines += [b"%s: %s" % (name, value) for name, value in headers if name not in _UPGRADE_HEADERS]
    if not parser.should_keep_alive():
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])
