"""The host's line to a keeper, the first process of a session; a session shares it with its branches.

Several threads may use it: each conversation holds the lock, and what the keeper says unasked is noted for whom it
concerns.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from codeact.errors import SandboxUnavailable
from codeact.kernel.wire import Connection, Frame, ProtocolError

__all__ = ["START_SECONDS", "Keeper", "Line", "pid_of", "readable"]

START_SECONDS = 30.0
MAX_EXITS = 10_000


def readable(source: Any, seconds: float) -> bool:
    """Wait until there is something to read."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Line:
    """A connection to a process that forks workers: it tells how they ended.

    Args:
        connection: To it; owned from now on.
    """

    def __init__(self, connection: Connection):
        self.connection = connection
        self.exits: dict[int, int] = {}
        """pid -> wait status, as far as reported."""
        self._lock = threading.RLock()
        self._holders = 1

    def fileno(self) -> int:
        return self.connection.fileno()

    def share(self) -> None:
        """One more session holds it."""
        with self._lock:
            self._holders += 1

    def close(self) -> None:
        """Of one holder; with the last one the connection goes."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._end()

    def _end(self) -> None:
        self._hang_up()

    def _hang_up(self) -> None:
        """End the connection also where a fork of the program holds a copy of its socket."""
        with suppress(OSError):   # the other side did so first
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def send(self, header: dict[str, Any], *, fds: list[int] | None = None, timeout: float = 5.0) -> None:
        """Raises OSError where the process is gone."""
        with self._lock:
            self.connection.send(header, fds=fds or [], timeout=timeout)

    def hear(self) -> bool:
        """Take what it has said, without waiting; False when it is gone."""
        with self._lock:
            try:
                if not self.connection.fill(block=False):
                    return False
            except BlockingIOError:
                return True
            except (OSError, ProtocolError):
                return False
            try:
                while (frame := self.connection.take()) is not None:
                    self._note(frame)
            except ProtocolError:
                return False
            return True

    def _note(self, frame: Frame) -> None:
        header = frame[0]
        if header["t"] == "exit" and type(header.get("pid")) is int and type(header.get("status")) is int:
            if len(self.exits) > MAX_EXITS:
                self.exits.clear()
            self.exits[header["pid"]] = header["status"]

    def exit_status(self, pid: int, seconds: float) -> int | None:
        """How a worker of its ended, as wait(2) says it; None when it does not tell in time."""
        deadline = time.monotonic() + seconds
        while pid not in self.exits and time.monotonic() < deadline:
            readable(self, max(0.0, deadline - time.monotonic()))
            if not self.hear():
                break
        return self.exits.get(pid)


class Keeper(Line):
    """A line to a keeper.

    Args:
        connection: To it; owned from now on.
        pidfd: Of it, or -1; owned from now on.
        level: Which walls stand.
    """

    def __init__(self, connection: Connection, pidfd: int, level: int):
        super().__init__(connection)
        self.pidfd, self.level = pidfd, level
        self._stand_in: Callable[[socket.socket], None] | None = None
        """Where the first process rests: has another keeper forked behind its walls, with this socket."""
        self._callers = 0
        self.usages: dict[int, dict[str, Any]] = {}
        """pid of a worker -> the latest account for it."""
        self.members: list[Any] = []
        """The sessions behind these walls."""
        self.walled = False

    def outer_walls(self) -> int | None:
        """Wait until it says that they stand; the listening socket that comes with it, if one does.

        Raises:
            SandboxUnavailable: They do not.
        """
        with self._lock:
            if self.walled:
                return None
            try:
                frame = self.connection.receive(timeout=START_SECONDS)
            except (OSError, ProtocolError) as error:
                frame = ({"t": "failed", "reason": str(error)}, [])
            if frame is None or frame[0]["t"] != "kept":
                raise SandboxUnavailable(f"level {self.level}: " + str(
                    frame[0].get("reason", frame[0]["t"]) if frame else "the session's first process ended at once"))
            self.walled = True
            return self.connection.take_fd() if self.connection.fds else None

    # While nothing is asked of it, no process that runs Python stands there -------------------------------------------

    def rest(self, stand_in: Callable[[socket.socket], None]) -> None:
        """The session runs: the first process may become a program that only waits (kernel/init.py).

        Args:
            stand_in: Has another keeper forked behind the same walls, with this socket.
        """
        with self._lock, suppress(OSError):
            self.connection.send({"t": "rest"}, timeout=5)
            self._stand_in = stand_in

    def call(self) -> None:
        """Have a keeper there until `dismiss`.

        Raises:
            OSError: There is none to be had.
        """
        with self._lock:
            if self._stand_in is not None and not self._callers:
                self._wake(self._stand_in)
            self._callers += 1

    def dismiss(self) -> None:
        """It is not needed any more."""
        with self._lock:
            self._callers -= 1
            if self._stand_in is not None and not self._callers:
                self.connection.close()

    def _wake(self, stand_in: Callable[[socket.socket], None]) -> None:
        """Have one stand in, or find that the first one is still there."""
        if self.connection.fileno() >= 0:
            with suppress(ProtocolError):
                frame = self.connection.receive(timeout=START_SECONDS)
                while frame is not None and frame[0]["t"] != "stays":
                    self._note(frame)
                    frame = self.connection.receive(timeout=START_SECONDS)
                if frame is not None:
                    self._stand_in = None
                    return
            self.connection.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self.connection = Connection(ours)
            stand_in(theirs)

    @contextmanager
    def called(self) -> Iterator[None]:
        """While it is needed."""
        self.call()
        try:
            yield
        finally:
            self.dismiss()

    def watched(self) -> int:
        """A descriptor that is readable when the first process has ended, or when there is something to `hear`."""
        return self.pidfd if self._stand_in is not None else self.fileno()

    def hear(self) -> bool:
        with self._lock:
            if self._stand_in is None:
                return super().hear()
            if self._callers and not super().hear():   # the one that stood in was killed
                self.connection.close()
                with suppress(OSError):
                    self._wake(self._stand_in)
            return not readable(self.pidfd, 0)

    def exit_status(self, pid: int, seconds: float) -> int | None:
        return super().exit_status(pid, seconds) if self._stand_in is None else self.exits.get(pid)

    def _note(self, frame: Frame) -> None:
        header = frame[0]
        if header["t"] == "usage" and type(header.get("pid")) is int:
            self.usages[header["pid"]] = header
        else:
            super()._note(frame)

    def ask(self, header: dict[str, Any], kind: str, seconds: float) -> dict[str, Any]:
        """Send a frame and wait for its answer.

        Raises:
            OSError, ProtocolError: It is gone, or does not answer.
        """
        with self._lock, self.called():
            self.connection.send(header, timeout=5)
            deadline = time.monotonic() + seconds
            while True:
                frame = self.connection.receive(timeout=max(0.0, deadline - time.monotonic()))
                if frame is None:
                    raise OSError("the keeper is gone")
                if frame[0]["t"] == kind:
                    return frame[0]
                self._note(frame)

    def _end(self) -> None:
        """End every process behind its walls, and wait until they are gone."""
        if self.level < 3:
            # No namespace whose end ends all: the keeper kills by name, then goes
            try:
                self.ask({"t": "sweep", "keep": [], "spare": [], "own": []}, "swept", 10.0)
            except (OSError, ProtocolError):
                pass
        if self.pidfd >= 0 and self.level == 3:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._hang_up()
        if self.pidfd >= 0:
            readable(self.pidfd, 10.0)
            os.close(self.pidfd)
            self.pidfd = -1


def pid_of(pidfd: int) -> int:
    """The number of the process behind a pidfd.

    Raises:
        ProcessLookupError: It is gone.
    """
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            if line.startswith("Pid:") and int(line.split()[1]) > 0:
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "the session's first process is gone")
