"""The system calls Python does not wrap, through ctypes. Used by the files of this folder and by the processes."""

from __future__ import annotations

import ctypes
import os
from typing import Any

__all__ = ["MACHINE", "call", "fork_quietly", "libc", "prctl", "syscall"]

libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)
"""The same, called without letting go of Python's lock."""
MACHINE = os.uname().machine

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def call(result: int, what: str) -> int:
    """`result`, or OSError with the C library's reason when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def syscall(what: str, number: int, *args: Any) -> int:
    """A raw system call; int arguments go as C longs.

    Raises:
        OSError: It failed; the message begins with `what`.
    """
    return call(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if type(a) is int else a for a in args)), what)


def fork_quietly() -> int:
    """fork(2) in a process with one thread, without what Python does around it: locks that nobody holds are not made
    anew, and `os.register_at_fork` calls nothing. That writes to 200 pages less, each a copy in the child.

    Raises:
        OSError: The system does not allow another process.
    """
    return call(_held.fork(), "fork")


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument; raises OSError."""
    zero = ctypes.c_ulong(0)
    call(libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero), "prctl %d" % option)
