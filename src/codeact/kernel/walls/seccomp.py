"""The system call wall: a filter program that refuses what cells have no use for, and what the other walls miss.

The worker installs it last, after limits, capabilities and Landlock; it holds for everything the worker starts and can
not be taken off. Three ideas:

- Calls that open large parts of the kernel, act on other processes or change the machine are refused by name; whatever
  is newer than the table in `syscalls.py` does not exist (ENOSYS).
- Where a session has no mount, pid and IPC namespaces (levels 1 and 2), it closes what Landlock leaves open: changes of
  mode, owner, times and attributes are answered with success and not done, so that pip, tar and shutil go on.
- Memory that no limit counts is refused (shared anonymous mappings, memfd, System V segments), as otherwise a cell
  could fill the machine with pages that belong to no process.

Not protected against: faults in the calls that remain, among them all of the file system, memory and sockets; reading
metadata (stat, readlink) of host files at levels 1 and 2; kernel memory behind pipes and sockets, bounded only by the
number of descriptors. A filter sees numbers, not what pointers lead to: whether a path or a socket address is allowed
is for Landlock and the namespaces.

Source: seccomp(2); the attack matrix in docs/threat_model.md.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from typing import Callable, Iterable, NamedTuple, Optional, Tuple

from .bpf import ALLOW, ARCH, KILL, NUMBER, Program, argument, errno_action
from .libc import MACHINE, PR_SET_NO_NEW_PRIVS, libc, prctl
from .refused import ABSENT, ATTRIBUTES, METADATA, REFUSED
from .syscalls import FIRST_UNREVIEWED, GAPS, number, numbers

__all__ = ["Policy", "build", "forbid_signals", "install"]

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_SEQPACKET = 1, 5
SOL_SOCKET, SO_LINGER = 1, 13

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

EPERM, EACCES, ENOSYS = errno_action(errno.EPERM), errno_action(errno.EACCES), errno_action(errno.ENOSYS)
ENOTTY, ENOTSUP = errno_action(errno.ENOTTY), errno_action(errno.ENOTSUP)
PRETEND = errno_action(0)

NAMESPACE_FLAGS = 0x7E020000
CLONE_PTRACE, CLONE_PARENT = 0x2000, 0x8000
O_ACCMODE, O_CREAT, O_TRUNC, O_TMPFILE = 3, 0o100, 0o1000, 0o20000000
SET_ID_BITS = 0o6000
MAP_SHARED, MAP_ANONYMOUS = 0x01, 0x20

F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY = 8, 10, 15, 1024, 1026

IOCTL_REFUSED = (
    0x5412, 0x541C,   # TIOCSTI, TIOCLINUX: type into the terminal the session was started from
    0x541D, 0x5423,   # TIOCCONS, TIOCSETD: take the console's output, load line disciplines
    0x8901, 0x8902,   # FIOSETOWN, SIOCSPGRP: have signals sent to a process of choice
)
IOCTL_KINDS = (0x5400, 0x8900)   # terminals and the simple ones (FIONREAD, FIOCLEX); sockets
IOCTL_COPIES = (0x40049409, 0x4020940D)   # FICLONE, FICLONERANGE: into a file that is open for writing


class Policy(NamedTuple):
    """What the filter has to know about the other walls. `Policy.of` derives it."""

    level: int
    """3: the session has its own mount, pid, IPC and user namespaces. 2 and 1: it has none."""

    families: Tuple[int, ...] = ()
    """Address families socket(2) may use."""

    landlock_abi: int = 0
    """The ABI in force; 0 without Landlock. Below 6 signals, below 3 truncation are this filter's to stop."""

    own_pid: Optional[int] = None
    """The one process that may be signalled where signals are this filter's to stop."""

    uncounted_memory: bool = False
    """Allow shared anonymous mappings and memfd: right where a control group counts them."""

    @classmethod
    def of(cls, *, level: int, abi: int, network: bool, own_pid: Optional[int] = None) -> "Policy":
        """The policy for a level.

        A session without network has an empty network namespace at level 3, where every family is harmless and
        asyncio, multiprocessing and local servers work; else it has no sockets but pairs. With the host's network,
        host sockets with abstract names would be in reach, so AF_UNIX needs Landlock's scoping (ABI 6).
        """
        if network:
            families = (AF_INET, AF_INET6) + ((AF_UNIX,) if level == 3 and abi >= 6 else ())
        else:
            families = (AF_UNIX, AF_INET, AF_INET6) if level == 3 else ()
        return cls(level, families, abi, own_pid)


@functools.lru_cache(maxsize=8)   # a zygote builds it once, and its sessions find it built
def build(machine: str, policy: Policy) -> bytes:
    """The filter for a machine ("x86_64" or "aarch64").

    Raises:
        LookupError: There is no table for this machine.
    """
    return _Filter(machine, policy).build()


def forbid_signals(machine: str) -> bytes:
    """A second, smaller filter: no signal to anyone.

    A fork of the worker that goes on as the worker has another pid than the one its filter names, and that number may
    one day be some other process's.
    """
    builder = _Filter(machine, Policy(level=1))
    builder.begin()
    builder.signals(None)
    return builder.end()


