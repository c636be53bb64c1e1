"""The first process of a session: raises the walls' outer part, starts workers, reaps, counts and kills.

It runs no user code. At level 3 it is the first process of the session's pid namespace, so that its end ends
everything; at levels 1 and 2 it adopts whatever the session leaves behind, and ends that itself when the host goes.
It is outside the worker's Landlock domain, so that the worker cannot trace it or (level 2 and up) signal it.
"""

from __future__ import annotations

import gc
import os
import select
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .walls import landlock, namespaces, rlimits, seccomp
from .walls.libc import MACHINE, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl
from .wire import Connection, ProtocolError

__all__ = ["keep"]

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """What /proc says of one process of the session."""

    parent: int
    state: str
    threads: int
    cpu_seconds: float
    """User and system time, its reaped children's included."""


def processes(level: int) -> Dict[int, Process]:
    """Every process of this session but the keeper, by pid."""
    found: Dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(name)] = Process(int(fields[1]), fields[0].decode(), int(fields[17]),
                                       sum(map(int, fields[11:15])) / TICKS)
    own = os.getpid()
    if level == 3:
        found.pop(own, None)
        return found
    tree = {own}
    # Parents may have higher numbers than their children once numbers wrap: go on until nothing is added
    while True:
        more = {pid for pid, process in found.items() if process.parent in tree and pid not in tree}
        if not more:
            return {pid: found[pid] for pid in tree if pid != own}
        tree |= more


def memory_kb(pids: Sequence[int], exact: bool) -> int:
    """Anonymous memory in KiB: pages counted in each process that shows them, or (`exact`, slower) pages that forks
    have in common shared out among them."""
    return sum((_shared_out_kb(pid) if exact else None) or _resident_kb(pid) for pid in pids)


def _resident_kb(pid: int) -> int:
    try:
        with open("/proc/%d/statm" % pid, "rb") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * PAGE_KB
    except (OSError, IndexError):
        return 0   # it has ended


def _shared_out_kb(pid: int) -> Optional[int]:
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
            sizes = {line.split()[0]: int(line.split()[1]) for line in file if line.startswith(b"Pss")}
    except (OSError, IndexError):
        return None   # it has ended, or hides: then all it shows is counted
    return sizes.get(b"Pss_Anon:", sizes.get(b"Pss:"))


def nameless_kb(pids: Sequence[int], workspace: str) -> int:
    """Disk space in KiB of files that were deleted and are still open: no look at the workspace finds them."""
    device = os.stat(workspace).st_dev
    sizes: Dict[int, int] = {}
    for pid in pids:
        folder = "/proc/%d/fd/" % pid
        try:
            for name in os.listdir(folder):
                found = os.stat(folder + name)
                # In an overlay over another file system, files bear other devices than folders: there by name
                if found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and (
                        found.st_dev == device or os.readlink(folder + name).startswith(workspace + "/")):
                    sizes[found.st_ino] = found.st_blocks // 2
        except OSError:
            continue   # it has ended
    return sum(sizes.values())


def keep(connection: Connection, config: Dict[str, Any], tree: int, supervisor: int, preloaded: bool) -> None:
    """Become the keeper of one session. Never returns.

    Args:
        config: The start frame's and the session frame's fields together.
        tree: The session's file tree (level 3).
        supervisor: A pidfd of the host's process, or -1.
    """
    try:
        _raise_outer_walls(config, tree)
        connection.send({"t": "kept", "preloaded": preloaded})
    except BaseException as error:
        connection.send({"t": "failed", "reason": str(error) or type(error).__name__})
        os._exit(1)
    Keeper(connection, config, supervisor).serve()


def _raise_outer_walls(config: Dict[str, Any], tree: int) -> None:
    level = config["level"]
    if level == 3:
        namespaces.join(tree)
        os.close(tree)
        namespaces.seal(uid=os.getuid(), gid=os.getgid(), network=config["network"])
    else:
        os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)


