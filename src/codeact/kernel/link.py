"""The kernel's end of the connection to its host: questions and answers, from any thread and from asyncio at once.

Whoever waits for an answer reads the socket for all: one waiter leads, the others sleep until their answer is handed to
them or the lead is. A signal may come at any moment, so the bytes of a frame are only ever taken from the socket while
the interrupt is held back (`shield`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from .wire import Connection, Frame

__all__ = ["Link", "Shield"]


class Shield:
    """Holds the interrupt back while a frame is being read or written.

    Interrupts come to the main thread alone: in any other it does nothing.
    """

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self.depth = 0
        self.pending = False
        self.executing = False
        """True while user code runs: only then does an interrupt mean anything."""

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self.depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != self._main:
            return
        self.depth -= 1
        if self.pending and not self.depth:
            self.pending = False
            if self.executing:
                raise KeyboardInterrupt

    def on_signal(self, number: int, frame: object) -> None:
        """The handler of SIGINT."""
        if not self.executing:
            return
        if self.depth:
            self.pending = True
        else:
            raise KeyboardInterrupt


_OVER: Frame = ({"t": "reply", "ok": False, "text": None, "error": {
    "name": "RuntimeError", "message": "the cell ended before the answer came"}}, [])


class _Slot:
    """One question that waits for its answer."""

    def __init__(self, deliver: Optional[Callable[[], None]] = None):
        self.frame: Optional[Frame] = None
        self.event = threading.Event()
        self.deliver = deliver

    def finish(self, frame: Frame) -> None:
        """Hand the answer over."""
        self.frame = frame
        self.event.set()
        if self.deliver is not None:
            self.deliver()


class Link:
    """Sends frames and waits for answers.

    Args:
        shield: The interrupt's guard.
    """

    connection: Connection
    """To the host; there once `after_fork` was given one."""

    def __init__(self, shield: Shield):
        self.shield = shield
        self._ids = 0
        self._reset()

    def _reset(self) -> None:
        self._send_lock = threading.Lock()
        self._state = threading.Lock()
        self._waiting: Dict[int, _Slot] = {}
        self._led = False
        self._open = False
        self._woken, self._wake = os.pipe()

    def after_fork(self, connection: Optional[Connection]) -> None:
        """In a forked child: locks anew, and another connection (None: this child may not speak)."""
        for fd in (self._woken, self._wake):
            try:
                os.close(fd)
            except OSError:
                pass   # user code closed it
        self._reset()
        if connection is not None:
            self.connection = connection

    def send(self, header: Dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a frame that needs no answer. Ends the process when the host is gone."""
        with self._send_lock, self.shield:
            try:
                self.connection.send(header, buffers)
            except OSError:
                os._exit(0)

    def begin_cell(self) -> None:
        """From now on questions may be asked."""
        self._open = True

    def end_cell(self) -> None:
        """No more questions: the host answers none between cells. Whoever still waits gets an error."""
        with self._state:
            self._open = False
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for slot in waiting:
            slot.finish(_OVER)
        if self._led:
            os.write(self._wake, b"!")
        while self._led:   # the next to read is the main thread, alone
            time.sleep(0.0005)

    def next_frame(self, idle: Callable[[], None]) -> Frame:
        """Wait for whatever comes next; for the idle kernel, which calls `idle` before it sleeps.

        Ends the process when the host is gone.
        """
        frame = self.connection.take()
        while frame is None:
            idle()
            frame = self._take_in(block=True)   # no user code runs now: an interrupt means nothing
        return frame

    def _read(self) -> Optional[Frame]:
        """Wait until something is there (an interrupt may come now), then take it (none may)."""
        watched: List[Any] = [self.connection, self._woken]
        if self._woken in select.select(watched, [], [])[0]:
            os.read(self._woken, 64)
            return None
        return self._take_in()

    def _take_in(self, *, block: bool = False) -> Optional[Frame]:
        with self.shield:
            try:
                alive = self.connection.fill(block=block)
            except BlockingIOError:
                return None
            except OSError:
                alive = False
            if not alive:
                os._exit(0)
            return self.connection.take()

    def ask(self, header: Dict[str, Any], buffers: Sequence[bytes] = ()) -> Frame:
        """Send a question and wait for its answer; other threads may do the same meanwhile."""
        slot = _Slot()
        number = self._register(slot)
        try:
            self.send({**header, "id": number}, buffers)
            return self._await(slot)
        finally:
            self._waiting.pop(number, None)

    def _register(self, slot: _Slot) -> int:
        with self._state:
            if not self._open:
                raise RuntimeError("a tool can be called, and input asked for, only while a cell runs")
            self._ids += 1
            self._waiting[self._ids] = slot
            return self._ids

    def _await(self, slot: _Slot) -> Frame:
        while slot.frame is None:
            with self._state:
                leads = not self._led
                self._led = True
            if not leads:
                slot.event.wait()
                slot.event.clear()
                continue
            try:
                while slot.frame is None:
                    frame = self.connection.take() or self._read()
                    if frame is not None:
                        self._hand_out(frame)
            finally:
                self._give_up_lead()
        return slot.frame

    def _give_up_lead(self) -> None:
        """Hand out what has been read, then wake another waiter to lead."""
        frame = self.connection.take()
        while frame is not None:
            self._hand_out(frame)
            frame = self.connection.take()
        with self._state:
            self._led = False
            for other in list(self._waiting.values()):
                if other.frame is None and other.deliver is None:
                    other.event.set()
                    break

    def _hand_out(self, frame: Frame) -> None:
        slot = self._waiting.pop(frame[0].get("id", 0), None)
        if slot is not None:   # else the answer to a question that was interrupted
            slot.finish(frame)

    async def ask_async(self, header: Dict[str, Any], buffers: Sequence[bytes] = ()) -> Frame:
        """As `ask`, without stopping the event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: "asyncio.Future[None]" = loop.create_future()

        def deliver() -> None:
            loop.call_soon_threadsafe(finish)

        def finish() -> None:
            if not future.done():
                future.set_result(None)

        slot = _Slot(deliver)
        number = self._register(slot)
        try:
            loop.add_reader(self.connection, self._on_readable)
            self.send({**header, "id": number}, buffers)
            await future
            assert slot.frame is not None
            return slot.frame
        finally:
            self._waiting.pop(number, None)
            if not any(other.deliver for other in list(self._waiting.values())):
                loop.remove_reader(self.connection)

    def _on_readable(self) -> None:
        """The event loop's turn to read, unless a thread leads and will do it."""
        with self._state:
            if self._led:
                return
            self._led = True
        try:
            frame = self._take_in()
            if frame is not None:
                self._hand_out(frame)
        finally:
            self._give_up_lead()
