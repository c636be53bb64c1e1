"""The process sessions are forked from: bare, or with what users need already imported.

The host starts it once per kind of session. The bare zygote builds the walls' base tree and, at level 3, forks a keeper
for each session; it forks workers until its preloading child has imported everything, which does so from then on.
Both are single-threaded and hold no secrets (the host passes a short list of environment variables). At level 3 they
have no network unless the sessions have it, and the preloading one sees no files but those every session may read; at
levels 1 and 2 they can do what the host's user can. User code never runs in them.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import Any, Dict, List, Optional, Tuple

# Everything a session may need is imported here, before anything can be hidden or replaced
from . import birth, init, keeper, pages
from .walls import landlock, namespaces, rlimits, seccomp  # noqa: F401
from .walls.libc import fork_quietly
from .wire import PROTOCOL_VERSION, Connection
from .worker import Worker

__all__ = ["main"]

FIRST_PID = 2
"""Of a session's first worker, in its own pid namespace."""

REHEARSALS = 40

ENDS_FROM, MANY = 256, 1 << 20
"""Descriptors from here on are those on which the hosts of workers are told how these ended: no child keeps one."""

HERE = os.path.dirname(os.path.abspath(__file__))   # readable inside: parts of it are imported when first needed


def main(fd: int) -> None:
    """Serve the host at the other end of `fd` until it goes. Never returns."""
    low = os.dup(fd)   # select takes none above 1023, and a host with many sessions has many open
    os.close(fd)
    connection = Connection(socket.socket(fileno=low))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = os.pidfd_open(os.getppid()) if hasattr(os, "pidfd_open") else -1
    frame = connection.receive()
    if frame is None:
        os._exit(0)
    config = frame[0]
    if config["level"] < 3:
        os.setsid()
    try:
        zygote = Zygote(connection, config, supervisor)
    except OSError as error:
        connection.send({"t": "failed", "reason": str(error)})
        os._exit(1)
    connection.send({"t": "ready", "protocol": PROTOCOL_VERSION, "python": "%d.%d.%d" % sys.version_info[:3],
                     "prefixes": [sys.prefix, sys.base_prefix, HERE], "threads": threads(), "paths": zygote.paths,
                     "landlock": landlock.abi()})
    zygote.serve()


