"""Puts the memory that every session inherits in order: few large pages, and no holes.

A fork copies the table of pages entry by entry, and each page that is written to. Called by the preloaded zygote once
everything is imported. Where the system has no large pages, nothing changes.

Source: madvise(2), MADV_COLLAPSE (Linux 6.1); Objects/obmalloc.c of CPython.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

from .walls.libc import libc

__all__ = ["collapse", "fill_holes"]

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


MOST = 50_000
"""Blocks of one size: no zygote has so many holes."""


def fill_holes() -> None:
    """Take what is free between the objects there are, for ever: what a session allocates then lies together, in fresh
    pages, and not all over those it shares with others."""
    small, large = ctypes.pythonapi.PyObject_Malloc, ctypes.pythonapi.PyMem_RawMalloc
    for allocate in (small, large):
        allocate.restype, allocate.argtypes = ctypes.c_size_t, [ctypes.c_size_t]
    for size in range(512, 0, -16):   # Python's own allocator: pools of blocks of one size
        _fill(small, size, 8192 // size, 3 * size)
    size = 100_000                    # the C library's: from large holes to small ones
    while size > 8:
        _fill(large, size, 2, 32)
        size = size - 16 if size <= 1100 else size * 7 // 8


def _fill(allocate: Any, size: int, enough: int, slack: int) -> None:
    """Allocate until so many blocks in a row lie one after another, as they do where nothing was before."""
    before = row = 0
    for _ in range(MOST):
        place = allocate(size)
        row = row + 1 if before < place <= before + size + slack else 0
        if row >= enough:
            return
        before = place
