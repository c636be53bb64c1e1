"""The small files of a workspace as they were at each state, so that going back to one brings its files too.

Only for workspaces of ours: a folder of the user's is never put back. A session's files are hostile: every path is
walked without following symbolic links; regular files and links are kept, and nothing else. What is too large is
named, not kept, unless the file system can share its blocks.

Source: ioctl_ficlone(2).
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

from codeact.interpreter.beneath import copy_bytes, lstat, make_folders, open_file, readlink, symlink, unlink

__all__ = ["Files", "Mirror", "Store"]

MAX_FILE_BYTES = 4 << 20
MAX_TOTAL_BYTES = 64 << 20
FICLONE = 0x40049409


class Copy:
    """A file's content and mode at one moment; its disk space is given back when nobody refers to it any more."""

    def __init__(self, store: Store, path: Path, size: int, mode: int):
        self.store, self.path, self.size, self.mode = store, path, size, mode

    def __del__(self) -> None:
        self.store.drop(self)


Files = Mapping[str, "Copy | str | None"]
"""A workspace at one moment: path -> its copy, or a link's target, or None where it was too large to keep."""


class Store:
    """Where copies lie; a session shares it with its branches.

    Args:
        folder: Ours; made when first needed, removed by whoever gave it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._bytes = self._names = 0

    def copy(self, source: int) -> Copy | None:
        """Keep the open regular file `source` as it is; None where it is too large."""
        found = os.fstat(source)
        with self._lock:
            fits = found.st_size <= MAX_FILE_BYTES and self._bytes + found.st_size <= MAX_TOTAL_BYTES
            self._names += 1
            path = self._folder / str(self._names)
            self._bytes += found.st_size if fits else 0
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with open(path, "wb") as target:
            try:
                fcntl.ioctl(target.fileno(), FICLONE, source)
            except OSError:
                if not fits:
                    path.unlink()
                    return None
                copy_bytes(source, target.fileno())
        return Copy(self, path, found.st_size if fits else 0, stat.S_IMODE(found.st_mode))

    def drop(self, copy: Copy) -> None:
        """Nobody needs it any more."""
        with self._lock:
            self._bytes -= copy.size
        copy.path.unlink(missing_ok=True)


class Mirror:
    """What a workspace holds, by its changes.

    Args:
        root: The workspace.
        store: For the copies.
        files: What it holds already.
    """

    def __init__(self, root: Path, store: Store, files: Files | None = None):
        self.root, self.store = root, store
        self._kept: dict[str, Copy | str | None] = dict(files or {})
        self._dirty: set[str] = set()
        self._not_by_cells: set[str] = set()

    def touched(self, paths: set[str], *, by_cells: bool = True) -> None:
        """These changed since the last `keep`. What no cell made (an upload) is not removed when a state comes back."""
        self._dirty |= paths
        if by_cells:
            self._not_by_cells -= paths
        else:
            self._not_by_cells |= paths

    def keep(self) -> Files:
        """The files as they are now."""
        for path in self._dirty:
            self._kept.pop(path, None)
            self._look(path)
        self._dirty.clear()
        return dict(self._kept)

    def _look(self, path: str) -> None:
        target = readlink(self.root, path)
        if target is not None:
            self._kept[path] = target
            return
        fd = open_file(self.root, path, os.O_RDONLY)
        if fd is None:
            return
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._kept[path] = self.store.copy(fd)
        finally:
            os.close(fd)

    def can_put_back(self, files: Files) -> bool:
        """Whether every file that differs now was kept then."""
        return all(files.get(path, "") is not None for path in self._differing(files))

    def put_back(self, files: Files) -> list[str]:
        """Make the workspace what it was.

        Returns:
            The files that stay as they are, as they were too large to keep; sorted.
        """
        left = []
        for path in sorted(self._differing(files)):
            if path not in files:
                if path not in self._not_by_cells:
                    unlink(self.root, path)
            elif not self._write(path, files[path]):
                left.append(path)
        self._kept = dict(files)
        self._dirty = set(left) | {path for path in self._not_by_cells if path not in files}
        return left

    def _differing(self, files: Files) -> set[str]:
        missing = object()
        return self._dirty | {path for path in {*files, *self._kept}
                              if files.get(path, missing) is not self._kept.get(path, missing)}

    def _write(self, path: str, kept: Copy | str | None) -> bool:
        if kept is None:
            return False
        unlink(self.root, path)   # a link, or a file that others hold open, is not written through
        make_folders(self.root, path.rpartition("/")[0])
        if isinstance(kept, str):
            symlink(self.root, path, kept)
            return True
        fd = open_file(self.root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if fd is None:
            return lstat(self.root, path) is None   # its folder cannot be made: something else lies there
        with os.fdopen(fd, "wb") as target, open(kept.path, "rb") as source:
            copy_bytes(source.fileno(), target.fileno())
            os.fchmod(target.fileno(), kept.mode)
        return True
