"""Values that a callback profile encrypted are recognised, and no plain value is taken for one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import NotDecodable
from connector.pipeline.decode import decode
from connector.pipeline.dialects.encrypted import is_cipher_text
from connector.records import Callback, Json
from tests.support.callbacks import (
    BODIES,
    SAMPLES,
    body_of,
    by_form,
    by_multipart,
    by_query,
    by_xml,
    quality_notice,
    raw,
    read,
    sample,
    template_status,
    v1_message,
    v1_status,
)

CIPHER_TEXT = base64.b64encode(bytes(range(120, 148))).decode()


def detail_of(keys: Json) -> list[str]:
    details = []
    for carry in (by_query, by_form, by_multipart, by_xml, lambda keys: raw(body_of(keys))):
        with pytest.raises(NotDecodable) as refused:
            decode(carry(keys))
        assert refused.value.reason == "unknown_shape"
        details.append(refused.value.detail)
    return details


@pytest.mark.parametrize(
    "keys",
    [
        {name: CIPHER_TEXT if value else value for name, value in v1_message().items()},
        v1_message(**{"from": CIPHER_TEXT}),
        v1_message(mobile=CIPHER_TEXT, **{"from": ""}),
        v1_status(mobile=bytes(range(100, 132)).hex()),
        v1_status(timestamp=CIPHER_TEXT),
        template_status(message_template_id=CIPHER_TEXT),
        quality_notice(display_phone_number=CIPHER_TEXT),
    ],
)
def test_dead_letter_says_that_values_look_encrypted_without_content(keys: Json) -> None:
    for detail in detail_of(keys):
        assert "switch encryption off" in detail
        assert CIPHER_TEXT not in detail


def test_base64_of_a_query_that_was_not_percent_encoded_is_recognised() -> None:
    with pytest.raises(NotDecodable) as refused:
        decode(raw(b"", method="GET", query="from=q83vEjRW+JrN7xI0Vniazw==&type=text&body=x"))
    assert "switch encryption off" in refused.value.detail


def test_encrypted_envelope_is_recognised() -> None:
    with pytest.raises(NotDecodable) as refused:
        decode(raw(body_of({"meta_object": CIPHER_TEXT, "extra_info": ""})))
    assert "switch encryption off" in refused.value.detail


@pytest.mark.parametrize("key_bytes", [16, 24, 32])
@given(plain=st.sampled_from(("393335550142", "1763720000", "+39 333 555 0142")), vector=st.binary(min_size=12, max_size=16))
def test_any_vector_and_digits_in_base64_or_hexadecimal_look_encrypted(key_bytes: int, plain: str, vector: bytes) -> None:
    # As long as what AES makes of it: the vector, a cipher's text as long as the plain one, and in GCM a tag.
    text = vector + bytes(byte ^ key_bytes for byte in plain.encode())
    encoded = base64.b64encode(text).decode()
    assert is_cipher_text(encoded) or encoded.strip("=").isdigit()
    assert is_cipher_text(text.hex()) or text.hex().isdigit() or len(text.hex()) < 32


@given(st.from_regex(r"\A\+?[0-9 ]{1,40}\Z"))
def test_no_number_looks_encrypted(number: str) -> None:
    assert not is_cipher_text(number)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "IT.13490000000000001",
        "2025-11-21T10:30:00Z",
        "2025-11-21T10:30:00.123456+01:00",
        "20251121T103000Z",
        "0b6f6c1e-1111-4222-8333-444455556666",
        "<display_phone_number>",
        "AcmeCustomerCare",
        "393335550142@s.whatsapp.net",
        "A" * 5000,
    ],
)
def test_other_values_of_a_number_or_time_do_not(value: object) -> None:
    assert not is_cipher_text(value)


def test_no_sample_looks_encrypted() -> None:
    assert all(isinstance(decode(raw(read(path))), Callback) for path in SAMPLES)
    assert all(isinstance(decode(sample(path)), Callback) for path in BODIES)
