"""The host's hold on one session: its keeper, its running worker, its frozen copies.

Low level: starts, resumes, signals and ends processes. What a cell is, interpreter/cell.py knows; what to do after a
death, interpreter/history.py.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.errors import InterpreterError, InterpreterGone
from codeact.interpreter.folders import Base
from codeact.interpreter.keeper import START_SECONDS, Keeper, Line, readable
from codeact.interpreter.watch import Watch
from codeact.kernel.wire import Connection, ProtocolError

__all__ = ["Frozen", "Newborn", "Running", "Session"]


@dataclass(eq=False)
class Running:
    """The process that runs cells now."""

    connection: Connection
    output: int
    """Read end of its output pipe, non-blocking."""
    pid: int
    parent: Frozen | None = None
    """The frozen copy it was resumed from; None for one started anew."""
    end: int = -1
    """A pipe on which the zygote tells how it ended; -1 where another process tells."""

    def close(self) -> None:
        self.connection.close()
        os.close(self.output)
        if self.end >= 0:
            os.close(self.end)


@dataclass(eq=False)
class Newborn:
    """A worker just forked: it waits for its session's config, or gets ready."""

    connection: Connection
    output: int
    """As of `Running`, like `end`."""
    end: int = -1

    @classmethod
    def forked(cls, fork: Callable[[list[int]], None]) -> Newborn:
        """Have one forked, with its ends of a socket and a pipe.

        Raises:
            InterpreterGone: Who should fork it is gone.
        """
        ours, theirs = socket.socketpair()
        out, into = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(out, False)
        try:
            fork([theirs.fileno(), into])
        except BaseException as error:
            ours.close()
            os.close(out)
            if isinstance(error, OSError):
                raise InterpreterGone(f"the session's processes are gone ({error})") from None
            raise
        finally:
            theirs.close()
            os.close(into)
        return cls(Connection(ours), out)

    @classmethod
    def told_of(cls, fork: Callable[[list[int]], None], pidfd: int) -> Newborn:
        """Have a zygote fork one into the pid namespace of this process; the zygote is to tell how it ends."""
        end, told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            newborn = cls.forked(lambda fds: fork([*fds, pidfd, told]))
        except BaseException:
            os.close(end)
            raise
        finally:
            os.close(told)
        newborn.end = end
        return newborn

    def close(self) -> None:
        """Give it up: it ends."""
        self.connection.close()
        for fd in (self.output, self.end):
            if fd >= 0:
                os.close(fd)


class Frozen(Line):
    """A copy of a worker, asleep: a state to go back to. It ends when its connection goes.

    Args:
        connection: To it; owned from now on.
        pid: Its number, as the keeper sees it.
    """

    def __init__(self, connection: Connection, pid: int):
        super().__init__(connection)
        self.pid = pid


