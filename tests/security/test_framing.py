"""Where one request ends and the next begins: every server in front must see it as we do. Raw bytes on a real socket."""

import random
import socket
import time
from contextlib import suppress

import pytest

from tests.security.conftest import AUTHENTIC, BODY, PATH, Bridge, post

SMUGGLED = post(BODY, AUTHENTIC)
"""An authentic request: a server that parses it as a separate request produces a record."""
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: bridge\r\n{AUTHENTIC}\r\n".encode()


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


REFUSED = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two equal lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "lengths in a list": HEAD + b"Content-Length: 0, 0\r\n\r\n",
    "length with a sign": HEAD + b"Content-Length: +0\r\n\r\n",
    "length in hexadecimal": HEAD + b"Content-Length: 0x0\r\n\r\n",
    "length with blanks within": HEAD + b"Content-Length: 0 0\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "folded header": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "folded coding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "blank before the first header": f"POST {PATH} HTTP/1.1\r\n Host: bridge\r\nContent-Length: 0\r\n\r\n".encode(),
    "blank before the colon": HEAD + b"Content-Length : 0\r\n\r\n",
    "blank before the colon of the coding": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n",
    "one line feed alone": HEAD + b"X: a\nContent-Length: 0\r\n\r\n",
    "carriage return alone": HEAD + b"X: a\rContent-Length: 5\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": HEAD + b"X\0: a\r\nContent-Length: 0\r\n\r\n",
    "no name": HEAD + b": a\r\nContent-Length: 0\r\n\r\n",
    "other coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "identity as coding": HEAD + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "coding behind chunks": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "coding before chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding in quotes": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding with a letter before": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding with a vertical tab": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "empty coding": HEAD + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk of a wrong size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "chunk with a sign": HEAD + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
    "chunk with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "chunk with a blank": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
    "chunk of more than 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n\r\n",
    "chunk line with a line feed alone": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "chunk extension with a line feed": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n",
    "length in a trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n",
    "tabs in the first line": f"POST\t{PATH}\tHTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "blank in the path": f"POST {PATH} x HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "unknown version": HEAD.replace(b"1.1", b"1.2") + b"Content-Length: 0\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
}  # fmt: skip


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_ambiguous_request_is_400_and_what_follows_is_not_read(bridge: Bridge, content: bytes) -> None:
    client = bridge.connect().send(content + SMUGGLED)
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert client.is_closed()
    assert not bridge.texts()


HARMLESS = {
    "tab before the coding": HEAD + b"Transfer-Encoding:\tchunked\r\n\r\n" + chunked(BODY),
    "coding in capitals": HEAD + b"TRANSFER-ENCODING: Chunked\r\n\r\n" + chunked(BODY),
    "chunk extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY).replace(b"\r\n", b";a=b\r\n", 1),
    "trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY)[:-2] + b"X: y\r\n\r\n",
    "underscore for a hyphen": HEAD + b"Content_Length: 5\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "length with zeros": HEAD + b"Content-Length: 000%d\r\n\r\n" % len(BODY) + BODY,
    "offer of HTTP/2": HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "blank lines before": b"\r\n\r\n" + post(BODY, AUTHENTIC),
    "expecting to be asked": post(BODY, AUTHENTIC, "Expect: 100-continue"),
}


@pytest.mark.parametrize("content", HARMLESS.values(), ids=HARMLESS)
def test_odd_request_is_one_request_and_the_next_is_another(bridge: Bridge, content: bytes) -> None:
    client = bridge.connect().send(content + post(BODY, AUTHENTIC))
    statuses = [client.answer().status for _ in range(3 if b"100-continue" in content else 2)]
    assert [status for status in statuses if status != 100] == [200, 200]
    assert bridge.texts() == 2


