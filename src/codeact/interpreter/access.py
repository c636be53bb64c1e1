"""What one interpreter may reach, and what it has asked for: the list, and the log.

Made by gateway.py; exchange.py looks up the list and writes the log. It outlives a session, so that the log goes on
after a crash.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from codeact.interpreter.network import AllowList

__all__ = ["NetworkAccess", "NetworkRequest", "Record"]

log = logging.getLogger("codeact.network")

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
    """A list of hosts, and what came of it."""

    def __init__(self, rules: AllowList):
        self.rules = rules
        self.is_suspended = False
        """Whether every request is refused now."""
        self.activity = 0
        """Goes up whenever bytes cross; a cell that left it as it was did not use the network."""
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=MAX_LOG)

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
