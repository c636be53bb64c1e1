"""One connection of the relay: its descriptor, what waits on either side of it, and what has to come before it.

channels.py moves the bytes; this is what it knows of each.
"""

from __future__ import annotations

import fcntl
import os
import socket
import termios
import time
from array import array
from collections import deque
from typing import Any, Deque, List, Optional, Tuple

__all__ = ["WINDOW", "Channel", "close", "lying", "pair"]

WINDOW = 1 << 18
"""Bytes of a channel that may be on their way or waiting at the far end."""
MAX_APART = 1000
"""Messages of a channel that wait for different things."""


class Channel:
    """One connection.

    Args:
        fd: Ours, owned from now on.
        sock: It is a socket.
        reads: What can be read from it is sent.
    """

    def __init__(self, number: int, fd: int, *, sock: bool, reads: bool, watches: bool = False):
        self.number, self.fd, self.reads, self.watches = number, fd, reads, watches
        self.socket = socket.socket(fileno=fd) if sock else None
        self.credit = WINDOW
        self.read_bytes = self.written = self.received = self.unacknowledged = 0
        self.before: Optional[Channel] = None
        """The pipe whose bytes come first."""
        self.held: Optional[Tuple[bytes, List[int]]] = None
        """Read, and waiting until `before` has been read up to `due`; no bytes: the end."""
        self.due = 0
        self.moved = time.monotonic()
        """When bytes last went through."""
        self.out: Deque[List[Any]] = deque()
        """[bytes, descriptors, what `before` must have delivered] to be written."""
        self.waiting = 0
        """Bytes in `out`."""
        self.lent = 0
        """Descriptors in `given` and `out`."""
        self.given: List[int] = []
        """Descriptors for the next bytes that come."""
        self.ending = False
        """The far end is over: close once all is written."""

    def put(self, data: bytes, after: int) -> None:
        """Have bytes written, with the descriptors that came for them, once `before` has delivered so many.

        Those that need not be apart are joined, so that very many small messages take no more room than large ones.
        """
        last = self.out[-1] if self.out else None
        if last is None or last[1] or self.given or (last[2] != after and len(self.out) < MAX_APART):
            self.out.append([bytearray(data), self.given, after])
            self.given = []
        else:
            last[0] += data
            last[2] = after
        self.waiting += len(data)

    def wrote(self, size: int) -> None:
        """The first of `out` was written so far, and its descriptors went along."""
        item = self.out[0]
        for fd in item[1]:
            os.close(fd)
        self.lent -= len(item[1])
        item[1] = []
        del item[0][:size]
        self.waiting -= size
        self.written += size
        self.moved = time.monotonic()
        if not item[0]:
            self.out.popleft()

    def close(self) -> None:
        if self.fd < 0:
            return
        self.fd = -1
        if self.socket is not None:
            self.socket.close()
        for fd in self.given + [fd for item in self.out for fd in item[1]] + (self.held[1] if self.held else []):
            os.close(fd)
        self.out.clear()
        self.given, self.held = [], None
        self.waiting = self.lent = 0


def close(channel: Channel) -> None:
    """Close a channel and its descriptor."""
    fd = channel.fd
    plain = channel.socket is None
    channel.close()
    if plain and fd >= 0:
        os.close(fd)


def pair(channels: List[Channel]) -> None:
    """A socket and a pipe handed over together are a worker's: what it prints comes before what it says."""
    if len(channels) == 2 and channels[0].socket is not None and channels[1].socket is None:
        channels[0].before = channels[1]


def lying(fd: int) -> int:
    """Bytes in a pipe now."""
    count = array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
