"""Accounts of this server's own: names with passwords (argon2), a plain page to log in, and a brake on guessing."""

from __future__ import annotations

import asyncio
import html
import time
from urllib.parse import parse_qs

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from codeact.chats.store import Store
from codeact.errors import ChatRefused
from codeact.web.gate import Gate
from codeact.web.plain import POLICY, field, plain
from codeact.web.threads import in_thread

__all__ = ["add_user", "mount", "right"]

_LEAST_PASSWORD = 10
_MAX_PASSWORD = 1000
_TRIES, _PER_SECONDS = 5, 60.0
_AT_ONCE = 2
"""Passwords that are checked at once: each takes 64 MiB."""
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")
"""Checked where there is no such user, so that the time taken tells nothing."""

_FORM = (
    '<h1>Log in</h1>{error}<form method="post" action="/login"><input type="hidden" name="to" value="{to}">'
    + field("Name", "name", 'autocomplete="username" autofocus')
    + field("Password", "password", 'type="password" autocomplete="current-password"')
    + "<button>Log in</button></form>"
)


def add_user(store: Store, name: str, password: str) -> None:
    """Make an account, or give it another password.

    Raises:
        ChatRefused: Name or password will not do.
    """
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise ChatRefused("a name has 1 to 100 characters, without blanks around it")
    if not _LEAST_PASSWORD <= len(password) <= _MAX_PASSWORD:
        raise ChatRefused(f"a password has {_LEAST_PASSWORD} to {_MAX_PASSWORD:,} characters")
    store.add_user(name, _HASHER.hash(password))


def right(store: Store, name: str, password: str) -> bool:
    """Whether this is the password of that name."""
    known = store.user_hash(name)
    try:
        return _HASHER.verify(known or _NOBODY, password[:_MAX_PASSWORD]) and known is not None
    except (VerificationError, InvalidHashError):
        return False


class _Brake:
    """So many wrong guesses a minute: few for a name from one address, more for either alone.

    Who guesses at somebody's password from elsewhere does not keep the owner out, unless by very many guesses.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, list[float]] = {}

    def holds(self, name: str, address: str) -> bool:
        """Whether this name from this address has to wait."""
        return any(len(self._last(one)) >= most for one, most in self._watched(name, address))

    def wrong(self, name: str, address: str) -> None:
        """Note a wrong guess."""
        if len(self._wrong) > 10_000:
            self._wrong = {one: last for one in self._wrong if (last := self._last(one))}
        for one, _ in self._watched(name, address):
            self._wrong[one] = [*self._last(one), time.monotonic()]

    def forget(self, name: str, address: str) -> None:
        """That one was right."""
        for one, _ in self._watched(name, address):
            self._wrong[one] = self._last(one)[:-1]

    def _last(self, one: str) -> list[float]:
        now = time.monotonic()
        return [at for at in self._wrong.get(one, []) if now - at < _PER_SECONDS]

    @staticmethod
    def _watched(name: str, address: str) -> tuple[tuple[str, int], ...]:
        return (f"{address} {name}", _TRIES), (f"{address} ", 6 * _TRIES), (f" {name}", 6 * _TRIES)


def mount(app: FastAPI, gate: Gate, store: Store) -> None:
    """Add the page, and the way out."""
    brake, checking = _Brake(), asyncio.Semaphore(_AT_ONCE)

    def page(error: str = "", to: str = "/", status: int = 200) -> HTMLResponse:
        said = f"<p role=alert>{html.escape(error)}</p>" if error else "<p>To your conversations with codeact.</p>"
        text = plain("Log in", _FORM.format(error=said, to=html.escape(_inside(to))))
        return HTMLResponse(text, status, {"content-security-policy": POLICY})

    @app.get("/login", include_in_schema=False)
    async def form(to: str = "/") -> Response:
        return page(to=to) if gate.policy.accounts else RedirectResponse("/", 303)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        given = {key: values[-1] for key, values in parse_qs((await request.body()).decode(errors="replace")).items()}
        name, to = given.get("name", "")[:100], given.get("to", "/")
        if not gate.policy.accounts:
            return RedirectResponse("/", 303)
        address = gate.client_of(request.scope)
        if brake.holds(name, address):
            return page("Too many tries. Wait a minute.", to, 429)
        brake.wrong(name, address)  # before it is known, so that many at once are no way around
        async with checking:
            good = await in_thread(right, store, name, given.get("password", ""))
        if good:
            brake.forget(name, address)
        else:
            return page("That name or password is not right.", to, 403)
        cookie = await in_thread(gate.come_in, request.scope, name)
        return RedirectResponse(_inside(to), 303, headers={"set-cookie": cookie})

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        given = parse_qs((await request.body()).decode(errors="replace"))
        if "everywhere" in given:
            await in_thread(store.end_logins, str(request.state.owner))
        elif token := gate.login_of(request.scope):
            await in_thread(store.end_login, gate.hashed(token))
        return RedirectResponse("/login", 303, headers={"set-cookie": gate.cookie(request.scope, "", 0)})


def _inside(to: str) -> str:
    """A path of this server's, whatever was asked for."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() else "/"
