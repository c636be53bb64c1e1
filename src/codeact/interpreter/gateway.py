"""An interpreter's way out to the hosts on its list: its sessions' listeners, served by the process's proxy.

`LocalBackend` holds one where `network=[...]` was given, hands it the listener of each of its sessions, and shuts it
while a state is brought back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codeact.interpreter.access import NetworkAccess
from codeact.interpreter.network import AllowList

if TYPE_CHECKING:
    import socket

    from codeact.interpreter.proxy import Proxy

__all__ = ["PROXY_PORT", "Gateway", "proxy_environment"]

PROXY_PORT = 3128
"""On 127.0.0.1 of each session's own network namespace, where nobody else's ports are."""


class Gateway:
    """Serves one list.

    Args:
        rules: The list.
        proxy: Serves it; by default the one this process has for all.
    """

    def __init__(self, rules: AllowList, proxy: Proxy | None = None):
        self.access = NetworkAccess(rules)
        self._proxy = proxy
        self._holders = 1

    def share(self) -> Gateway:
        """Held by a branch too."""
        self._holders += 1
        return self

    def serve(self, listener: socket.socket) -> None:
        """Take the requests that come to a session's listener, from now on and instead of the one before."""
        self._serving().serve(listener, self.access)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """While a state is brought back: what was open is cut off, and what is asked for is refused.

        A connection that was made in this time is refused afterwards too, however late its request comes.
        """
        self.access.is_suspended = True
        self._serving().cut(self.access)
        try:
            yield
        finally:
            self._serving().reopen(self.access)

    def close(self) -> None:
        """Serve nothing any more; returns when all connections are closed. The log stays."""
        self._holders -= 1
        if self._proxy is not None and self._holders == 0:
            self._proxy.stop(self.access)

    def _serving(self) -> Proxy:
        if self._proxy is None:
            from codeact.interpreter import proxy  # asyncio comes with it

            self._proxy = proxy.shared()
        return self._proxy


def proxy_environment(port: int) -> dict[str, str]:
    """The variables by which urllib, requests, pip, curl and others find the proxy."""
    here = f"http://127.0.0.1:{port}"
    names = {"HTTP_PROXY": here, "HTTPS_PROXY": here, "ALL_PROXY": here, "NO_PROXY": "localhost,127.0.0.1,::1"}
    return {**names, **{name.lower(): value for name, value in names.items()}}
