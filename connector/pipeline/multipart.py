"""A body of multipart/form-data in, its pairs out, or `NotDecodable` with a reason; python-multipart finds the parts.

A part is a pair: the name in its Content-Disposition, and its content as text, with or without a file name (RFC 7578). Parts,
headers and names are bounded; the size is that of the body.
"""

import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from connector.errors import NotDecodable
from connector.pipeline.reading import CHARSETS
from connector.records import Json

if TYPE_CHECKING:
    # The library defines it for type checkers alone.
    from python_multipart.multipart import MultipartCallbacks

_LONGEST_BOUNDARY: Final = 70
"""RFC 2046, 5.1.1."""
_MOST_PARTS: Final = 200
"""Fewer than the pairs of a plain form: a part costs fifty times as much. Kaleyra documents some forty keys."""
_MOST_HEADERS: Final = 6
_LONGEST_HEADER: Final = 4096
_LONGEST_NAME: Final = 256
_MOST_PARAMETERS: Final = 16
_MOST_PADDING: Final = 64
_CHARSET_FIELD: Final = b"_charset_"
"""The field that names the charset of the others: RFC 7578, 4.6."""
_PLAIN_CODINGS: Final = (b"", b"7bit", b"8bit", b"binary")


def read_multipart(body: bytes, content_type: str) -> Json:
    """Return the pairs of a form as an object of texts; of two equal names the last wins, as in JSON.

    Raises:
        NotDecodable: when the body cannot be taken apart, a part is not text in its charset, or a bound is exceeded.
    """
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != b"multipart/form-data":
        raise NotDecodable("not_multipart", "the content type is multipart, but not multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        fault = f"a boundary over {_LONGEST_BOUNDARY} characters" if boundary else "no boundary"
        raise NotDecodable("not_multipart", f"the content type has {fault}")
    # Before anything is parsed: the parser does most work where it meets the boundary, and walks over the blanks behind it.
    delimiter = b"--" + boundary
    if body.count(delimiter) > _MOST_PARTS + 1:
        raise NotDecodable("unknown_shape", f"the form has over {_MOST_PARTS} parts")
    if any(len(behind) - len(behind.lstrip(b" \t")) > _MOST_PADDING for behind in body.split(delimiter)):
        raise NotDecodable("not_multipart", f"a boundary has over {_MOST_PADDING} blanks behind it")
    parts = _Parts()
    parser = MultipartParser(boundary, parts.callbacks(), max_header_count=_MOST_HEADERS, max_header_size=_LONGEST_HEADER)
    # Its warnings quote the body.
    parser.logger.disabled = True
    try:
        parser.write(body)
    except FormParserError:
        # Its message may quote the body.
        raise NotDecodable("not_multipart", "the parts of the form cannot be read") from None
    if not parts.is_whole:
        raise NotDecodable("not_multipart", "the form has no last boundary")
    return parts.pairs()


class _Part(NamedTuple):
    name: bytes
    content: bytes
    charset: bytes


class _Parts:
    """Collects the parts from the parser's callbacks. `is_whole` after the last boundary."""

    def __init__(self) -> None:
        self.is_whole = False
        self._parts: list[_Part] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._content: list[bytes] = []

    def callbacks(self) -> "MultipartCallbacks":
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_to_content,
            "on_part_end": self._end,
            "on_end": self._end_form,
        }

    def pairs(self) -> Json:
        """Return the pairs as texts.

        Raises:
            NotDecodable: when a part is not text in its charset.
        """
        of_form = next((part.content.strip() for part in self._parts if part.name == _CHARSET_FIELD), b"")
        return {
            _text(part.name, b""): _text(part.content, part.charset or of_form)
            for part in self._parts
            if part.name != _CHARSET_FIELD
        }

    def _begin(self) -> None:
        self._headers, self._name, self._value, self._content = {}, b"", b"", []

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._value.count(b";") > _MOST_PARAMETERS:
            raise NotDecodable("not_multipart", f"a header of a part has over {_MOST_PARAMETERS} parameters")
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _add_to_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _end(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"")
        if disposition != b"form-data" or not name:
            raise NotDecodable("not_multipart", "a part of the form has no name")
        if len(name) > _LONGEST_NAME:
            raise NotDecodable("not_multipart", f"the name of a part has over {_LONGEST_NAME} bytes")
        kind, parameters = parse_options_header(self._headers.get(b"content-type"))
        if kind.startswith(b"multipart/"):
            raise NotDecodable("not_multipart", "a part of the form has parts itself")
        coding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        content = _decoded(b"".join(self._content), coding)
        self._parts.append(_Part(name, content, parameters.get(b"charset", b"")))

    def _end_form(self) -> None:
        self.is_whole = True


def _decoded(content: bytes, coding: bytes) -> bytes:
    """Return the content of a part without its transfer encoding, which older senders use."""
    if coding in _PLAIN_CODINGS:
        return content
    try:
        if coding == b"base64":
            return binascii.a2b_base64(content)
        if coding == b"quoted-printable":
            return binascii.a2b_qp(content)
    except binascii.Error:
        pass
    raise NotDecodable("not_multipart", "the transfer encoding of a part cannot be read")


def _text(content: bytes, charset: bytes) -> str:
    codec = CHARSETS.get(charset.decode("latin-1").lower()) if charset else "utf-8"
    if codec is None:
        raise NotDecodable("not_multipart", "the charset of a part is not known")
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        raise NotDecodable("not_utf8", "a part of the form is not text in its charset") from None
