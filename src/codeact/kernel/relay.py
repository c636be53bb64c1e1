"""The container's end of the stream to the host: starts a zygote as its child, and carries its connections.

Run as `python3 .../kernel relay` by `docker run -i` (interpreter/container.py): descriptors 0 and 1 are the stream. It
is the container's first process, so all ends with it, and it ends with the stream. It shares its user with the code in
the cells, which can disturb or end it: nothing here is a wall, the container is.
"""

from __future__ import annotations

import os
import signal
import socket

from . import zygote
from .channels import Channels, RelayError

__all__ = ["main"]


def main() -> None:
    """Serve until the stream ends. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)   # as first process it would otherwise collect the dead
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)
        os.close(null)
        zygote.main(theirs.detach())
    theirs.close()
    stream = os.dup(0), os.dup(1)   # away from the numbers that stray prints go to
    os.dup2(2, 1)
    channels = Channels(*stream, first=2)
    channels.add(1, ours)
    try:
        channels.serve()
    except RelayError:
        pass
    os._exit(0)
