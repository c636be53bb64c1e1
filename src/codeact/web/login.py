"""Accounts of this server's own: names with passwords (argon2), a plain page to log in, and a brake on guessing."""

from __future__ import annotations

import html
import time
from functools import partial
from urllib.parse import parse_qs

import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from codeact.chats.store import Store
from codeact.errors import ChatRefused
from codeact.web.gate import Gate, hashed

__all__ = ["add_user", "mount", "right"]

_LEAST_PASSWORD = 10
_MAX_PASSWORD = 1000
_TRIES, _PER_SECONDS = 5, 60.0
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")
"""Checked where there is no such user, so that the time taken tells nothing."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in - codeact</title>
<style>body{{font:16px system-ui;display:grid;place-items:center;min-height:90vh;color-scheme:light dark}}
form{{display:grid;gap:.8rem;width:min(20rem,90vw)}}input,button{{font:inherit;padding:.6rem}}p{{color:#b3261e;margin:0}}</style>
<main><form method="post" action="/login"><h1>codeact</h1>{error}
<input type="hidden" name="to" value="{to}">
<label>Name<br><input name="name" autocomplete="username" required autofocus></label>
<label>Password<br><input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form></main></html>"""


def add_user(store: Store, name: str, password: str) -> None:
    """Make an account, or give it another password.

    Raises:
        ChatRefused: Name or password will not do.
    """
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise ChatRefused("a name has 1 to 100 characters, without blanks around it")
    if not _LEAST_PASSWORD <= len(password) <= _MAX_PASSWORD:
        raise ChatRefused(f"a password has at least {_LEAST_PASSWORD} characters")
    store.add_user(name, _HASHER.hash(password))


def right(store: Store, name: str, password: str) -> bool:
    """Whether this is the password of that name."""
    known = store.user_hash(name)
    try:
        return _HASHER.verify(known or _NOBODY, password[:_MAX_PASSWORD]) and known is not None
    except (VerificationError, InvalidHashError):
        return False


class _Brake:
    """So many tries a minute, for a name and for an address."""

    def __init__(self) -> None:
        self._tries: dict[str, list[float]] = {}

    def tried(self, *who: str) -> bool:
        """Note a try; whether there were too many."""
        now, too_many = time.monotonic(), False
        if len(self._tries) > 10_000:
            self._tries.clear()
        for one in who:
            last = [at for at in self._tries.get(one, []) if now - at < _PER_SECONDS]
            self._tries[one] = [*last, now]
            too_many |= len(last) >= _TRIES
        return too_many


def mount(app: FastAPI, gate: Gate, store: Store) -> None:
    """Add the page, and the way out."""
    brake = _Brake()

    def page(error: str = "", to: str = "/", status: int = 200) -> HTMLResponse:
        said = f"<p role=alert>{html.escape(error)}</p>" if error else ""
        return HTMLResponse(_PAGE.format(error=said, to=html.escape(_inside(to))), status_code=status)

    @app.get("/login", include_in_schema=False)
    async def form(to: str = "/") -> Response:
        return page(to=to) if gate.policy.accounts else RedirectResponse("/", 303)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        given = {key: values[-1] for key, values in parse_qs((await request.body()).decode(errors="replace")).items()}
        name, to = given.get("name", "")[:100], given.get("to", "/")
        if not gate.policy.accounts:
            return RedirectResponse("/", 303)
        if brake.tried(f"name {name}", f"from {request.client.host if request.client else ''}"):
            return page("Too many tries. Wait a minute.", to, 429)
        check = partial(right, store, name, given.get("password", ""))
        if not await anyio.to_thread.run_sync(check):
            return page("That name or password is not right.", to, 403)
        return RedirectResponse(_inside(to), 303, headers={"set-cookie": gate.come_in(name)})

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        if token := request.cookies.get("codeact_login"):
            store.end_login(hashed(token))
        return RedirectResponse("/login", 303, headers={"set-cookie": gate.cookie("", 0)})


def _inside(to: str) -> str:
    """A path of this server's, whatever was asked for."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() else "/"
