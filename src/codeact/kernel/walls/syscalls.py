"""System call numbers by name, for x86_64 and aarch64. Used by `seccomp.py`, `landlock.py` and `rlimits.py`.

Only the calls that a wall treats or makes stand here. A test compares them with the system's own headers.

Source: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl; reviewed up to Linux 6.18.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

__all__ = ["FIRST_UNREVIEWED", "GAPS", "MACHINES", "NUMBERS", "number", "numbers"]

MACHINES = ("x86_64", "aarch64")

FIRST_UNREVIEWED = 470
"""The first number nobody looked at when this file was last reviewed; file_setattr (469) came with Linux 6.17."""

GAPS = {"x86_64": (335, 424), "aarch64": (295, 424)}
"""Numbers from the first up to (not including) the second that no program calls.

On x86_64 the kernel itself places uretprobe (335) and uprobe (336) there.
"""

NUMBERS: Dict[str, Tuple[Optional[int], Optional[int]]] = {
    # Looking into, or acting on, other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # Files
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "creat": (85, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "getxattr": (191, 8),
    "lgetxattr": (192, 9),
    "getxattrat": (464, 464),
    "listxattr": (194, 11),
    "llistxattr": (195, 12),
    "listxattrat": (465, 465),
    "file_setattr": (469, 469),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    # Memory, and what lives outside any process
    "mmap": (9, 222),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # Sockets
    "socket": (41, 198),
    "socketpair": (53, 199),
    "setsockopt": (54, 208),
    # Large parts of the kernel that cells have no use for
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "lsm_set_self_attr": (460, 460),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    # The machine's own administration
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "nfsservctl": (180, 42),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "_sysctl": (156, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    # What the walls themselves call
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "capset": (126, 91),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}
"""Name -> (number on x86_64, number on aarch64); None where the machine has no such call."""


def number(machine: str, name: str) -> int:
    """One number.

    Raises:
        LookupError: The machine or the call is not in the table, or the machine has no such call.
    """
    found = numbers(machine, (name,))
    if not found:
        raise LookupError("%s has no system call %s" % (machine, name))
    return found[0]


def numbers(machine: str, names: Iterable[str]) -> List[int]:
    """The numbers of those calls that the machine has, ascending.

    Raises:
        LookupError: The machine or a call is not in the table.
    """
    if machine not in MACHINES:
        raise LookupError("no system call table for %s; there is one for %s" % (machine, " and ".join(MACHINES)))
    column = MACHINES.index(machine)
    found = (NUMBERS[name][column] for name in names)
    return sorted(value for value in found if value is not None)
