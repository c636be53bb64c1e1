"""A zygote, seen from the host: starts it, lets it preload, has it fork the processes of sessions.

pool.py makes sessions of these.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from codeact.errors import InterpreterGone, SandboxUnavailable
from codeact.interpreter.ahead import process_for
from codeact.interpreter.keeper import START_SECONDS, Keeper
from codeact.interpreter.levels import Level, identity
from codeact.interpreter.settings import Settings, cache_folder
from codeact.kernel.wire import PROTOCOL_VERSION, Connection, ProtocolError

__all__ = ["Zygote"]

Asked = TypeVar("Asked")

log = logging.getLogger("codeact.interpreter")

PRELOAD_AFTER_SECONDS = 0.1
"""A program that runs one cell and ends is through by then, and wants the processor for itself."""


class Zygote:
    """A zygote process and its preloading child.

    Args:
        settings: Its kind.
        level: The walls to raise.

    Raises:
        SandboxUnavailable: This machine cannot raise them.
        InterpreterGone: The Python of the settings does not start.
    """

    def __init__(self, settings: Settings, level: Level):
        self.settings, self.level = settings, level
        self.uid, self.gid = identity(level)
        self.caches = [cache_folder(self.uid, self.gid)] if level.number == 3 else []
        self._asking = threading.Lock()
        """Held by whoever speaks to a zygote, until it has answered."""
        self.preloaded: Connection | None = None
        self.preload_report: dict[str, Any] = {}
        self.preload_done = threading.Event()
        self.end = threading.Event()
        """Nothing more is to be forked."""
        self._start()

    def _start(self) -> None:
        try:
            self.process, ours = process_for(self.settings.python)
        except OSError as error:
            raise InterpreterGone(f"{self.settings.python} cannot be started ({error.strerror}); python=... takes the "
                                  "path of a Python 3.9 or later") from None
        self.connection = Connection(ours)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        start = {
            "t": "start", "level": self.level.number, "network": self.settings.network == "all",
            "abi_cap": self.level.abi_cap, "abi_least": self.level.abi_least,
            "caches": self.caches, "uid": self.uid, "gid": self.gid}
        try:
            self.connection.send(start)
        except OSError:
            pass   # it has ended; what it said last is in the answer that does not come
        self.hello = self._answer(self.connection, "ready")
        if self.hello.get("protocol") != PROTOCOL_VERSION:
            raise InterpreterGone("the kernel speaks another version of the protocol")

    def _answer(self, connection: Connection, kind: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        try:
            frame = connection.receive(timeout=seconds)
        except (OSError, ProtocolError) as error:
            frame = ({"t": "failed", "reason": str(error)}, [])
        if frame is not None and frame[0]["t"] == kind:
            return frame[0]
        reason = str(frame[0].get("reason", frame[0]["t"])) if frame else "it ended at once" + self._last_words()
        raise SandboxUnavailable(f"level {self.level.number} ({self.level.name}): {reason}")

    def _last_words(self) -> str:
        if self.process.stderr is None:
            return ""
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            return ""
        words = self.process.stderr.read().decode(errors="replace").strip()
        return f": {words.splitlines()[-1]}" if words else ""

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self.end.is_set()

    def has_ended(self, seconds: float = 1.0) -> bool:
        """Whether its process has, or does so in this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def preload(self) -> None:
        """Have a child import what users need; returns when it has, or when that failed."""
        self.end.wait(PRELOAD_AFTER_SECONDS)
        imports = list(self.settings.imports)
        try:
            while imports and not self.is_closed():
                ours, theirs = socket.socketpair()
                with self._asking:
                    self.connection.send({"t": "preload", "imports": imports}, fds=[theirs.fileno()], timeout=5)
                theirs.close()
                connection = Connection(ours)
                frame = connection.receive(timeout=300)
                if frame is not None and frame[0]["t"] == "ready":
                    self.preload_report = frame[0]
                    self.preloaded = connection
                    break
                connection.close()
                if frame is None and self.is_closed():
                    break   # the program ended first
                if frame is None or frame[0]["t"] != "threads":
                    log.warning("importing %s in the zygote failed; sessions start without", ", ".join(imports))
                    break
                # A thread would not survive the fork: leave out the module that started it
                module = str(frame[0].get("module"))
                log.warning("%s starts a thread when imported; sessions start without it", module)
                imports = [name for name in imports if name != module]
        except (OSError, ProtocolError) as error:
            log.debug("preloading ended: %s", error)
        finally:
            self.preload_done.set()

    # Processes --------------------------------------------------------------------------------------------------------

    def fork_keeper(self) -> Keeper:
        """A keeper, which waits for its frame "begin".

        Raises:
            InterpreterGone: The zygote is gone.
            SandboxUnavailable: It cannot make one.
        """
        def ask(zygote: Connection) -> Keeper:
            zygote.send({"t": "session"}, timeout=START_SECONDS)
            self._answer(zygote, "forked")
            return Keeper(Connection(socket.socket(fileno=zygote.take_fd())), zygote.take_fd(), self.level.number)

        return self._ask(ask, bare=self.level.number == 3)

    def fork_worker(self, fds: list[int]) -> None:
        """Have a worker forked into a keeper's walls (level 3).

        Args:
            fds: Its socket, its output, a pidfd of the keeper, and where to tell how it ended.

        Raises:
            InterpreterGone: The zygote is gone.
        """
        self._ask(lambda zygote: zygote.send({"t": "worker"}, fds=fds, timeout=START_SECONDS))

    def fork_stand_in(self, workspace: str, theirs: socket.socket, pidfd: int) -> None:
        """Have a keeper forked behind the walls of a session whose first process rests (level 3).

        Args:
            theirs: The socket that it is to speak on.
            pidfd: Of the first process.

        Raises:
            OSError: The zygote is gone.
        """
        with self._asking:
            self.connection.send({"t": "keeper", "workspace": workspace}, timeout=5, fds=[theirs.fileno(), pidfd])

    def _ask(self, ask: Callable[[Connection], Asked], *, bare: bool = False) -> Asked:
        """Ask the preloaded zygote, if there is one, and else the bare one."""
        with self._asking:
            if self.is_closed():
                raise InterpreterGone("the interpreter's process has been shut down")
            if self.preloaded is not None and not bare:
                try:
                    return ask(self.preloaded)
                except (OSError, SandboxUnavailable) as error:
                    log.warning("the zygote with %s is gone (%s); sessions start without",
                                ", ".join(self.settings.imports), error)
                    self.preloaded.close()
                    self.preloaded = None
            try:
                return ask(self.connection)
            except (OSError, ProtocolError) as error:
                raise InterpreterGone(f"the zygote is gone ({error})") from None

    def close(self) -> None:
        """End it, and with it every session forked from it."""
        self.end.set()
        with self._asking:   # who asks now is answered first
            if self.preloaded is not None:
                self.preloaded.close()
            self.connection.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
