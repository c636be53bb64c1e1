"""What one session may use. Raised as walls inside the kernel and watched from the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MOST", "Limits", "check"]

MOST = 1_000_000_000
"""More than any machine has of anything, and little enough for every system call and every sum made of it."""
RESERVE_MB = 16
"""A worker holds so much back from its cells (kernel/reserve.py): their MemoryError comes before its end."""
_NEEDED = ("tmp_mb", "output_kb", "checkpoints", "checkpoint_mb")
"""What is never without a limit."""


@dataclass(frozen=True)
class Limits:
    """Limits of one session; None means no limit.

    Raises:
        ValueError: A limit is not a positive number, or more than `MOST`; or not a whole one where it counts something.
    """

    wall_seconds: float | None = 60.0
    """Of one cell, unless `run(timeout=…)` says otherwise. The cell is then interrupted; its variables stay."""
    cpu_seconds: float | None = 300.0
    """Of one cell, all its processes together."""
    memory_mb: int | None = 2048
    """MiB of the whole tree of processes; a single process that asks for more gets MemoryError."""
    processes: int | None = 128
    """Processes and threads at once."""
    open_files: int | None = 1024
    """Of one process."""
    file_mb: int | None = 1024
    """MiB of the largest file that can be written."""
    workspace_mb: int | None = 4096
    """MiB that the session may add to its workspace."""
    packages_mb: int | None = 2048
    """MiB of the packages installed for the session."""
    tmp_mb: int = 256
    """MiB of the private /tmp, and of /dev/shm; both lie in memory. At levels 1 and 2 /tmp counts to the workspace."""
    output_kb: int = 1024
    """KiB of printed text kept of a cell; of the rest, only the last 64 KiB."""
    checkpoints: int = 3
    """States kept to go back to, besides those with a name."""
    checkpoint_mb: int = 2048
    """MiB that these may hold of their own before the oldest is given up."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None or name in _NEEDED:
                check(value, f"Limits({name}=...)", whole=not name.endswith("_seconds"),
                      otherwise="" if name in _NEEDED else ", or None for no limit")

    @property
    def tree_kb(self) -> int | None:
        """KiB above which the whole tree of processes is ended."""
        return None if self.memory_mb is None else (self.memory_mb + RESERVE_MB) << 10

    def for_kernel(self) -> dict[str, Any]:
        """The part the kernel enforces on each of its processes."""
        return {"memory_mb": self.memory_mb, "processes": self.processes, "open_files": self.open_files,
                "file_mb": self.file_mb}


def check(value: object, said: str, *, whole: bool = False, otherwise: str = "") -> None:
    """See that a number can be a limit.

    Args:
        said: What it was given as.
        whole: It counts something.
        otherwise: What else would do, in words.

    Raises:
        ValueError: It cannot.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= MOST:
        given = repr(value)[:60] if not isinstance(value, int) or abs(value) < 10 ** 18 else "a number of many digits"
        raise ValueError(f"{said} is {given}: it is a positive {'whole ' * whole}number, at most {MOST:,}{otherwise}")
