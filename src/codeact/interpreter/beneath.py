"""Opens what lies beneath a workspace without ever leaving it: no symbolic link is followed on any part of a path.

A workspace is hostile: a cell may put a link where a folder was. watch.py and mirror.py look at its files through here.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["lstat", "make_folders", "open_file", "open_folder", "read_link", "symlink", "unlink"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(root: Path, path: str) -> int | None:
    """A descriptor of the folder `path` ("" for the root itself), or None where there is none."""
    try:
        fd = os.open(root, _FOLDER)
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


def open_file(root: Path, path: str, flags: int) -> int | None:
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


def lstat(root: Path, path: str) -> os.stat_result | None:
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


def unlink(root: Path, path: str) -> None:
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


def read_link(root: Path, path: str) -> str | None:
    """Where the symbolic link `path` leads, or None where it is none."""
    folder, _, name = path.rpartition("/")
    parent = open_folder(root, folder)
    if parent is None:
        return None
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)


def symlink(root: Path, path: str, target: str) -> None:
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


def make_folders(root: Path, path: str) -> None:
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
