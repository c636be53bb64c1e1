"""Looking at the machine from outside the walls: trees of files, processes, memory, all over time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def snapshot(top: Path) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of a tree, but the times of access."""
    found = {}
    for folder, folders, files in os.walk(top):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            state = os.lstat(path)
            content = ""
            if stat.S_ISREG(state.st_mode):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
            attributes = ()
            with contextlib.suppress(OSError):
                attributes = tuple((n, os.getxattr(path, n, follow_symlinks=False))
                                   for n in sorted(os.listxattr(path, follow_symlinks=False)))
            found[path] = (oct(state.st_mode), state.st_uid, state.st_gid, state.st_size, state.st_mtime_ns,
                           state.st_nlink, content, attributes)
    return found


@dataclass(frozen=True)
class Seen:
    """One process as the host sees it; pid and start time together name it for good."""

    pid: int
    started: int
    parent: int
    state: str
    shown_kb: int
    """Anonymous and shared memory it shows."""


def processes() -> dict[int, Seen]:
    """Every process of the machine."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                shown = 0
                with open(f"/proc/{name}/status", "rb") as file:
                    for line in file:
                        if line.startswith((b"RssAnon:", b"RssShmem:")):
                            shown += int(line.split()[1])
            except (OSError, IndexError):
                continue
            found[int(name)] = Seen(int(name), int(fields[19]), int(fields[1]), fields[0].decode(), shown)
    return found


def descendants(root: int | None = None) -> dict[int, Seen]:
    """Every living process that descends from this one (or `root`), which is left out."""
    everyone = processes()
    root = root or os.getpid()
    tree = {root}
    while True:
        more = {pid for pid, seen in everyone.items() if seen.parent in tree and pid not in tree}
        if not more:
            return {pid: everyone[pid] for pid in tree if pid != root and everyone[pid].state not in "ZX"}
        tree |= more


def settled(seconds: float = 5) -> dict[int, Seen]:
    """The descendants once none has come or gone for a while: standby sessions are made in the background."""
    deadline = time.monotonic() + seconds
    now, since = descendants(), time.monotonic()
    while time.monotonic() - since < 0.4 and time.monotonic() < deadline:
        time.sleep(0.05)
        then, now = now, descendants()
        if then.keys() != now.keys():
            since = time.monotonic()
    return now


def alive(seen: Seen) -> bool:
    """Whether that very process still runs."""
    now = processes().get(seen.pid)
    return now is not None and now.started == seen.started and now.state not in "ZX"


def gone(group: list[Seen], seconds: float = 30) -> list[Seen]:
    """Those of `group` that still run after at most so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := [seen for seen in group if alive(seen)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


class Meter:
    """Measures something over and over while a block runs."""

    def __init__(self, measure: Callable[[], float], every: float = 0.02):
        self._measure, self._every = measure, every
        self.readings: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.readings.append((time.monotonic(), self._measure()))
            self._stop.wait(self._every)

    def __enter__(self) -> Meter:
        self.readings.append((time.monotonic(), self._measure()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.readings.append((time.monotonic(), self._measure()))

    @property
    def first(self) -> float:
        return self.readings[0][1]

    @property
    def peak(self) -> float:
        return max(value for _, value in self.readings)

    def seconds_above(self, value: float) -> float:
        """How long the readings lay above a value, all together."""
        return sum(after - at for (at, reading), (after, _) in zip(self.readings, self.readings[1:], strict=False)
                   if reading > value)


def shared_memory_kb() -> int:
    """Shared memory of the whole machine, whoever holds it."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Shmem:"))
