"""What sessions could leave behind, counted from outside: processes, namespaces, mounts, files, descriptors, memory."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
NAMESPACES = ("pid", "mnt", "net", "user", "ipc", "uts")
TOOL_THREADS = "codeact-tool"
"""They wait for another job, for half a minute."""


@contextmanager
def adopting() -> Iterator[None]:
    """Every orphan below this process becomes a child of it: what descends from it is then all there is of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def processes() -> dict[int, tuple[int, str]]:
    """Every process of the machine: pid -> parent, state."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
                found[int(name)] = int(fields[1]), fields[0]
    return found


def descendants(root: int | None = None) -> dict[int, str]:
    """Processes below this one (or `root`, which is left out): pid -> state."""
    everyone = processes()
    tree = {root or os.getpid()}
    while more := {pid for pid, (parent, _) in everyone.items() if parent in tree and pid not in tree}:
        tree |= more
    return {pid: everyone[pid][1] for pid in tree if pid in everyone and pid != (root or os.getpid())}


def reap_orphans() -> None:
    """Let go of adopted processes that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def command(pid: int) -> str:
    """For a message: how a process was started, where it stands."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        return f"{pid} (child of {status['PPid'].strip()}, {status['State'].strip()}, as {status['NSpid'].split()}): {words}"
    return f"{pid}: gone"


def namespaces(pids: Iterator[int] | dict[int, str]) -> set[str]:
    """The namespaces that processes are in."""
    found = set()
    for pid in pids:
        for kind in NAMESPACES:
            with suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found


def descriptors(pid: int | str = "self") -> dict[int, str]:
    """Open descriptors and what they lead to."""
    found = {}
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def watched_folders() -> int:
    """inotify watches of this process."""
    count = 0
    for fd, target in descriptors().items():
        if "inotify" in target:
            with suppress(OSError):
                count += Path(f"/proc/self/fdinfo/{fd}").read_text().count("inotify wd:")
    return count


def memory_mb() -> float:
    """Of this process alone, in memory."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def available_mb() -> float:
    """Of the machine."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("no MemAvailable")


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it becomes true in time: what has ended is gone from /proc by and by."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True)
class Traces:
    """What there is of this process at one moment."""

    folder: Path
    """Where its temporary files go."""
    processes: frozenset[int]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    descriptors: tuple[str, ...]
    watches: int
    threads: tuple[str, ...]

    @classmethod
    def now(cls, folder: Path) -> Traces:
        gc.collect()
        reap_orphans()
        below = descendants()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        # Those this very look opens have no lasting target
        opened = sorted(target for fd, target in descriptors().items() if not target.startswith("/proc/"))
        return cls(folder, frozenset(below), frozenset(namespaces({**below, os.getpid(): ""})),
                   frozenset(line for line in mounts if str(folder) in line),
                   frozenset(str(path.relative_to(folder)) for path in folder.rglob("*")),
                   tuple(kind(target) for target in opened), watched_folders(),
                   tuple(sorted(thread.name for thread in threading.enumerate()
                                if not thread.name.startswith(TOOL_THREADS))))

    def since(self, before: Traces) -> list[str]:
        """What is left, in words; empty when nothing is."""
        left = [f"process {command(pid)}" for pid in self.processes - before.processes]
        for what in ("namespaces", "mounts", "files"):
            left += [f"{what}: {one}" for one in sorted(getattr(self, what) - getattr(before, what))]
        left += [f"descriptors: {one}" for one in more(self.descriptors, before.descriptors)]
        left += [f"threads: {one}" for one in more(self.threads, before.threads)]
        if self.watches > before.watches:
            left.append(f"inotify watches: {self.watches}, {before.watches} before")
        return left


def kind(target: str) -> str:
    """`socket:[123]` is as good as any other socket."""
    return target.partition(":[")[0]


def more(now: tuple[str, ...], before: tuple[str, ...]) -> list[str]:
    """What occurs more often now."""
    return [f"{one}: {now.count(one)}, {before.count(one)} before" for one in sorted(set(now))
            if now.count(one) > before.count(one)]


def left_behind(folder: Path, before: Traces, seconds: float = 20.0) -> list[str]:
    """What is left since `before`, once it has had the time to go."""
    until(lambda: not Traces.now(folder).since(before), seconds)
    return Traces.now(folder).since(before)
