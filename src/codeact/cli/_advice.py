"""What `codeact doctor` knows of Linux: why a wall cannot be raised, and how it might be."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LANDLOCK", "advice", "container", "landlock"]

LANDLOCK = {
    1: "files; moving across folders, truncation, TCP and signals are left to the filter of system calls",
    2: "files; truncation, TCP and signals are left to the filter of system calls",
    3: "files; TCP and signals are left to the filter of system calls",
    4: "files and TCP; signals are left to the filter of system calls",
    5: "files, devices and TCP; signals are left to the filter of system calls",
    6: "files, devices, TCP, signals and abstract sockets",
}
"""What each version governs; later ones no less than the last."""


def container() -> str | None:
    """What this runs inside of, as far as it shows."""
    for mark, name in (("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman"),
                       ("/var/run/secrets/kubernetes.io", "Kubernetes")):
        if os.path.exists(mark):
            return name
    named = os.environ.get("container")  # noqa: SIM112  (systemd spells it so)
    return named or ("WSL" if "microsoft" in platform.release().lower() else None)


def landlock() -> tuple[int, int]:
    """The version of Landlock offered, or 0 and the number of the error."""
    if platform.system() != "Linux":
        return 0, errno.ENOSYS
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        version = libc.syscall(*map(ctypes.c_long, (444, 0, 0, 1)))   # landlock_create_ruleset, the same everywhere
    except (OSError, AttributeError):
        return 0, errno.ENOSYS
    return (version, 0) if version > 0 else (0, ctypes.get_errno())


def _setting(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def advice(number: int, reason: str, python: str) -> Iterator[str]:
    """How a level that was tried and failed, with this reason, might be got."""
    abi, abi_error = landlock()
    if platform.system() != "Linux":
        yield ("the walls need Linux: on Windows run codeact in WSL2 (`wsl --install`), on macOS in a virtual machine "
               "(Lima, Multipass, UTM)")
        return
    mapped = (_setting("/proc/self/uid_map") or "").split()
    if os.geteuid() == 0 and len(mapped) == 3 and int(mapped[2]) < 1 << 31:
        yield ("root is not the real one here, as in a rootless container, and has no number to spare for cells: run "
               "codeact as an ordinary user in it")
    if "cannot reach" in reason:
        yield ("use a Python outside root's home (`codeact doctor --python /usr/bin/python3`), or run codeact as an "
               "ordinary user")
    elif "ended at once" in reason or "cannot start" in reason:
        yield f"see whether {python} starts by itself, and is Python 3.9 or later: {python} -V"
    elif number == 3:
        yield from _namespace_advice(python)
    elif abi == 0:
        yield from _landlock_advice(abi_error)
    elif number == 2 and abi < 6:
        yield (f"Landlock is of version {abi} here, and this level needs 6, which Linux 6.12 and later have. Level 1 "
               "is what older ones give: a cell is as shut in, but cannot signal its own children")


def _namespace_advice(python: str) -> Iterator[str]:
    found = False
    if not os.path.exists("/proc/self/ns/user"):
        found = True
        yield "this kernel is built without user namespaces (CONFIG_USER_NS); take one of a distribution"
    for setting, good in (("kernel.unprivileged_userns_clone", 1), ("user.max_user_namespaces", 15000)):
        if _setting("/proc/sys/" + setting.replace(".", "/")) == "0":
            found = True
            yield (f"{setting} is 0, which forbids user namespaces. An administrator allows them with "
                   f"`sudo sysctl -w {setting}={good}`, and for good with that line in /etc/sysctl.d/60-codeact.conf")
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" and os.geteuid():
        found = True
        yield ("AppArmor forbids user namespaces to programs without a profile (Ubuntu 23.10 and later). An "
               "administrator allows them to this Python with a file /etc/apparmor.d/codeact that holds\n"
               "    abi <abi/4.0>,\n    include <tunables/global>\n"
               f"    profile codeact {os.path.realpath(python)} flags=(unconfined) {{ userns, }}\n"
               "and `sudo apparmor_parser -r /etc/apparmor.d/codeact`; levels 1 and 2 need nothing of this")
    mounts = _setting("/proc/self/mountinfo") or ""
    masked = re.findall(r"^\S+ \S+ \S+ \S+ (/proc/(?!sys/fs/binfmt_misc)\S+)", mounts, re.M)
    filtered = re.search(r"^Seccomp:\s*2", _setting("/proc/self/status") or "", re.M)
    if masked or (filtered and container()):
        found = True
        what = " and ".join([f"/proc is partly covered ({masked[0]})"] * bool(masked)
                            + ["system calls are filtered"] * bool(filtered))
        yield (f"codeact runs inside a container or sandbox where {what}. Docker and Podman open it with "
               "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt "
               "systempaths=unconfined`, which makes the container itself weaker; levels 1 and 2 need none of it")
    if not found:
        yield "nothing known stands in the way; please report this with the output of `codeact doctor --json`"


def _landlock_advice(error: int) -> Iterator[str]:
    modules = _setting("/sys/kernel/security/lsm")
    version = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    if error == errno.EOPNOTSUPP or (modules and "landlock" not in modules.split(",")):
        yield ("Landlock is in this kernel, but not switched on at boot: put landlock first into the kernel's "
               f"parameter (lsm=landlock,{modules or '...'}), in /etc/default/grub for instance, and start again")
    elif version < (5, 13):
        yield f"Landlock came with Linux 5.13, and this is {platform.release()}: a newer kernel, best 6.12 or later"
    elif error == errno.EPERM:
        yield ("a filter of system calls hides Landlock, as in a container; Docker opens it with "
               "`--security-opt seccomp=unconfined`")
    else:
        yield "this kernel is built without Landlock (CONFIG_SECURITY_LANDLOCK), or a container's filter hides it"
