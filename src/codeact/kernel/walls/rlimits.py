"""The limits each process of a session carries, and the end of its capabilities.

The worker calls `apply` first of the inner walls (it reads /proc, which Landlock may hide) and `drop_capabilities`
next. Everything the worker starts inherits both; a hard limit can only be lowered.

Not protected against: sums over several processes. Memory, files and open descriptors are limited per process; what
the whole tree uses is watched by the keeper and the host, or by a control group where there is one. User 0 of the host
is exempt from the limit of processes: a supervisor started by root changes to another user first.

Source: getrlimit(2), capabilities(7), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from typing import Mapping, Optional

from ..reserve import RESERVE_MB
from .libc import MACHINE, libc, syscall
from .syscalls import number

__all__ = ["apply", "data_bytes", "drop_capabilities", "threads_of_user"]

MIB = 1 << 20

PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
LAST_POSSIBLE_CAPABILITY = 63
CAPABILITY_VERSION_3 = 0x20080522


def apply(limits: Mapping[str, Optional[int]], *, own_namespace: bool) -> None:
    """Limit this process and all it will start. None, or a name left out, means no limit.

    Args:
        limits: "memory_mb", MiB of writable private memory on top of what the process has now: asking for more is a
            MemoryError, but for `RESERVE_MB` more that the soft limit may hold back. Not the address space, where BLAS
            reserves far more than it uses. "processes", processes and threads at once. "file_mb", MiB of the largest
            file: writing on is OSError EFBIG. "open_files".
        own_namespace: The session has a user namespace of its own, in which its processes are counted alone. Otherwise
            all the user's are: "processes" then stands for that many more than there are now, and the number drifts
            as the user's other programs come and go.

    Raises:
        OSError: The system refuses a limit.
    """
    _lower(resource.RLIMIT_CORE, 0)
    memory, processes, file, files = (limits.get(n) for n in ("memory_mb", "processes", "file_mb", "open_files"))
    if memory is not None:
        _lower(resource.RLIMIT_DATA, data_bytes() + (memory + RESERVE_MB) * MIB)
    if processes is not None:
        _lower(resource.RLIMIT_NPROC, processes + (0 if own_namespace else threads_of_user(os.getuid())))
    if file is not None:
        _lower(resource.RLIMIT_FSIZE, file * MIB)
        # Python ignores it already; said again because the default action is death
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if files is not None:
        _lower(resource.RLIMIT_NOFILE, files)


def _lower(kind: int, value: int) -> None:
    """Set soft and hard limit, never above the hard limit there is."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError) as error:
        raise OSError(getattr(error, "errno", None) or 1, "limit %d of %d: %s" % (kind, value, error)) from None


def data_bytes() -> int:
    """Writable private memory of this process now, in bytes, as RLIMIT_DATA counts it.

    Raises:
        OSError: /proc is not there.
    """
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def threads_of_user(uid: int) -> int:
    """Threads of a user's processes now, as far as /proc shows them."""
    total = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            try:
                if entry.stat().st_uid == uid:
                    with open(entry.path + "/stat", "rb") as file:
                        # The name before the last bracket may hold anything; the 18th field after it is num_threads
                        total += int(file.read().rpartition(b")")[2].split()[17])
            except (OSError, IndexError, ValueError):
                continue   # it has just ended
    return total


def drop_capabilities() -> None:
    """Give up every capability, for this process and what it starts.

    The bounding set is emptied too where that is permitted; it matters little, as no program gains a capability once
    no_new_privs is set.

    Raises:
        OSError: The system refuses.
    """
    drop, zero = libc.prctl, ctypes.c_ulong(0)
    drop(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), zero, zero, zero)
    for capability in range(LAST_POSSIBLE_CAPABILITY + 1):
        if drop(PR_CAPBSET_DROP, ctypes.c_ulong(capability), zero, zero, zero) < 0:
            break   # EINVAL past the last one; EPERM for who may not
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    syscall("dropping capabilities", number(MACHINE, "capset"), ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))
