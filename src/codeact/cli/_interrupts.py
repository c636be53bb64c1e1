"""What Ctrl-C does while the agent works: at first the least that helps.

At a question it says no. In a cell it stops the cell, whose variables stay; the model is told and goes on. Pressed
again, or while the model writes, it stops the turn, and the person has the word. Once more, and the program breaks off.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from codeact.errors import Cancelled
from codeact.events import Code, Ended, Event, Turn
from codeact.loop import Cancel

__all__ = ["Interrupts"]

_AGAIN_SECONDS = 2.0
"""Two presses within this time mean that it should stop, whatever began in between."""


class Interrupts:
    """One exchange's Ctrl-C; also an observer, to know what is going on.

    Args:
        refuse: Answers the question that stands with no; whether there was one.
        stop_cell: Stops the running cell.
        tell: Told in words what was done; must bear being called from a signal handler.
    """

    def __init__(self, refuse: Callable[[], bool], stop_cell: Callable[[], object],
                 tell: Callable[[str], None]) -> None:
        self.cancel = Cancel()
        self._refuse, self._stop_cell, self._tell = refuse, stop_cell, tell
        self._in_cell = self._stopped_cell = False
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        """See what is going on."""
        match event:
            case Code():
                self.begin_cell()
            case Turn() | Ended():
                self._in_cell = False

    def begin_cell(self) -> None:
        """A cell is about to run."""
        self._in_cell, self._stopped_cell = True, False

    @contextmanager
    def watching(self) -> Iterator[Cancel]:
        """While inside, Ctrl-C comes here."""
        before = signal.signal(signal.SIGINT, lambda number, frame: self.press())
        try:
            yield self.cancel
        finally:
            signal.signal(signal.SIGINT, before)

    def press(self) -> None:
        """Ctrl-C was pressed.

        Raises:
            Cancelled: Nothing else would notice.
            KeyboardInterrupt: It was stopped already, and goes on all the same.
        """
        now = time.monotonic()
        again = now - self._last < _AGAIN_SECONDS
        self._last = now
        if self._refuse() and not again:
            return
        if self.cancel.stop:
            raise KeyboardInterrupt
        if self._in_cell and not self._stopped_cell and not again:
            self._stopped_cell = True
            self._tell("the cell is being stopped; Ctrl-C again stops the turn")
            self._stop_cell()
            return
        self._tell("stopping")
        if not self.cancel.set():
            raise Cancelled
