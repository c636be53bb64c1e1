"""Renaming within one folder, by descriptor, in one step: what an apply to the user's folder is made of.

Used by applying.py and recovering.py. Names are never followed. Where a file system knows no flags of renameat2(2), a
rename onto nothing looks first, and two names cannot be exchanged.

Source: renameat2(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

__all__ = ["exchange", "rename", "step", "unlink"]

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


def step(_name: str) -> None:
    """Passed before each thing that changes a file: where the tests kill the process."""


def exchange(fd: int, one: str, other: str) -> bool:
    """Let two names of one folder change places in one step; False where the file system cannot.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    step("exchange")
    try:
        rename2(fd, one, other, RENAME_EXCHANGE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def rename(fd: int, old: str, new: str) -> None:
    """Rename within one folder, onto nothing.

    Raises:
        FileExistsError, FileNotFoundError: As they say.
    """
    step("rename")
    try:
        rename2(fd, old, new, RENAME_NOREPLACE)
        return
    except OSError as error:
        if error.errno != errno.EINVAL:   # no flags on this file system
            raise
    try:
        os.stat(new, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)


def rename2(fd: int, old: str, new: str, flags: int) -> None:
    if _libc.renameat2(fd, os.fsencode(old), fd, os.fsencode(new), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new)


def unlink(fd: int, name: str) -> None:
    """Remove a file, a link or an empty folder."""
    if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
        os.rmdir(name, dir_fd=fd)
    else:
        os.unlink(name, dir_fd=fd)
