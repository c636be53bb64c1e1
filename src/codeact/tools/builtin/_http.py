"""One request to the web, for tools: over http or https, to public addresses alone, bounded in size and in time.

The name is looked up once and the connection goes to the address that was checked; each redirect is checked anew. No
proxy and no password of the environment is used, no cookie is kept. Addresses: codeact/addresses.py.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from codeact.addresses import Check, Refused, Resolver, Unresolved, ask_system, resolve, why_refused

__all__ = ["Reach", "Response", "WebError", "request"]

MAX_REDIRECTS = 5
PIECE = 1 << 16
_PATH = "/%:@!$&'()*+,;=~-._"


class WebError(RuntimeError):
    """A page could not be had; the message says why."""


@dataclass(frozen=True)
class Reach:
    """How names are looked up, and which addresses may be connected to; tests have their own."""

    resolver: Resolver = ask_system
    check: Check = why_refused
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context


@dataclass(frozen=True)
class Response:
    """What came."""

    url: str
    """After the redirects."""
    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    """Names in small letters."""
    body: bytes = field(repr=False)
    truncated: bool
    """There was more than was read."""


def request(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None,
            max_bytes: int = 4 << 20, seconds: float = 20.0, redirects: int = MAX_REDIRECTS,
            reach: Reach | None = None) -> Response:
    """Ask once, and follow redirects of a GET.

    Args:
        seconds: For all of it, redirects included.

    Raises:
        WebError: There is no such host, it may not be reached, does not answer, or breaks the rules of HTTP.
        TimeoutError: It takes too long.
        ValueError: This is no address of the web.
    """
    deadline = time.monotonic() + seconds
    for _ in range(redirects + 1):
        response = _once(_checked(url), method, headers or {}, body, max_bytes, deadline, reach or Reach())
        place = response.headers.get("location")
        if response.status not in (301, 302, 303, 307, 308) or not place:
            return response
        if method != "GET" or not redirects:
            raise WebError(f"{_host(url)} answers with a redirect, which is not followed here")
        url = urljoin(url, place)
    raise WebError(f"{_host(url)} answers with more than {redirects} redirects")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the host"


def _checked(url: str) -> str:
    """An address as it is sent.

    Raises:
        ValueError: It is none.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"this is no address: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{parts.scheme or 'no scheme'}: only http:// and https:// addresses can be fetched")
    if not host:
        raise ValueError("the address names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a user name or password is not fetched")
    try:
        name = host if ":" in host or host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("the host of this address cannot be a name") from None
    where = (f"[{name}]" if ":" in name else name) + (f":{port}" if port is not None else "")
    path, query = quote(parts.path or "/", safe=_PATH), quote(parts.query, safe=_PATH + "?")
    return urlunsplit((parts.scheme, where, path, query, ""))


def _once(url: str, method: str, headers: Mapping[str, str], body: bytes | None, max_bytes: int, deadline: float,
          reach: Reach) -> Response:
    parts = urlsplit(url)
    host = parts.hostname or ""
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    try:
        addresses = resolve(host, port, resolver=reach.resolver, check=reach.check)
    except (Refused, Unresolved) as error:
        raise WebError(str(error)) from None
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = 443 if tls else 80
    watch: _Deadline | None = None
    try:
        sock = _connect(addresses, port, deadline)
        watch = _Deadline(sock, deadline)
        connection.sock = reach.tls().wrap_socket(sock, server_hostname=host) if tls else sock
        watch.sock = connection.sock
        given = {"User-Agent": "codeact", "Accept-Encoding": "gzip", "Connection": "close", **headers}
        connection.request(method, urlunsplit(("", "", parts.path, parts.query, "")), body, given)
        answer = connection.getresponse()
        content, truncated = _read(answer, max_bytes)
        if watch.fired:
            raise TimeoutError
        return Response(url, answer.status, answer.reason, {name.lower(): value for name, value in answer.getheaders()},
                        content, truncated)
    except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
        if isinstance(error, TimeoutError) or (watch is not None and watch.fired):
            raise TimeoutError(f"{host} did not answer in time") from None
        raise WebError(f"{host} cannot be asked: {type(error).__name__}: {str(error)[:200]}") from None
    finally:
        if watch is not None:
            watch.cancel()
        connection.close()


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    failed: OSError = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=max(0.01, deadline - time.monotonic()))
        except OSError as error:
            failed = error
    raise failed


class _Deadline:
    """Ends a connection when its time is up, however slowly the other side drips."""

    def __init__(self, sock: socket.socket, deadline: float):
        self.sock, self.fired = sock, False
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self.fired = True
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)   # the plain one: TLS would say goodbye first
        except OSError:
            pass

    def cancel(self) -> None:
        self._timer.cancel()


def _read(answer: http.client.HTTPResponse, max_bytes: int) -> tuple[bytes, bool]:
    """The body, decompressed, as far as it may go."""
    packed = answer.getheader("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")
    unpack = zlib.decompressobj(47) if packed else None
    content = bytearray()
    while piece := answer.read1(PIECE):
        content += piece if unpack is None else unpack.decompress(piece, max_bytes + 1 - len(content))
        if len(content) > max_bytes:
            return bytes(content[:max_bytes]), True
    return bytes(content), False
