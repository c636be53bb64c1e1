"""Opens what lies beneath a workspace without ever leaving it: no symbolic link is followed on any part of a path.

A workspace is hostile: a cell may put a link where a folder was. watch.py, mirror.py and what handles the changes to a
folder of the user's (layers.py, applying.py) look at its files through here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Root", "copy_bytes", "lstat", "make_folders", "open_file", "open_folder", "parent", "readlink",
           "remove_empty", "remove_tree", "symlink", "unlink"]

Root = Path | int
"""Where the walk begins: a folder by its path, or one that is open already (also only by O_PATH)."""

_FICLONE = 0x40049409
_CHUNK = 1 << 20
_MAX_VISITS = 100
_MAX_EMPTY = 10_000

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(root: Root, path: str) -> int | None:
    """A descriptor of the folder `path` ("" for the root itself), or None where there is none."""
    try:
        fd = os.open(".", _FOLDER, dir_fd=root) if isinstance(root, int) else os.open(root, _FOLDER)
    except OSError:
        return None
    for part in path.split("/") if path else ():
        try:
            inner = os.open(part, _FOLDER, dir_fd=fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        fd = inner
    return fd


def open_file(root: Root, path: str, flags: int) -> int | None:
    """A descriptor of the file `path`, or None where there is none; `O_EXCL` for one to be made."""
    folder, _, name = path.rpartition("/")
    parent = open_folder(root, folder)
    if parent is None:
        return None
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=parent)
        if flags & os.O_EXCL:
            _give(parent, name)
        return fd
    except OSError:
        return None
    finally:
        os.close(parent)


def lstat(root: Root, path: str) -> os.stat_result | None:
    """What `path` is, or None where there is nothing."""
    folder, _, name = path.rpartition("/")
    parent = open_folder(root, folder)
    if parent is None:
        return None
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return None
    finally:
        os.close(parent)


def unlink(root: Root, path: str) -> None:
    """Remove the file `path` if it is there."""
    folder, _, name = path.rpartition("/")
    parent = open_folder(root, folder)
    if parent is None:
        return
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        pass
    finally:
        os.close(parent)


def remove_empty(root: Root, path: str) -> None:
    """Remove the folder `path` if it is one and holds nothing but folders like that."""
    pending = [path]
    found: list[str] = []
    while pending and len(found) < _MAX_EMPTY:
        folder = pending.pop()
        found.append(folder)
        fd = open_folder(root, folder)
        if fd is None:
            continue
        try:
            pending += [f"{folder}/{name}" for name in os.listdir(fd)]
        except OSError:
            continue
        finally:
            os.close(fd)
    for folder in reversed(found):
        try:
            with parent(root, folder) as (fd, name):
                os.rmdir(name, dir_fd=fd)
        except OSError:
            continue


@contextmanager
def parent(root: Root, path: str) -> Iterator[tuple[int, str]]:
    """The folder that holds `path`, open, and the last part of the name.

    Raises:
        NotADirectoryError: There is no such folder, or a link or something else lies on the way.
    """
    folder, _, name = path.rpartition("/")
    fd = open_folder(root, folder)
    if fd is None:
        raise NotADirectoryError(20, "no folder, or a link on the way to it", folder)
    try:
        yield fd, name
    finally:
        os.close(fd)


def readlink(root: Root, path: str) -> str | None:
    """Where the symbolic link `path` leads, or None where there is none."""
    try:
        with parent(root, path) as (fd, name):
            return os.readlink(name, dir_fd=fd)
    except OSError:
        return None


def remove_tree(root: Root, path: str) -> None:
    """Remove whatever `path` is, with all below it.

    Raises:
        OSError: Something could not be removed.
    """
    pending = [path]
    visits: dict[str, int] = {}
    while pending:
        path = pending[-1]
        visits[path] = visits.get(path, 0) + 1
        if visits[path] > _MAX_VISITS:
            raise OSError(16, "somebody goes on writing to it", path)
        with parent(root, path) as (fd, name):
            try:
                os.unlink(name, dir_fd=fd)
                pending.pop()
                continue
            except FileNotFoundError:
                pending.pop()
                continue
            except (IsADirectoryError, PermissionError):
                pass
            try:
                os.rmdir(name, dir_fd=fd)
                pending.pop()
                continue
            except OSError as error:
                if error.errno not in (39, 17):   # ENOTEMPTY, EEXIST
                    raise
            pending += [f"{path}/{entry}" for entry in _list_whatever_its_mode(fd, name)]


def _list_whatever_its_mode(parent_fd: int, name: str) -> list[str]:
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)   # of this folder, whatever bears its name by now
        inner = os.open(".", _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        return os.listdir(inner)
    finally:
        os.close(inner)


def copy_bytes(source: int, target: int, most: int | None = None) -> bool:
    """Copy an open file into another, empty one; True where the file system shares the blocks (a reflink).

    Args:
        most: Bytes, where blocks are not shared: somebody may go on writing to the file. None for all.

    Raises:
        OSError: It could not be read or written.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return True
    except OSError:
        pass
    position = 0
    while data := os.pread(source, _CHUNK if most is None else min(_CHUNK, most - position), position):
        position += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view):]
    return False


def symlink(root: Root, path: str, target: str) -> None:
    """Make the symbolic link `path`, if nothing is there and its folder is."""
    folder, _, name = path.rpartition("/")
    parent = open_folder(root, folder)
    if parent is None:
        return
    try:
        os.symlink(target, name, dir_fd=parent)
        _give(parent, name)
    except OSError:
        pass
    finally:
        os.close(parent)


def make_folders(root: Root, path: str) -> None:
    """Make the folder `path` and those above it, as far as nothing else lies there."""
    done = ""
    for part in path.split("/") if path else ():
        parent = open_folder(root, done)
        if parent is None:
            return
        try:
            os.mkdir(part, 0o755, dir_fd=parent)
            _give(parent, part)
        except OSError:
            pass   # it is there
        finally:
            os.close(parent)
        done = f"{done}/{part}" if done else part


def _give(parent: int, name: str) -> None:
    """What we make belongs to whom its folder belongs to: as root, not to us."""
    owner = os.fstat(parent)
    if os.getuid() == 0 and owner.st_uid != 0:
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