class Session:
    """One session's processes.

    Args:
        keeper: Of its walls.
        base: A folder of ours, given back at the end, or None.
        fork_worker: Has the zygote fork a worker that takes these descriptors; None where the keeper does it.
    """

    def __init__(self, keeper: Keeper, base: Base | None, fork_worker: Callable[[list[int]], None] | None = None):
        self._fork_worker = fork_worker
        self.keeper, self.level, self.base = keeper, keeper.level, base
        keeper.members.append(self)
        self.config: dict[str, Any] = {}
        """What the kernel was told of the session (docs/kernel_protocol.md)."""
        self.listener: socket.socket | None = None
        """Where its cells' requests to the network come in, until somebody takes it to serve them; None without."""
        self.running: Running | None = None
        self.watch: Watch | None = None
        """Of its workspace, where it was made before anybody took the session."""
        self.held: Callable[[], list[Frozen]] = list
        """The frozen copies it holds."""
        self.asked_usage = 0.0
        """When the account still owed was asked for (monotonic seconds); 0 when none is."""
        self._usage_number = 0
        """Of the latest question for an account: an answer to an earlier one may still come."""

    def branch(self, workspace: str) -> Session:
        """A second session behind the same walls, to be started by `resume`.

        Args:
            workspace: Its own folder, or the same.
        """
        self.keeper.share()
        if self.base is not None:
            self.base.share()
        other = Session(self.keeper, self.base, self._fork_worker)
        other.config = {**self.config, "workspace": workspace, "home": workspace}
        return other

    @property
    def workspace(self) -> Path:
        """As the host sees it, and the session too."""
        return Path(self.config["workspace"])

    @property
    def nonce(self) -> str:
        """Of the output marks."""
        return str(self.config["nonce"])

    # Starting ---------------------------------------------------------------------------------------------------------

    def spawn(self, begin: Callable[[], None] = lambda: None, ahead: Newborn | None = None) -> Running:
        """A worker with the state a session begins with.

        Args:
            begin: Has the keeper raise the outer walls.
            ahead: Forked already; owned from now on.

        Raises:
            SandboxUnavailable: The outer walls could not be raised.
            InterpreterGone: It does not start.
        """
        if self._fork_worker is None:
            begin()
            self._outer_walls()
            header = {"t": "spawn", "workspace": self.config["workspace"]}
            return self._started(Newborn.forked(lambda fds: self.keeper.send(header, fds=fds, timeout=START_SECONDS)))
        newborn = ahead or Newborn.told_of(self._fork_worker, self.keeper.pidfd)
        try:
            begin()
            if self.watch is None and self.base is not None and self.base.path in self.workspace.parents:
                self.watch = Watch(self.workspace)   # while others work
            self._outer_walls()
            with suppress(OSError):   # it has ended: it says why
                newborn.connection.send({"t": "enter", "config": self.config}, timeout=START_SECONDS)
        except BaseException:
            newborn.close()
            raise
        return self._started(newborn)

    def resume(self, frozen: Frozen, *, reseed: bool) -> Running:
        """A worker with the state of a frozen copy, which stays.

        Raises:
            InterpreterGone: The copy is gone.
        """
        header = {"t": "resume", "reseed": reseed, "workspace": self.config["workspace"]}
        return self._started(Newborn.forked(lambda fds: frozen.send(header, fds=fds, timeout=START_SECONDS)), frozen)

    def _outer_walls(self) -> None:
        listener = self.keeper.outer_walls()
        if listener is not None:
            self.listener = socket.socket(fileno=listener)

    def _started(self, newborn: Newborn, parent: Frozen | None = None) -> Running:
        """Wait until it is ready."""
        try:
            frame = newborn.connection.receive(timeout=START_SECONDS)
            if frame is None:
                raise InterpreterGone("the worker ended while it started")
            if frame[0]["t"] != "ready" or type(frame[0].get("pid")) is not int:
                raise InterpreterGone(f"the worker did not start: {frame[0].get('reason', frame[0]['t'])}")
        except (InterpreterError, ProtocolError, OSError) as error:
            newborn.close()
            raise error if isinstance(error, InterpreterError) else InterpreterGone(str(error)) from None
        self.running = Running(newborn.connection, newborn.output, frame[0]["pid"], parent, newborn.end)
        return self.running

    def rehearse(self) -> None:
        """Get ready for a first cell, while nobody waits.

        Raises:
            InterpreterGone: The worker is gone.
        """
        self.watch = Watch(self.workspace)
        if self.running is None:
            return
        try:
            self.running.connection.send({"t": "rehearse"}, timeout=5)
            if self.running.connection.receive(timeout=START_SECONDS) is None:
                raise InterpreterGone("the worker ended while it stood by")
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(str(error)) from None

    def warm_up(self) -> None:
        """Have the worker, which has slept for a while, rehearse once more: a first cell is about to come."""
        if self.running is not None:
            with suppress(OSError):   # who takes the session finds out
                self.running.connection.send({"t": "warm"}, timeout=5)

    def take_watch(self) -> Watch:
        """The watch of its workspace, to be closed by whoever takes it."""
        watch, self.watch = self.watch or Watch(self.workspace), None
        return watch

    # Watching ---------------------------------------------------------------------------------------------------------

    @property
    def usage(self) -> dict[str, Any] | None:
        """The keeper's answer to the latest question; None until one has come."""
        usage = self.keeper.usages.get(self.running.pid) if self.running is not None else None
        return usage if usage is not None and usage.get("number") == self._usage_number else None

    def forget_usage(self) -> None:
        """The latest account is an old one."""
        if self.running is not None:
            self.keeper.usages.pop(self.running.pid, None)
        self.asked_usage = 0.0

    def _others(self) -> list[int]:
        """Processes of the sessions that share the walls, as far as the host started them."""
        others = [member for member in list(self.keeper.members) if member is not self]
        held = [copy.pid for member in others for copy in member.held()]
        return held + [member.running.pid for member in others if member.running is not None]

    def ask_usage(self, exact_above_kb: int, *, each: bool = False) -> None:
        """Ask the keeper for an account; it comes to `usage` by and by. `each`: of every frozen copy too.

        Raises:
            OSError: The keeper is gone.
        """
        if self.running is None:
            return
        self.asked_usage = time.monotonic()
        self._usage_number += 1
        self.keeper.send({"t": "usage", "pid": self.running.pid, "number": self._usage_number,
                          "frozen": [copy.pid for copy in self.held()],
                          "spare": self._others(), "exact_above_kb": exact_above_kb, "each": each})

    def wait_usage(self, exact_above_kb: int, seconds: float = 5.0, *, each: bool = False) -> dict[str, Any] | None:
        """Ask for an account and wait for it; None when it does not come."""
        self.forget_usage()
        try:
            with self.keeper.called():
                self.ask_usage(exact_above_kb, each=each)
                deadline = time.monotonic() + seconds
                # One without `each_kb` was asked for by a cell that was over before it came
                while (usage := self.usage) is None or (each and self.held() and not usage.get("each_kb")):
                    readable(self.keeper, min(0.2, max(0.0, deadline - time.monotonic())))
                    if not self.keeper.hear() or time.monotonic() > deadline:
                        return None
        except OSError:
            return None
        self.asked_usage = 0.0
        return usage

    def exit_status(self, running: Running, seconds: float = 3.0) -> int | None:
        """How a dead worker ended, as wait(2) says it; None when nobody saw."""
        if running.end >= 0:
            told = os.read(running.end, 16) if readable(running.end, seconds) else b""
            return int(told) if told else None
        status = running.parent.exit_status(running.pid, seconds) if running.parent else None
        return self.keeper.exit_status(running.pid, seconds) if status is None else status

    # Ending -----------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """SIGINT to the worker; returns when it has been sent."""
        self._signal(signal.SIGINT)

    def _signal(self, number: int) -> None:
        if self.running is None:
            return
        try:
            self.keeper.ask({"t": "signal", "pid": self.running.pid, "signal": int(number)}, "signalled", 5.0)
        except (OSError, ProtocolError):
            pass   # it is gone, which the caller sees by itself

    def sweep(self, keep: Sequence[Frozen]) -> None:
        """End the worker and everything it left behind, but the frozen copies named and the branches' processes.

        Raises:
            InterpreterGone: The keeper is gone too.
        """
        own = [copy.pid for copy in self.held()]
        if self.running is not None:
            own.append(self.running.pid)
            self.running.close()
            self.running = None
        try:
            self.keeper.ask({"t": "sweep", "keep": [copy.pid for copy in keep], "spare": self._others(), "own": own},
                            "swept", 10.0)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the session's processes are gone ({error})") from None

    def close(self) -> None:
        """End every process of the session, wait until they are gone, give its folder back."""
        if self not in self.keeper.members:
            return
        if self.running is not None and len(self.keeper.members) > 1:
            with suppress(InterpreterGone):
                self.sweep([])
        self.keeper.members.remove(self)
        if self.watch is not None:
            self.watch.close()
        if self.running is not None:
            self.running.close()
            self.running = None
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        self.keeper.close()
        if self.base is not None:
            self.base.close()
            self.base = None


def new_nonce() -> str:
    """Of a session's output marks."""
    return os.urandom(8).hex()
