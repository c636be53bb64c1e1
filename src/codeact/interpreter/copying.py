"""Makes the copy of a folder of the user's that a session works in, and brings an earlier one up to date.

Used where no overlay can be had. Blocks are shared where the file system can (reflink); else bytes are copied, up to a
limit. Run once a session, never for a cell. What the session has changed is left as it is; all else becomes what the
user has now, and the versions are written down in the baseline.

Left out: named pipes, sockets and devices, what cannot be read, and other file systems mounted inside.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from codeact.errors import ConfigError
from codeact.interpreter.baseline import Baseline, version
from codeact.interpreter.beneath import copy_bytes, lstat, open_file, open_folder, parent, readlink, remove_tree

__all__ = ["MAX_BYTES", "MAX_FILES", "bring_up_to_date"]

log = logging.getLogger("codeact.interpreter")

MAX_BYTES = 2 << 30
"""Of what is copied byte by byte."""
MAX_FILES = 200_000


def bring_up_to_date(source: Path, folder: Path, baseline: Baseline, owner: tuple[int, int] | None) -> None:
    """Make `folder` what `source` is now, but for what the session changed in it.

    Args:
        owner: Whose the copies are to be; None leaves them the host's.

    Raises:
        ConfigError: The folder is too large to be copied.
        OSError: The copy could not be written.
    """
    _Run(source, folder, baseline, owner).run()


class _Run:
    def __init__(self, source: Path, folder: Path, baseline: Baseline, owner: tuple[int, int] | None):
        self.source, self.folder, self.baseline, self.owner = source, folder, baseline, owner
        self.device = source.stat().st_dev
        self.entries: list[list[object]] = []
        self.n_files = self.n_bytes = self.n_skipped = 0

    def run(self) -> None:
        if self.owner is not None and self.folder.stat().st_uid != self.owner[0]:
            self._hand_over(self.owner)
        there: set[str] = set()
        pending = [""]
        while pending:
            path = pending.pop()
            fd = open_folder(self.source, path)
            if fd is None:
                self.n_skipped += 1
                continue
            try:
                names = os.listdir(fd)
                for name in names:
                    inner = f"{path}/{name}" if path else name
                    there.add(inner)
                    if self._take(inner, os.stat(name, dir_fd=fd, follow_symlinks=False)):
                        pending.append(inner)
            except FileNotFoundError:
                continue   # gone while we looked
            finally:
                os.close(fd)
        gone = [path for path, (mine, user) in self.baseline.same.items()
                if user is not None and path not in there and self._untouched(path)]
        for path in sorted(gone, reverse=True):
            try:
                remove_tree(self.folder, path)
                self.entries.append(["forget", path])
            except OSError:
                continue
        self.baseline.add(*self.entries)
        if self.n_skipped:
            log.warning("%d files of %s were not copied for the session: they cannot be read, or are no files",
                        self.n_skipped, self.source)

    def _hand_over(self, owner: tuple[int, int]) -> None:
        """Sessions of a root host are another user each time; a new owner is no change of the session's."""
        for place, folders, files, fd in os.fwalk(self.folder, follow_symlinks=False):
            for name in (*folders, *files):
                path = os.path.relpath(os.path.join(place, name), self.folder)
                untouched = self._untouched(path)
                os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)
                if untouched and path in self.baseline.same:
                    self.baseline.same[path] = version(lstat(self.folder, path)), self.baseline.same[path][1]
                    self.entries.append(["same", path, *self.baseline.same[path]])
        os.chown(self.folder, *owner)

    def _untouched(self, path: str) -> bool:
        """Whether the session has left its copy alone."""
        mine = lstat(self.folder, path)
        if path in self.baseline.same:
            return self.baseline.is_same(path, version(mine))
        return mine is None

    def _take(self, path: str, user: os.stat_result) -> bool:
        """Copy one entry if it is new; True for a folder to go into."""
        self.n_files += 1
        if self.n_files > MAX_FILES:
            raise self._too_large(f"it holds more than {MAX_FILES:,} files")
        known = self.baseline.same.get(path)
        if known is not None and known[1] == version(user):
            return stat.S_ISDIR(user.st_mode) and user.st_dev == self.device
        if not self._untouched(path):
            return False
        kind = stat.S_IFMT(user.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            self.n_skipped += 1
            return False
        try:
            if known is not None and not (kind == stat.S_IFDIR and stat.S_ISDIR((known[0] or (0,))[0])):
                remove_tree(self.folder, path)
            self._copy(path, user)
        except PermissionError:
            self.n_skipped += 1
            return False
        self.entries.append(["same", path, version(lstat(self.folder, path)), version(user)])
        return kind == stat.S_IFDIR and user.st_dev == self.device

    def _copy(self, path: str, user: os.stat_result) -> None:
        mode = stat.S_IMODE(user.st_mode) & 0o777
        with parent(self.folder, path) as (fd, name):
            if stat.S_ISDIR(user.st_mode):
                try:
                    os.mkdir(name, 0o700, dir_fd=fd)
                except FileExistsError:
                    pass
                made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                mode |= 0o700   # or the copy could not be written and removed
            elif stat.S_ISLNK(user.st_mode):
                os.symlink(readlink(self.source, path) or "", name, dir_fd=fd)
                if self.owner is not None:
                    os.chown(name, *self.owner, dir_fd=fd, follow_symlinks=False)
                return
            else:
                given = open_file(self.source, path, os.O_RDONLY)
                if given is None:
                    raise PermissionError(13, "cannot be read", path)
                try:
                    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                                   dir_fd=fd)
                    if not copy_bytes(given, made):
                        self.n_bytes += user.st_size
                        if self.n_bytes > MAX_BYTES:
                            os.close(made)
                            raise self._too_large(f"it holds more than {MAX_BYTES >> 20:,} MiB")
                    os.utime(made, ns=(user.st_atime_ns, user.st_mtime_ns))
                finally:
                    os.close(given)
            try:
                if self.owner is not None:
                    os.fchown(made, *self.owner)
                os.fchmod(made, mode)
            finally:
                os.close(made)

    def _too_large(self, why: str) -> ConfigError:
        return ConfigError(f"{self.source} cannot be copied for a session: {why}. Take a smaller folder; or "
                           "mode='live' (--live) lets cells work in the folder itself; `codeact doctor` says how to "
                           "get walls with overlays, which need no copy")
