"""Which walls there are, by number and name, and which user a session runs as."""

from __future__ import annotations

import itertools
import os
import platform
from dataclasses import dataclass

from codeact.errors import SandboxUnavailable

__all__ = ["LEVELS", "Level", "candidates", "identity", "is_root", "parse"]


@dataclass(frozen=True)
class Level:
    """One strength of the walls."""

    number: int
    name: str
    """As typed in `sandbox=…`."""
    says: str
    abi_cap: int = 99
    """Largest Landlock version used."""
    abi_least: int = 0
    """Landlock version without which this is not this level."""


LEVELS = {
    level.number: level for level in (
        Level(3, "namespaces", "namespaces + Landlock + seccomp + limits"),
        Level(2, "landlock", "Landlock (ABI 6 or later) + seccomp + limits, no namespaces", abi_least=6),
        Level(1, "landlock-narrow", "Landlock (ABI 1 to 5) + seccomp + limits; a cell cannot signal its children",
              abi_cap=5, abi_least=1),
        Level(0, "none", "no walls: the code can do all that you can"),
    )
}


def parse(sandbox: str | int) -> Level | None:
    """The level meant by a `sandbox=` value; None for "auto".

    Raises:
        ValueError: Nothing is called that.
    """
    if sandbox == "auto":
        return None
    for level in LEVELS.values():
        if sandbox in (level.name, level.number, str(level.number)):
            return level
    names = ", ".join(f"{level.name!r} ({level.number})" for level in LEVELS.values())
    raise ValueError(f"unknown sandbox {sandbox!r}; available: 'auto', {names}")


def candidates(sandbox: str | int) -> list[Level]:
    """The levels to try, strongest first.

    Raises:
        SandboxUnavailable: This is no Linux, and no level 0 was typed out.
    """
    level = parse(sandbox)
    if level is None or level.number > 0:
        if platform.system() != "Linux":
            raise SandboxUnavailable(
                f"the walls need Linux, and this is {platform.system()}; run codeact in a Linux virtual machine (on "
                "Windows: WSL2), or type sandbox='none' to run code with no walls at all")
        if platform.machine() not in ("x86_64", "aarch64"):
            raise SandboxUnavailable(f"there is no system call table for {platform.machine()}: x86_64 and aarch64 are "
                                     "supported; sandbox='none' runs code with no walls at all")
    return [level] if level else [LEVELS[3], LEVELS[2], LEVELS[1]]


# A range no distribution gives to people: each zygote of a root caller gets a number of its own
_FIRST_UID, _UIDS = 0x7000_0000, 0x0100_0000
_next_uid = itertools.count(os.getpid() * 64)


def is_root() -> bool:
    """Whether this is the system's root, who can become anyone; not one of a container whose only number is 0."""
    if os.getuid() != 0:
        return False
    try:
        with open("/proc/self/uid_map") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
    except OSError:
        return True
    return any(first <= _FIRST_UID and first + count >= _FIRST_UID + _UIDS for first, _, count in ranges)


def identity(level: Level) -> tuple[int, int]:
    """The user and group sessions run as: the caller's own, or, for root, a number that nobody has.

    uid 0 is exempt from the limit on processes, so root's sessions change to an unprivileged user.
    """
    if not is_root() or level.number == 0:
        return os.getuid(), os.getgid()
    number = _FIRST_UID + next(_next_uid) % _UIDS
    return number, number
