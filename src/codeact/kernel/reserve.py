"""Memory that cells cannot have, so that the kernel can still end one that took all there was.

The hard limit of a worker (walls/rlimits.py) is a little above what a session may use. While user code runs, the soft
limit keeps it from that rest; the kernel's own code may use it. After a cell that ran out of memory the next one gets
half of the rest as well: it must be able to let go of what the last one kept.

This is no wall: a cell may raise its soft limit up to the hard one, and has the rest then.

Source: getrlimit(2).
"""

from __future__ import annotations

import resource
from typing import Optional

__all__ = ["RESERVE_MB", "Reserve"]

RESERVE_MB = 16
"""On top of what a session may use."""

DATA = resource.RLIMIT_DATA


class Reserve:
    """Held back from user code: `with reserve: run it`."""

    def __init__(self) -> None:
        self._hard: Optional[int] = None
        self._given = 0
        self._asked: Optional[int] = None
        """What user code lowered its own limit to."""
        self.is_short = False
        """The last cell ran out of memory."""

    def begin(self) -> None:
        """Once the limits stand, where they limit memory: hold `RESERVE_MB` of what they allow back."""
        hard = resource.getrlimit(DATA)[1]
        if hard != resource.RLIM_INFINITY:
            self._hard = hard

    def __enter__(self) -> None:
        if self._hard is None:
            return
        hard = self._hard
        given = hard - ((RESERVE_MB << 20) // (2 if self.is_short else 1))
        if self._asked is not None:
            given = min(given, self._asked)
        self._given = self._set(given, hard)

    def __exit__(self, *_: object) -> None:
        if self._hard is None:
            return
        found = resource.getrlimit(DATA)[0]
        if found != self._given:
            self._asked = found if found >= 0 else None   # -1: without a limit, which only a hard one so allows
        self._set(self._hard, self._hard)

    def _set(self, soft: int, hard: int) -> int:
        """Set the soft limit; what it is then. A lower hard limit, set by user code, stays."""
        try:
            resource.setrlimit(DATA, (soft, hard))
        except (ValueError, OSError):
            self._hard = hard = resource.getrlimit(DATA)[1]
            soft = min(soft, hard)
            resource.setrlimit(DATA, (soft, hard))
        return soft
