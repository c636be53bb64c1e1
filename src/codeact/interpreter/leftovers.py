"""Judges what cells leave running: whether it is over the session's limits, and when to look at it again.

What a kernel says of itself may be in a cell's hands, so that nothing runs is believed for a while only.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from codeact.interpreter.limits import Limits
from codeact.interpreter.tend import DOUBT_SECONDS

__all__ = ["IDLE_SECONDS", "Leftovers"]

IDLE_CPU_SECONDS, IDLE_SECONDS = 0.03, 1.0
"""Less processor time in so long is that of a session in which nothing runs: on a busy machine a shorter while tells
nothing."""


class Leftovers:
    """What was seen of a session between its cells.

    Args:
        limits: That what is left running is held to.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._cpu_before: float | None = None
        """Processor time when what runs between cells was first looked at."""
        self._cpu_seen: float | None = None
        """With the latest look."""
        self.was_idle = False
        self.only_doubt = True
        """Whether each cell since nothing ran left nothing, as its kernel says."""
        self._ended = 0.0
        self.kills = 0
        """How often what runs between cells was killed, since the latest cell."""

    def cell_begins(self) -> None:
        """What was seen between cells is of the past."""
        self.forget()
        self.kills = 0

    def cell_ended(self, *, pure: bool) -> None:
        """Note it.

        Args:
            pure: It could not have left anything, says the kernel.
        """
        self.only_doubt = self.only_doubt and pure
        self._ended = time.monotonic()

    def too_early(self) -> float:
        """In how many seconds to look; 0: now. Short cells follow one another, and are not looked at in between."""
        return max(0.0, self._ended + DOUBT_SECONDS - time.monotonic()) if self.only_doubt else 0.0

    def judge(self, usage: dict[str, Any], disk_bytes: int) -> Literal["none", "within", "over"]:
        """Whether something runs, and is within the limits.

        Args:
            usage: The keeper's account.
            disk_bytes: What the session's files take.
        """
        # What it says of its processes may be a lie, and a task needs none of its own; processor time is the system's
        idle = self._cpu_seen is not None and usage["cpu_seconds"] - self._cpu_seen < IDLE_CPU_SECONDS \
            and usage["processes"] <= 1 and usage["threads"] <= 1
        self._cpu_seen = usage["cpu_seconds"]
        if idle and self.was_idle:
            self.forget()
            self.only_doubt = True
            return "none"
        self.was_idle = idle
        self._cpu_before = usage["cpu_seconds"] if self._cpu_before is None else self._cpu_before
        limits = self._limits
        disk = disk_bytes + (usage["nameless_kb"] << 10)
        over = (limits.tree_kb is not None and usage["memory_kb"] > limits.tree_kb) \
            or (limits.workspace_mb is not None and disk > limits.workspace_mb << 20) \
            or (limits.cpu_seconds is not None and usage["cpu_seconds"] - self._cpu_before > limits.cpu_seconds)
        return "over" if over else "within"

    def forget(self) -> None:
        """What was looked at is gone."""
        self._cpu_before = self._cpu_seen = None
        self.was_idle = False
