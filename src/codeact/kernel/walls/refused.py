"""System calls that are answered by name alone, whatever their arguments. Used by `seccomp.py`.

A list of what is refused ages: calls added to Linux after the review in `syscalls.py` are refused by number instead.
"""

from __future__ import annotations

__all__ = ["ABSENT", "ATTRIBUTES", "METADATA", "REFUSED"]

REFUSED = (
    # Other processes: memory, descriptors, code, and where their pages lie
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_getfd",
    "migrate_pages", "move_pages",
    # Mounts and namespaces: the way to a fresh set of capabilities, and to most kernel faults that need one
    "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "unshare", "setns", "quotactl", "quotactl_fd",
    # Files around the path checks
    "open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark",
    # Engines inside the kernel; io_uring would also do file and socket work that no filter sees
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    # Keys of the user's login session, shared across processes
    "add_key", "request_key", "keyctl",
    "lsm_set_self_attr", "modify_ldt", "mbind", "set_mempolicy", "set_mempolicy_home_node",
    # The machine itself; most need a capability that is gone, and this is the second lock
    "kexec_load", "kexec_file_load", "reboot", "init_module", "finit_module", "delete_module", "acct", "swapon",
    "swapoff", "syslog", "vhangup", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime",
    "adjtimex", "iopl", "ioperm",
)
"""Answered with EPERM at every level."""

ABSENT = (
    "clone3",    # its flags lie behind a pointer; the C libraries fall back to clone, whose flags can be seen
    "openat2",   # so do its mode and flags; see `_opening` in seccomp.py
    "statmount", "listmount", "memfd_secret", "lookup_dcookie", "nfsservctl", "create_module", "get_kernel_syms",
    "query_module", "_sysctl", "uselib", "ustat", "sysfs",
    # System V objects outlive their maker and count towards no process
    "shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv",
    "msgctl",
)
"""Answered with ENOSYS at every level: programs then do without."""

METADATA = ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
            "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr",
            "fremovexattr", "removexattrat")
"""Landlock governs none of these, at any ABI; the ones by descriptor work on files opened for reading too."""

ATTRIBUTES = ("getxattr", "lgetxattr", "getxattrat", "listxattr", "llistxattr", "listxattrat", "file_setattr")
"""Attributes by path, which Landlock does not guard: a file's origin on the web is often noted in one."""
