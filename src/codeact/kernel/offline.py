"""Keeps a cell that is run a second time from acting on the world a second time."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Offline"]


class Offline:
    """While a cell is run a second time to bring its variables back, it must not act on the world a second time.

    Not a wall: where the network is open, user code can get around it. It stops what honest code would do.
    """

    EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.bind",
              "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec")

    def __init__(self) -> None:
        self._on = False
        sys.addaudithook(self._refuse)

    def __enter__(self) -> None:
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _refuse(self, event: str, arguments: Any) -> None:
        if self._on and event in self.EVENTS:
            raise ConnectionRefusedError("not again: this cell is being replayed to restore its variables")
