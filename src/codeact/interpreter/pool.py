"""Sessions of one kind of zygote: made as they are wanted, or taken from those that stand by.

Standby sessions are complete sessions nobody has claimed yet. They are made in the background, once the zygote has
imported what users need; so are the processes of the next session, whatever it will be. supervisor.py holds the pools.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from queue import SimpleQueue

from codeact.errors import InterpreterGone, SandboxUnavailable
from codeact.interpreter.folders import Base
from codeact.interpreter.keeper import readable
from codeact.interpreter.limits import Limits
from codeact.interpreter.opening import Processes, open_on
from codeact.interpreter.session import Newborn, Session
from codeact.interpreter.settings import SPACE, Settings
from codeact.interpreter.zygote import Zygote

__all__ = ["Pool"]

log = logging.getLogger("codeact.interpreter")

STANDBY = 2
STANDBY_KINDS = 4
"""Sessions of so many kinds (of limits) stand by; those of the kind that was asked for longest ago are given up."""
AHEAD_AFTER_SECONDS, REFILL_AFTER_SECONDS = 0.01, 0.05
"""The one who has just taken a session wants the processor first."""


class Pool:
    """The sessions of a zygote.

    Args:
        zygote: Owned from now on.
    """

    def __init__(self, zygote: Zygote):
        self.zygote = zygote
        self._lock = threading.Lock()
        """Of what stands by."""
        self._standing_by: dict[Limits, deque[Session]] = {}
        self._ahead: Processes | None = None
        """Forked while nobody waited; the keeper has left the zygote's namespaces."""
        self._taken: SimpleQueue[Settings | None] = SimpleQueue()
        """Settings of sessions taken, for the thread that puts new ones on standby; None for one of which none do."""

    def begin(self) -> None:
        """Start importing what users need, in the background, and then to keep sessions on standby."""
        threading.Thread(target=self._work_in_background, name="codeact-zygote", daemon=True).start()

    def session(self, settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
        """A session of these settings: from standby where there is one, else a new one.

        Args:
            base, space: As for `opening.open_on`.

        Raises:
            InterpreterGone: The zygote is gone.
            SandboxUnavailable: A folder cannot be shown to it.
        """
        if settings.pending is not None:
            zygote = self.zygote
            return settings.pending.open_session(
                zygote.level.number, (zygote.uid, zygote.gid), lambda workspace, overlay: self._make(
                    replace(settings, workspace=workspace, overlay=overlay, pending=None), base, space))
        if settings.workspace is not None or settings.read or settings.proxied or settings.packages or base is not None:
            made = self._make(settings, base, space)
            self._taken.put(None)
            return made
        with self._lock:   # the latest kind last
            waiting = self._standing_by[settings.limits] = self._standing_by.pop(settings.limits, deque())
            session = waiting.popleft() if waiting else None
        if session is not None:
            session.warm_up()
        made = session or self._make(settings)
        self._taken.put(settings)
        return made

    def _make(self, settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
        return open_on(self.zygote, settings, base, space, self._take_ahead())

    def _take_ahead(self) -> Processes | None:
        """What was forked ahead, unless it has ended meanwhile."""
        with self._lock:
            ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        keeper, newborn = ahead
        if not readable(keeper.pidfd, 0) and not readable(newborn.connection, 0):
            return ahead
        _give_up(ahead)
        return None

    # In the background ------------------------------------------------------------------------------------------------

    def _work_in_background(self) -> None:
        """For the rest of its life: a new session on standby for each one taken, and the next one's processes."""
        zygote = self.zygote
        zygote.preload()
        while True:
            settings = self._taken.get()
            zygote.end.wait(AHEAD_AFTER_SECONDS)
            if zygote.is_closed():
                return
            self._fork_ahead()
            if settings is not None:
                self._give_up_old_kinds()
                zygote.end.wait(REFILL_AFTER_SECONDS)
                self._refill(settings)
                self._fork_ahead()

    def _refill(self, settings: Settings) -> None:
        waiting = self._standing_by.get(settings.limits)
        try:
            while waiting is not None and len(waiting) < STANDBY and not self.zygote.is_closed():
                session = self._make(settings)
                try:
                    session.rehearse()
                except BaseException:
                    session.close()
                    raise
                with self._lock:
                    if not self.zygote.is_closed():
                        waiting.append(session)
                        continue
                session.close()
        except (InterpreterGone, SandboxUnavailable, OSError) as error:
            log.debug("no standby session: %s", error)

    def _fork_ahead(self) -> None:
        """Fork the processes of the next session, if it is not done yet (level 3); this thread alone does."""
        zygote = self.zygote
        if zygote.level.number != 3 or zygote.preloaded is None or self._ahead is not None:
            return
        keeper = None
        try:
            keeper = zygote.fork_keeper()
            ahead = keeper, Newborn.told_of(zygote.fork_worker, keeper.pidfd)
        except (InterpreterGone, SandboxUnavailable, OSError) as error:
            log.debug("nothing forked ahead: %s", error)
            if keeper is not None:
                keeper.close()
            return
        with self._lock:
            if not zygote.is_closed():
                self._ahead = ahead
                return
        _give_up(ahead)

    def _give_up_old_kinds(self) -> None:
        with self._lock:
            old = [self._standing_by.pop(limits) for limits in list(self._standing_by)[:-STANDBY_KINDS]]
        for waiting in old:
            for session in waiting:
                session.close()

    def close(self) -> None:
        """End the zygote, and with it every session of it."""
        with self._lock:
            self.zygote.end.set()
            waiting, self._standing_by = list(self._standing_by.values()), {}
            ahead, self._ahead = self._ahead, None
        self._taken.put(None)
        if ahead is not None:
            _give_up(ahead)
        for sessions in waiting:
            for session in sessions:
                session.close()
        self.zygote.close()


def _give_up(ahead: Processes) -> None:
    keeper, newborn = ahead
    newborn.close()
    keeper.close()
