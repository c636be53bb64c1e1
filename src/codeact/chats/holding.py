"""Conversations that this server holds while it does something in them, so that no other on the same database does.

Held from before something begins until it has ended, and renewed meanwhile. A server that ends in the midst loses them
when their time is up; one that was not heard of for so long finds that it has, and stops.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codeact.chats.store import Store
from codeact.errors import ChatElsewhere

__all__ = ["LEASE_SECONDS", "Holding"]

LEASE_SECONDS = 15.0
"""So long after a server's end another may go on with what it was at work on."""
_RENEWALS = 5
"""In that time; so often it is also looked whether somebody asked to have something stopped."""

_log = logging.getLogger(__name__)


class Holding:
    """What one server holds.

    Args:
        stop: Called with a conversation that is to stop: it was lost, or somebody asked another server for it.
        place: The folder that this server has its files in.
        seconds: After so long without a sign of this server, others may take over.
    """

    def __init__(self, store: Store, stop: Callable[[str], object], *, place: Path,
                 seconds: float = LEASE_SECONDS) -> None:
        self._store, self._stop, self._seconds = store, stop, seconds
        self._place = hashlib.sha256(f"{socket.gethostname()} {place.resolve()}".encode()).hexdigest()[:16]
        self.name = f"{self._place}.{secrets.token_hex(8)}"
        self._counts: dict[str, int] = {}
        self._locks: dict[str, threading.Lock] = {}
        """Of conversations: the database may let one wait, and none for another."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew_now_and_then, name="codeact-leases", daemon=True)
        self._thread.start()

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold a conversation meanwhile; see `hold`."""
        self.hold(key)
        try:
            yield
        finally:
            self.drop(key)

    def hold(self, key: str) -> None:
        """Hold a conversation until `drop` was called as often.

        Raises:
            ChatElsewhere: Another server does.
        """
        with self._lock(key):
            n_holds = self._counts.get(key, 0)
            if not n_holds and not self._store.take(key, self.name, self._seconds):
                raise ChatElsewhere("another server of this database is at work on this conversation: wait until it is "
                                    "done, or stop it; if that server has ended, try again in "
                                    f"{self._seconds:.0f} seconds")
            self._counts[key] = n_holds + 1

    def drop(self, key: str) -> None:
        """Let go, the last time for good; what the database does not take is over when its time is up."""
        with self._lock(key):
            n_holds = self._counts[key] - 1
            if n_holds:
                self._counts[key] = n_holds
                return
            del self._counts[key]
            try:
                self._store.release(key, self.name)
            except Exception as error:
                _log.warning("a conversation was not let go of: %s", error)

    def _lock(self, key: str) -> threading.Lock:
        return self._locks.setdefault(key, threading.Lock())

    def is_elsewhere(self, key: str) -> bool:
        """Whether another server is at work on it."""
        return self._store.holder(key) not in (None, self.name)

    def is_left(self, key: str) -> bool:
        """Whether nobody is at work on it, but for a server that was here before this one, maybe."""
        return (self._store.holder(key) or self._place).startswith(self._place)

    def close(self) -> None:
        """Renew nothing any more."""
        self._closed.set()
        self._thread.join()

    def _renew_now_and_then(self) -> None:
        while not self._closed.wait(self._seconds / _RENEWALS):
            if not (keys := tuple(self._counts)):
                continue
            try:
                still = self._store.renew(keys, self.name, self._seconds)
                for key in keys:
                    if still[key] if key in still else self._is_lost(key):
                        self._stop(key)
            except Exception as error:   # the next time, if that comes before another server does
                _log.warning("conversations at work were not held on to: %s", error)

    def _is_lost(self, key: str) -> bool:
        with self._lock(key):   # it may have been let go of meanwhile, and held anew
            return key in self._counts and self._store.holder(key) != self.name
