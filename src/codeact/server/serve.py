"""Runs the service on a port of this machine until it is told to end; called by `codeact exec --serve`.

Ctrl-C or SIGTERM stops the running cells, so that their requests are answered, then ends every session. A second Ctrl-C
waits for nobody. If the process is killed, the sessions end with it all the same: their processes watch it.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread
import uvicorn

from codeact.errors import ConfigError
from codeact.server.api import create_app
from codeact.server.guard import is_loopback
from codeact.server.sessions import Sessions

__all__ = ["listen", "new_token", "read_token", "serve"]

GRACE_SECONDS = 5
"""For requests that are being answered when the service is told to end."""
LEAST_TOKEN = 16
"""Characters."""


def new_token() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(32)


def read_token(path: str | Path) -> str:
    """The token in a file; a file that is not there is made, with a new token that only its owner can read.

    Raises:
        ConfigError: The file holds none, or cannot be read.
    """
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            token = new_token()
            file.write(f"{token}\n")
            return token
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"cannot write a token to {path}: {error.strerror}") from None
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not in ASCII"
        raise ConfigError(f"cannot read the token in {path}: {reason}") from None
    if len(token) < LEAST_TOKEN or any(not char.isprintable() or char == " " for char in token):
        raise ConfigError(f"{path} holds no token: one is a line of at least {LEAST_TOKEN} letters, digits or marks, "
                          "without blanks; name a file that is not there, and it is made")
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ConfigError: It cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)[0]
        # With its protocol: asyncio takes Nagle's delay of 40 ms off such sockets only
        listener = socket.socket(*found[:3])
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[4])
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}; try another port, or 0 for a free "
                          "one") from None


def serve(sessions: Sessions, listener: socket.socket, *, host: str, token: str | None) -> None:
    """Answer requests until told to end; every session has ended then.

    Args:
        host: The address served, as it was asked for.
        token: Wanted of every request; None on loopback alone.

    Raises:
        ConfigError: No token is to be wanted on an address others can reach.
        KeyboardInterrupt: It was ended by Ctrl-C.
        SystemExit: By SIGTERM.
    """
    if token is None and not is_loopback(listener.getsockname()[0]):
        raise ConfigError("without a token the service is for this machine alone: leave --host away, or --no-token")
    config = uvicorn.Config(create_app(sessions, token=token, host=host), log_level="warning", access_log=False,
                            ws="none", proxy_headers=False, server_header=False, lifespan="on", http="h11",
                            timeout_graceful_shutdown=GRACE_SECONDS)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _Server(config, sessions.stop_all).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
        sessions.close()


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)   # with all that Python does at its end


class _Server(uvicorn.Server):
    """Stops what runs before it waits for it."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]):
        super().__init__(config)
        self._stop = stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await anyio.to_thread.run_sync(self._stop)
        await super().shutdown(sockets)
