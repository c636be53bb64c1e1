"""Which files of a workspace a cell created or changed, without looking through the tree for every cell.

inotify tells: one instance for the whole process, one watch a folder. What happened while a folder was not yet watched
(a tree just made, a large workspace still being walked) is found by its time of change. Where watches run out, the
folders that could not be watched are named in `unwatched`.

A workspace is hostile: folders are opened through beneath.py, and no link in it is ever followed.

Not seen: changes made through a mapping of a file (mmap), until it is closed by other means.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import select
import stat
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from codeact.interpreter.beneath import lstat, open_folder

__all__ = ["Watch"]

IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 2, 8, 0x40, 0x80, 0x100, 0x200
IN_Q_OVERFLOW, IN_IGNORED, IN_ISDIR = 0x4000, 0x8000, 0x40000000
IN_ONLYDIR, IN_EXCL_UNLINK = 0x01000000, 0x04000000
MASK = (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE
        | IN_ONLYDIR | IN_EXCL_UNLINK)
EVENT = struct.Struct("iIII")

MAX_CHANGED = 20_000
LEAST_BYTES = 4096
"""What a file or a folder counts for, however little is in it: names and inodes are used up too."""
SYNCHRONOUS_SECONDS, SYNCHRONOUS_FOLDERS = 0.05, 16
"""Of the first walk, before it goes on in the background: so long, and so many folders however long they take."""
MAKE_UP_SECONDS = 5.0
"""Between two looks at all files while a cell that writes faster than can be told runs."""
LOOK_SECONDS, TAKE_SECONDS = 0.1, 20.0
"""To hear of what changed, while a cell runs and after it: a cell may for ever make folders faster than they can be
looked at. What is left is heard of the next time."""
CLOCK_SECONDS = 0.02
"""By so much the clock of file systems may be behind."""


class _Inotify:
    """The process's one inotify instance; events are sorted to the watches they belong to."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.lock = threading.RLock()
        self.until = 0.0
        """When the look that goes on now is to end (monotonic seconds)."""
        self._news = select.poll()   # asking it costs less than a read that fails
        self._news.register(self.fd, select.POLLIN)
        self.owners: dict[int, dict[Watch, str]] = {}
        """A folder has one number, however many watch it."""

    def add(self, watch: Watch, fd: int, folder: str) -> bool:
        """Watch one open folder; False when no watches are left."""
        with self.lock:
            if watch.is_closed():
                return True   # it was closed while a thread walked
            number = self._libc.inotify_add_watch(self.fd, b"/proc/self/fd/%d" % fd, MASK)
            if number < 0:
                return ctypes.get_errno() not in (28, 12)   # ENOSPC, ENOMEM
            self.owners.setdefault(number, {})[watch] = folder
            watch.numbers.add(number)
            return True

    def is_late(self) -> bool:
        """Whether the look has taken all its time."""
        return time.monotonic() > self.until

    def remove(self, watch: Watch) -> None:
        with self.lock:
            for number in watch.numbers:
                owners = self.owners.get(number, {})
                owners.pop(watch, None)
                if not owners:
                    self._libc.inotify_rm_watch(self.fd, number)
                    self.owners.pop(number, None)
            watch.numbers.clear()

    def drain(self, seconds: float) -> None:
        """Hand every event that has happened to its watch, as far as the time suffices."""
        with self.lock:
            self.until = time.monotonic() + seconds
            while self._news.poll(0) and not self.is_late():
                try:
                    data = os.read(self.fd, 1 << 16)
                except BlockingIOError:
                    return
                position = 0
                while position < len(data):
                    number, mask, _, length = EVENT.unpack_from(data, position)
                    position += EVENT.size
                    name = data[position:position + length].rstrip(b"\0")
                    position += length
                    if mask & IN_Q_OVERFLOW:
                        for watch in {watch for owners in self.owners.values() for watch in owners}:
                            watch.overflowed = True
                    owners = self.owners.get(number, {})
                    if mask & IN_IGNORED:
                        for watch in owners:
                            watch.numbers.discard(number)
                        self.owners.pop(number, None)
                    elif name:
                        for watch, folder in list(owners.items()):
                            watch.happened(folder, os.fsdecode(name), mask)


def _folders_above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


_instance: _Inotify | None = None
_instance_lock = threading.Lock()


def _inotify() -> _Inotify:
    global _instance
    with _instance_lock:
        if _instance is None:
            _instance = _Inotify()
        return _instance


def _forget() -> None:
    """A forked child of this process makes its own instance when it needs one."""
    global _instance
    _instance = None


os.register_at_fork(after_in_child=_forget)


