"""Who may come in: an ASGI layer around the whole application, which sees every request and every websocket first.

It knows who somebody is (a token, a login, or a header of a trusted proxy), that the Host is this server's own, so that
no web page can reach it under a name of its own (DNS rebinding), and that what changes something comes from a page of
this server's or from a program (Origin, Sec-Fetch-Site). It bounds bodies and the rate of requests, and sets the
headers that keep pages from loading anything from elsewhere.

It does not encrypt: on a network put something that speaks TLS in front.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from sqlalchemy.exc import SQLAlchemyError

from codeact.chats.chats import Chats
from codeact.errors import ConfigError
from codeact.server.answers import Json
from codeact.server.faults import Fault
from codeact.server.guard import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    TooLong,
    _address,
    _Counted,
    _headers,
    _one,
    _without_port,
    is_loopback,
)
from codeact.web.faults import spelled
from codeact.web.plain import POLICY, stranger
from codeact.web.rates import Rates
from codeact.web.staying import staying
from codeact.web.threads import in_thread

__all__ = ["LOCAL", "Gate", "Policy", "hashed", "networks"]

_COOKIE = "codeact_login"
LOCAL = "local"
"""The one user where there are no accounts."""
_LOGIN_SECONDS = 30 * 24 * 3600.0

_OPEN = ("/login", "/healthz", "/s/", "/api/v1/shared/", "/_nicegui", "/assets/")
"""Paths that need no login: a shared conversation proves itself by its token, the rest holds nothing of anybody."""
_MAX_FORM, _MAX_BODY, _MAX_UPLOAD = 64 << 10, 40 << 20, 260 << 20
_FORMS = ("/login", "/logout")
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The page's framework makes its views in the browser, hence the 'unsafe' words; nothing comes from elsewhere."""
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer browsers send forms of our own with `Origin: null`
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


@dataclass(frozen=True)
class Policy:
    """How people are told apart."""

    host: str = "127.0.0.1"
    """The address served."""
    names: tuple[str, ...] = ()
    """Further names that the server is reached by."""
    token: str | None = None
    """Single user: who has it may do everything. None, without `accounts` and `header`: everybody on this machine."""
    accounts: bool = False
    header: str | None = None
    """The name of a header in which a proxy says who it is."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks whose `header` and X-Forwarded-For are believed."""
    secure: bool = False
    """Whether browsers reach it by https, so that cookies are sent by that alone."""
    login_seconds: float = _LOGIN_SECONDS
    """So long a browser is known after somebody logged in, or came with the token."""
    watchers: tuple[str, ...] = ()
    """Who may read the numbers of all users, where there are several."""
    bound: bool = False
    """Whether a login made with the token ends when the server has another one: somebody chose the token."""


