"""Who may speak to the service: an ASGI layer around the application, which sees every request before it does.

A request needs the token. Its Host has to name the address served, so that no web page can reach the service under a
name of its own (DNS rebinding); its Origin, which browsers send along, has to be the service's own; there is no CORS.
Bodies are JSON (uploads are bytes), and no longer than allowed, whatever their headers say.

This does not encrypt: on a network put something that speaks TLS in front. It does not tell users apart: who has the
token has every session.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from codeact.server.faults import Fault

__all__ = ["Guard", "TooLong", "is_loopback"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD = re.compile(r"/sessions/[^/]+/files/.*", re.S)
BODIES = ("POST", "PUT", "PATCH", "DELETE")
BODY_SECONDS, BODY_BYTES_PER_SECOND = 30.0, 16 << 10
"""A body may be waited for so long, and longer as it comes at this rate or faster: no trickle holds a connection for
ever."""
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"),
           (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
           (b"referrer-policy", b"no-referrer")]


class Guard:
    """The application, for those who may use it.

    Args:
        app: What is guarded.
        token: Wanted of every request; None lets everybody on this machine in.
        host: The address served.
        max_json: Bytes of a body of JSON.
        max_upload: Bytes of an upload.
    """

    def __init__(self, app: App, *, token: str | None, host: str, max_json: int, max_upload: int):
        self.app, self._host = app, host.lower()
        self._token = token.encode() if token is not None else None
        self._max_json, self._max_upload = max_json, max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        try:
            limit = self._check(scope)
            await self.app(scope, _Counted(receive, limit), send_safely)
        except (Fault, TooLong) as error:
            if started:
                raise
            await _answer(error if isinstance(error, Fault) else error.fault, send_safely)

    def _check(self, scope: Scope) -> int:
        """Let the request pass; how long its body may be.

        Raises:
            Fault: It may not.
        """
        headers = _headers(scope)
        host = _one(headers, "host")
        if not self._is_ours(_without_port(host)):
            raise Fault(403, "wrong_host", f"this service is not {host[:200]!r}; address it as it was started, for "
                                           f"instance as {self._host}")
        origin = headers.get("origin", [])
        if origin and any(value.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}")
                          for value in origin):
            raise Fault(403, "wrong_origin", "this request comes from a web page of another origin, and such may not "
                                             "use the service; send it from a program, without the header Origin")
        if self._token is not None:
            self._check_token(headers)
        return self._check_body(scope, headers)

    def _is_ours(self, name: str) -> bool:
        if name == self._host or is_loopback(name):
            return True
        if self._host in ("0.0.0.0", "::"):
            return _address(name) is not None   # every address of this machine; a name could be anyone's
        return False

    def _check_token(self, headers: dict[str, list[str]]) -> None:
        scheme, _, given = _one(headers, "authorization").partition(" ")
        good = hmac.compare_digest(given.strip().encode(), self._token or b"")
        if scheme.lower() != "bearer" or not good:
            raise Fault(401, "unauthorized", "this service wants the header 'Authorization: Bearer TOKEN', with the "
                                             "token it printed when it started, or that of its --token-file")

    def _check_body(self, scope: Scope, headers: dict[str, list[str]]) -> int:
        length = headers.get("content-length", ["0"])[-1]
        if not re.fullmatch(r"\d{1,18}", length):
            raise Fault(400, "bad_request", "the header Content-Length is no number")
        path = scope["path"].removeprefix(scope.get("root_path", ""))   # of a server that this is a part of
        upload = scope["method"] == "PUT" and UPLOAD.fullmatch(path) is not None
        limit = self._max_upload if upload else self._max_json
        if int(length) > limit:
            raise _too_large(limit)
        if scope["method"] in BODIES and (int(length) or "transfer-encoding" in headers):
            kind = headers.get("content-type", [""])[-1].partition(";")[0].strip().lower()
            if not kind and path == "/execute":
                # As clients of the original's engine send it. A web page could too, but for its Origin
                scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]
            elif kind != ("application/octet-stream" if upload else "application/json"):
                wanted = "application/octet-stream, and the bytes of the file" if upload else "application/json"
                raise Fault(415, "unsupported_media_type", f"the body is of type {kind[:100]!r}; send Content-Type: "
                                                           f"{wanted}")
        return limit


class TooLong(HTTPException):
    """A body that was longer than its headers said, or too slow; of a kind that the framework passes on."""

    def __init__(self, fault: Fault):
        super().__init__(fault.status, fault.message)
        self.fault = fault


class _Counted:
    """The body of a request, no longer than allowed, and no slower."""

    def __init__(self, receive: Receive, limit: int):
        self._receive, self._limit, self._seen = receive, limit, 0
        self._whole = False
        self._waited = 0.0
        """Seconds spent in waiting for the client: what the application does in between is not the client's fault."""

    async def __call__(self) -> Message:
        if self._whole:   # what comes now is that the client has gone, whenever that is
            return await self._receive()
        asked = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BODY_SECONDS + self._seen / BODY_BYTES_PER_SECOND - self._waited):
                message = await self._receive()
        except TimeoutError:
            raise TooLong(Fault(408, "too_slow", "the body did not come in time; send it faster, or in smaller "
                                                 "requests")) from None
        self._waited += asyncio.get_running_loop().time() - asked
        self._whole = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise TooLong(_too_large(self._limit))
        return message


def is_loopback(name: str) -> bool:
    """Whether a host's name or address leads nowhere but to this machine."""
    address = _address(name)
    return name == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _without_port(host: str) -> str:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?", host)
    return found[1].lower().removeprefix("[").removesuffix("]") if found else ""


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _one(headers: dict[str, list[str]], name: str) -> str:
    """The value of a header that may come once; empty where it does not, or more often."""
    values = headers.get(name, [])
    return values[0] if len(values) == 1 else ""


def _too_large(limit: int) -> Fault:
    return Fault(413, "too_large", f"the body is longer than the {limit:,} bytes that are taken; send less at once")


async def _answer(fault: Fault, send: Send) -> None:
    body = json.dumps(fault.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if fault.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
