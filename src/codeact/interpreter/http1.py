"""The head of an HTTP/1 request to a proxy: a strict reader, and the head that goes on to the origin.

proxy.py uses it. What two readers could understand differently is no request here: two lengths, a length beside
chunks, folded lines, bare line ends, control characters, blanks in odd places (RFC 9112, sections 2 to 7). What goes on
is not what came but written anew, with a `Host` that is the target's.

Not protected against: what the bytes inside a tunnel say. They are between the cell and the allowed host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codeact.interpreter.network import host_of, port_of

__all__ = ["MAX_HEAD_BYTES", "BadRequest", "Request", "parse", "parse_chunk_size", "response"]

MAX_HEAD_BYTES = 32 << 10
MAX_HEADERS = 100

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ABSOLUTE = re.compile(r"http://([^/?#]+)([^#]*)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[\x20-\x7e\t]*)?\r\n")

HOP_BY_HOP = {b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te",
              b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"host", b"expect", b"http2-settings"}
"""Not passed on as they came: of this connection alone, or written anew."""


class BadRequest(Exception):
    """This is no request to a proxy; the message says why, without repeating it."""


@dataclass(frozen=True)
class Request:
    """What is asked of the proxy."""

    method: str
    host: str
    """As `network.host_of` writes it."""
    port: int
    path: str = ""
    """Of a plain request: what the origin is asked for. Empty for a tunnel."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Those that are passed on."""
    length: int | None = 0
    """Of the body in bytes; None where it comes in chunks."""
    version: str = "1.1"
    expects: bool = False
    """Whether the client waits for `100 Continue` before it sends the body."""

    @property
    def is_tunnel(self) -> bool:
        """Whether bytes are to be passed on unseen (`CONNECT`)."""
        return not self.path

    def head(self) -> bytes:
        """What is sent to the origin before the body; asks it to close afterwards."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"{self.method} {self.path} HTTP/{self.version}".encode(),
                 b"Host: " + (host if self.port == 80 else f"{host}:{self.port}").encode(),
                 *(name + b": " + value for name, value in self.headers), b"Connection: close"]
        if self.length is None:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.length or self.method not in ("GET", "HEAD", "OPTIONS", "TRACE", "DELETE"):
            lines.append(b"Content-Length: %d" % self.length)
        return b"\r\n".join(lines) + b"\r\n\r\n"


def parse(head: bytes) -> Request:
    """Read a request's head, the empty line included.

    Raises:
        BadRequest: It is not one that every reader would understand alike.
    """
    if len(head) > MAX_HEAD_BYTES or not head.endswith(b"\r\n\r\n"):
        raise BadRequest("the head of the request is too long or has no end")
    first, *rest = head[:-4].split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise BadRequest("the request line is malformed")
    method, target, minor = found[1].decode(), found[2].decode(), found[3]
    if len(rest) > MAX_HEADERS:
        raise BadRequest("there are too many headers")
    headers: list[tuple[bytes, bytes]] = []
    for line in rest:
        field = _HEADER.fullmatch(line)
        if field is None:
            raise BadRequest("a header is malformed")
        headers.append((field[1], field[2].rstrip(b" \t")))
    host, port, path = _target(method, target)
    length = _body_length(headers, minor)
    expects = _one(headers, b"expect").lower()
    if expects not in (b"", b"100-continue"):
        raise BadRequest("an Expect header asks for something unknown")
    _one(headers, b"host")
    if method == "CONNECT" and length != 0:
        raise BadRequest("a CONNECT request has no body")
    named = {name.strip(b" \t").lower() for value in _all(headers, b"connection") for name in value.split(b",")}
    kept = tuple((name, value) for name, value in headers if name.lower() not in HOP_BY_HOP | named)
    return Request(method, host, port, path, kept, length, f"1.{minor.decode()}",
                   expects=expects == b"100-continue" and length != 0)


def _target(method: str, target: str) -> tuple[str, int, str]:
    """Host, port and path of a request's target."""
    if method == "CONNECT":
        host, port, path = *_authority(target), ""
        if port is None:
            raise BadRequest("CONNECT takes host:port")
        return host, port, path
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise BadRequest("a request to this proxy names a whole address (http://host/path); https goes through CONNECT")
    host, port = _authority(found[1])
    rest = found[2]
    if not rest.startswith("/"):   # nothing, or a query alone
        rest = "*" if method == "OPTIONS" and not rest else "/" + rest
    return host, 80 if port is None else port, rest


def _authority(text: str) -> tuple[str, int | None]:
    host_text, colon, port_text = text, "", ""
    if not text.endswith("]"):
        before, colon, after = text.rpartition(":")
        if colon:
            host_text, port_text = before, after
    host = host_of(host_text)
    port = port_of(port_text) if colon else None
    if host is None or (colon and port is None):
        raise BadRequest("the target's host or port is malformed")
    return host, port


def _all(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def _one(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    values = _all(headers, name)
    if len(values) > 1:
        raise BadRequest(f"there is more than one {name.decode().title()} header")
    return values[0] if values else b""


def _body_length(headers: list[tuple[bytes, bytes]], minor: bytes) -> int | None:
    """Bytes of the body; None for chunks."""
    has_length, has_coding = bool(_all(headers, b"content-length")), bool(_all(headers, b"transfer-encoding"))
    length, coding = _one(headers, b"content-length"), _one(headers, b"transfer-encoding")
    if has_length and has_coding:
        raise BadRequest("there is both a Content-Length and a Transfer-Encoding")
    if has_coding:
        if coding.lower() != b"chunked" or minor == b"0":
            raise BadRequest("the only Transfer-Encoding is chunked, in HTTP/1.1")
        return None
    if has_length and not _LENGTH.fullmatch(length):
        raise BadRequest("the Content-Length is no number")
    return int(length or b"0")


def parse_chunk_size(line: bytes) -> int:
    """The size in the line before a chunk, its line end included; extensions are dropped.

    Raises:
        BadRequest: It is malformed.
    """
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise BadRequest("a chunk is malformed")
    return int(found[1], 16)


def response(status: int, reason: str, text: str) -> bytes:
    """An answer of the proxy's own; the connection ends after it.

    Args:
        reason: Stands in the first line too, as that is all clients show of an answer to CONNECT.
    """
    line = re.sub(r"[^\x20-\x7e]", "?", reason)[:400]
    body = (text.rstrip("\n") + "\n").encode("utf-8", "replace")
    return (f"HTTP/1.1 {status} {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\nProxy-Connection: close\r\n\r\n").encode() + body