class Watch:
    """The changes in one workspace.

    Args:
        root: The workspace. Walked once for its folders; a large one in the background.
        since: What changed after it counts (seconds since the epoch); None for now.
    """

    def __init__(self, root: Path, since: float | None = None):
        self.root = root
        self.numbers: set[int] = set()
        self.unwatched = 0
        """Folders that could not be watched."""
        self.overflowed = False
        self.untold = False
        """More changed than is told by name; whoever asks sets it back."""
        self._changed: set[str] = set()
        self._unmeasured: set[str] = set()
        self._moved: set[str] = set()
        """Folders that have gone, with what was in them."""
        self._sizes: dict[str, int] = {}
        """Of files, and of folders that were made."""
        self._folders: set[str] = set()
        """Those of `_sizes` that are folders."""
        self._used = 0
        self._since = time.time() if since is None else since - CLOCK_SECONDS
        self._made_up = 0.0
        self._closed = threading.Event()
        self._inotify = _inotify()
        walk = self._walk("", since=self._since)
        deadline = time.monotonic() + SYNCHRONOUS_SECONDS
        for n_folders, _ in enumerate(walk, 1):
            if n_folders >= SYNCHRONOUS_FOLDERS and time.monotonic() > deadline:
                threading.Thread(target=lambda: all(True for _ in walk), name="codeact-watch", daemon=True).start()
                break

    def _walk(self, folder: str, since: float) -> Iterator[bool]:
        """Watch `folder` and all below it; what changed after `since` counts as changed. Yields True after each."""
        pending = [folder]
        while pending and not self._closed.is_set():
            folder = pending.pop()
            fd = open_folder(self.root, folder) if self._enters(folder) else None
            if fd is None:
                continue   # gone again, not ours to read, or a link by now
            try:
                if not self._inotify.add(self, fd, folder):
                    self.unwatched += 1
                self._watch_also(folder)
                with os.scandir(fd) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(path)
                            if entry.stat(follow_symlinks=False).st_ctime >= since:
                                self._to_measure(path)
                        elif entry.stat(follow_symlinks=False).st_ctime >= since:
                            self._note(path)
            except OSError:
                pass   # gone again
            finally:
                os.close(fd)
            yield True

    def _enters(self, folder: str) -> bool:
        """For a subclass: whether to look at a folder."""
        return True

    def _watch_also(self, folder: str) -> None:
        """For a subclass: another place where `folder` shows."""

    def _counts(self, found: os.stat_result) -> bool:
        """For a subclass: whether this is a file."""
        return True

    def _note(self, path: str) -> None:
        if len(self._changed) < MAX_CHANGED:
            self._changed.add(path)
        elif path not in self._changed:
            self.untold = True
        self._to_measure(path)

    def _to_measure(self, path: str) -> None:
        if len(self._unmeasured) >= MAX_CHANGED:
            self._measure()
        self._unmeasured.add(path)

    def happened(self, folder: str, name: str, mask: int) -> None:
        """One event; called by the instance."""
        path = f"{folder}/{name}" if folder else name
        if not mask & IN_ISDIR:
            self._note(path)
            return
        self._to_measure(path)
        if mask & (IN_CREATE | IN_MOVED_TO):
            self._walk_in_time(path, 0.0)
        else:
            self._moved.add(path)

    def _walk_in_time(self, folder: str, since: float) -> None:
        """Walk as far as the time of the look suffices; the rest counts as lost."""
        for _ in self._walk(folder, since):
            if self._inotify.is_late():
                self.overflowed = True
                return

    def take(self) -> tuple[list[str], set[str]]:
        """Since the last call: (files created or changed, sorted), and every path touched, deleted ones too.

        Paths are relative to the workspace. Never more than `MAX_CHANGED` are told by name.
        """
        self._inotify.drain(TAKE_SECONDS)
        self._make_up_for_lost_events(TAKE_SECONDS)
        if not self._changed:
            return [], self._changed
        self._since = time.time()
        with self._inotify.lock:
            touched, self._changed = self._changed, set()
        self._measure()
        return sorted(path for path in touched if path in self._sizes and path not in self._folders), touched

    def used_bytes(self) -> int:
        """Bytes on disk of the files the session has touched and the folders it has made, as far as they are still
        there; the running cell included."""
        self._inotify.drain(LOOK_SECONDS)
        if time.monotonic() > self._made_up + MAKE_UP_SECONDS:
            self._make_up_for_lost_events(MAKE_UP_SECONDS / 5)
        self._measure()
        return self._used

    def _make_up_for_lost_events(self, seconds: float) -> None:
        """Look once, by the time of change, as far as the time suffices."""
        if self.overflowed:
            self._inotify.until = time.monotonic() + seconds
            self.overflowed, self._made_up = False, time.monotonic()
            self._walk_in_time("", self._since - CLOCK_SECONDS)

    def _measure(self) -> None:
        with self._inotify.lock:
            paths, self._unmeasured = self._unmeasured, set()
            moved, self._moved = self._moved, set()
        if moved:   # what was in them goes untold
            paths.update(path for path in self._sizes if any(above in moved for above in _folders_above(path)))
        for path in paths:
            found = lstat(self.root, path)
            self._used -= self._sizes.pop(path, 0)
            self._folders.discard(path)
            if found is None or not self._counts(found):
                continue
            if stat.S_ISDIR(found.st_mode):
                self._folders.add(path)
            self._sizes[path] = max(found.st_blocks * 512, LEAST_BYTES)
            self._used += self._sizes[path]

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._inotify.remove(self)
