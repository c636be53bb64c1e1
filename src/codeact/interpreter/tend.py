"""Looks after what a cell leaves behind: between cells its threads and children are held to the limits too.

One thread for the whole process, which sleeps while no session has anything running. interpreter.py hands a session
over after each cell that could have left something.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["tend"]

LOOK_SECONDS = 0.2


class Tended(Protocol):
    """An interpreter."""

    def look_after(self) -> bool:
        """Judge what runs now; whether there is reason to look again."""


class _Tender:
    def __init__(self) -> None:
        self._new = threading.Event()
        self._tended: weakref.WeakSet[Tended] = weakref.WeakSet()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="codeact-tend", daemon=True).start()

    def add(self, interpreter: Tended) -> None:
        with self._lock:
            self._tended.add(interpreter)
        self._new.set()

    def _run(self) -> None:
        while True:
            self._new.wait()
            time.sleep(LOOK_SECONDS)
            with self._lock:
                tended = list(self._tended)
                self._new.clear()
            self._look(tended)
            del tended
            with self._lock:
                if len(self._tended):
                    self._new.set()

    def _look(self, tended: list[Tended]) -> None:
        # A frame of its own: its last interpreter is not held while this thread sleeps
        for interpreter in tended:
            if not _quietly(interpreter.look_after):
                with self._lock:
                    self._tended.discard(interpreter)


def _quietly(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except Exception:   # the session is ending; whoever uses it is told
        return False


_tender: _Tender | None = None
_lock = threading.Lock()


def tend(interpreter: Tended) -> None:
    """Look after this interpreter until nothing of it runs between cells."""
    global _tender
    with _lock:
        if _tender is None:
            _tender = _Tender()
    _tender.add(interpreter)


def _forget() -> None:
    global _tender, _lock
    _tender, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
