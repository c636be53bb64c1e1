"""Where the changes to a folder of the user's lie until they are applied: what any such place offers, and one of them.

pending.py chooses one, the session works in it, changes.py reads what differs through `differing`: an `Overlay`
(overlay.py), or a `Copy` of the folder (copying.py makes it) for walls and kernels without overlays.

What lies in either is a session's: hostile names, links and special files are expected (beneath.py).
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from codeact.interpreter.baseline import Baseline, version
from codeact.interpreter.beneath import Root, copy_bytes, lstat, open_file, open_folder, parent, readlink, remove_tree
from codeact.interpreter.watch import Watch

__all__ = ["Copy", "Difference", "Layer", "acting_as", "join", "listing", "put", "set_mode"]

MAX_PATH_BYTES = 4000

Difference = tuple[str, "os.stat_result | None", "os.stat_result | None"]
"""Path, what the session has there, what the user has there; None for nothing."""


class Layer(Protocol):
    """What pending.py and changes.py ask of either."""

    kind: Literal["overlay", "copy"]
    source: Path
    """The user's folder."""
    output: Path
    """Where the host finds what the session wrote."""

    def differing(self) -> Iterator[Difference]:
        """Every path at which the two may differ; a folder comes before what is in it."""

    def mine(self, path: str) -> os.stat_result | None:
        """What the session has written at `path`, or None."""

    def open_mine(self, path: str) -> int | None:
        """The session's file, open for reading."""

    def link(self, path: str) -> str | None:
        """Where the session's symbolic link leads."""

    def discard(self, path: str, user: os.stat_result | None) -> bool:
        """Give up what the session did at `path`; True when it then has a copy of the user's file, not the file itself.

        Raises:
            OSError: It could not be done.
        """

    def watch(self) -> Watch:
        """What tells the files a cell touched."""

    def close(self) -> None:
        """Let go of the session."""


@contextmanager
def acting_as(owner: tuple[int, int] | None) -> Iterator[None]:
    """For a root host: what this thread makes belongs to the session's user, and bows to that user's rights."""
    if owner is None or os.geteuid() != 0 or owner[0] == 0:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsgid(owner[1])
    libc.setfsuid(owner[0])
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(os.getegid())


def put(source: Root, root: Root, path: str, found: os.stat_result, owner: tuple[int, int] | None = None) -> None:
    """Make `path` under `root`, where nothing is, what it is under `source`: a file, a link, or an empty folder.

    Args:
        found: What it is under `source`.
        owner: Whose it is to be.

    Raises:
        OSError: It could not be done.
    """
    mode = stat.S_IMODE(found.st_mode) & 0o777
    given = open_file(source, path, os.O_RDONLY) if stat.S_ISREG(found.st_mode) else None
    text = readlink(source, path)
    try:
        with acting_as(owner), parent(root, path) as (fd, name):
            if stat.S_ISDIR(found.st_mode):
                os.mkdir(name, 0o700, dir_fd=fd)
                made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            elif text is not None:
                os.symlink(text, name, dir_fd=fd)
                return
            elif given is not None:
                made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                               dir_fd=fd)
            else:
                raise OSError(1, "it cannot be read, or is no file, folder or link", path)
            try:
                if given is not None:
                    copy_bytes(given, made)
                os.fchmod(made, mode)
            finally:
                os.close(made)
    finally:
        if given is not None:
            os.close(given)


class Copy:
    """A copy of the user's folder, which the session works in.

    Args:
        source: The user's folder.
        folder: The copy.
        baseline: Which versions it was made from.
        owner: Whose its files are; None for the host's user.
    """

    kind: Literal["overlay", "copy"] = "copy"

    def __init__(self, source: Path, folder: Path, baseline: Baseline, owner: tuple[int, int] | None = None):
        self.source, self.output, self._baseline, self._owner = source, folder, baseline, owner

    def differing(self) -> Iterator[Difference]:
        seen = set()
        pending = [""]
        while pending:
            path = pending.pop()
            for name, mine in listing(self.output, path).items():
                inner = join(path, name)
                seen.add(inner)
                if not self._baseline.is_same(inner, version(mine)):
                    yield inner, mine, lstat(self.source, inner)
                if stat.S_ISDIR(mine.st_mode) and len(os.fsencode(inner)) < MAX_PATH_BYTES:
                    pending.append(inner)
        for path in [path for path, (mine, _) in self._baseline.same.items() if mine is not None and path not in seen]:
            user = lstat(self.source, path)
            if user is not None:
                yield path, None, user

    def mine(self, path: str) -> os.stat_result | None:
        return lstat(self.output, path)

    def open_mine(self, path: str) -> int | None:
        return open_file(self.output, path, os.O_RDONLY)

    def link(self, path: str) -> str | None:
        return readlink(self.output, path)

    def discard(self, path: str, user: os.stat_result | None) -> bool:
        mine = self.mine(path)
        if mine is not None and user is not None and stat.S_ISDIR(mine.st_mode) and stat.S_ISDIR(user.st_mode):
            set_mode(self.output, path, stat.S_IMODE(user.st_mode) & 0o777)
            return True
        remove_tree(self.output, path)
        if user is not None:
            put(self.source, self.output, path, user, self._owner)
        return user is not None

    def watch(self) -> Watch:
        return Watch(self.output)

    def close(self) -> None:
        pass


def join(folder: str, name: str) -> str:
    """A path in the folder; "" is the top."""
    return f"{folder}/{name}" if folder else name


def listing(root: Root, path: str) -> dict[str, os.stat_result]:
    """What is in the folder `path`, by name; nothing where it is no folder, or not ours to read."""
    fd = open_folder(root, path)
    if fd is None:
        return {}
    found = {}
    try:
        for name in os.listdir(fd):
            try:
                found[name] = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue   # gone again
    finally:
        os.close(fd)
    return found


def set_mode(root: Root, path: str, mode: int) -> None:
    """Set the permissions of the folder `path`, if it is there."""
    fd = open_folder(root, path)
    if fd is not None:
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
