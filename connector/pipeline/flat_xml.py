"""An XML body in, its flat elements as pairs out, or `NotDecodable` with a reason.

The bodies of callback profiles are templates: any root, and one element for each key. expat parses. A document type declaration
is refused where it begins, so no entity is declared, nothing is expanded and nothing outside of the body is read. An element
inside an element of a key is refused, so nothing is nested.
"""

from typing import Final
from xml.parsers import expat

from connector.errors import NotDecodable
from connector.pipeline.reading import CHARSETS, MOST_PAIRS
from connector.records import Json

_MOST_BYTES: Final = 256 * 1024
"""A callback in XML holds one message. A megabyte of attributes takes the parser a second, and forty times its size."""
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ROOT: Final = 1
_KEY: Final = 2


def read_flat_xml(body: bytes, content_type: str) -> Json:
    """Return the elements below the root as an object of texts; of two equal names the last wins, as in JSON.

    Attributes, comments and prefixes of namespaces are left out. Blanks around a text are left out too, unless it is CDATA.

    Raises:
        NotDecodable: when the body is not well-formed, declares a document type, is nested, or exceeds a bound.
    """
    if len(body) > _MOST_BYTES:
        raise NotDecodable("unknown_shape", f"the XML has over {_MOST_BYTES} bytes")
    elements = _Elements()
    parser = expat.ParserCreate(_charset_of(body, content_type))
    parser.buffer_text = True
    parser.XmlDeclHandler = elements.declare
    parser.StartDoctypeDeclHandler = elements.refuse_document_type
    parser.StartElementHandler = elements.start
    parser.EndElementHandler = elements.end
    parser.CharacterDataHandler = elements.add_text
    parser.StartCdataSectionHandler = elements.start_cdata
    try:
        parser.Parse(body.lstrip(), True)  # noqa: FBT003 - expat's own
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        raise NotDecodable("not_xml", f"the XML cannot be read: {what}, line {error.lineno}") from None
    except (LookupError, ValueError):
        # An encoding whose characters have more bytes than one.
        raise NotDecodable("not_xml", "the XML has an encoding that is not read") from None
    return elements.keys


def _charset_of(body: bytes, content_type: str) -> str | None:
    """Return the charset of the content type, which comes before that of the document (RFC 7303, 3)."""
    if body.startswith(_BYTE_ORDER_MARKS):
        return None
    for parameter in content_type.lower().split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and (codec := CHARSETS.get(value.strip(' \t"'))):
            return codec
    return None


class _Elements:
    """Collects the elements from the parser's callbacks."""

    def __init__(self) -> None:
        self.keys: Json = {}
        self._depth = 0
        self._count = 0
        self._name = ""
        self._texts: list[str] = []
        self._is_cdata = False

    def declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """Refuse an encoding other than the usual ones, before it is looked up."""
        if encoding and encoding.lower() not in CHARSETS and encoding.lower() != "utf-16":
            raise NotDecodable("not_xml", "the XML has an encoding that is not read")

    def refuse_document_type(self, *_declaration: object) -> None:
        """Refuse a document type: it could declare entities."""
        raise NotDecodable("not_xml", "the XML declares a document type, which is not read")

    def start(self, name: str, _attributes: object) -> None:
        """Begin an element."""
        self._depth += 1
        if self._depth > _KEY:
            raise NotDecodable("unknown_shape", "the XML has elements inside of the elements below its root")
        if self._depth == _KEY:
            self._add_one()
            self._name, self._texts, self._is_cdata = name.rpartition(":")[2], [], False

    def add_text(self, text: str) -> None:
        """Append to the text of an element."""
        if self._depth == _KEY:
            self._texts.append(text)
        elif not text.isspace():
            raise NotDecodable("unknown_shape", "the XML has text beside the elements below its root")

    def start_cdata(self) -> None:
        """Keep the text as it is."""
        self._add_one()
        self._is_cdata = True

    def end(self, _name: str) -> None:
        """End an element."""
        if self._depth == _KEY:
            text = "".join(self._texts)
            self.keys[self._name] = text if self._is_cdata else text.strip()
        self._depth -= 1

    def _add_one(self) -> None:
        self._count += 1
        if self._count > MOST_PAIRS:
            raise NotDecodable("unknown_shape", f"the XML has over {MOST_PAIRS} elements and CDATA sections")
