"""The strict reader of requests: what it takes, what it refuses, and that nothing gets past it in what it writes anew."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.interpreter.http1 import HOP_BY_HOP, MAX_HEAD_BYTES, BadRequest, parse, parse_chunk_size, response
from codeact.interpreter.network import host_of


def head(first: str, *headers: str) -> bytes:
    return "".join(line + "\r\n" for line in (first, *headers, "")).encode("latin-1")


@pytest.mark.parametrize(("target", "host", "port", "path"), [
    ("http://a.example/x?y=1&z", "a.example", 80, "/x?y=1&z"),
    ("http://A.Example.:8080", "a.example", 8080, "/"),
    ("HTTP://a.example?q", "a.example", 80, "/?q"),
    ("http://1.1.1.1/", "1.1.1.1", 80, "/"),
    ("http://[2606:4700:0::1]:81/a//b\\c", "2606:4700::1", 81, "/a//b\\c"),
    ("http://a.example/http://b.example/", "a.example", 80, "/http://b.example/"),
    ("http://a.example/@b.example/", "a.example", 80, "/@b.example/"),
])  # fmt: skip
def test_a_plain_request_is_taken_apart(target, host, port, path):
    request = parse(head(f"GET {target} HTTP/1.1"))
    assert (request.host, request.port, request.path, request.is_tunnel) == (host, port, path, False)


def test_a_tunnel_is_asked_for_by_host_and_port():
    request = parse(head("CONNECT A.Example:443 HTTP/1.1", "Host: other.example:443"))
    assert (request.host, request.port, request.is_tunnel) == ("a.example", 443, True)
    assert parse(head("CONNECT [2606:4700::1]:443 HTTP/1.1")).host == "2606:4700::1"


def test_what_goes_on_is_written_anew():
    request = parse(head(
        "POST http://a.example:8080/x HTTP/1.1", "Host: internal.example", "Accept:  text/html ", "Connection: keep-alive, X-Secret, content-length",
        "X-Secret: 1", "Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive", "Keep-Alive: 5", "Upgrade: h2c", "TE: trailers", "Expect: 100-continue",
        "Content-Length: 12", "Cookie: a=\xe9"))  # fmt: skip
    assert request.expects
    assert request.head() == (b"POST /x HTTP/1.1\r\nHost: a.example:8080\r\nAccept: text/html\r\nCookie: a=\xe9\r\nConnection: close\r\nContent-Length: 12\r\n\r\n")


def test_the_kind_of_body_goes_on():
    assert parse(head("POST http://a.example/ HTTP/1.1", "Transfer-Encoding: Chunked")).head().endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert parse(head("POST http://a.example/ HTTP/1.0")).head() == b"POST / HTTP/1.0\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert b"Content-Length" not in parse(head("GET http://a.example/ HTTP/1.1")).head()
    assert parse(head("OPTIONS http://a.example HTTP/1.1")).path == "*"


PLAIN = "POST http://a.example/ HTTP/1.1"


@pytest.mark.parametrize("bad", [
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET http://a.example/ HTTP/1.1", b"GET http://a.example/ HTTP/1.1\n\n", b"\x16\x03\x01\x02\x00\r\n\r\n", b"\x05\x01\x00\r\n\r\n",
    head("GET http://a.example/ HTTP/2.0"), head("GET http://a.example/"), head("GET  http://a.example/ HTTP/1.1"), head("GET http://a.example/ HTTP/1.1 "),
    head(" GET http://a.example/ HTTP/1.1"), head("GET http://a.example/\tx HTTP/1.1"), head("GET http://a.example/\xe9 HTTP/1.1"), head("G(T http://a.example/ HTTP/1.1"),
    head("GET / HTTP/1.1", "Host: a.example"), head("GET //a.example/ HTTP/1.1"), head("GET https://a.example/ HTTP/1.1"), head("GET ftp://a.example/ HTTP/1.1"), head("GET * HTTP/1.1"),
    head("GET http:///x HTTP/1.1"), head("GET http://a.example@b.example/ HTTP/1.1"), head("GET http://a.example:80@b.example/ HTTP/1.1"), head("GET http://a.example#@b.example/ HTTP/1.1"),
    head("GET http://a.example\\@b.example/ HTTP/1.1"), head("GET http://a.example:/ HTTP/1.1"), head("GET http://a.example:080/ HTTP/1.1"), head("GET http://a.example:+80/ HTTP/1.1"),
    head("GET http://a.example:65536/ HTTP/1.1"), head("GET http://a.example:8_0/ HTTP/1.1"), head("GET http://a.example%00.b.example/ HTTP/1.1"), head("GET http://[::1/ HTTP/1.1"),
    head("GET http://[fe80::1%25eth0]/ HTTP/1.1"), head("GET http://127.1/ HTTP/1.1"), head("GET http://0x7f000001/ HTTP/1.1"), head("GET http://2130706433/ HTTP/1.1"), head("GET http://0177.0.0.1/ HTTP/1.1"),
    head("GET http://::1/ HTTP/1.1"), head("CONNECT a.example HTTP/1.1"), head("CONNECT a.example:443/ HTTP/1.1"), head("CONNECT http://a.example:443 HTTP/1.1"), head("CONNECT a.example:443:80 HTTP/1.1"),
    head("CONNECT :443 HTTP/1.1"), head("CONNECT x@a.example:443 HTTP/1.1"), head("CONNECT a.example:443 HTTP/1.1", "Content-Length: 5"), head("CONNECT a.example:443 HTTP/1.1", "Transfer-Encoding: chunked"),
    head(PLAIN, "Content-Length: 5", "Transfer-Encoding: chunked"), head(PLAIN, "Transfer-Encoding: chunked", "Content-Length: 0"), head(PLAIN, "Content-Length: 5", "Content-Length: 5"),
    head(PLAIN, "Content-Length: 5", "content-length: 6"), head(PLAIN, "Content-Length: 5, 5"), head(PLAIN, "Content-Length: +5"), head(PLAIN, "Content-Length: -5"), head(PLAIN, "Content-Length: 0x5"),
    head(PLAIN, "Content-Length:"), head(PLAIN, "Content-Length: \xb2"), head(PLAIN, "Content-Length: 5_0"), head(PLAIN, "Content-Length: " + "9" * 19), head(PLAIN, "Transfer-Encoding: gzip, chunked"),
    head(PLAIN, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), head(PLAIN, "Transfer-Encoding: xchunked"), head(PLAIN, "Transfer-Encoding:"), head(PLAIN, "Transfer-Encoding: \x0bchunked"),
    head("POST http://a.example/ HTTP/1.0", "Transfer-Encoding: chunked"), head(PLAIN, "Content-Length : 5"), head(PLAIN, " Content-Length: 5"), head(PLAIN, "X: a", " folded"), head(PLAIN, "X: a", "\tfolded"),
    head(PLAIN, "no colon"), head(PLAIN, ": empty"), head(PLAIN, "X: a\x00b"), head(PLAIN, "X: a\nY: b"), head(PLAIN, "X: a\rY: b"), head(PLAIN, "X: a\x7f"), head(PLAIN, "X\x00: a"), head(PLAIN, "X\xe9: a"),
    head(PLAIN, "Host: a.example", "Host: b.example"), head(PLAIN, "Expect: something"), head(PLAIN, *["X: y"] * 101), head(PLAIN, "X: " + "y" * MAX_HEAD_BYTES),
])  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(bad):
    with pytest.raises(BadRequest):
        parse(bad)


def check(data: bytes) -> None:
    """Refused, or taken and written anew as one request without anything between the lines."""
    try:
        request = parse(data)
    except BadRequest:
        return
    assert host_of(f"[{request.host}]" if ":" in request.host else request.host) == request.host
    assert 0 < request.port < 65536
    assert request.length is None or request.length >= 0
    if request.is_tunnel:
        return
    lines = request.head().split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert all(line and not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line) for line in lines[:-2])
    assert re.fullmatch(rb"[^ ]+ [/*][^ ]* HTTP/1\.[01]", lines[0])
    names = [line.partition(b":")[0].lower() for line in lines[1:-2]]
    assert names.count(b"host") == names.count(b"connection") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not set(names) & HOP_BY_HOP - {b"host", b"connection", b"content-length", b"transfer-encoding"}


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_are_a_request_or_refused(data):
    check(data)
    check(data + b"\r\n\r\n")


PIECES = [b"GET ", b"POST ", b"CONNECT ", b"http://", b"a.example", b":80", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"Host: ", b"Content-Length: ", b"5", b"0",
          b"Transfer-Encoding: ", b"chunked", b"Connection: ", b"close, host", b"Expect: 100-continue", b"X: y", b",", b":", b"@", b"#", b"[::1]", b"\xff", b"%0d%0a", b"\r\n\r\n"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=25))
@settings(deadline=None, max_examples=500)
def test_any_pieces_of_a_request_are_one_or_refused(pieces):
    check(b"".join(pieces))
    check(b"POST http://a.example/ HTTP/1.1\r\n" + b"".join(pieces) + b"\r\n\r\n")
    check(b"POST http://a.example" + b"".join(pieces) + b" HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(("line", "size"), [(b"0\r\n", 0), (b"1f\r\n", 31), (b"FFFFFFFF\r\n", 0xFFFFFFFF), (b"5;name=\"v\"\r\n", 5)])
def test_a_chunks_size_is_read(line, size):
    assert parse_chunk_size(line) == size


@pytest.mark.parametrize("line", [b"\r\n", b" 5\r\n", b"5 \r\n", b"0x5\r\n", b"+5\r\n", b"-5\r\n", b"5\n", b"5", b"5\r\n\r\n", b"5\n;\r\n", b"5;\n\r\n", b"1_0\r\n", b"100000000\r\n", b"g\r\n"])
def test_a_chunk_that_could_be_read_in_two_ways_is_refused(line):
    with pytest.raises(BadRequest):
        parse_chunk_size(line)


def test_the_proxys_own_answer_cannot_be_split():
    answer = response(403, "x\r\nSet-Cookie: a=b\n" + "y" * 1000, "text\r\nmore \N{SNOWMAN}")
    first, *headers = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert first.startswith(b"HTTP/1.1 403 x??Set-Cookie: a=b?yyy")
    assert len(first) < 450
    assert [line.partition(b":")[0] for line in headers] == [b"Content-Type", b"Content-Length", b"Connection", b"Proxy-Connection"]
