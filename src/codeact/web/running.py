"""Runs the web server until it is told to end; what runs in conversations is stopped first, and stored."""

from __future__ import annotations

import signal
import socket

import anyio.to_thread
import uvicorn

from codeact.chats.chats import Chats
from codeact.server.sessions import Sessions
from codeact.web.app import create_app
from codeact.web.gate import Policy

__all__ = ["run"]

_GRACE_SECONDS = 3


def run(chats: Chats, policy: Policy, listener: socket.socket, *, engine: Sessions | None = None) -> None:
    """Answer requests until told to end; all conversations are asleep then, and the engine's sessions ended.

    Raises:
        SystemExit: By SIGTERM.
    """
    config = uvicorn.Config(
        create_app(chats, policy, engine=engine),
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws_max_size=4 << 20,
    )
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _Server(config, chats, engine).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
        chats.close()


def _leave(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


class _Server(uvicorn.Server):
    """Wakes who follows a conversation, so that streams end before they are waited for."""

    def __init__(self, config: uvicorn.Config, chats: Chats, engine: Sessions | None) -> None:
        super().__init__(config)
        self._chats, self._engine = chats, engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await anyio.to_thread.run_sync(self._chats.rest)
        if self._engine is not None:
            await anyio.to_thread.run_sync(self._engine.stop_all)
        await super().shutdown(sockets)