def threads() -> int:
    """Threads of this process; 1 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


class Zygote:
    """Forks sessions.

    Args:
        connection: To the host.
        config: The start frame: "level", "network", "abi_cap", "abi_least", "caches", "uid", "gid".
        supervisor: A pidfd of the host's process, or -1.

    Raises:
        OSError: A wall cannot be raised on this machine.
    """

    def __init__(self, connection: Connection, config: Dict[str, Any], supervisor: int):
        self.connection, self.config, self.supervisor = connection, config, supervisor
        self.level: int = config["level"]
        self.paths = sorted({*namespaces.SYSTEM_PATHS, *namespaces.python_paths(), HERE})
        self.pids_fd = -1
        self._ends: Dict[int, int] = {}
        self._quietly = True
        """No library has something to do after a fork that `birth` does not do."""
        self._program = init.program() if self.level == 3 else -1
        """What the first processes of sessions become (init.py); open in no worker."""
        self.worker: Optional[Worker] = None
        """What the workers are forks of, once everything is imported that may want to see the process unchanged."""
        if self.level == 3:
            self.pids_fd = namespaces.enter(self.paths, config["caches"], uid=config["uid"], gid=config["gid"],
                                            network=config["network"])
        elif os.getuid() == 0 and config["uid"] != 0:
            namespaces.become(config["uid"], config["gid"])
        os.chdir("/")
        self._hear_of_children()
        self._settle_memory()

    def _hear_of_children(self) -> None:
        self._signals, self._wake = socket.socketpair()
        for end in (self._signals, self._wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def _settle_memory(self) -> None:
        """Nothing made so far is looked at by the collector again: a look would copy the page in every session.

        The collector is off from here to the worker, which turns it on.
        """
        gc.disable()
        gc.freeze()
        if self.level == 3:
            birth.system_call_filter(self.config, FIRST_PID)

    def serve(self) -> None:
        """Answer frames until the host goes. Never returns."""
        watched: List[Any] = [self.connection, self._signals] + ([self.supervisor] if self.supervisor >= 0 else [])
        while True:
            readable = select.select(watched, [], [])[0]
            if self.supervisor in readable:
                os._exit(0)
            if self._signals in readable:
                self._signals.recv(4096)
                self._reap()
            if self.connection not in readable:
                continue
            if not self.connection.fill():
                os._exit(0)
            frame = self.connection.take()
            while frame is not None:
                header = frame[0]
                try:
                    getattr(self, "on_" + header["t"])(header)
                except OSError as error:
                    self.connection.send({"t": "failed", "reason": str(error)})
                frame = self.connection.take()

    def on_session(self, header: Dict[str, Any]) -> None:
        """Hand over the keeper of a session: its socket, and a pidfd of it."""
        ours, theirs = socket.socketpair()
        pid = self._fork_into(None) if self.level == 3 else os.fork()
        if pid == 0:
            try:
                ours.close()
                self._forget()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                keeper.keep(Connection(theirs), self.config, self.supervisor, self.worker, self._program)
            finally:
                os._exit(1)   # a child must never go on as a second zygote
        theirs.close()
        pidfd = os.pidfd_open(pid)
        self.connection.send({"t": "forked"}, fds=[ours.fileno(), pidfd])
        ours.close()
        os.close(pidfd)

    def on_keeper(self, header: Dict[str, Any]) -> None:
        """Fork another keeper of a session whose first process rests (level 3). Its connection ends where it fails."""
        control, session = self.connection.take_fd(), self.connection.take_fd()
        try:
            if self._fork_into(session) == 0:
                try:
                    self._forget()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    config = {**self.config, "workspace": header["workspace"]}
                    keeper.stand_in(Connection(socket.socket(fileno=control)), config, session)
                finally:
                    os._exit(1)
        except OSError:
            pass
        os.close(control)
        os.close(session)

    def on_worker(self, header: Dict[str, Any]) -> None:
        """Fork a worker into a keeper's pid namespace (level 3). It, or what goes wrong, speaks on its own socket."""
        control, output, session, end = (self.connection.take_fd() for _ in range(4))
        try:
            pid = self._fork_into(session)
        except OSError as error:
            Connection(socket.socket(fileno=control)).send({"t": "failed", "reason": str(error)}, timeout=1)
            for fd in (output, session, end):
                os.close(fd)
            return
        if pid == 0:
            try:
                os.close(end)
                self._forget()
                if self._program >= 0:
                    os.close(self._program)
                if self.supervisor >= 0:
                    os.close(self.supervisor)
                birth.become_worker(self.worker, control, output, self.config, session)
            finally:
                os._exit(1)
        for fd in (control, output, session):
            os.close(fd)
        self._ends[pid] = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, ENDS_FROM)
        os.close(end)

    def _forget(self) -> None:
        """In a child: it has nothing to do with the zygote's host, nor with other sessions."""
        signal.set_wakeup_fd(-1)
        for end in (self.connection, self._signals, self._wake):
            end.close()
        if self.pids_fd >= 0:
            os.close(self.pids_fd)
        os.closerange(ENDS_FROM, MANY)

    def _fork_into(self, session: Optional[int]) -> int:
        """fork(2) whose child is the first process of a new pid namespace, or the next one in that of a keeper."""
        if session is None:
            namespaces.unshare("pid")
        else:
            namespaces.set_namespace(session, "pid")
        pid = -1
        try:
            pid = fork_quietly() if self._quietly else os.fork()
            return pid
        finally:
            if pid != 0:
                namespaces.set_namespace(self.pids_fd, "pid")

    def _reap(self) -> None:
        """Tell the hosts of workers how these ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            end = self._ends.pop(pid, -1)
            if end >= 0:
                try:
                    os.write(end, b"%d" % status)
                except OSError:
                    pass   # nobody wants to know any more
                os.close(end)

    def on_preload(self, header: Dict[str, Any]) -> None:
        """Fork the zygote that imports what users need."""
        control = self.connection.take_fd()
        if os.fork() == 0:
            for end in (self.connection, self._signals, self._wake):
                end.close()
            os.closerange(ENDS_FROM, MANY)
            self._ends.clear()
            if self._program >= 0:
                os.close(self._program)
                self._program = -1
            self._hear_of_children()
            self.connection = Connection(socket.socket(fileno=control))
            self._preload(header["imports"])
            self.serve()
        os.close(control)

    def _preload(self, modules: List[str]) -> None:
        from .walls.libc import PR_SET_PDEATHSIG, prctl

        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.level == 3:
            namespaces.zygote_tree()
        own = [__package__ + "." + name[:-3] for name in sorted(os.listdir(HERE))
               if name.endswith(".py") and not name.startswith("__")]
        imported: List[str] = []
        failed: Dict[str, str] = {}
        hooks = ForkHooks()
        for name in own + modules:
            try:
                importlib.import_module(name)
                imported.append(name)
            except BaseException as error:
                failed[name] = "%s: %s" % (type(error).__name__, error)
            if threads() > 1:
                self.connection.send({"t": "threads", "module": name})
                os._exit(1)
        warm_up()
        self._quietly = hooks.are_known()
        self.worker = birth.make_worker(REHEARSALS)
        gc.collect()
        self._settle_memory()
        pages.fill_holes()
        pages.collapse()
        self.connection.send({"t": "ready", "imported": imported, "failed": failed, "threads": threads()})


class ForkHooks:
    """What libraries register while they are imported, to be called after a fork."""

    KNOWN = ("random", "logging", "concurrent.futures.thread", "matplotlib.font_manager")
    """`birth` gives `random` a new seed; the next two make locks anew that nobody holds; the last drops open fonts."""

    def __init__(self) -> None:
        self._register = os.register_at_fork
        self._found: List[Tuple[str, Dict[str, Any]]] = []
        setattr(os, "register_at_fork", self._note)

    def _note(self, **hooks: Any) -> None:
        self._found.append((str(sys._getframe(1).f_globals.get("__name__")), hooks))
        self._register(**hooks)

    def are_known(self) -> bool:
        """Whether a fork may leave them out; from now on nothing is noted any more."""
        setattr(os, "register_at_fork", self._register)
        for name, hooks in self._found:
            if name not in self.KNOWN:
                return False
            if name == "matplotlib.font_manager" and "after_in_child" in hooks:
                hooks["after_in_child"]()   # here, once: an open font is not to be shared
        return True


def warm_up() -> None:
    """Do once what is slow the first time, so that every session inherits it done."""
    import io

    pandas, pyplot = sys.modules.get("pandas"), sys.modules.get("matplotlib.pyplot")
    try:
        if pandas is not None:
            frame = pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
            frame._repr_html_()
            repr(frame)
            frame.groupby("a").b.mean()
            frame.describe()
        if pyplot is not None:
            figure = pyplot.figure()
            figure.gca().plot([1, 2])
            figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
            pyplot.close("all")
    except Exception:   # a broken install is the user's to see, in a cell
        pass
