"""Fewer, larger pages for the memory that every session inherits: a fork copies the table of pages entry by entry.

Called by the preloaded zygote once everything is imported. Where the system has no large pages, nothing changes.

Source: madvise(2), MADV_COLLAPSE (Linux 6.1).
"""

from __future__ import annotations

import ctypes
import re

from .walls.libc import libc

__all__ = ["collapse"]

LARGE = 2 << 20
_MADV_COLLAPSE = 25
_PRIVATE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *(?:\[heap\])?$", re.MULTILINE)


def collapse() -> int:
    """Put this process's own memory together into pages of 2 MiB, as far as it goes.

    Returns:
        How many there are now.
    """
    with open("/proc/self/maps", "rb") as file:
        places = [(int(start, 16), int(end, 16)) for start, end in _PRIVATE.findall(file.read())]
    done = 0
    for start, end in places:
        for place in range(-(-start // LARGE) * LARGE, end - LARGE + 1, LARGE):
            done += libc.madvise(ctypes.c_void_p(place), ctypes.c_size_t(LARGE), _MADV_COLLAPSE) == 0
    return done
