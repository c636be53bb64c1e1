"""Ctrl-C at the prompt of `codeact exec`: no press is lost, and none ends the program.

Python breaks off a wait for input only for a signal that comes while the main thread is in that wait. One that comes a
moment before it, or to another thread, would be noticed with the next key. So a thread hears of each press, and a
moment later wakes the main thread with a signal that does nothing else.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["CtrlC"]

T = TypeVar("T")

_WAKE = signal.SIGURG
"""Nothing else uses it, and a process that does not wait for it is not disturbed by it."""
_PAUSES_SECONDS = (0.02, 0.1, 0.5)
"""Before each wake: also a machine that is busy has begun to wait by then."""


class CtrlC:
    """Decides what a press means, between and in what may be broken off."""

    def __init__(self) -> None:
        self._heeded = self._pressed = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While inside, Ctrl-C comes here. For the main thread."""
        heard, tell = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(tell, False)
        over = threading.Event()
        waker = threading.Thread(target=_wake, args=(heard, threading.get_ident(), over), daemon=True)
        fd_before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        before = {number: signal.signal(number, act)
                  for number, act in ((_WAKE, lambda number, frame: None), (signal.SIGINT, self._press))}
        waker.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd_before)
            os.close(tell)
            over.set()
            waker.join()
            os.close(heard)
            for number, act in before.items():
                signal.signal(number, act)

    def heed(self, act: Callable[[], T]) -> T:
        """Do what a press may break off.

        Raises:
            KeyboardInterrupt: There was one, in it or since the last time.
        """
        try:
            self._heeded = True
            if self._pressed:
                self._pressed = False
                raise KeyboardInterrupt
            return act()
        finally:
            self._heeded = False

    def _press(self, number: int, frame: object) -> None:
        if self._heeded:
            raise KeyboardInterrupt
        self._pressed = True


def _wake(heard: int, main: int, over: threading.Event) -> None:
    """Wake the main thread after each press that is heard of, until it is over."""
    while numbers := os.read(heard, 64):
        if signal.SIGINT in numbers:
            for pause in _PAUSES_SECONDS:
                if over.wait(pause):
                    return
                signal.pthread_kill(main, _WAKE)