def hashed(token: str) -> str:
    """What the database knows of a login's token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Gate:
    """The application, for those who may use it; `scope["state"]["owner"]` says who it is."""

    def __init__(self, app: App, chats: Chats, policy: Policy) -> None:
        self._app, self._chats, self.policy = app, chats, policy
        self._proxies = networks(policy.proxies)
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        is_socket, started = scope["type"] == "websocket", False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), *self._more(scope, message)]}
            await send(message)

        try:
            self._check_place(scope, is_socket)
            owner = await in_thread(self._owner, scope)
            if owner is None and not scope["path"].startswith(_OPEN):
                if is_socket or not self._is_page(scope):
                    raise Fault(401, "unauthorized", self._advice())
                await self._to_login(scope, send_safely)
                return
            if self._came_with_token(scope) and owner is not None:
                await self._take_token_off(scope, send_safely)
                return
            bucket = self._rates.check(owner or self.client_of(scope))

            def may_stay() -> bool:
                try:
                    return owner is None or self._owner(scope) == owner
                except SQLAlchemyError:   # the next request tells that the database is gone
                    return True

            scope.setdefault("state", {}).update(owner=owner, may_stay=may_stay)
            if is_socket:
                await self._app(scope, receive, send)
                return
            bucket.at_once += 1
            try:
                await self._app(scope, _Counted(receive, _limit(scope["path"], owner)), staying(send_safely, may_stay))
            finally:
                bucket.at_once -= 1
        except (Fault, TooLong) as error:
            if started:
                raise
            if is_socket:
                await send({"type": "websocket.close", "code": 1008})
            else:
                fault = error if isinstance(error, Fault) else error.fault
                await Json(spelled(fault, scope["path"]), fault.status, _advice_headers(fault))(
                    scope, receive, send_safely
                )

    # Where from -------------------------------------------------------------------------------------------------------

    def _check_place(self, scope: Scope, is_socket: bool) -> None:
        headers = _headers(scope)
        host = _one(headers, "host")
        name = _without_port(host)
        ours = (
            name in (self.policy.host.lower(), *self.policy.names)
            or is_loopback(name)
            or (self.policy.host in ("0.0.0.0", "::") and _address(name) is not None)
        )
        if not ours:
            raise Fault(
                403,
                "wrong_host",
                f"this server is not {host[:200]!r}; address it as it was started, or name that host with --name",
            )
        unsafe = is_socket or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        origin = headers.get("origin", [])
        if any(value.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}") for value in origin):
            raise Fault(
                403,
                "wrong_origin",
                "this comes from a web page of another origin, and such may not use the "
                "server; send it from a program, without the header Origin",
            )
        if unsafe and not origin and _one(headers, "sec-fetch-site") in ("cross-site", "same-site"):
            raise Fault(403, "wrong_origin", "this comes from another site's page")

    # Who --------------------------------------------------------------------------------------------------------------

    def _owner(self, scope: Scope) -> str | None:
        policy, headers = self.policy, _headers(scope)
        if policy.header:
            name = _one(headers, policy.header.lower())
            return name[:200] if name and self._is_proxy(_peer(scope)) else None
        if not policy.accounts and policy.token is None:
            return LOCAL
        scheme, _, given = _one(headers, "authorization").partition(" ")
        if scheme.lower() == "bearer" and (owner := self._of_token(given.strip())):
            return owner
        if (given := self.login_of(scope)) and (owner := self._of_login(given)):
            return owner
        return self._of_token(self._query(scope).get("token", "")) if self._came_with_token(scope) else None

    def _of_token(self, given: str) -> str | None:
        token = self.policy.token
        if token is not None and hmac.compare_digest(given.encode(errors="replace"), token.encode()):
            return LOCAL
        # A login's token is a program's key too.
        return self._of_login(given) if self.policy.accounts and given else None

    def _of_login(self, given: str) -> str | None:
        """Whose login it is, of those that this server lets in: it may have let in others in another life."""
        owner, is_one = self._chats.store.login(self.hashed(given)), self.policy.accounts
        if owner == LOCAL:
            return owner if not is_one or self._chats.store.user_hash(LOCAL) is not None else None
        return owner if is_one else None

    def hashed(self, token: str) -> str:
        """What the database knows of a login's token."""
        return hashed(f"{self.policy.token}\n{token}" if self.policy.bound else token)

    def _came_with_token(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and "token" in self._query(scope)
            and self.policy.token is not None
        )

    @staticmethod
    def _query(scope: Scope) -> dict[str, str]:
        return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))

    def login_of(self, scope: Scope) -> str:
        """The token of the cookie that a request came with, or nothing."""
        jar: SimpleCookie = SimpleCookie()
        for value in _headers(scope).get("cookie", []):
            try:
                jar.load(value)
            except CookieError:
                continue
        name = _cookie_name(scope)
        return jar[name].value if name in jar else ""

    def client_of(self, scope: Scope) -> str:
        """The address somebody comes from, as far as that can be believed."""
        peer = _peer(scope)
        told = _headers(scope).get("x-forwarded-for", [])
        last = told[-1].rpartition(",")[2].strip() if told and self._is_proxy(peer) else ""
        return last if _address(last) is not None else peer

    def _is_proxy(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in one for one in self._proxies)

    def come_in(self, scope: Scope, owner: str) -> str:
        """The header of a cookie by which somebody is known from now on."""
        token = secrets.token_urlsafe(32)
        self._chats.store.add_login(self.hashed(token), owner, time.time() + self.policy.login_seconds)
        return self.cookie(scope, token, self.policy.login_seconds)

    def cookie(self, scope: Scope, value: str, seconds: float) -> str:
        """A Set-Cookie header; with 0 seconds it takes the cookie away."""
        secure = "; Secure" if self.policy.secure else ""
        return f"{_cookie_name(scope)}={value}; Path=/; Max-Age={seconds:.0f}; HttpOnly; SameSite=Strict{secure}"

    # Answers ----------------------------------------------------------------------------------------------------------

    @staticmethod
    def _is_page(scope: Scope) -> bool:
        return scope["method"] == "GET" and "text/html" in _one(_headers(scope), "accept")

    def _advice(self) -> str:
        if self.policy.accounts:
            return "log in at /login, or send the header 'Authorization: Bearer TOKEN' with a login's token"
        return "open the address that the server printed, or send the header 'Authorization: Bearer TOKEN'"

    async def _to_login(self, scope: Scope, send: Send) -> None:
        if self.policy.accounts:
            await _redirect(f"/login?to={quote(scope['path'])}", send)
            return
        wants, is_wrong = not self.policy.header, "token" in self._query(scope)
        body = stranger(wants_token=wants, is_wrong=is_wrong).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 401,
                "headers": [
                    (b"content-type", b"text/html; charset=utf-8"),
                    (b"content-length", str(len(body)).encode()),
                    (b"content-security-policy", POLICY.encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _take_token_off(self, scope: Scope, send: Send) -> None:
        """So that it is in no history and no address bar; a strict cookie takes its place."""
        rest = [(name, value) for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name != "token"]
        path = "/" + scope["path"].lstrip("/\\")
        cookie = await in_thread(self.come_in, scope, LOCAL)
        await _redirect(f"{quote(path)}{'?' + urlencode(rest) if rest else ''}", send, cookie)

    def _more(self, scope: Scope, message: Message) -> Sequence[tuple[bytes, bytes]]:
        kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
        page = bool(kinds) and kinds[-1].startswith(b"text/html")
        named = {name.lower() for name, _ in message.get("headers", ())}
        policy = (_PAGE_POLICY if page else _DATA_POLICY).encode()
        wanted = [*_HEADERS, (b"content-security-policy", policy), (b"cache-control", b"no-store")]
        return [(name, value) for name, value in wanted if name not in named]


def _limit(path: str, owner: str | None) -> int:
    """Bytes of a body: of somebody who has not come in no more than it takes to."""
    if owner is None or path in _FORMS:
        return _MAX_FORM
    return _MAX_UPLOAD if "/files" in path or "/_nicegui/" in path else _MAX_BODY


async def _redirect(to: str, send: Send, cookie: str = "") -> None:
    headers = [(b"location", to.encode()), (b"content-length", b"0")]
    if cookie:
        headers.append((b"set-cookie", cookie.encode()))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _cookie_name(scope: Scope) -> str:
    """With the port: cookies do not tell two servers of one machine apart by themselves."""
    port = re.search(r":(\d+)\Z", _one(_headers(scope), "host"))
    return f"{_COOKIE}_{port[1]}" if port else _COOKIE


def networks(named: Sequence[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Addresses and networks.

    Raises:
        ConfigError: One is neither.
    """
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in named)
    except ValueError as error:
        raise ConfigError(f"{error}; a proxy is an address as 10.0.0.5, or a network as 10.0.0.0/8") from None


def _peer(scope: Scope) -> str:
    client: Any = scope.get("client")
    return str(client[0]) if client else ""


def _advice_headers(fault: Fault) -> dict[str, str]:
    return {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}}.get(fault.status, {})
