"""What a request reaches: logs, Kafka's keys and headers, the answer. No client can inject content there."""

import json

import pytest

from tests.security.conftest import AUTHENTIC, BODY, NUMBER, PATH, SECRETS, Bridge, post
from tests.support.callbacks import contact, envelope, message

ODD = [
    "\x1b[2J\x1b[31mroot",
    "\x1b]0;title\x07",
    "line\nERROR forged",
    "line\r\nERROR forged",
    "\x00null",
    "\u2028separator",
    "\u202eright to left",
    "\x9b31m",
    "${jndi:ldap://x}",
    "%s%n%x",
    "{{7*7}}",
    "<script>",
    "\ud83d",
    "\ufffe",
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_characters_reach_no_log(bridge: Bridge, odd: str) -> None:
    body = json.dumps({"odd": odd, "from": odd, "type": odd, "id": odd}).encode()
    quoted = "".join(f"%{byte:02x}" for byte in odd.encode("utf-8", "surrogatepass"))
    for sent in (
        envelope([message(NUMBER, odd or "x", id=odd)], [contact(odd, odd)]),
        body,
        odd.encode("utf-8", "surrogatepass"),
    ):
        assert bridge.ask(post(sent, AUTHENTIC, path=f"{PATH}?odd={quoted}")).status in (200, 503)
    assert bridge.ask(post(BODY, path=f"{PATH}/{quoted}")).status in (401, 404)
    plain = odd.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"").decode("latin-1")
    assert bridge.ask(post(BODY, f"User-Agent: {plain}", f"Authorization: Bearer {plain}")).status in (400, 401)
    log = bridge.server.log()
    assert "forged" not in log
    assert not [character for character in log if ord(character) < 32 and character != "\n"]
    for word in ("jndi", "7*7", "script", "root", "title"):
        assert word not in log
    assert all(json.loads(line) for line in log.splitlines() if line.startswith("{"))


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_secrets_reach_no_log(bridge: Bridge, secret: str) -> None:
    for path in (f"{PATH}/{secret}", f"{PATH}/{secret}?{secret}", f"/{secret}", f"{PATH}/{secret}/{secret}"):
        for content in (post(BODY, path=path), post(BODY, path=path, method="PUT"), post(BODY, path=path, version="9.9")):
            answer = bridge.ask(content)
            assert secret not in f"{answer.headers}{answer.body!r}"
    assert secret not in bridge.server.log()


@pytest.mark.parametrize(
    "value",
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\x7f",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "x" * 5000,
        "\xe9",
        "\x1b[31m",
    ],
    ids=ascii,
)
def test_header_of_a_record_is_well_formed_or_missing(bridge: Bridge, value: str) -> None:
    good = value.endswith("-01") and value.islower()
    answer = bridge.ask(post(BODY, AUTHENTIC, f"Traceparent: {value}", f"Tracestate: a={value}"))
    if answer.status == 400:
        assert bridge.texts() == 0
        return
    (record,) = bridge.text_records()
    trace = {name: content for name, content in record.headers if name.startswith("trace")}
    assert trace == ({"traceparent": value.encode(), "tracestate": f"a={value}".encode()} if good else {})
    assert all(32 <= byte < 127 for _, content in record.headers for byte in content)


@pytest.mark.parametrize(
    "key",
    ["\x00", "\x1b[31m", "\r\nX: y", "\U0001f600", "\ud83d", " ", "a" * 5000, "../..", "null", "\u0000" * 100, "é"],
    ids=ascii,
)
def test_record_key_is_the_sent_one_or_there_is_no_record(bridge: Bridge, key: str) -> None:
    body = json.dumps({"meta_object": {"messages": [{"from": key, "id": "wamid.x", "type": "text", "text": {"body": "x"}}]}})
    assert bridge.ask(post(body.encode(), AUTHENTIC)).status == 200
    for record in bridge.text_records():
        assert record.key == key.encode("utf-8", "replace").replace(b"?", "\ufffd".encode()) or record.key == key.encode()
        assert record.value["record_key"].encode() == record.key


def test_answer_contains_no_line_breaks_from_the_request(bridge: Bridge) -> None:
    for path in (f"{PATH}%0d%0aSet-Cookie:%20a=b", f"{PATH}/%0d%0aSet-Cookie:%20a=b", f"{PATH}?%0d%0aSet-Cookie:%20a=b"):
        answer = bridge.ask(post(BODY, path=path))
        assert "set-cookie" not in answer.headers
        assert answer.status in (401, 404)
