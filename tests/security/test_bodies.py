"""Bodies made to cost more than they weigh: XML that expands, forms of endless parts. The work and the memory are bounded.

Work is counted in instructions of bytecode and memory by tracemalloc, so that a busy machine changes nothing. Each body is as
large as the largest that the bridge accepts.
"""

import tracemalloc
from functools import partial
from typing import Final

import pytest

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.records import RawCallback
from connector.settings.tables import Http
from tests.support.callbacks import envelope, message, raw
from tests.support.cost import instructions_of

LARGEST: Final = Http().max_body_bytes
MOST_INSTRUCTIONS: Final = 1_000_000
"""As many as 550 statuses take, of the 5,000 that a callback may have."""
MOST_BYTES: Final = 16 * LARGEST
FORM: Final = "multipart/form-data; boundary=B"
PART: Final = b'--B\r\nContent-Disposition: form-data; name="from"'


def filled(begin: bytes, repeated: bytes, end: bytes = b"", size: int = LARGEST) -> bytes:
    """Return a body of a size, of which the middle is repeated."""
    return begin + repeated * ((size - len(begin) - len(end)) // len(repeated)) + end


ENTITIES: Final = b"".join(b'<!ENTITY e%d "%s">' % (number, b"&e%d;" % (number - 1) * 10) for number in range(1, 12))
XML: Final = {
    "billion laughs": b'<!DOCTYPE a [<!ENTITY e0 "ha">' + ENTITIES + b"]><a><body>&e11;</body></a>",
    "quadratic blow-up": filled(b'<!DOCTYPE a [<!ENTITY e "', b"x", b'">]><a><body>' + b"&e;" * 10_000 + b"</body></a>", 2**18),
    "external entity": b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///dev/zero">]><a><body>&e;</body></a>',
    "external document type": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a><body>x</body></a>',
    "parameter entities": b"<!DOCTYPE a [<!ENTITY % p \"<!ENTITY e 'x'>\"> %p; %p;]><a><body>&e;</body></a>",
    "endless document type": filled(b"<!DOCTYPE a [", b"<!ELEMENT a ANY>"),
    "depth": filled(b"<a>", b"<b>"),
    "elements": filled(b"<a>", b"<b/>", b"</a>", 2**18),
    "attributes": filled(b"<a ", b"x='' ", b"/>", 2**18),
    "many attributes": b"<a " + b"".join(b"a%d='' " % number for number in range(24_000)) + b"/>",
    "CDATA": filled(b"<a><b>", b"<![CDATA[]]>", b"</b></a>", 2**18),
    "references": filled(b"<a><b>", b"&#65;", b"</b></a>", 2**18),
    "comments": filled(b"<a><b>", b"<!---->", b"</b></a>", 2**18),
    "instructions": filled(b"<a><b>", b"<?a?>", b"</b></a>", 2**18),
    "a long name": filled(b"<a><", b"b", b"/></a>", 2**18),
    "over the bound": filled(b"<a><b>", b"x", b"</b></a>"),
}
FORMS: Final = {
    "parts": filled(b"", PART + b"\r\n\r\n\r\n", b"--B--\r\n"),
    "boundaries": filled(PART + b"\r\n\r\n", b"\r\n--BX"),
    "half boundaries": filled(PART + b"\r\n\r\n", b"\r\n--"),
    "line ends": filled(PART + b"\r\n\r\n", b"\r\n"),
    "preamble of line ends": filled(b"", b"\r\n"),
    "preamble": filled(b"", b"\r\n-"),
    "padding": filled(PART + b"\r\n\r\n\r\n--B", b" "),
    "padding of tabs and blanks": filled(PART + b"\r\n\r\n\r\n--B", b" \t"),
    "one header": filled(PART + b"\r\nX: ", b"x"),
    "a name of a header": filled(PART + b"\r\n", b"x"),
    "blanks before a value": filled(PART + b"\r\nX:", b" "),
    "headers": filled(PART + b"\r\n", b"X: y\r\n"),
    "parameters": filled(b"", PART + b";" * 4000 + b"\r\n\r\n\r\n"),
    "quoted parameters": filled(b"", PART + b'; x="' + b'\\";' * 1300 + b'"\r\n\r\n\r\n'),
    "epilogue": filled(PART + b"\r\n\r\n\r\n--B--\r\n", b"\r\n--B"),
    "no end": filled(PART + b"\r\n\r\n", b"x"),
    "base64": filled(PART + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", b"=", b"\r\n--B--\r\n"),
    "quoted-printable": filled(PART + b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", b"=\r\n", b"\r\n--B--\r\n"),
    "parts up to every bound": (PART + b"\r\nX: y" * 5 + b"\r\n\r\nx\r\n") * 200 + b"--B--\r\n",
}
TEXTS: Final = {
    "pairs": filled(b"a=b", b"&a"),
    "separators": filled(b"a=b", b"&"),
    "a cipher's text": filled(b"from=", b"A"),
}
BODIES: Final = [
    *(pytest.param(raw(body, content_type="application/xml"), id=f"XML: {name}") for name, body in XML.items()),
    *(pytest.param(raw(body, content_type=FORM), id=f"form: {name}") for name, body in FORMS.items()),
    *(pytest.param(raw(body, content_type="text/plain"), id=f"text: {name}") for name, body in [*XML.items(), *TEXTS.items()]),
    *(
        pytest.param(raw(body, content_type="application/x-www-form-urlencoded"), id=f"pairs: {name}")
        for name, body in TEXTS.items()
    ),
]


def read(given: RawCallback) -> str:
    """Return the reason for which a callback is refused, empty if it is read; any other error is a failure."""
    try:
        decode(given)
    except NotDecodable as refused:
        return refused.reason
    return ""


@pytest.mark.parametrize("given", BODIES)
def test_work_and_memory_of_a_hostile_body_are_bounded(given: RawCallback) -> None:
    assert instructions_of(lambda: read(given)) < MOST_INSTRUCTIONS
    tracemalloc.start()
    try:
        read(given)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [name for name in XML if "entit" in name or "document type" in name or "laughs" in name])
def test_xml_that_declares_a_document_type_is_refused_before_it_is_expanded(name: str) -> None:
    assert read(raw(XML[name], content_type="application/xml")) in ("not_xml", "unknown_shape")


def test_json_costs_what_it_did_whatever_its_content_type_says() -> None:
    body = envelope([message()])
    read(raw(body))
    cheapest = instructions_of(lambda: read(raw(body)))
    for content_type in ("application/xml", FORM, "text/plain", ""):
        given = raw(body, content_type=content_type)
        assert instructions_of(partial(read, given)) <= cheapest
