"""The small files of a workspace as they were at the last checkpoint, so that cells after it can be replayed on them.

Only for workspaces of ours: a folder of the user's is never rewound. A session's files are hostile: every path is
walked without following symbolic links, and only regular files are read or written.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from codeact.interpreter.beneath import open_file, unlink

__all__ = ["Mirror"]

MAX_FILE_BYTES = 4 << 20
MAX_TOTAL_BYTES = 64 << 20


class Mirror:
    """A copy of what may have to be put back.

    Args:
        root: The workspace.
        store: A folder of ours for the copies; made when first needed.
    """

    def __init__(self, root: Path, store: Path):
        self._root, self._store = root, store
        self._kept: dict[str, str | None] = {}
        """Path -> name of its copy; None when it was too large to copy."""
        self._dirty: set[str] = set()
        self._bytes = 0
        self._names = 0

    def touched(self, paths: set[str]) -> None:
        """These changed since the last `keep`."""
        self._dirty |= paths

    def keep(self) -> None:
        """Now is a checkpoint: remember the files as they are."""
        for path in self._dirty:
            old = self._kept.pop(path, None)
            if old is not None:
                copy = self._store / old
                self._bytes -= copy.stat().st_size
                copy.unlink()
            self._copy(path)
        self._dirty.clear()

    def _copy(self, path: str) -> None:
        fd = open_file(self._root, path, os.O_RDONLY)
        if fd is None:
            return
        with os.fdopen(fd, "rb") as source:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return
            if found.st_size > MAX_FILE_BYTES or self._bytes + found.st_size > MAX_TOTAL_BYTES:
                self._kept[path] = None
                return
            self._store.mkdir(mode=0o700, exist_ok=True)
            self._names += 1
            name = str(self._names)
            with open(self._store / name, "wb") as target:
                shutil.copyfileobj(source, target)
            self._bytes += found.st_size
            self._kept[path] = name

    def rewind(self) -> bool:
        """Put the files back as they were at the last `keep`; False, with nothing changed, where one was too large."""
        if any(self._kept.get(path, "") is None for path in self._dirty):
            return False
        for path in self._dirty:
            name = self._kept.get(path)
            if name is None:
                unlink(self._root, path)
                continue
            fd = open_file(self._root, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            if fd is not None:
                with os.fdopen(fd, "wb") as target, open(self._store / name, "rb") as source:
                    shutil.copyfileobj(source, target)
        return True
