"""What a session's first process becomes once its walls stand: a program of 45 bytes that only waits and reaps.

A keeper that goes on as Python holds 2 MB for as long as the session lives. At level 3 nothing needs it there for most
of that time: the end of the zygote or of this process ends the session, and when something is to be counted or killed
the zygote forks a keeper anew behind the same walls (`keeper.stand_in`). So the first process gives its memory up:

    for (;;) { while (wait4(-1, 0, WNOHANG, 0) > 0); rt_sigtimedwait({SIGCHLD}, 0, 0, 8); }

SIGCHLD is blocked in it. It takes no input. On other machines than x86_64, or where such a program may not be started,
the keeper stays as it is.

Source: elf(5), execveat(2), memfd_create(2).
"""

from __future__ import annotations

import os
import signal
import struct

from .walls.libc import MACHINE

__all__ = ["become_init", "program"]

_CODE = bytes.fromhex(
    "6800000100"               # push $0x10000          the set {SIGCHLD}
    "6aff5f31f66a015a4531d2"   # wait4(-1, 0, WNOHANG, 0)
    "6a3d580f0585c07fec"       # syscall; again while it found one
    "4889e731f631d26a08415a"   # rt_sigtimedwait(set, 0, 0, 8)
    "b8800000000f05ebd8")      # syscall; from wait4 on
_PLACE = 0x400000


def program() -> int:
    """A descriptor of the program, close-on-exec; -1 where there is none for this machine."""
    if MACHINE != "x86_64" or not hasattr(os, "memfd_create"):
        return -1
    size = 64 + 56 + len(_CODE)
    header = struct.pack("<4sBBBxxxxxxxxxHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 62, 1, _PLACE + 120, 64, 0, 0,
                         64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _PLACE, _PLACE, size, size, 4096)
    try:
        fd = os.memfd_create("codeact-init")
        try:
            os.write(fd, header + segment + _CODE)
            return os.open("/proc/self/fd/%d" % fd, os.O_RDONLY | os.O_CLOEXEC)   # what can be written to is not run
        finally:
            os.close(fd)
    except OSError:
        return -1


def become_init(fd: int) -> None:
    """Become it; returns where that is not possible."""
    if fd < 0:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        os.execve(fd, ["codeact-init"], {})
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
