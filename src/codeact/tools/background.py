"""Threads and an event loop for tools, one set per process, started when first needed. `calls.py` uses them.

Handing a job over costs tens of microseconds: a thread that is done waits for the next job, and a new one is started
only when none waits. All are daemons, so that a tool that hangs does not keep the program from ending. A forked child
starts its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["loop", "run"]

IDLE_SECONDS = 30.0
"""A thread without a job for this long ends."""

_log = logging.getLogger(__name__)


class _Threads:
    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[Any], None], Any]] = SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0
        """Threads that wait and have no job coming to them."""

    def run(self, job: Callable[[Any], None], argument: Any) -> None:
        with self._lock:
            new = self._free == 0
            if not new:
                self._free -= 1
        self._jobs.put((job, argument))
        if new:
            threading.Thread(target=self._work, name="codeact-tool", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job, argument = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._free:  # else a job is on its way to one of those that wait: this one
                        self._free -= 1
                        return
                continue
            try:
                job(argument)
            except BaseException:
                _log.exception("a job failed")
            del job, argument  # a waiting thread holds on to nothing
            with self._lock:
                self._free += 1


_threads = _Threads()
_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def run(job: Callable[[Any], None], argument: Any) -> None:
    """Call `job(argument)` in another thread."""
    _threads.run(job, argument)


def loop() -> asyncio.AbstractEventLoop:
    """The event loop on which async tools run, in a thread of its own."""
    global _loop
    with _loop_lock:
        if _loop is None:
            import asyncio  # slow to import, and most programs have no async tool

            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="codeact-tools-loop", daemon=True).start()
        return _loop


def _after_fork() -> None:
    global _threads, _loop, _loop_lock
    _threads, _loop, _loop_lock = _Threads(), None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
