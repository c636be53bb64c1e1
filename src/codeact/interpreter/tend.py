"""Looks after what a cell leaves behind: between cells its threads and children are held to the limits too.

One thread for the whole process, which sleeps while no session has anything running. live.py hands a session over after
each cell: at once after one that could have left something. That a cell could not is what its kernel says, which may be
in a cell's hands: so the others are looked at too, a little later.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["DOUBT_SECONDS", "LOOK_SECONDS", "tend"]

LOOK_SECONDS = 0.2
DOUBT_SECONDS = 2.0
"""Between the latest cell of a session whose kernel says that its cells left nothing, and the first look at it."""


class Tended(Protocol):
    """An interpreter."""

    def look_after(self) -> float | None:
        """Judge what runs now; in how many seconds to look again, None where there is no reason to."""


class _Tender:
    def __init__(self) -> None:
        self._earlier = threading.Event()
        self._due: weakref.WeakKeyDictionary[Tended, float] = weakref.WeakKeyDictionary()
        """When each is looked at next (monotonic seconds)."""
        self._wakes = math.inf
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="codeact-tend", daemon=True).start()

    def add(self, interpreter: Tended, seconds: float) -> None:
        at = time.monotonic() + seconds
        with self._lock:
            if at < self._due.get(interpreter, math.inf):
                self._due[interpreter] = at
                if at < self._wakes:
                    self._earlier.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._earlier.clear()
                self._wakes = min(self._due.values(), default=math.inf)
            seconds = None if self._wakes == math.inf else max(0.0, self._wakes - time.monotonic())
            if not self._earlier.wait(seconds):
                self._look()

    def _look(self) -> None:
        # A frame of its own: its last interpreter is not held while this thread sleeps
        now = time.monotonic()
        with self._lock:
            due = [interpreter for interpreter, at in self._due.items() if at <= now]
            for interpreter in due:
                del self._due[interpreter]
        for interpreter in due:
            again = _quietly(interpreter.look_after)
            if again is not None:
                self.add(interpreter, again)


def _quietly(look: Callable[[], float | None]) -> float | None:
    try:
        return look()
    except Exception:   # the session is ending; whoever uses it is told
        return None


_tender: _Tender | None = None
_lock = threading.Lock()


def tend(interpreter: Tended, *, doubtful: bool = False) -> None:
    """Look after this interpreter until nothing of it runs between cells.

    Args:
        doubtful: Nothing should run; it is enough to look by and by.
    """
    global _tender
    with _lock:
        if _tender is None:
            _tender = _Tender()
    _tender.add(interpreter, DOUBT_SECONDS if doubtful else LOOK_SECONDS)


def _forget() -> None:
    global _tender, _lock
    _tender, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
