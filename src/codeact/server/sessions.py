"""The sessions of a service: made, looked up, used by one request at a time, saved when idle, ended.

Synchronous, and called from threads: api.py brings it together with the event loop. No lock is held while a session
starts, runs, is saved or ends, so that a slow one never holds up another. A session that was not used for a while is
saved to a file and its processes end; the next request brings it back, and the result says so to the model. That needs
`Interpreter.save` and `load`; a session that cannot be saved stays.
"""

from __future__ import annotations

import logging
import stat
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codeact.errors import CodeActError
from codeact.interpreter import beneath
from codeact.interpreter.folders import new_folder, remove
from codeact.interpreter.interpreter import Interpreter
from codeact.server.faults import Fault
from codeact.server.session import Session, discard, unknown

__all__ = ["Sessions"]

log = logging.getLogger("codeact.server")

BACK = "[This session was saved while it was idle, and is back.]"
"""What came back, and what not, the interpreter tells with the same result."""
SAVED_FOR_EACH = 16
"""Sessions there may be, saved ones included, for each one that may be live."""

class Sessions:
    """All sessions of a service.

    Args:
        arguments: Of `Interpreter`, but the style: every session is made with these.
        max_live: How many have processes at once.
        idle_seconds: After so long without a request a session is saved.
        open: Makes an interpreter; its attribute `load` brings a saved one back.
    """

    def __init__(self, arguments: Mapping[str, Any] | None = None, *, max_live: int = 32, idle_seconds: float = 600.0,
                 open: Callable[..., Interpreter] = Interpreter):
        self._arguments = dict(arguments or {})
        self.max_live, self.idle_seconds = max_live, idle_seconds
        self._open = open
        self._load: Callable[..., Interpreter] | None = getattr(open, "load", None)
        self._sessions: dict[str, Session] = {}
        self._live = 0
        """Those with processes, and those about to have some."""
        self._lock = threading.Lock()
        """Of the fields here; never held while anything takes time."""
        self._folder: Path | None = None
        self._closing = False

    # Looking up -------------------------------------------------------------------------------------------------------

    def all(self) -> list[Session]:
        """In the order they were made."""
        with self._lock:
            return list(self._sessions.values())

    def get(self, id: str) -> Session:
        """The session of this name.

        Raises:
            Fault: There is none.
        """
        with self._lock:
            session = self._sessions.get(id)
        if session is None:
            raise unknown(id)
        return session

    def claim(self, id: str | None, *, style: str, known: bool = False) -> Session:
        """A new session, claimed for the caller; `ready` starts it.

        Args:
            id: Its name; None takes one nobody has.
            style: How its results are put to a model.
            known: Where a session has this name already, take that one.

        Raises:
            Fault: The name is taken or the session in use, there are too many, or the service is ending.
        """
        with self._lock:
            self._refuse_when_closing()
            session = self._sessions.get(id) if id is not None else None
            if session is not None and not known:
                raise _exists(session.id)
            if session is None:
                session = self._add(id, style, None)
            session.claim()
            return session

    def _add(self, id: str | None, style: str, py: Interpreter | None) -> Session:
        if id is not None and id in self._sessions:
            raise _exists(id)
        if len(self._sessions) >= self.max_live * (SAVED_FOR_EACH if self._load else 1):
            raise _too_many(len(self._sessions))
        session = Session(id if id is not None else uuid.uuid4().hex, style, py)
        self._sessions[session.id] = session
        return session

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise Fault(503, "closing", "the service is ending; start it again, then repeat the request")

    # Using a claimed one ----------------------------------------------------------------------------------------------

    def ready(self, session: Session) -> Interpreter:
        """Its interpreter: started, or brought back, if need be.

        Raises:
            Fault: Too many are live, and all in use.
            CodeActError: It cannot be started.
        """
        self._refuse_when_closing()
        session.began_anew = False
        if session.py is not None:
            return session.py
        try:
            self._take_room()
            try:
                return self._start(session)
            except BaseException:
                self._leave_room()
                raise
        except BaseException:
            if session.saved is None:
                self._forget(session)
            raise

    def _start(self, session: Session) -> Interpreter:
        arguments = {**self._arguments, "style": session.style}
        if session.saved is not None and self._load is not None:
            try:
                session.py = self._load(session.saved, **arguments)
                session.note = BACK
            except (CodeActError, OSError, ValueError) as error:
                log.warning("session %s cannot be brought back: %s", session.id, error)
                session.note = ("[This session was saved while it was idle, and could not be brought back; it begins "
                                f"anew, with no variables and no files. The reason: {error}]")
        if session.py is None:
            session.py = self._open(**arguments)
            session.began_anew = True
        if session.saved is not None:
            discard(session.saved)
            session.saved = None
        return session.py

    def branch(self, session: Session, id: str | None) -> Session:
        """A new session with the state of this one.

        Raises:
            Fault: The name is taken, or there are too many.
            CodeActError: It cannot be branched.
        """
        py = self.ready(session)
        if id is not None and any(other.id == id for other in self.all()):
            raise _exists(id)
        self._take_room()
        twin = None
        try:
            twin = able(py, "branch")()
            with self._lock:
                return self._add(id, session.style, twin)
        except BaseException:
            if twin is not None:
                twin.close()
            self._leave_room()
            raise

    def drop(self, session: Session) -> None:
        """Forget a claimed session that has come to an end by itself."""
        self._forget(session)
        if session.py is not None:
            session.py.close()
            session.py = None
            self._leave_room()

    def _forget(self, session: Session) -> None:
        session.ended = True
        with self._lock:
            if self._sessions.get(session.id) is session:
                del self._sessions[session.id]

    # Room -------------------------------------------------------------------------------------------------------------

    def _take_room(self) -> None:
        """Count one more as live, and save the one idle longest where there are too many."""
        while True:
            with self._lock:
                self._refuse_when_closing()
                if self._live < self.max_live:
                    self._live += 1
                    return
                idle = [session for session in self._sessions.values() if session.state == "idle"]
            idle.sort(key=lambda session: session.used)
            if not any(self._put_away(session) for session in idle):
                raise _too_many(self.max_live)

    def _leave_room(self) -> None:
        with self._lock:
            self._live -= 1

    def put_idle_away(self) -> int:
        """Save the sessions nobody has used for `idle_seconds`; how many. Called now and then."""
        before = time.time() - self.idle_seconds
        return sum(self._put_away(session) for session in self.all() if session.state == "idle"
                   and session.used <= before)

    def _put_away(self, session: Session) -> bool:
        if not session.turn.acquire(blocking=False):
            return False
        try:
            py = session.py
            save = getattr(py, "save", None)
            if py is None or save is None or self._load is None or session.ended:
                return False
            path = self._state_folder() / uuid.uuid4().hex
            try:
                _lose_no_file(py, save(path))
            except (CodeActError, OSError, ValueError) as error:
                log.warning("session %s is idle and cannot be saved, so it stays: %s", session.id, error)
                discard(path)
                session.used = time.time()   # try again when it has been idle for as long once more
                return False
            session.saved, session.py = path, None
            py.close()
        finally:
            session.turn.release()
        self._leave_room()
        return True

    def _state_folder(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = new_folder()
            return self._folder

    # Ending -----------------------------------------------------------------------------------------------------------

    def delete(self, id: str) -> None:
        """End a session, whatever it is doing.

        Raises:
            Fault: There is none of this name.
        """
        session = self.get(id)
        self._forget(session)
        if session.end():
            self._leave_room()

    def stop_all(self) -> None:
        """Begin to end: no new session, and the running cells are stopped, so that their requests are answered."""
        with self._lock:
            self._closing = True
        _at_once(Session.stop, self.all())

    def close(self) -> None:
        """End every session."""
        with self._lock:
            self._closing = True
        _at_once(lambda session: self.delete(session.id), self.all())
        if self._folder is not None:
            remove(self._folder)


def able(py: Interpreter, method: str) -> Callable[..., Any]:
    """A method that not every interpreter has.

    Raises:
        Fault: This one has not.
    """
    found: Callable[..., Any] | None = getattr(py, method, None)
    if found is None:
        raise Fault(409, "impossible", f"the sessions of this service cannot {method}; GET /openapi.json says what "
                                       "else there is")
    return found


def _lose_no_file(py: Interpreter, report: Any) -> None:
    """See that a saved session has all files of its workspace: what a file cannot hold would go with the processes.

    Raises:
        ValueError: One is missing.
    """
    for path, reason in (getattr(report, "left_out", None) or {}).items():
        found = beneath.lstat(py.workspace, path)
        if found is not None and stat.S_ISREG(found.st_mode):
            raise ValueError(f"its file {path!r} would be lost: {reason}")


def _at_once(function: Callable[[Session], object], sessions: list[Session]) -> None:
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(sessions)))) as pool:
        for done in [pool.submit(function, session) for session in sessions]:
            if (error := done.exception()) is not None and not isinstance(error, Fault):
                log.warning("a session did not end as it should: %s", error)


def _exists(id: str) -> Fault:
    return Fault(409, "exists", f"there is a session {id[:200]!r} already; use it, or DELETE it first")


def _too_many(number: int) -> Fault:
    return Fault(429, "too_many_sessions", f"there are {number} sessions, and no room for another one; DELETE one that "
                                           "is not needed, or start the service with a larger --max-sessions")
