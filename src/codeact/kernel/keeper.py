"""The first process of a session: raises the walls' outer part, starts workers, reaps, counts and kills.

It runs no user code. At level 3 it is the first process of the session's pid namespace, so that its end ends
everything; there it becomes a small program once the session runs (init.py), and a keeper forked anew stands in for it
while the host has something to count or to kill. At levels 1 and 2 it adopts whatever the session leaves behind, and
ends that itself when the host goes.
It is outside the worker's Landlock domain, so that the worker cannot trace it or (level 2 and up) signal it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from . import init
from .birth import become_worker
from .listener import listen
from .walls import namespaces
from .walls.libc import PR_SET_CHILD_SUBREAPER, prctl
from .wire import Connection, ProtocolError
from .worker import Worker

__all__ = ["keep", "stand_in"]

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")

FIRST = 1
"""The first process of a pid namespace."""


class Process(NamedTuple):
    """What /proc says of one process of the session."""

    parent: int
    state: str
    threads: int
    cpu_seconds: float
    """User and system time, its reaped children's included."""


def processes(level: int) -> Dict[int, Process]:
    """Every process of this session but the keepers, by pid."""
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
        found.pop(FIRST, None)
        return found
    tree = {own}
    # Parents may have higher numbers than their children once numbers wrap: go on until nothing is added
    while True:
        more = {pid for pid, process in found.items() if process.parent in tree and pid not in tree}
        if not more:
            return {pid: found[pid] for pid in tree if pid != own}
        tree |= more


def belonging(found: Dict[int, Process], roots: Sequence[int], others: Set[int]) -> Set[int]:
    """Those of `roots`, and what they started: processes whose nearest known ancestor (known: `roots` and `others`) is
    one of them."""
    wanted, known = set(roots), {*roots, *others}
    belongs = set()
    for pid in found if wanted else ():
        nearest = pid
        while nearest not in known and nearest in found:
            nearest = found[nearest].parent
        if nearest in wanted:
            belongs.add(pid)
    return belongs


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


def stand_in(connection: Connection, config: Dict[str, Any], session: int) -> None:
    """Be the keeper of a session of level 3 whose first process rests, until the connection ends. Never returns.

    Args:
        config: The start frame's fields, and the session's workspace.
        session: A pidfd of the first process, whose walls are entered.
    """
    namespaces.enter_session(session, network=config["network"])
    os.close(session)
    keeper = Keeper(connection, config, -1, None)
    keeper.ends_all = False
    keeper.serve()


def keep(connection: Connection, config: Dict[str, Any], supervisor: int, worker: Optional[Worker],
         program: int = -1) -> None:
    """Become the keeper of one session. Never returns.

    Args:
        config: The start frame's fields; those of the session come in the frame "begin".
        supervisor: A pidfd of the host's process, or -1.
        worker: What the session's workers are forks of (levels 0 to 2), where the zygote made it ready.
        program: What it becomes when it may rest (init.program).
    """
    try:
        _leave_the_others(config)
        folders: List[int] = []
        while True:
            frame = connection.receive()
            if frame is None:
                os._exit(0)
            while connection.fds:
                folders.append(connection.take_fd())
            if frame[0]["t"] == "begin":
                break
        config = {**config, **frame[0]["config"]}
        _raise_outer_walls(config, folders)
        # In a namespace of its own alone; and the host alone holds it, no worker inherits it
        own_network = config["level"] == 3 and not config["network"]
        listeners = [listen(config["proxy_port"])] if config.get("proxy_port") and own_network else []
        connection.send({"t": "kept"}, fds=[listener.fileno() for listener in listeners])
        for listener in listeners:
            listener.close()
    except BaseException as error:
        connection.send({"t": "failed", "reason": str(error) or type(error).__name__})
        os._exit(1)
    Keeper(connection, config, supervisor, worker, program).serve()


