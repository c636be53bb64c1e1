"""One session of a service: who uses it, what it is doing, how it is stopped and ended; sessions.py has them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from codeact.interpreter.folders import remove
from codeact.interpreter.interpreter import Interpreter
from codeact.server.faults import Fault

__all__ = ["Session", "discard", "unknown"]

AGAIN_SECONDS = 0.02
STOP_SECONDS = 10.0
"""A cell that was interrupted ends long before: what does not obey is killed after a second."""

State = Literal["starting", "running", "idle", "saved"]


class Session:
    """One session: an interpreter, or the file it was saved to, or neither before its first use.

    Args:
        id: Its name.
        style: How its results are put to a model.
        py: Its interpreter, where there is one already.
    """

    def __init__(self, id: str, style: str, py: Interpreter | None = None):
        self.id, self.style = id, style
        self.py = py
        self.saved: Path | None = None
        self.created = self.used = time.time()
        """Seconds since the epoch."""
        self.note = ""
        """What the next result has to tell the model."""
        self.began_anew = False
        """Whether its latest start was one with no variables."""
        self.is_running = False
        """Whether a cell runs."""
        self.ended = False
        self.turn = threading.Lock()
        """Held by whoever uses it."""

    @property
    def state(self) -> State:
        """What it is doing."""
        if self.saved is not None:
            return "saved"
        if self.py is None:
            return "starting"
        return "running" if self.turn.locked() else "idle"

    def claim(self) -> None:
        """Have it to oneself until `release`.

        Raises:
            Fault: Another request has it, or it has ended.
        """
        if self.ended:
            raise unknown(self.id)
        if not self.turn.acquire(blocking=False):
            raise Fault(409, "busy", f"session {self.id[:200]!r} is in use by another request; wait for its answer, or "
                                     "stop its cell with POST /sessions/{id}/interrupt")

    def release(self) -> None:
        """Let others have it."""
        self.used = time.time()
        self.turn.release()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim it for a block."""
        self.claim()
        try:
            yield
        finally:
            self.release()

    def interrupt(self) -> None:
        """Stop the running cell, from any thread."""
        if (py := self.py) is not None:
            py.interrupt()

    def stop(self) -> bool:
        """Stop the running cell and wait until it has stopped; whether one ran."""
        deadline = time.monotonic() + STOP_SECONDS
        ran = self.is_running
        while self.is_running and time.monotonic() < deadline:
            self.interrupt()
            time.sleep(AGAIN_SECONDS)
        return ran

    def end(self) -> bool:
        """End it for good, whatever it is doing; whether it had processes."""
        self.ended = True
        while not self.turn.acquire(timeout=AGAIN_SECONDS):
            self.interrupt()
        try:
            had = self.py is not None
            if self.py is not None:
                self.py.close()
                self.py = None
            if self.saved is not None:
                discard(self.saved)
                self.saved = None
            return had
        finally:
            self.turn.release()


def discard(path: Path) -> None:
    """Remove what a session was saved to, a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        remove(path)
    else:
        path.unlink(missing_ok=True)


def unknown(id: str) -> Fault:
    """There is no session of this name."""
    return Fault(404, "unknown_session", f"there is no session {id[:200]!r}; GET /sessions lists those there are, POST "
                                         "/sessions makes one")
