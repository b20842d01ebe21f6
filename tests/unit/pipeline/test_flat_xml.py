"""Flat XML is read like a form; declarations that make XML unsafe are refused, and so is anything nested."""

import codecs

import pytest

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.flat_xml import read_flat_xml
from tests.support.callbacks import by_form, by_xml, quality_notice, raw, template_status, v1_message, v1_status


def refusal_of(body: bytes, content_type: str = "application/xml") -> NotDecodable:
    with pytest.raises(NotDecodable) as refused:
        read_flat_xml(body, content_type)
    assert "Ciao" not in refused.value.detail
    return refused.value


@pytest.mark.parametrize("keys", [v1_message(), v1_status(), template_status(), quality_notice()])
def test_same_keys_make_the_same_callback_as_a_form(keys: dict[str, str]) -> None:
    by_elements, by_pairs = decode(by_xml(keys)), decode(by_form(keys))

    assert (by_elements.messages, by_elements.statuses, by_elements.contacts) == (
        by_pairs.messages,
        by_pairs.statuses,
        by_pairs.contacts,
    )
    assert by_elements.events == by_pairs.events


@pytest.mark.parametrize("root", ["callback", "x", "ns:root"])
@pytest.mark.parametrize(
    ("elements", "keys"),
    [
        ("<from>1</from><type>text</type>", {"from": "1", "type": "text"}),
        ('<from a="x" b="y">1</from>', {"from": "1"}),
        ("<k:from>1</k:from>", {"from": "1"}),
        ("<from/><type></type>", {"from": "", "type": ""}),
        ("<body>1</body><body>2</body>", {"body": "2"}),
        ("<from>\n  1\n</from>", {"from": "1"}),
        ("<body><![CDATA[ <b> & ]]></body>", {"body": " <b> & "}),
        ("<body>a<![CDATA[ b ]]>c</body>", {"body": "a b c"}),
        ("<body>&lt;b&gt; &amp; &#x1F33B; &#39;</body>", {"body": "<b> & 🌻 '"}),
        ("<!-- x --><from>1<!-- y --></from><?z w?>", {"from": "1"}),
        ("", {}),
    ],
)
def test_elements_below_any_root_are_pairs(root: str, elements: str, keys: dict[str, str]) -> None:
    assert read_flat_xml(f"<{root}>\n {elements}\n</{root}>".encode(), "application/xml") == keys


TEXT = "<a><body>caffè</body></a>"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (TEXT.encode(), "application/xml"),
        (codecs.BOM_UTF8 + TEXT.encode(), "application/xml; charset=iso-8859-1"),
        (f'<?xml version="1.0" encoding="ISO-8859-1"?>{TEXT}'.encode("latin-1"), "application/xml"),
        (f'<?xml version="1.0" encoding="windows-1252"?>{TEXT}'.encode("cp1252"), "text/xml"),
        (f'\r\n <?xml version="1.0" encoding="utf-8"?>{TEXT}'.encode(), "text/xml"),
        (TEXT.encode("utf-16"), "application/xml"),
        (f'<?xml version="1.0" encoding="UTF-16"?>{TEXT}'.encode("utf-16"), "application/soap+xml"),
        (TEXT.encode("latin-1"), 'text/xml; charset="ISO-8859-1"'),
        (f'<?xml version="1.0" encoding="utf-8"?>{TEXT}'.encode("latin-1"), "text/xml; charset=latin1"),
        (TEXT.encode(), "text/xml; charset=invented"),
    ],
)
def test_encoding_is_that_of_the_mark_the_content_type_or_the_document(body: bytes, content_type: str) -> None:
    assert read_flat_xml(body, content_type) == {"body": "caffè"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<a><body>Ciao", "not_xml"),
        (b"<a><body>Ciao</a>", "not_xml"),
        (b"<a/><b/>", "not_xml"),
        (b"Ciao", "not_xml"),
        (b"<a><body>\xff</body></a>", "not_xml"),
        (b"<a><body>&Ciao;</body></a>", "not_xml"),
        (b"<a><body>&#0;</body></a>", "not_xml"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "not_xml"),
        (b'<?xml version="1.0" encoding="big5"?><a/>', "not_xml"),
        (b"<!DOCTYPE a><a/>", "not_xml"),
        (b"<!DOCTYPE html><html><body>Ciao</body></html>", "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY e "Ciao">]><a><body>&e;</body></a>', "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a><body>&e;</body></a>', "not_xml"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>', "not_xml"),
        (b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]><a/>', "not_xml"),
        (b"<a><contacts><wa_id>1</wa_id></contacts></a>", "unknown_shape"),
        (b"<a>Ciao<from>1</from></a>", "unknown_shape"),
        (b"<a>" + b"<b>" * 100_000, "unknown_shape"),
        (b"<a>" + b"<b/>" * 1001 + b"</a>", "unknown_shape"),
        (b"<a><b>" + b"<![CDATA[x]]>" * 1000 + b"</b></a>", "unknown_shape"),
        (b"<a>" + b" " * 256 * 1024 + b"</a>", "unknown_shape"),
    ],
    ids=lambda part: f"{part[:50]!r}" if isinstance(part, bytes) else None,
)
def test_xml_that_is_unsafe_nested_or_broken_is_refused(body: bytes, reason: str) -> None:
    assert refusal_of(body).reason == reason


def test_up_to_a_thousand_elements_are_read() -> None:
    assert len(read_flat_xml(b"<a>%s</a>" % b"".join(b"<k%d/>" % number for number in range(1000)), "")) == 1000


@pytest.mark.parametrize("content_type", ["text/plain", "text/html; charset=utf-8", "application/octet-stream", ""])
@pytest.mark.parametrize(
    "body",
    [
        b'{"from": "39333", "type": "text", "body": "Ciao"}',
        b"from=39333&type=text&body=Ciao",
        b"\xef\xbb\xbffrom=39333&type=text&body=Ciao\r\n",
        b"<x><from>39333</from><type>text</type><body>Ciao</body></x>",
    ],
)
def test_content_type_that_says_nothing_is_read_by_its_content(body: bytes, content_type: str) -> None:
    (message,) = decode(raw(body, content_type=content_type)).messages

    assert (message["from"], message["text"]) == ("39333", {"body": "Ciao"})


@pytest.mark.parametrize(
    "body", [b"Ciao", b"a=b", b"2 + 2 = 4", b"<html><body><p>Ciao</p></body></html>", b"<a><b>Ciao</b></a>", b"<from", b"--B"]
)
def test_other_text_is_no_json(body: bytes) -> None:
    for content_type in ("text/plain", "text/html", ""):
        with pytest.raises(NotDecodable) as refused:
            decode(raw(body, content_type=content_type))
        assert refused.value.reason == "not_json"


def test_renamed_keys_are_known_in_every_type_of_body() -> None:
    bodies = [
        (b"sender=39333&kind=text&said=Ciao", "text/plain"),
        (b"<a><sender>39333</sender><kind>text</kind></a>", "text/html"),
    ]
    for body, content_type in bodies:
        (message,) = decode(raw(body, content_type=content_type), {"sender": "from", "kind": "type", "said": "body"}).messages
        assert message["from"] == "39333"