def _leave_the_others(config: Dict[str, Any]) -> None:
    """The part of the outer walls that is the same for every session: most of the work."""
    if config["level"] == 3:
        namespaces.leave(config["caches"], network=config["network"])
    else:
        os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def _raise_outer_walls(config: Dict[str, Any], folders: Sequence[int]) -> None:
    if config["level"] == 3:
        given = iter(folders)
        namespaces.session_tree({path: next(given) if by_fd else None for path, by_fd in config["writable"]},
                                {path: next(given) if by_fd else None for path, by_fd in config["readable"]},
                                config["tmp_mb"], dict(config["overlays"]))
        for fd in folders:
            os.close(fd)
        namespaces.seal(uid=os.getuid(), gid=os.getgid())


class Keeper:
    """Answers the host's frames about the session's processes."""

    ends_all = True
    """Its end is to be that of the session."""

    def __init__(self, connection: Connection, config: Dict[str, Any], supervisor: int, worker: Optional[Worker],
                 program: int = -1):
        self._worker, self._program = worker, program
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
        if self.ends_all:
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

    def on_rest(self, header: Dict[str, Any]) -> None:
        """Nothing to do for now: give the memory up. What says so is that the connection ends."""
        init.become_init(self._program)
        self.connection.send({"t": "stays"})

    def on_spawn(self, header: Dict[str, Any]) -> None:
        """Fork a worker with the state a session begins with; at level 3 the zygote does."""
        control, output = self.connection.take_fd(), self.connection.take_fd()
        pid = os.fork()
        if pid:
            os.close(control)
            os.close(output)
            self.connection.send({"t": "spawned", "pid": pid})
            return
        try:
            signal.set_wakeup_fd(-1)
            self._signals.close()
            self._wake.close()
            self.connection.close()
            if self.supervisor >= 0:
                os.close(self.supervisor)
            # Of a branch it is another one than the keeper was told
            config = {**self.config, "workspace": header["workspace"], "home": header["workspace"]}
            become_worker(self._worker, control, output, config)
        finally:
            os._exit(1)

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
        """End every process but those named, and but what belongs to the sessions that share the walls."""
        left = self.kill(header["keep"], header["spare"], header["own"])
        self.connection.send({"t": "swept", "left": left})

    def kill(self, keep: Sequence[int], spare: Sequence[int] = (), own: Sequence[int] = (),
             seconds: float = 5.0) -> int:
        """Kill all but `keep`, and `spare` with what these started; wait until they are gone.

        Args:
            own: Also known to the host, and to be ended: what these started is not of those above them.

        Returns:
            How many would not go.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._reap_quietly()
            found = processes(self.level)
            spared = belonging(found, spare, {*keep, *own})
            doomed = [pid for pid, process in found.items()
                      if pid not in keep and pid not in spared and process.state != "Z"]
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
        known = {header["pid"], *header["frozen"]}
        spared = belonging(found, header["spare"], known)
        # The zygote is outside of what is seen here: its other children are keepers that stood in, on their way out
        found = {pid: process for pid, process in found.items()
                 if pid not in spared and (process.parent or pid in known)}
        frozen = [pid for pid in header["frozen"] if pid in found]
        live = [pid for pid in found if pid not in frozen]
        each = {pid: memory_kb([pid], True) for pid in frozen} if header["each"] else {}
        self.connection.send({
            "t": "usage", "pid": header["pid"], "number": header["number"], "each_kb": each,
            "processes": len(live), "memory_kb": self._memory_kb(live, header["exact_above_kb"]),
            "frozen_kb": self._memory_kb(frozen, header["exact_above_kb"]),
            "cpu_seconds": self._reaped_seconds() + sum(process.cpu_seconds for process in found.values()),
            "nameless_kb": nameless_kb(list(found), self.config["workspace"]),
            "threads": found[header["pid"]].threads if header["pid"] in found else 0})

    def _reaped_seconds(self) -> float:
        """Processor time of what the first process has reaped."""
        if self.ends_all:
            times = os.times()
            return times.children_user + times.children_system
        with open("/proc/%d/stat" % FIRST, "rb") as file:
            return sum(map(int, file.read().rpartition(b")")[2].split()[13:15])) / TICKS

    def _memory_kb(self, pids: List[int], exact_above_kb: int) -> int:
        total = memory_kb(pids, False)
        return memory_kb(pids, True) if total > exact_above_kb else total
