"""What one interpreter may reach, and what it asked for: the list, the log, and the door that a replay finds shut.

`LocalBackend` holds one where `network=[...]` was given, and hands it each of its sessions' listeners; proxy.py serves
them. It outlives a session, so that the log goes on after a crash.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codeact.interpreter.network import AllowList

if TYPE_CHECKING:
    import socket

    from codeact.interpreter.proxy import Proxy

__all__ = ["PROXY_PORT", "NetworkAccess", "NetworkRequest", "Record", "proxy_environment"]

log = logging.getLogger("codeact.network")

PROXY_PORT = 3128
"""On 127.0.0.1 of each session's own network namespace, where nobody else's ports are."""
MAX_LOG = 1000
"""Requests kept; then the oldest are forgotten."""


@dataclass(frozen=True)
class NetworkRequest:
    """One request of a cell to the network, as it stands now."""

    time: float
    """When it was asked, in seconds since the epoch."""
    method: str
    """"CONNECT" for a tunnel (https); "" where the request could not be read."""
    host: str
    port: int
    allowed: bool
    reason: str
    """Why it was refused or failed; empty where it was neither."""
    address: str
    """What it was connected to; empty where it was not."""
    sent: int
    """Bytes that went out so far."""
    received: int
    """Bytes that came back so far."""


@dataclass
class Record:
    """A line of the log while its request goes on."""

    method: str
    host: str
    port: int
    allowed: bool = False
    reason: str = ""
    address: str = ""
    sent: int = 0
    received: int = 0
    time: float = 0.0


class NetworkAccess:
    """A list of hosts, and what came of it.

    Args:
        rules: The list.
        proxy: Serves it; by default the one this process has for all.
    """

    def __init__(self, rules: AllowList, proxy: Proxy | None = None):
        self.rules = rules
        self.is_suspended = False
        """Whether every request is refused now."""
        self.activity = 0
        """Goes up whenever bytes cross; a cell that left it as it was did not use the network."""
        self._proxy = proxy
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=MAX_LOG)

    def _serving(self) -> Proxy:
        if self._proxy is None:
            from codeact.interpreter import proxy  # asyncio comes with it

            self._proxy = proxy.shared()
        return self._proxy

    def serve(self, listener: socket.socket) -> None:
        """Take the requests that come to a session's listener, from now on and instead of the one before."""
        self._serving().serve(listener, self)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """While a state is brought back: what was open is cut off, and what is asked for is refused.

        A connection that was made in this time is refused afterwards too, however late its request comes.
        """
        self.is_suspended = True
        self._serving().cut(self)
        try:
            yield
        finally:
            self._serving().reopen(self)

    def close(self) -> None:
        """Serve nothing any more; returns when all connections are closed. The log stays."""
        if self._proxy is not None:
            self._proxy.stop(self)

    # The log ----------------------------------------------------------------------------------------------------------

    @property
    def log(self) -> tuple[NetworkRequest, ...]:
        """The latest requests, oldest first."""
        with self._lock:
            return tuple(NetworkRequest(**vars(record)) for record in self._records)

    def asked(self, method: str, host: str, port: int) -> Record:
        """Begin a line of the log."""
        record = Record(method, host, port, time=time.time())
        with self._lock:
            self._records.append(record)
        return record

    @staticmethod
    def decided(record: Record, reason: str = "", *, allowed: bool = False) -> None:
        """What came of a request; `reason` says why it was refused or failed."""
        record.allowed, record.reason = allowed, reason
        log.info("%s %s %s:%d%s", "allowed" if allowed else "refused", record.method or "?", record.host or "?",
                 record.port, f": {reason}" if reason else "")


def proxy_environment(port: int) -> dict[str, str]:
    """The variables by which urllib, requests, httpx, pip, curl and git find the proxy."""
    here = f"http://127.0.0.1:{port}"
    names = {"HTTP_PROXY": here, "HTTPS_PROXY": here, "ALL_PROXY": here, "NO_PROXY": "localhost,127.0.0.1,::1"}
    return {**names, **{name.lower(): value for name, value in names.items()}}
