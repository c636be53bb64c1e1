"""Which versions of the user's files the session's copies were made from: a file of lines that only grows.

pending.py keeps one beside the changes of each folder. It answers two questions: does the session's file still equal
the user's (`same`), and has the user's file changed since the session could have read it (`changed_meanwhile`)? And it
remembers what an apply had begun when it was killed (`begun`).

A line is written in one go and a torn one is passed over, so that the file can be read after a kill at any moment.

Not noticed: a change of the user's that leaves size, times and inode as they were before the session first touched the
file, on a clock that was set back.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["Baseline", "Begun", "Version", "now", "version"]

Version = tuple[int, int, int, int, int]
"""Mode (with the type), inode, size, mtime_ns, ctime_ns; of a folder only the mode, the rest is 0."""

_COARSE_CLOCK = 5   # CLOCK_REALTIME_COARSE, which file systems take the time from


def version(found: os.stat_result | None) -> Version | None:
    """What tells one version of a file from another; None where there is nothing."""
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        return (found.st_mode & ~(stat.S_ISUID | stat.S_ISGID), 0, 0, 0, 0)
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def now() -> int:
    """The time on the clock of file systems, in ns: what was changed before this call bears an earlier one.

    That clock is behind by some milliseconds, and a file may bear the exact time: wait until it has passed this one.
    """
    exact = time.time_ns()
    while (coarse := time.clock_gettime_ns(_COARSE_CLOCK)) <= exact:
        time.sleep(0.001)
    return coarse


@dataclass(frozen=True)
class Begun:
    """A file that an apply has begun to replace or to remove."""

    path: str
    expected: Version | None
    """The user's version it takes the place of."""
    puts: bool
    """Whether there is a new version; else the file is to go."""
    inode: int | None = None
    """Of the new version; None until it was whole."""


class Baseline:
    """The lines of one file.

    Args:
        path: The file; made when the first line is written.
        exact: Every version is known beforehand (a copy): what is not in `same` was not there.
    """

    def __init__(self, path: Path, *, exact: bool):
        self.exact = exact
        self.same: dict[str, tuple[Version | None, Version | None]] = {}
        """Path -> the session's version and the user's, where these had the same content."""
        self.begun: dict[str, Begun] = {}
        """Temporary name (a path) -> what an apply was doing with it."""
        self._seen: dict[str, tuple[int, Version | None]] = {}
        """Path -> the time the session's view of it began, and the user's version when a cell had first touched it."""
        self._start = 0
        self._path = path
        self._file = -1
        self._read()

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.split(b"\n"):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, IndexError, KeyError):
                continue   # torn by a kill

    def _take(self, entry: list[Any]) -> None:
        kind = entry[0]
        if kind == "start":
            self._start = int(entry[1])
        elif kind == "seen":
            self._seen.setdefault(entry[1], (self._start, _tuple(entry[2])))
        elif kind == "same":
            self.same[entry[1]] = _tuple(entry[2]), _tuple(entry[3])
        elif kind == "forget":
            self.same.pop(entry[1], None)
            self._seen.pop(entry[1], None)
        elif kind == "begin":
            self.begun[entry[2]] = Begun(entry[1], _tuple(entry[3]), bool(entry[4]))
        elif kind == "made":
            self.begun[entry[1]] = replace(self.begun[entry[1]], inode=int(entry[2]))
        elif kind == "end":
            self.begun.pop(entry[1], None)

    def add(self, *entries: list[Any]) -> None:
        """Take these and write them down."""
        if not entries:
            return
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(self._file, b"\n" if os.fstat(self._file).st_size else b"")   # after a torn line
        data = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view):]
        for entry in entries:
            self._take(entry)

    # What there is to write -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A session begins: from now on its view may be older than the user's files."""
        self.add(["start", now()])

    def seen(self, versions: dict[str, Version | None]) -> None:
        """The user's versions of files the session was first seen to have touched."""
        self.add(*(["seen", path, found] for path, found in versions.items()
                   if path not in self._seen and path not in self.same))

    def equal(self, path: str, mine: Version | None, user: Version | None) -> None:
        """The session's file and the user's have the same content now."""
        self.add(["same", path, mine, user])

    def forget(self, path: str) -> None:
        """The session has no version of its own any more."""
        if path in self.same or path in self._seen:
            self.add(["forget", path])

    # What is asked ----------------------------------------------------------------------------------------------------

    def is_same(self, path: str, mine: Version | None) -> bool:
        """Whether the session has left the file alone since it equalled the user's."""
        return path in self.same and self.same[path][0] == mine

    def knows(self, path: str) -> bool:
        """Whether the user's version of this file is written down."""
        return path in self._seen or path in self.same

    def changed_meanwhile(self, path: str, user: Version | None) -> bool:
        """Whether the user's file is not the one the session's version was made from.

        Sound rather than sharp: without a known version, every change since the session's start counts.
        """
        if user is not None and stat.S_ISDIR(user[0]):
            user = (user[0], 0, 0, 0, 0)
        if path in self.same:
            return _differ(self.same[path][1], user)
        if self.exact:
            return user is not None
        start, first = self._seen.get(path, (self._start, user))
        if _differ(first, user):
            return True
        return user is not None and user[4] >= start

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _differ(before: Version | None, after: Version | None) -> bool:
    if before is None or after is None:
        return before is not after
    if stat.S_ISDIR(before[0]) and stat.S_ISDIR(after[0]):
        return False   # what is in them is looked at by itself
    return before != after


def _tuple(value: Any) -> Version | None:
    if value is None:
        return None
    mode, inode, size, mtime, ctime = value
    return int(mode), int(inode), int(size), int(mtime), int(ctime)