@pytest.mark.parametrize("trailer", [AUTHENTIC, "X-Forwarded-For: 192.0.2.7", "Authorization: Bearer x"])
def test_credential_in_a_trailer_is_401(bridge: Bridge, trailer: str) -> None:
    stranger = HEAD.replace(f"{AUTHENTIC}\r\n".encode(), b"Transfer-Encoding: chunked\r\n\r\n")
    assert bridge.ask(stranger + chunked(BODY)[:-2] + f"{trailer}\r\n\r\n".encode()).status == 401
    assert not bridge.texts()


def test_request_in_a_body_is_not_parsed_as_a_request(bridge: Bridge) -> None:
    client = bridge.connect().send(post(SMUGGLED, AUTHENTIC) + post(BODY, AUTHENTIC))
    assert [client.answer().status for _ in range(2)] == [200, 200]
    assert bridge.texts() == 1, "the first is a dead letter"


def test_bytes_after_a_refused_request_are_not_read(bridge: Bridge) -> None:
    for refused in (
        post(BODY),
        post(BODY, AUTHENTIC, "Connection: close", path="/nowhere"),
        post(b"x", AUTHENTIC, method="PATCH"),
    ):
        client = bridge.connect().send(refused + SMUGGLED * 20)
        assert client.answer().status in (401, 404, 405)
        assert client.is_closed()
    assert not bridge.texts()


def test_truncated_body_produces_nothing(bridge: Bridge) -> None:
    client = bridge.connect().send(post(BODY, AUTHENTIC)[:-1])
    client.socket.shutdown(socket.SHUT_WR)
    client.is_closed()
    assert not bridge.texts()


def test_unauthenticated_client_gets_no_100_continue(bridge: Bridge) -> None:
    assert bridge.ask(post(BODY, "Expect: 100-continue")[: -len(BODY)]).status == 401


def test_pipelined_callback_without_credential_ends_it(bridge: Bridge) -> None:
    client = bridge.connect().send(post(BODY, AUTHENTIC) * 3 + post(BODY) + post(BODY, AUTHENTIC) * 3)
    assert [client.answer().status for _ in range(4)] == [200, 200, 200, 401]
    assert client.is_closed()
    assert bridge.texts() == 3


SEEDS = [*REFUSED.values(), *HARMLESS.values(), SMUGGLED, post(BODY), post(b"{}", path="/oauth/token")]
FUZZ_SECONDS = 8.0
STATUSES = {100, 200, 400, 401, 404, 405, 408, 413, 414, 415, 429, 431, 503}


def mutated(chance: random.Random) -> bytes:
    """Return a request with some of its bytes changed, left out, doubled, or taken from another."""
    content = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content) + 1)
        to = min(len(content), at + chance.randint(0, 12))
        match chance.randrange(5):
            case 0:
                content[at:to] = chance.randbytes(to - at)
            case 1:
                del content[at:to]
            case 2:
                content[at:at] = content[at:to] * chance.randint(1, 50)
            case 3:
                content[at:at] = chance.choice([b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\xff", b"\r\n\r\n", b"%00", b"0"])
            case _:
                other = chance.choice(SEEDS)
                content[at:to] = other[chance.randrange(len(other)) :][:80]
    return bytes(content)


def test_mutated_requests_do_not_crash_the_bridge(bridge: Bridge) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    before_mib = bridge.memory_mib()
    workers = bridge.server.children()
    ends = time.monotonic() + FUZZ_SECONDS
    sent = 0
    while time.monotonic() < ends:
        client = bridge.connect()
        content = mutated(chance)
        client.send(content)
        with suppress(OSError):
            client.socket.shutdown(socket.SHUT_WR)
        client.is_closed()
        first = client._received.split(b" ", 2)
        assert not client._received or int(first[1]) in STATUSES, f"seed {seed}: {content!r}"
        client.socket.close()
        sent += 1
    assert sent > 500
    assert bridge.server.children() == workers, f"seed {seed}: a worker died"
    assert bridge.memory_mib() - before_mib < 32, f"seed {seed}"
