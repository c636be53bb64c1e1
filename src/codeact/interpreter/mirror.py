"""The small files of a workspace as they were at each state, so that going back to one brings its files too.

Only for workspaces of ours: a folder of the user's is never put back. A session's files are hostile: every path is
walked without following symbolic links; regular files and links are kept, and nothing else. What is too large is
named, not kept, unless the file system can share its blocks.

What somebody else wrote between two cells (an upload, the user's own editor) is no part of a state: it stays, as it was
written, when an older state comes back. What a cell left running wrote between cells cannot be told from that.

Source: ioctl_ficlone(2).
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import stat
import threading
from pathlib import Path
from typing import NamedTuple

from codeact.interpreter.beneath import copy_bytes, make_folders, open_file, readlink, remove_empty, symlink, unlink
from codeact.interpreter.watch import MAX_CHANGED

__all__ = ["UNTOLD", "Files", "Mirror", "Store"]

UNTOLD = f"whatever else changed where a cell changed more than {MAX_CHANGED:,} files"
"""Among the files that stay as they are."""
MAX_FILE_BYTES = 4 << 20
MAX_TOTAL_BYTES = 64 << 20
FICLONE = 0x40049409


class Copy:
    """A file's content and mode at one moment; its disk space is given back when nobody refers to it any more."""

    def __init__(self, store: Store, path: Path, size: int, mode: int):
        self.store, self.path, self.size, self.mode = store, path, size, mode

    def __del__(self) -> None:
        self.store.drop(self)


class TooLarge:
    """In place of a copy: one of these is never the same version as another."""


Version = Copy | str | TooLarge
"""A file's copy, or a link's target."""

_moments = itertools.count(1)


class Files(dict[str, Version]):
    """A workspace at one moment, by path."""

    def __init__(self, files: dict[str, Version] | None = None, moment: int = 0):
        super().__init__(files or {})
        self.moment = moment
        """Rises from one to the next, in all workspaces; 0 for before anything was there."""


class Store:
    """Where copies lie; a session shares it with its branches.

    Args:
        folder: Ours; made when first needed, removed by whoever gave it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._bytes = self._names = 0

    def copy(self, source: int) -> Copy | TooLarge:
        """Keep the open regular file `source` as it is, unless it is too large, or the disk full."""
        found = os.fstat(source)
        with self._lock:
            fits = found.st_size <= MAX_FILE_BYTES and self._bytes + found.st_size <= MAX_TOTAL_BYTES
            self._names += 1
            path = self._folder / str(self._names)
            self._bytes += found.st_size if fits else 0
        kept = Copy(self, path, found.st_size if fits else 0, stat.S_IMODE(found.st_mode))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            with open(path, "wb") as target:
                try:
                    fcntl.ioctl(target.fileno(), FICLONE, source)
                except OSError:
                    if not fits:
                        return TooLarge()
                    # No more than was there: something may go on writing to it
                    copy_bytes(source, target.fileno(), most=found.st_size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return TooLarge()
        return kept

    def adopt(self, copy: Copy) -> Copy | TooLarge:
        """Keep what another store has kept."""
        with open(copy.path, "rb") as source:
            kept = self.copy(source.fileno())
        if isinstance(kept, Copy):
            kept.mode = copy.mode
        return kept

    def drop(self, copy: Copy) -> None:
        """Nobody needs it any more."""
        with self._lock:
            self._bytes -= copy.size
        copy.path.unlink(missing_ok=True)


class _Given(NamedTuple):
    """A file as somebody other than a cell left it."""

    moment: int
    """When that was seen."""
    version: Version
    written: int
    """When a cell had written it last; 0 for never."""


class Mirror:
    """What a workspace holds, by its changes.

    Args:
        root: The workspace.
        store: For the copies.
    """

    def __init__(self, root: Path, store: Store):
        self.root, self.store = root, store
        self._kept: dict[str, Version] = {}
        self._dirty: set[str] = set()
        self._given: dict[str, _Given] = {}
        """What no cell wrote."""
        self._by_cells: dict[str, int] = {}
        """When a cell wrote a file last."""
        self._untold = 0
        """When more had changed, the last time, than anyone knows by name."""

    def branch(self, root: Path, store: Store) -> Mirror:
        """For another workspace, still empty, that is to be a copy of this one."""
        other = Mirror(root, store)
        for path, given in self._given.items():
            version = store.adopt(given.version) if isinstance(given.version, Copy) else given.version
            other._given[path] = given._replace(version=version)
        if self._untold:
            other.touched_more()
        return other

    @property
    def is_behind(self) -> bool:
        """Whether files that changed have not been looked at yet."""
        return bool(self._dirty)

    def touched(self, paths: set[str], *, by_cells: bool = True) -> None:
        """These changed since the last `keep`."""
        self._dirty |= paths
        now = next(_moments)
        if by_cells:
            self._by_cells.update(dict.fromkeys(paths, now))
            return
        self._look_at_dirty()   # now: the next cell may change it
        for path in paths:
            self._given.pop(path, None)
            if path in self._kept:
                self._given[path] = _Given(now, self._kept[path], self._by_cells.get(path, 0))

    def touched_more(self) -> None:
        """More changed than could be told; these files stay as they are for good."""
        self._untold = next(_moments)

    def keep(self) -> Files:
        """The files as they are now."""
        self._look_at_dirty()
        return Files(self._kept, next(_moments))

    def _look_at_dirty(self) -> None:
        for path in self._dirty:
            self._kept.pop(path, None)
            self._look(path)
        self._dirty.clear()

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
        """Whether cells can find the files as they were, and run again without writing over what was given."""
        if self._untold > files.moment or any(isinstance(files.get(path), TooLarge) for path in self._differing(files)):
            return False
        return not any(
            given.moment > files.moment and (path in files or given.written > files.moment)
            for path, given in self._given.items())

    def put_back(self, files: Files) -> list[str]:
        """Make the workspace what it was, with what was given since.

        Returns:
            The files that stay as they are, as they were too large to keep; sorted. `UNTOLD` may be among them.
        """
        wanted = Files({**files, **self._given_since(files)}, files.moment)
        differing = sorted(self._differing(wanted))
        for path in differing:
            if path not in wanted:
                unlink(self.root, path)
        left = [path for path in differing if path in wanted and not self._write(path, wanted[path])]
        self._kept = dict(wanted)
        self._dirty = set(left)
        return [*left, UNTOLD] if self._untold > files.moment else left

    def _given_since(self, files: Files) -> dict[str, Version]:
        return {path: given.version for path, given in self._given.items() if given.moment > files.moment}

    def _differing(self, files: Files) -> set[str]:
        missing = object()
        return self._dirty | {path for path in {*files, *self._kept}
                              if files.get(path, missing) is not self._kept.get(path, missing)}

    def _write(self, path: str, kept: Version) -> bool:
        if isinstance(kept, TooLarge):
            return False
        unlink(self.root, path)   # a link, or a file that others hold open, is not written through
        remove_empty(self.root, path)
        make_folders(self.root, path.rpartition("/")[0])
        if isinstance(kept, str):
            symlink(self.root, path, kept)
            return readlink(self.root, path) == kept
        fd = open_file(self.root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if fd is None:
            return False   # something else lies there, or on the way
        with os.fdopen(fd, "wb") as target, open(kept.path, "rb") as source:
            copy_bytes(source.fileno(), target.fileno())
            os.fchmod(target.fileno(), kept.mode)
        return True
