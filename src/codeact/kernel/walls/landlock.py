"""The file wall without namespaces: Landlock, which the kernel applies by path and any process may put on itself.

The worker calls `restrict` once, after its limits and before the system call filter; at level 3 it stands behind the
mount namespace as a second lock. It holds for everything the worker starts.

By ABI it governs: 1 reading, writing, making and removing files; 2 moving and linking across folders; 3 truncation;
4 TCP; 5 ioctl on devices; 6 abstract unix sockets and signals outside the session; 7 how it is logged.

Not protected against, at any ABI: metadata. Landlock does not ask for stat, readlink, chmod, chown, utime and extended
attributes, nor for watching a folder; nor for UDP and, up to ABI 7, unix sockets by path. `seccomp.py` closes all of
these but stat and readlink.

Source: linux/landlock.h, landlock(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import Sequence

from .libc import MACHINE, PR_SET_NO_NEW_PRIVS, prctl, syscall
from .syscalls import number

__all__ = ["DEVICES", "abi", "restrict"]

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
ABI_1_RIGHTS = (1 << 13) - 1
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1

READ = EXECUTE | READ_FILE | READ_DIR
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
"""The rights that make sense for something that is not a folder; others are an error in a rule for it."""

DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Readable and writable in every session."""

_VERSION = 1 << 0
_LOG_SAME_EXEC_OFF = 1 << 0
_PATH_BENEATH, _NET_PORT = 1, 2


def abi() -> int:
    """The version of Landlock this kernel offers; 0 where it has none, or it is switched off at boot."""
    try:
        return syscall("landlock", number(MACHINE, "landlock_create_ruleset"), 0, 0, _VERSION)
    except (OSError, LookupError):
        return 0


def restrict(read: Sequence[str], write: Sequence[str], *, folders: Sequence[str] = (), abi_cap: int = 99,
             tcp: bool = False, connect_ports: Sequence[int] = ()) -> None:
    """Leave this process, which must have one thread only, no files but those under the named paths.

    From ABI 4 on TCP is denied too (unless `tcp`), from ABI 6 on abstract unix sockets and signals to anyone outside.
    Device nodes can not be made anywhere, and are no use under the named paths.

    Args:
        read: Readable and executable, with everything below; missing ones are skipped.
        write: Writable too.
        folders: May be listed, with everything below, and no more.
        tcp: Leave TCP alone: another wall stands there, or none is wanted.
        abi_cap: Behave as a kernel of this ABI would (tests).
        connect_ports: TCP ports that may still be connected to, at any address.

    Raises:
        OSError: Landlock is missing or refuses; the process may then be unrestricted and must not go on.
    """
    version = min(abi(), abi_cap)
    if version < 1:
        raise OSError(errno.ENOSYS, "Landlock: not offered by this kernel; it needs Linux 5.13 with landlock in lsm=")
    rights = ABI_1_RIGHTS
    rights |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (IOCTL_DEVICE if version >= 5 else 0)
    fields = [rights]
    if version >= 4:
        fields.append(0 if tcp else BIND_TCP | CONNECT_TCP)
    if version >= 6:
        fields.append(SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS)
    attributes = struct.pack("=%dQ" % len(fields), *fields)
    rules = syscall("Landlock: making a rule set", number(MACHINE, "landlock_create_ruleset"),
                    ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        for path in read:
            _allow(rules, path, READ)
        for path in write:
            _allow(rules, path, rights & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEVICE))
        for path in folders:
            _allow(rules, path, READ_DIR)
        # Read only: a shared mapping of it that can be written to would be memory that no limit counts
        _allow(rules, "/dev/zero", READ_FILE, device=True)
        for path in DEVICES:
            _allow(rules, path, rights & (READ_FILE | WRITE_FILE | IOCTL_DEVICE), device=True)
        if version >= 4 and not tcp:
            for port in connect_ports:
                _add(rules, _NET_PORT, struct.pack("=QQ", CONNECT_TCP, port), "port %d" % port)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        # Denials are the session's business: logged, they would let it flood the host's audit log
        flags = _LOG_SAME_EXEC_OFF if version >= 7 else 0
        syscall("Landlock: entering", number(MACHINE, "landlock_restrict_self"), rules, flags)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int, *, device: bool = False) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return   # missing, or out of reach anyway
    try:
        mode = os.fstat(handle).st_mode
        if device and not stat.S_ISCHR(mode):
            return   # something else lies at this name: not ours to open
        if not stat.S_ISDIR(mode):
            rights &= OF_A_FILE
        _add(rules, _PATH_BENEATH, struct.pack("=Qi", rights, handle), path)
    finally:
        os.close(handle)


def _add(rules: int, kind: int, attributes: bytes, what: str) -> None:
    syscall("Landlock: a rule for " + what, number(MACHINE, "landlock_add_rule"), rules, kind,
            ctypes.c_char_p(attributes), 0)
