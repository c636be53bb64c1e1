"""Frozen copies of a worker: a state to go back to is a fork that sleeps, and a fork of it goes on from there.

Where a fork is unsafe (threads at work, a GPU's context) the host is told why, and keeps a journal instead.
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, Dict, List, Optional, Tuple

from .link import Link, Shield
from .streams import Output
from .walls import landlock, seccomp
from .walls.libc import MACHINE, fork_quietly
from .wire import Connection

__all__ = ["Freezing", "reseed"]

LATER_SECONDS = 0.002

IDLE_THREADS = ("jemalloc_bg_thd",)
"""Native threads that are known to sleep through a fork, by the name the system shows."""


class Freezing:
    """The part of a worker that makes copies of itself."""

    link: Link
    shield: Shield
    output: Output
    pid: int

    def __init__(self) -> None:
        self._config: Dict[str, Any] = {}
        self._copies: List[int] = []
        """Pids of the frozen copies that are this process's children."""
        self._may_speak_after_fork = True
        """A fork is a worker, not a child of user code; until it begins, its forks are workers."""

    def take_up(self, connection: Connection, output: int) -> None:
        """Go on as a worker of its own; worker.py does."""
        raise AssertionError

    def on_checkpoint(self, header: Dict[str, Any]) -> None:
        """Fork a frozen copy and hand its socket to the host, or say why this is not possible now."""
        if header.get("later"):   # the host is about to tell what the cell gave, and may want this processor for it
            self.link.connection.wait(LATER_SECONDS)
        self.output.install()   # were 0, 1 or 2 closed, the sockets made here would take their places
        reason = self._unsafe_to_fork()
        if reason:
            self.link.send({"t": "refused", "id": header["id"], "reason": reason})
            return
        self._bury_copies()
        host_end, own_end = socket.socketpair()
        dice = random.getstate()   # the fork that resumes it gives the child's `random` another seed by itself
        self.output.flush()
        try:
            pid = fork_quietly()   # it only sleeps; what libraries want done after a fork is done when it is resumed
        except OSError as error:
            self.link.send({"t": "refused", "id": header["id"], "reason": str(error)})
            return
        if pid == 0:
            try:
                host_end.close()
                self._freeze(Connection(own_end), dice)
            except BaseException:
                os._exit(1)   # a copy that cannot sleep must not go on as a second worker
            return
        own_end.close()
        self._copies.append(pid)
        with self.shield:
            try:
                answer = {"t": "checkpointed", "id": header["id"], "pid": pid}
                self.link.connection.send(answer, fds=[host_end.fileno()])
            except OSError:
                os._exit(0)
        host_end.close()

    def _bury_copies(self) -> None:
        """Copies that the host has let go count against the session's processes until their parent has asked."""
        for pid in self._copies[:]:
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0]
            except OSError:   # user code has asked already
                gone = pid
            if gone:
                self._copies.remove(pid)

    def on_hurry(self, header: Dict[str, Any]) -> None:
        """A checkpoint that was to come later is waited for: that this came ends the delay."""

    def _unsafe_to_fork(self) -> Optional[str]:
        others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        if others:
            return "thread %r is running" % others[0].name
        try:
            tasks = os.listdir("/proc/self/task")
        except OSError:
            return None   # not shown at levels 1 and 2; the host looks from outside
        own = str(threading.get_native_id())
        for task in tasks:
            if task != own:
                try:
                    with open("/proc/self/task/%s/comm" % task) as file:
                        name = file.read().strip()
                except OSError:
                    continue   # it has ended
                if name not in IDLE_THREADS:
                    return "a library's thread (%s) is running" % name
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        if cuda is not None and cuda.is_initialized():
            return "a GPU context does not survive a fork"
        return None

    def _freeze(self, channel: Connection, dice: Any) -> None:
        """In the copy: sleep until the host resumes it; each resumption is a fork that goes on as the worker."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.link.connection.sock.close()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        os.close(null)
        # A handler alone would not do: a signal that comes just before the wait begins does not end it
        woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        waked = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        header, control, output = self._sleep(channel, woken)
        signal.set_wakeup_fd(-1)
        with suppress(OSError, ValueError):   # the user's own may be closed by now
            signal.set_wakeup_fd(waked)
        signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
        os.close(woken)
        os.close(waker)
        channel.close()
        self._resume(Connection(socket.socket(fileno=control)), output)
        self._move_to(header["workspace"])
        if header.get("reseed"):
            reseed()
        else:
            random.setstate(dice)
        self.link.send({"t": "ready", "pid": self.pid})

    def _sleep(self, channel: Connection, woken: int) -> Tuple[Dict[str, Any], int, int]:
        """Returns in a fork that is to go on as the worker: the host's frame, and the two descriptors that came."""
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(channel, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if woken in ready:
                os.read(woken, 4096)
                _report_deaths(channel)
            if channel.fileno() in ready and not channel.fill():
                os._exit(0)
            frame = channel.take()
            while frame is not None:
                if frame[0]["t"] == "resume":
                    control, output = channel.take_fd(), channel.take_fd()
                    self._may_speak_after_fork = True
                    pid = os.fork()
                    self._may_speak_after_fork = False
                    if pid == 0:
                        return frame[0], control, output
                    os.close(control)
                    os.close(output)
                frame = channel.take()

    def _resume(self, connection: Connection, output: int) -> None:
        if 0 < self._config["level"] < 3 and min(landlock.abi(), self._config["abi_cap"]) < 6:
            # Signals are the filter's to stop, and it lets them go to a pid that may be anyone's by now
            seccomp.install(seccomp.forbid_signals(MACHINE))
        self.take_up(connection, output)

    def _move_to(self, workspace: str) -> None:
        """In a branch: work in its own folder, wherever in the other one it was."""
        before = self._config["workspace"]
        if workspace == before:
            return
        self._config = {**self._config, "workspace": workspace, "home": workspace}
        try:
            inside = os.path.relpath(os.getcwd(), before)
        except OSError:
            inside = "."   # it is gone
        for name in ("HOME", "PWD"):
            if os.environ.get(name) == before:
                os.environ[name] = workspace
        if inside.split(os.sep)[0] != os.pardir:
            place = os.path.join(workspace, inside)
            os.chdir(place if os.path.isdir(place) else workspace)


def _report_deaths(channel: Connection) -> None:
    """In a frozen copy: a resumed one has died; the host asks how."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid:
            channel.send({"t": "exit", "pid": pid, "status": status}, timeout=1)
            pid, status = os.waitpid(-1, os.WNOHANG)
    except OSError:
        pass


def reseed() -> None:
    """Random numbers of this copy's own: a fork would otherwise repeat its parent's."""
    random.seed()
    if "numpy" in sys.modules and "numpy.random" in sys.modules:
        # Four bytes of noise: seeding with more takes half a millisecond of every session's start
        sys.modules["numpy.random"].seed(int.from_bytes(os.urandom(4), "little"))
    if "torch" in sys.modules:
        sys.modules["torch"].seed()