class _Filter:
    """One filter in the making; each rule ends every path of its own, so that the next still sees the call's number."""

    def __init__(self, machine: str, policy: Policy):
        numbers(machine, ())   # refuses an unknown machine
        self.machine, self.policy, self.program = machine, policy, Program()
        self.confined_by_path = policy.level < 3

    def build(self) -> bytes:
        policy = self.policy
        self.begin()
        # First the frequent calls with a rule: the kernel remembers the answer only for calls without one
        if not policy.uncounted_memory:
            self.rule(("mmap",), self._mapping)
        self.rule(("openat",), lambda: self._opening(flags_at=2))
        self.rule(("open",), lambda: self._opening(flags_at=1))
        self.rule(("fcntl",), self._descriptor_control)
        self.rule(("ioctl",), self._device_control)
        self.rule(("clone",), self._cloning)
        self.rule(("socket",), self._socket)
        if AF_UNIX not in policy.families:
            self.rule(("socketpair",), self._socketpair)
        self.rule(("setsockopt",), self._socket_option)
        self.rule(("personality",), self._personality)
        self.answer(REFUSED, EPERM)
        self.answer(ABSENT, ENOSYS)
        if not policy.uncounted_memory:
            self.answer(("memfd_create",), ENOSYS)
        # Other processes' limits and priorities: of the host's at levels 1 and 2 (a CPU limit of 0 kills as well as a
        # signal does), at level 3 of the keeper, which must not starve or lack descriptors
        self.rule(("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity"),
                  lambda: self._only_self(0))
        self.rule(("setpriority",), lambda: self._only_self(1, kind=0))
        self.rule(("ioprio_set",), lambda: self._only_self(1, kind=1))
        self.rule(("creat", "mknod"), lambda: self._mode(1))
        self.rule(("mknodat",), lambda: self._mode(2))
        if self.confined_by_path:
            self._without_namespaces()
        else:
            self.rule(("chmod", "fchmod"), lambda: self._mode(1))
            self.rule(("fchmodat", "fchmodat2"), lambda: self._mode(2))
        return self.end()

    def begin(self) -> None:
        """The machine's own calls, of the reviewed range, and nothing else."""
        program, (gap_start, gap_end) = self.program, GAPS[self.machine]
        program.load(ARCH)
        program.give_unless("==", AUDIT_ARCH[self.machine], KILL)
        program.load(NUMBER)
        if self.machine == "x86_64":
            # The x32 ABI numbers the same calls anew, from bit 30 on: no table here names those. -1 is no call at all
            program.give_if(">=", 0x80000000, ENOSYS)
            program.give_if(">=", 0x40000000, KILL)
        program.give_if(">=", FIRST_UNREVIEWED, ENOSYS)
        beyond = program.new_label()
        program.test(">=", gap_end, yes=beyond)
        program.give_if(">=", gap_start, ENOSYS)
        program.label(beyond)

    def end(self) -> bytes:
        self.program.give(ALLOW)
        return self.program.assemble()

    def rule(self, names: Iterable[str], body: Callable[[], None]) -> None:
        """What to do for these calls; `body` must end every path with an action."""
        treated = numbers(self.machine, names)
        if treated:
            after = self.program.new_label()
            self.program.test_any(treated, no=after)
            body()
            self.program.label(after)

    def answer(self, names: Iterable[str], action: int) -> None:
        """The same action for all of these calls."""
        self.rule(names, lambda: self.program.give(action))

    # Rules for every level ------------------------------------------------------------------------------------------

    def _mapping(self) -> None:
        """Shared pages without a file stay when unmapped in part or dropped from view, and then count nowhere."""
        self.program.load(argument(3))
        self.program.mask(MAP_SHARED | MAP_ANONYMOUS)
        self.program.give_if("==", MAP_SHARED | MAP_ANONYMOUS, EPERM)
        self.program.give(ALLOW)

    def _opening(self, flags_at: int) -> None:
        """No new set-id files; and no truncating by an open that Landlock below ABI 3 does not take for writing."""
        program = self.program
        if self.confined_by_path and self.policy.landlock_abi < 3:
            program.load(argument(flags_at))
            program.mask(O_TRUNC | O_ACCMODE)
            program.give_if("==", O_TRUNC, EACCES)              # opened for reading only
            program.give_if("==", O_TRUNC | O_ACCMODE, EACCES)  # opened for neither reading nor writing
        self.program.load(argument(flags_at))
        as_is = program.new_label()
        program.test("&", O_CREAT | O_TMPFILE, no=as_is)
        program.load(argument(flags_at + 1))
        program.give_if("&", SET_ID_BITS, EPERM)
        program.label(as_is)
        program.give(ALLOW)

    def _mode(self, mode_at: int) -> None:
        """A set-id file in the workspace would lend the user's identity to everyone on the host who can reach it."""
        self.program.load(argument(mode_at))
        self.program.give_if("&", SET_ID_BITS, EPERM)
        self.program.give(ALLOW)

    def _descriptor_control(self) -> None:
        """No leases, which stall the host's own opening; nor, where pids are shared, signals by way of a descriptor."""
        program = self.program
        program.load(argument(1))
        for command in (F_SETLEASE, F_NOTIFY) + ((F_SETOWN, F_SETOWN_EX, F_SETSIG) if self._filters_signals() else ()):
            program.give_if("==", command, EPERM)
        program.give(ALLOW)

    def _device_control(self) -> None:
        """At levels 1 and 2 ioctl is one more way to change a file that is open for reading: only known kinds pass."""
        program = self.program
        program.load(argument(1))
        for command in IOCTL_REFUSED:
            program.give_if("==", command, EPERM)
        if not self.confined_by_path:
            program.give(ALLOW)
            return
        for command in IOCTL_COPIES:
            program.give_if("==", command, ALLOW)
        program.mask(0xFF00)
        for kind in IOCTL_KINDS:
            program.give_if("==", kind, ALLOW)
        program.give(ENOTTY)

    def _cloning(self) -> None:
        """Threads and processes, but no namespaces, no tracing, and no children pushed on the keeper."""
        self.program.load(argument(0))
        self.program.give_if("&", NAMESPACE_FLAGS | CLONE_PTRACE | CLONE_PARENT, EPERM)
        self.program.give(ALLOW)

    def _socket(self) -> None:
        self.program.load(argument(0))
        for family in self.policy.families:
            self.program.give_if("==", family, ALLOW)
        self.program.give(EACCES)

    def _socketpair(self) -> None:
        """Pairs of streams only: either end of a datagram pair can still send to any socket of the host by name."""
        program = self.program
        program.load(argument(0))
        program.give_unless("==", AF_UNIX, EACCES)
        program.load(argument(1))
        program.mask(0xF)
        program.give_if("==", SOCK_STREAM, ALLOW)
        program.give_if("==", SOCK_SEQPACKET, ALLOW)
        program.give(EACCES)

    def _socket_option(self) -> None:
        """A socket that lingers holds up whoever closes it last, for as long as its maker likes: the host, if a session
        sends it one. Pretended, as programs that ask for it do not look."""
        program, as_is = self.program, self.program.new_label()
        program.load(argument(1))
        program.test("==", SOL_SOCKET, no=as_is)
        program.load(argument(2))
        program.give_if("==", SO_LINGER, PRETEND)
        program.label(as_is)
        program.give(ALLOW)

    def _personality(self) -> None:
        """Asking is fine; switching off address randomisation or the like is not."""
        self.program.load(argument(0))
        self.program.give_if("==", 0, ALLOW)
        self.program.give_if("==", 0xFFFFFFFF, ALLOW)
        self.program.give(EPERM)

    def _only_self(self, pid_at: int, kind: Optional[int] = None) -> None:
        if kind is not None:
            self.program.load(argument(0))
            self.program.give_unless("==", kind, EPERM)
        self.program.load(argument(pid_at))
        self.program.give_if("==", 0, ALLOW)
        if self.policy.own_pid is not None:
            self.program.give_if("==", self.policy.own_pid, ALLOW)
        self.program.give(EPERM)

    # Rules where the session sees the host's paths, pids and IPC objects --------------------------------------------

    def _without_namespaces(self) -> None:
        self.answer(METADATA, PRETEND)
        self.answer(ATTRIBUTES, ENOTSUP)
        # Watching a folder tells the names of files in it as they are used, and Landlock does not ask
        self.answer(("inotify_add_watch", "mq_open", "mq_unlink"), EACCES)
        if self.policy.landlock_abi < 3:
            self.answer(("truncate",), EACCES)
        if self._filters_signals():
            self.signals(self.policy.own_pid)

    def _filters_signals(self) -> bool:
        return self.confined_by_path and self.policy.landlock_abi < 6

    def signals(self, own_pid: Optional[int]) -> None:
        """Signals to one process, or to none. A pidfd says nothing about whose it is: none of those."""
        def body() -> None:
            if own_pid is not None:
                self.program.load(argument(0))
                self.program.give_if("==", own_pid, ALLOW)
            self.program.give(EPERM)

        self.rule(("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), body)
        self.answer(("pidfd_send_signal",), EPERM)


def install(program: bytes) -> None:
    """Put this process, all its threads and all it will ever start under a filter, for good.

    Raises:
        OSError: The kernel has no seccomp filters, or refuses this one; nothing has changed then, except that
            this process can no longer gain privileges by exec.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    set_mode_filter, all_threads = 1, 1
    result: int = libc.syscall(ctypes.c_long(number(MACHINE, "seccomp")), ctypes.c_long(set_mode_filter),
                               ctypes.c_long(all_threads), ctypes.c_char_p(header))
    if result > 0:
        raise OSError(errno.EBUSY, "seccomp: thread %d of this process has another filter" % result)
    if result < 0:
        reason = ctypes.get_errno()
        raise OSError(reason, "seccomp: %s; the kernel needs CONFIG_SECCOMP_FILTER" % os.strerror(reason))
