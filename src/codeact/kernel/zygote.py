"""The process sessions are forked from: bare, or with what users need already imported.

The host starts it once per kind of session. The bare zygote builds the walls' base tree and the sessions' own trees,
and forks sessions until its preloading child has imported everything; from then on sessions are forked from that one.
Both are single-threaded and hold no secrets (the host passes a short list of environment variables). At level 3 they
have no network unless the sessions have it, and the preloading one sees no files but those every session may read; at
levels 1 and 2 they can do what the host's user can. User code never runs in them.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import Any, Dict, List, Optional

# Everything a session may need is imported here, before anything can be hidden or replaced
from . import keeper, worker  # noqa: F401
from .walls import landlock, namespaces, rlimits, seccomp  # noqa: F401
from .wire import PROTOCOL_VERSION, Connection

__all__ = ["main"]

FIRST_PID = 2
"""Of a session's first worker, in its own pid namespace."""

HERE = os.path.dirname(os.path.abspath(__file__))   # readable inside: parts of it are imported when first needed


def main(fd: int) -> None:
    """Serve the host at the other end of `fd` until it goes. Never returns."""
    connection = Connection(socket.socket(fileno=fd))
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
        self.preloaded = False
        self._folders: List[int] = []
        self.paths = sorted({*namespaces.SYSTEM_PATHS, *namespaces.python_paths(), HERE})
        self.pids_fd = self.home_fd = -1
        if self.level == 3:
            self.pids_fd = namespaces.enter(self.paths, config["caches"], uid=config["uid"], gid=config["gid"],
                                            network=config["network"])
            self.home_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        elif os.getuid() == 0 and config["uid"] != 0:
            namespaces.become(config["uid"], config["gid"])
        os.chdir("/")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._settle_memory()

    def _settle_memory(self) -> None:
        """Nothing made so far is looked at by the collector again: a look would copy the page in every session.

        The collector is off from here to the worker, which turns it on.
        """
        gc.disable()
        gc.freeze()
        if self.level == 3:
            keeper.system_call_filter(self.config, FIRST_PID)

    def serve(self) -> None:
        """Answer frames until the host goes. Never returns."""
        watched: List[Any] = [self.connection] + ([self.supervisor] if self.supervisor >= 0 else [])
        while True:
            readable = select.select(watched, [], [])[0]
            if self.supervisor in readable or not self.connection.fill():
                os._exit(0)
            frame = self.connection.take()
            while frame is not None:
                header = frame[0]
                try:
                    getattr(self, "on_" + header["t"])(header)
                except OSError as error:
                    self.connection.send({"t": "failed", "reason": str(error)})
                frame = self.connection.take()

    def on_folders(self, header: Dict[str, Any]) -> None:
        """More descriptors of folders for the tree that is asked for next."""
        while self.connection.fds:
            self._folders.append(self.connection.take_fd())

    def on_tree(self, header: Dict[str, Any]) -> None:
        """Build the file tree of one session and hand it over (level 3)."""
        fds, self._folders = self._folders, []
        if len(fds) != header["n_fds"]:
            raise OSError("%d folders were to come, and %d did" % (header["n_fds"], len(fds)))
        given = iter(fds)
        writable: Dict[str, Optional[int]] = {p: next(given) if by_fd else None for p, by_fd in header["writable"]}
        readable: Dict[str, Optional[int]] = {p: next(given) if by_fd else None for p, by_fd in header["readable"]}
        try:
            tree = namespaces.session_tree(writable, readable, self.config["caches"], header["tmp_mb"], self.home_fd,
                                           dict(header.get("overlays") or ()))
        finally:
            for fd in fds:
                os.close(fd)
        self.connection.send({"t": "tree"}, fds=[tree])
        os.close(tree)

    def on_session(self, header: Dict[str, Any]) -> None:
        """Fork the keeper of a session; the host gets a pidfd of it."""
        control = self.connection.take_fd()
        tree = self.connection.take_fd() if self.level == 3 else -1
        pid = self._fork_into_new_pids() if self.level == 3 else os.fork()
        if pid == 0:
            self.connection.close()
            for fd in (self.pids_fd, self.home_fd):
                if fd >= 0:
                    os.close(fd)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keeper.keep(Connection(socket.socket(fileno=control)), {**self.config, **header["config"]}, tree,
                        self.supervisor, self.preloaded)
        os.close(control)
        if tree >= 0:
            os.close(tree)
        pidfd = os.pidfd_open(pid)
        self.connection.send({"t": "forked"}, fds=[pidfd])
        os.close(pidfd)

    def _fork_into_new_pids(self) -> int:
        """fork(2) whose child is the first process of a new pid namespace."""
        namespaces.unshare("pid")
        pid = -1
        try:
            pid = os.fork()
            return pid
        finally:
            if pid != 0:
                namespaces.set_namespace(self.pids_fd, "pid")

    def on_preload(self, header: Dict[str, Any]) -> None:
        """Fork the zygote that imports what users need."""
        control = self.connection.take_fd()
        if os.fork() == 0:
            self.connection.close()
            self.connection = Connection(socket.socket(fileno=control))
            self.preloaded = True
            self._preload(header["imports"])
            self.serve()
        os.close(control)

    def _preload(self, modules: List[str]) -> None:
        from .walls.libc import PR_SET_PDEATHSIG, prctl

        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.level == 3:
            namespaces.zygote_tree()
            self.home_fd = -1
        own = [__package__ + "." + name[:-3] for name in sorted(os.listdir(HERE))
               if name.endswith(".py") and not name.startswith("__")]
        imported: List[str] = []
        failed: Dict[str, str] = {}
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
        gc.collect()
        self._settle_memory()
        self.connection.send({"t": "ready", "imported": imported, "failed": failed, "threads": threads()})


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
