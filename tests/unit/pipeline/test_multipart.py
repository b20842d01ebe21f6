"""A form in parts is read like any form; what cannot be taken apart is refused with its reason, never with an exception."""

import pytest

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.multipart import read_multipart
from tests.support.callbacks import by_form, by_multipart, quality_notice, template_status, v1_message, v1_status

TYPE = "multipart/form-data; boundary=B"


def part(content: bytes = b"Ciao", *headers: bytes, name: bytes = b'name="body"') -> bytes:
    head = b"\r\n".join([b"--B", b"Content-Disposition: form-data; " + name, *headers])
    return head + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def refusal_of(body: bytes, content_type: str = TYPE) -> NotDecodable:
    with pytest.raises(NotDecodable) as refused:
        read_multipart(body, content_type)
    assert "Ciao" not in refused.value.detail
    return refused.value


@pytest.mark.parametrize("keys", [v1_message(), v1_status(), template_status(), quality_notice()])
def test_same_keys_make_the_same_callback_as_a_form(keys: dict[str, str]) -> None:
    by_parts, by_pairs = decode(by_multipart(keys)), decode(by_form(keys))

    assert (by_parts.messages, by_parts.statuses, by_parts.contacts) == (
        by_pairs.messages,
        by_pairs.statuses,
        by_pairs.contacts,
    )
    assert by_parts.events == by_pairs.events


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=B",
        'Multipart/Form-Data; charset=utf-8; boundary="B"',
        "multipart/form-data;boundary=B; x=y",
    ],
)
def test_boundary_is_that_of_the_content_type(content_type: str) -> None:
    assert read_multipart(form(part()), content_type) == {"body": "Ciao"}


def test_file_is_a_pair_as_any_other() -> None:
    given = part(b"Ciao", b"Content-Type: text/plain", name=b'name="body"; filename="ciao.txt"')

    assert read_multipart(form(given), TYPE) == {"body": "Ciao"}


def test_content_stays_as_it_is() -> None:
    content = " a=b&c\r\n\r\n--b \U0001f33b+%41 "

    assert read_multipart(form(part(content.encode())), TYPE) == {"body": content}


def test_last_of_two_equal_names_wins() -> None:
    assert read_multipart(form(part(b"1"), part(b"2")), TYPE) == {"body": "2"}


@pytest.mark.parametrize(
    ("charset", "content"),
    [("ISO-8859-1", b"caff\xe8"), ("windows-1252", b"caff\xe8"), ("utf-8", "caffè".encode()), ("us-ascii", "caffè".encode())],
)
def test_part_is_read_in_its_charset(charset: str, content: bytes) -> None:
    given = part(content, f"Content-Type: text/plain; charset={charset}".encode())

    assert read_multipart(form(given), TYPE) == {"body": "caffè"}


def test_charset_of_the_form_is_that_of_parts_without_one() -> None:
    of_form = part(b"iso-8859-1", name=b'name="_charset_"')

    assert read_multipart(form(of_form, part(b"caff\xe8")), TYPE) == {"body": "caffè"}


@pytest.mark.parametrize(
    ("coding", "content"),
    [("base64", b"Q2lh\r\nbw=="), ("Quoted-Printable", b"Ci=61o"), ("8bit", b"Ciao"), ("binary", b"Ciao")],
)
def test_transfer_encoding_of_older_senders_is_undone(coding: str, content: bytes) -> None:
    given = part(content, f"Content-Transfer-Encoding: {coding}".encode())

    assert read_multipart(form(given), TYPE) == {"body": "Ciao"}


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        (form(part()), "multipart/form-data", "no boundary"),
        (form(part()), "multipart/form-data; boundary=", "no boundary"),
        (form(part()), 'multipart/form-data; boundary=""', "no boundary"),
        (form(part()), f"multipart/form-data; boundary={'B' * 71}", "over 70"),
        (form(part()), "multipart/form-data; boundary=C", "cannot be read"),
        (form(part()), "multipart/mixed; boundary=B", "not multipart/form-data"),
        (part(), TYPE, "no last boundary"),
        (b"Ciao", TYPE, "cannot be read"),
        (b"--B", TYPE, "no last boundary"),
        (form(part(name=b'filename="x"')), TYPE, "no name"),
        (form(part(name=b'name=""')), TYPE, "no name"),
        (form(b"--B\r\n\r\nCiao\r\n"), TYPE, "no name"),
        (form(b'--B\r\nContent-Disposition: attachment; name="body"\r\n\r\nCiao\r\n'), TYPE, "no name"),
        (form(b"--B\r\nCiao\r\n\r\nCiao\r\n"), TYPE, "cannot be read"),
        (form(part(name=b'name="%s"' % (b"n" * 257))), TYPE, "over 256"),
        (form(part(b"Ciao", b"X: " + b"x" * 5000)), TYPE, "cannot be read"),
        (form(part(b"Ciao", *[b"X: y"] * 8)), TYPE, "cannot be read"),
        (form(part(name=b'name="body"' + b";" * 20)), TYPE, "parameters"),
        (form(part()).replace(b"--B\r\n", b"--B" + b" \t" * 33 + b"\r\n"), TYPE, "blanks"),
        (form(part(b"Ciao", b"Content-Type: multipart/mixed; boundary=C")), TYPE, "parts itself"),
        (form(part(b"Ciao", b"Content-Type: text/plain; charset=utf-7")), TYPE, "not known"),
        (form(part(b"Ciao", b"Content-Transfer-Encoding: base64")[:-3] + b"\r\n"), TYPE, "transfer encoding"),
        (form(part(b"Ciao", b"Content-Transfer-Encoding: x-uuencode")), TYPE, "transfer encoding"),
    ],
)
def test_form_that_cannot_be_taken_apart_is_refused_with_a_reason(body: bytes, content_type: str, detail: str) -> None:
    refused = refusal_of(body, content_type)

    assert refused.reason == "not_multipart"
    assert detail in refused.detail


@pytest.mark.parametrize("headers", [[], [b"Content-Type: image/png"], [b"Content-Type: text/plain; charset=us-ascii"]])
def test_part_that_is_no_text_is_refused(headers: list[bytes]) -> None:
    assert refusal_of(form(part(b"\x89PNG\xff", *headers))).reason == "not_utf8"


def test_up_to_two_hundred_parts_are_read() -> None:
    parts = [part(b"x", name=b'name="k%d"' % number) for number in range(200)]

    assert len(read_multipart(form(*parts), TYPE)) == 200
    assert refusal_of(form(*parts, part())).reason == "unknown_shape"


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=\u20ac", 'multipart/form-data; boundary="B', "multipart/"]
)
def test_odd_content_type_is_refused(content_type: str) -> None:
    assert refusal_of(form(part()), content_type).reason == "not_multipart"
