"""The host's hold on one session: its keeper, its running worker, its frozen copies.

Low level: starts, resumes, signals and ends processes. What a cell is, interpreter/cell.py knows; what to do after a
death, interpreter/history.py.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.errors import InterpreterGone
from codeact.interpreter.folders import remove
from codeact.kernel.wire import Connection, Frame, ProtocolError

__all__ = ["Frozen", "Running", "Session", "pid_of"]

START_SECONDS = 30.0


@dataclass(eq=False)
class Running:
    """The process that runs cells now."""

    connection: Connection
    output: int
    """Read end of its output pipe, non-blocking."""
    pid: int
    parent: Frozen | None = None
    """The frozen copy it was resumed from; None for one started by the keeper."""

    def close(self) -> None:
        self.connection.close()
        os.close(self.output)


@dataclass(eq=False)
class Frozen:
    """A copy of a worker, asleep: a state to go back to."""

    connection: Connection
    pid: int

    def close(self) -> None:
        """Let it end: it does so when its connection goes."""
        self.connection.close()


class Session:
    """One session's processes.

    Args:
        keeper: Connection to its keeper.
        pidfd: Of the keeper, or -1.
        level: Which walls stand.
        workspace: As the host sees it.
        base: A folder of ours to remove at the end, or None.
        nonce: Of the output marks.
    """

    def __init__(self, keeper: Connection, pidfd: int, *, level: int, workspace: Path, base: Path | None, nonce: str):
        self.keeper, self.pidfd, self.level = keeper, pidfd, level
        self.workspace, self.base, self.nonce = workspace, base, nonce
        self.preloaded = False
        """Whether what users need is imported already."""
        self.running: Running | None = None
        self.exits: dict[int, int] = {}
        """pid -> wait status, as far as reported."""
        self.usage: dict[str, Any] | None = None
        """The keeper's latest account."""
        self.asked_usage = 0.0
        """When the account still owed was asked for (monotonic seconds); 0 when none is."""

    # Starting ---------------------------------------------------------------------------------------------------------

    def spawn(self) -> Running:
        """A worker with the state a session begins with.

        Raises:
            InterpreterGone: It does not start.
        """
        return self._start(self.keeper, {"t": "spawn"}, None)

    def resume(self, frozen: Frozen, *, reseed: bool) -> Running:
        """A worker with the state of a frozen copy, which stays.

        Raises:
            InterpreterGone: The copy is gone.
        """
        return self._start(frozen.connection, {"t": "resume", "reseed": reseed}, frozen)

    def _start(self, through: Connection, header: dict[str, Any], parent: Frozen | None) -> Running:
        ours, theirs = socket.socketpair()
        out, into = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(out, False)
        try:
            through.send(header, fds=[theirs.fileno(), into], timeout=START_SECONDS)
        except OSError as error:
            ours.close()
            os.close(out)
            raise InterpreterGone(f"the session's processes are gone ({error})") from None
        finally:
            theirs.close()
            os.close(into)
        connection = Connection(ours)
        try:
            frame = connection.receive(timeout=START_SECONDS)
            if frame is None:
                raise InterpreterGone("the worker ended while it started")
            if frame[0]["t"] != "ready" or type(frame[0].get("pid")) is not int:
                raise InterpreterGone(f"the worker did not start: {frame[0].get('reason', frame[0]['t'])}")
        except (InterpreterGone, ProtocolError, OSError) as error:
            connection.close()
            os.close(out)
            raise error if isinstance(error, InterpreterGone) else InterpreterGone(str(error)) from None
        self.running = Running(connection, out, frame[0]["pid"], parent)
        return self.running

    def rehearse(self) -> None:
        """Have the worker get ready for a first cell, while nobody waits."""
        if self.running is not None:
            self.running.connection.send({"t": "rehearse"}, timeout=5)

    # Watching ---------------------------------------------------------------------------------------------------------

    def hear_keeper(self) -> bool:
        """Take what the keeper has said, without waiting; False when it is gone."""
        return self._hear(self.keeper)

    def _hear(self, connection: Connection) -> bool:
        try:
            if not connection.fill(block=False):
                return False
        except BlockingIOError:
            return True
        except (OSError, ProtocolError):
            return False
        try:
            while (frame := connection.take()) is not None:
                self._note(frame)
        except ProtocolError:
            return False
        return True

    def _note(self, frame: Frame) -> None:
        header = frame[0]
        if header["t"] == "exit" and type(header.get("pid")) is int and type(header.get("status")) is int:
            if len(self.exits) > 10_000:
                self.exits.clear()
            self.exits[header["pid"]] = header["status"]
        elif header["t"] == "usage":
            self.usage, self.asked_usage = header, 0.0

    def ask_usage(self, frozen: Sequence[Frozen], exact_above_kb: int) -> None:
        """Ask the keeper for an account; it comes to `usage` by and by."""
        if self.running is None:
            return
        self.asked_usage = time.monotonic()
        self.keeper.send({"t": "usage", "pid": self.running.pid, "frozen": [copy.pid for copy in frozen],
                          "exact_above_kb": exact_above_kb}, timeout=5)

    def wait_usage(self, frozen: Sequence[Frozen], exact_above_kb: int, seconds: float = 5.0) -> dict[str, Any] | None:
        """Ask for an account and wait for it; None when it does not come."""
        self.usage = None
        try:
            self.ask_usage(frozen, exact_above_kb)
            deadline = time.monotonic() + seconds
            while (usage := self._latest_usage()) is None:
                _readable(self.keeper, max(0.0, deadline - time.monotonic()))
                if not self.hear_keeper() or time.monotonic() > deadline:
                    return None
        except OSError:
            return None
        return usage

    def _latest_usage(self) -> dict[str, Any] | None:
        return self.usage

    def exit_status(self, running: Running, seconds: float = 0.2) -> int | None:
        """How a dead worker ended, as wait(2) says it; None when nobody saw."""
        source = running.parent.connection if running.parent else self.keeper
        deadline = time.monotonic() + seconds
        while running.pid not in self.exits and time.monotonic() < deadline:
            _readable(source, max(0.0, deadline - time.monotonic()))
            if not self._hear(source):
                break
        return self.exits.get(running.pid)

    # Ending -----------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """SIGINT to the worker; returns when it has been sent."""
        self._signal(signal.SIGINT)

    def _signal(self, number: int) -> None:
        if self.running is None:
            return
        try:
            self.keeper.send({"t": "signal", "pid": self.running.pid, "signal": int(number)}, timeout=5)
            self._await("signalled", 5.0)
        except (OSError, ProtocolError):
            pass   # it is gone, which the caller sees by itself

    def _await(self, kind: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            frame = self.keeper.receive(timeout=max(0.0, deadline - time.monotonic()))
            if frame is None:
                raise OSError("the keeper is gone")
            if frame[0]["t"] == kind:
                return frame[0]
            self._note(frame)

    def sweep(self, keep: Sequence[Frozen]) -> None:
        """End the worker and everything it left behind, but the frozen copies named.

        Raises:
            InterpreterGone: The keeper is gone too.
        """
        if self.running is not None:
            self.running.close()
            self.running = None
        try:
            self.keeper.send({"t": "sweep", "keep": [copy.pid for copy in keep]}, timeout=5)
            self._await("swept", 10.0)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the session's processes are gone ({error})") from None

    def close(self) -> None:
        """End every process of the session, wait until they are gone, remove what is ours of its files."""
        if self.running is not None:
            self.running.close()
            self.running = None
        if self.level < 3:
            # No namespace whose end ends all: the keeper kills by name, then goes
            try:
                self.keeper.send({"t": "sweep", "keep": []}, timeout=5)
                self._await("swept", 10.0)
            except (OSError, ProtocolError):
                pass
        if self.pidfd >= 0:
            if self.level == 3:
                try:
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.keeper.close()
            _readable(self.pidfd, 10.0)
            os.close(self.pidfd)
            self.pidfd = -1
        else:
            self.keeper.close()
        if self.base is not None:
            remove(self.base)
            self.base = None


def _readable(source: Any, seconds: float) -> bool:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def new_nonce() -> str:
    """Of a session's output marks."""
    return os.urandom(8).hex()


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
