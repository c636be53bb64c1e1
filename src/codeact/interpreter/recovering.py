"""Cleans up after an apply that was killed or failed: what stands under a name of ours, and where it belongs.

applying.py writes down what it begins; pending.py calls `recover` before it does anything else with the user's folder.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from codeact.interpreter import renames
from codeact.interpreter.baseline import Baseline, Begun, Version
from codeact.interpreter.beneath import lstat, parent

__all__ = ["PREFIX", "as_expected", "recover"]

PREFIX = ".codeact-"
"""Of a name of ours beside a file of the user's."""

log = logging.getLogger("codeact.interpreter")


def recover(source: Path, baseline: Baseline) -> None:
    """Clean up after an apply that was killed: each file of the user's is under its own name, old or new.

    Raises:
        OSError: It could not be done; nothing is lost.
    """
    for temporary, begun in list(baseline.begun.items()):
        if lstat(source, temporary) is not None:
            with parent(source, temporary) as (fd, name):
                _clean_up(fd, name, begun.path.rpartition("/")[2], begun)
        baseline.add(["end", temporary])


def _clean_up(fd: int, name: str, target: str, begun: Begun) -> None:
    """What stands under a name of ours is our new version, or the user's old one."""
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    ours = begun.puts and begun.inode in (None, found.st_ino)   # None: killed before it could have been swapped
    if ours or (not stat.S_ISDIR(found.st_mode) and as_expected(found, begun.expected)):
        renames.unlink(fd, name)
        return
    # A folder, or a version nobody expected: back to its place
    try:
        renames.rename(fd, name, target)
        return
    except FileExistsError:
        pass
    if os.stat(target, dir_fd=fd, follow_symlinks=False).st_ino == begun.inode:
        renames.exchange(fd, name, target)
        if os.stat(name, dir_fd=fd, follow_symlinks=False).st_ino == begun.inode:
            renames.unlink(fd, name)
            return
    kept = f"{target}.kept-{name[len(PREFIX):].partition('.')[0]}"
    renames.rename(fd, name, kept)
    log.warning("two versions of %r were written while it was replaced; the other one is now %r", target, kept)




def as_expected(found: os.stat_result, expected: Version | None) -> bool:
    """Whether this is the version; its time of change is not compared, as moving it is a change."""
    if expected is None:
        return False
    if stat.S_ISDIR(found.st_mode):
        return stat.S_ISDIR(expected[0])
    return (found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns) == expected[:4]
