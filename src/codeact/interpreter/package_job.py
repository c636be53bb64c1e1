"""One installation of packages on its way: whom to tell of it, and when it is to stop.

Made by package_calls.py for a cell and by packages.py at a session's start; pip.py and builds.py look at it while they
wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Job", "Stopped"]


class Stopped(Exception):
    """Somebody stopped an installation, or its time was up."""


class Job:
    """One installation.

    Args:
        tell: Told each line that may be shown.
        seconds: Until it is stopped.
    """

    def __init__(self, tell: Callable[[str], None], seconds: float):
        self.tell = tell
        self.is_stopped = False
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable once it is stopped."""
        self.on_stop: Callable[[], None] = lambda: None
        """Interrupts what cannot look by itself."""
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Have it end soon; from any thread."""
        with self._lock:
            if self.is_stopped or self.wake < 0:
                return
            self.is_stopped = True
            os.eventfd_write(self.wake, 1)
        with suppress(OSError):   # it ended by itself at this moment
            self.on_stop()

    def check(self) -> None:
        """Called now and then by whoever works for it.

        Raises:
            Stopped: It is to end.
        """
        if self.is_stopped:
            raise Stopped("the installation was stopped")
        if time.monotonic() > self._deadline:
            raise Stopped("the installation took too long and was stopped")

    @property
    def seconds_left(self) -> float:
        """Until it is stopped; never quite none."""
        return max(0.1, self._deadline - time.monotonic())

    def close(self) -> None:
        """It has ended."""
        with self._lock:
            os.close(self.wake)
            self.wake = -1
