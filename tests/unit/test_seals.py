"""Sealed callbacks: only the right key opens them, by its id, and only if they are unchanged."""

import base64
import json
import secrets
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.catalogue import Catalogue, read_catalogue
from connector.commands.explain import read_callback
from connector.commands.show import plain
from connector.errors import ConfigurationInvalid, NotOpened
from connector.privacy.policy import Policy
from connector.seals import Seals, open_sealed, printable, read_keys
from connector.settings.tables import Privacy
from tests.support.callbacks import NUMBER, by_query, decoded, envelope, message, raw, translator
from tests.support.examples import examples

modest = settings(max_examples=examples(60), deadline=None, database=None)
OLD, NEW = (f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}" for name in ("old", "new"))


def seals(*keys: str) -> Seals:
    return Seals(read_keys("\n".join(keys)))


def under(*keys: str) -> Catalogue:
    return read_catalogue(policy=Policy.of(Privacy(seal_keys="\n".join(keys))))


@modest
@given(st.binary(max_size=2000), st.text(max_size=200))
def test_sealed_content_is_hidden_and_can_be_opened(content: bytes, text: str) -> None:
    ours = seals(NEW)
    sealed, sealed_text = ours.seal(content), ours.seal_text(text)

    assert (ours.open(sealed), ours.open_text(sealed_text)) == (content, text)
    assert len(content) < 8 or content not in sealed
    assert len(text) < 8 or text not in sealed_text
    assert ours.open_printed((printable(sealed) or "").encode() + b"\n") == content
    assert len(sealed) == len(content) + len(b"\0s1:new:") + 28


@modest
@given(st.binary(max_size=50))
def test_unsealed_content_is_unchanged(content: bytes) -> None:
    if not content.startswith((b"\0s1:", b"s1:")):
        assert seals(NEW).open(content) == seals(NEW).open_printed(content) == content
        assert printable(content) is None


def test_sealing_the_same_content_twice_differs() -> None:
    assert len({seals(NEW).seal(b"content") for _ in range(100)}) == 100


def test_first_key_seals_and_every_key_opens() -> None:
    before = seals(OLD).seal(b"content")
    rotated = seals(NEW, OLD)
    assert rotated.seal(b"content").startswith(b"\0s1:new:")
    assert rotated.open(before) == b"content"
    assert repr(rotated) == "Seals(new, old)"


def test_missing_key_is_named() -> None:
    with pytest.raises(NotOpened, match=r"the key old, which is not among privacy\.seal_keys"):
        seals(NEW).open(seals(OLD).seal(b"content"))
    with pytest.raises(NotOpened, match="the key old"):
        open_sealed({"body": seals(OLD).seal(b"content")}, None)


def test_different_key_with_the_same_id_opens_nothing() -> None:
    other = f"new:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    with pytest.raises(NotOpened, match="a different key new"):
        seals(NEW).open(seals(other).seal(b"content"))


@modest
@given(st.data())
def test_changed_content_is_not_opened(data: st.DataObject) -> None:
    sealed = bytearray(seals(NEW).seal(b"content"))
    place = data.draw(st.integers(8, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NotOpened, match="changed since"):
        seals(NEW).open(bytes(sealed))


@pytest.mark.parametrize("left", [8, 12, 20, 35])
def test_truncated_content_is_not_opened(left: int) -> None:
    with pytest.raises(NotOpened):
        seals(NEW).open(seals(NEW).seal(b"content")[:left])


def test_sealed_text_is_not_opened_as_bytes() -> None:
    text = seals(NEW).seal_text("content")
    with pytest.raises(NotOpened):
        seals(NEW).open_printed(text.encode())
    with pytest.raises(NotOpened, match="incomplete"):
        seals(NEW).open_text(text[:-3])


# On the way


def test_dead_letter_is_sealed_and_opened() -> None:
    of = under(NEW, OLD)
    body = envelope([message("", id="wamid.1", text={"body": NUMBER})])
    (letter,) = translator(of=of).translate(raw(body, query="marked=query"))
    value = decoded(letter, of)

    for hidden in (NUMBER.encode(), b"marked", b"wamid.1"):
        assert hidden not in letter.value
    assert value["reason"] == "no_key"
    assert value["phone_number_id"], "what is of the business stays to be read"
    opened = open_sealed(value, of.policy.seals)
    assert (opened["body"], opened["query"]) == (body, "marked=query")
    assert {name: part for name, part in opened.items() if name not in ("body", "query")} == {
        name: part for name, part in value.items() if name not in ("body", "query")
    }


def test_get_callback_is_sealed_in_its_query() -> None:
    of = under(NEW)
    (letter,) = translator(of=of).translate(by_query({"name": "Giulia", "strange": "marked"}))
    value = decoded(letter, of)
    assert b"marked" not in letter.value
    assert open_sealed(value, of.policy.seals)["query"] == "name=Giulia&strange=marked"


def test_records_are_not_sealed() -> None:
    sealed = translator(of=under(NEW)).translate(raw(envelope([message()])))
    assert [one.value for one in sealed] == [one.value for one in translator().translate(raw(envelope([message()])))]


# explain


def test_explain_reads_the_output_of_tail(tmp_path: Path) -> None:
    body = envelope([message()])
    file = tmp_path / "sealed"
    file.write_text(printable(seals(OLD).seal(body)) or "")
    assert read_callback(file, None, seals(NEW, OLD), is_form=False).body == body
    assert read_callback(None, seals(OLD).seal_text("a=b"), seals(OLD), is_form=False).query == "a=b"
    for keys in (seals(NEW), None):
        with pytest.raises(ConfigurationInvalid, match=r"the key old, .*; add that key"):
            read_callback(file, None, keys, is_form=False)


def test_tail_prints_sealed_bytes_so_that_they_can_be_copied() -> None:
    sealed = seals(NEW).seal(b"content")
    printed = json.loads(json.dumps(plain({"body": sealed})))["body"]
    assert seals(NEW).open_printed(printed.encode()) == b"content"
    assert plain(b"{}") == "{}"