class Keeper:
    """Answers the host's frames about the session's processes."""

    def __init__(self, connection: Connection, config: Dict[str, Any], supervisor: int):
        self.connection, self.config, self.level = connection, config, config["level"]
        self.supervisor = supervisor
        wake, self._wake = socket.socketpair()
        wake.setblocking(False)
        self._wake.setblocking(False)
        self._signals = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the host goes; then end the session."""
        watched: List[Any] = [self.connection, self._signals] + ([self.supervisor] if self.supervisor >= 0 else [])
        while True:
            try:
                readable = select.select(watched, [], [])[0]
                if self.supervisor in readable:
                    break
                if self._signals in readable:
                    self._signals.recv(4096)
                    self._reap()
                if self.connection in readable:
                    if not self.connection.fill():
                        break
                    frame = self.connection.take()
                    while frame is not None:
                        getattr(self, "on_" + frame[0]["t"])(frame[0])
                        frame = self.connection.take()
            except (OSError, ValueError, ProtocolError, AttributeError, KeyError):
                break
        self.kill([])
        os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.connection.send({"t": "exit", "pid": pid, "status": status}, timeout=1)

    def on_spawn(self, header: Dict[str, Any]) -> None:
        """Fork a worker with the state a session begins with."""
        control, output = self.connection.take_fd(), self.connection.take_fd()
        pid = os.fork()
        if pid:
            os.close(control)
            os.close(output)
            self.connection.send({"t": "spawned", "pid": pid})
            return
        signal.set_wakeup_fd(-1)
        self._signals.close()
        self._wake.close()
        self.connection.close()
        if self.supervisor >= 0:
            os.close(self.supervisor)
        _work(control, output, self.config)

    def on_signal(self, header: Dict[str, Any]) -> None:
        """Signal one process of the session, and no other."""
        pid = header["pid"]
        known = pid in processes(self.level)
        if known:
            try:
                os.kill(pid, header["signal"])
            except ProcessLookupError:
                known = False
        self.connection.send({"t": "signalled", "pid": pid, "known": known})

    def on_sweep(self, header: Dict[str, Any]) -> None:
        """End every process but those named."""
        left = self.kill(header["keep"])
        self.connection.send({"t": "swept", "left": left})

    def kill(self, keep: Sequence[int], seconds: float = 5.0) -> int:
        """Kill all but `keep` and wait until they are gone; returns how many would not go."""
        deadline = time.monotonic() + seconds
        while True:
            self._reap_quietly()
            doomed = [pid for pid, process in processes(self.level).items() if pid not in keep and process.state != "Z"]
            if not doomed or time.monotonic() > deadline:
                return len(doomed)
            # Stop first, so that nothing is forked between the look and the blow
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in doomed:
                    try:
                        os.kill(pid, number)
                    except (ProcessLookupError, PermissionError):
                        pass
            time.sleep(0.0005)

    def _reap_quietly(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def on_usage(self, header: Dict[str, Any]) -> None:
        """What the session uses now, beyond what it began with."""
        found = processes(self.level)
        frozen = [pid for pid in header["frozen"] if pid in found]
        live = [pid for pid in found if pid not in frozen]
        times = os.times()
        self.connection.send({
            "t": "usage", "processes": len(live), "memory_kb": self._memory_kb(live, header["exact_above_kb"]),
            "frozen_kb": self._memory_kb(frozen, header["exact_above_kb"]),
            "cpu_seconds": times.children_user + times.children_system
            + sum(process.cpu_seconds for process in found.values()),
            "nameless_kb": nameless_kb(list(found), self.config["workspace"]),
            "threads": found[header["pid"]].threads if header["pid"] in found else 0})

    def _memory_kb(self, pids: List[int], exact_above_kb: int) -> int:
        total = memory_kb(pids, False)
        return memory_kb(pids, True) if total > exact_above_kb else total


def _work(control: int, output: int, config: Dict[str, Any]) -> None:
    """In the new worker: the inner walls, then cells."""
    connection = Connection(socket.socket(fileno=control))
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        _settle(config)
        _raise_inner_walls(config)
        gc.enable()
        from .worker import Worker, reseed

        reseed()
        worker = Worker(connection, output, config)
        connection.send({"t": "ready", "pid": os.getpid()})
    except BaseException as error:
        connection.send({"t": "failed", "reason": str(error) or type(error).__name__})
        os._exit(1)
    worker.serve()


def _settle(config: Dict[str, Any]) -> None:
    """The working folder, and the environment a program expects."""
    os.chdir(config["workspace"])
    os.environ.update(HOME=config["home"], PWD=config["workspace"], TMPDIR=config["tmp"], USER="user", LOGNAME="user",
                      **config["environment"])
    _own_font_cache(config["tmp"])
    tempfile.tempdir = None
    sys.argv[:] = [""]
    sys.path.insert(0, "")
    os.environ["XDG_CACHE_HOME"] = os.path.join(config["tmp"], ".cache")   # not among the user's files


def _own_font_cache(tmp: str) -> None:
    """matplotlib wants a folder it may write to, and takes seconds to list fonts anew where it finds no list."""
    shared = os.environ.get("MPLCONFIGDIR")
    if "matplotlib" in sys.modules or not shared:
        return
    own = os.environ["MPLCONFIGDIR"] = os.path.join(tmp, ".matplotlib")
    os.makedirs(own, exist_ok=True)
    for name in os.listdir(shared) if os.path.isdir(shared) else ():
        if name.endswith(".json") and not os.path.lexists(os.path.join(own, name)):
            shutil.copyfile(os.path.join(shared, name), os.path.join(own, name))


def system_call_filter(config: Dict[str, Any], pid: int) -> bytes:
    """The filter of a worker with this pid."""
    abi = min(landlock.abi(), config["abi_cap"])
    policy = seccomp.Policy.of(level=config["level"], abi=abi, network=config["network"], own_pid=pid)
    return seccomp.build(MACHINE, policy)


def _raise_inner_walls(config: Dict[str, Any]) -> None:
    level: int = config["level"]
    own_namespace = level == 3
    rlimits.apply(config["limits"], own_namespace=own_namespace)
    if level == 0:
        return
    rlimits.drop_capabilities()
    abi_cap = config["abi_cap"]
    abi = min(landlock.abi(), abi_cap)
    if not own_namespace and abi < config["abi_least"]:
        raise OSError("Landlock of ABI %d or later is needed, and this kernel offers %d" % (config["abi_least"], abi))
    if abi:
        read: List[str] = config["read"]
        # In a network namespace of its own a session may talk to itself; its tree holds nothing it may not see
        landlock.restrict(read, config["write"], abi_cap=abi_cap, tcp=config["network"] or own_namespace,
                          folders=["/"] if own_namespace else [])
    seccomp.install(system_call_filter(config, os.getpid()))
