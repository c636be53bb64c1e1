"""The workspace of a saved session: which files, folders and links it has; into the file and out of it.

No link is ever followed, neither in the workspace that is stored nor in the one that is filled: both may be hostile
(beneath.py). Contents go in and out block by block.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError
from codeact.interpreter.beneath import open_file, open_folder
from codeact.interpreter.levels import is_root

__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "MAX_TOTAL_BYTES", "Tree"]

MAX_FILES = 50_000
"""Files, folders and links together. Above 65535 the zip would be of another kind."""
MAX_FILE_BYTES = 512 << 20
MAX_TOTAL_BYTES = 1 << 30
MAX_PATH = 4000
MAX_NAMED = 1000
"""What was left out is named up to here."""
_BLOCK = 1 << 20


@dataclass
class File:
    """One regular file."""

    path: str
    mode: int
    mtime: int
    """Nanoseconds since the epoch."""
    size: int


@dataclass
class Tree:
    """What a workspace holds; paths are relative to it."""

    files: list[File] = field(default_factory=list)
    folders: list[tuple[str, int]] = field(default_factory=list)
    """Path and mode."""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Path and target; only what does not lead out."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Path -> why it was not stored."""

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    # Into the file ----------------------------------------------------------------------------------------------------

    def store(self, root: Path) -> Iterator[Iterator[bytes]]:
        """Fill this from a workspace; yields the contents of one file after another, to be read before the next."""
        pending, total = [""], 0
        while pending:
            folder = pending.pop()
            fd = open_folder(root, folder)
            if fd is None:
                self._leave(folder, "it cannot be read")
                continue
            try:
                with os.scandir(fd) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError as error:
                self._leave(folder, error.strerror or "it cannot be read")
                continue
            finally:
                os.close(fd)
            for name in names:
                path = f"{folder}/{name}" if folder else name
                if len(self.files) + len(self.folders) + len(self.links) >= MAX_FILES:
                    self._leave(path, f"there are more than {MAX_FILES} files")
                    continue
                contents = self._one(root, path, pending, total)
                if contents is not None:
                    yield contents
                    total += self.files[-1].size

    def _one(self, root: Path, path: str, pending: list[str], total: int) -> Iterator[bytes] | None:
        folder, _, name = path.rpartition("/")
        parent = open_folder(root, folder)
        if parent is None:
            return None     # gone again
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            target = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else ""
        except OSError:
            return None
        finally:
            os.close(parent)
        try:
            too_long = len(os.fsencode(path)) > MAX_PATH 
        except UnicodeEncodeError:
            too_long = True
        if too_long:
            self._leave(path, "its path is too long")
        elif stat.S_ISDIR(found.st_mode):
            self.folders.append((path, stat.S_IMODE(found.st_mode) & 0o777))
            pending.append(path)
        elif stat.S_ISLNK(found.st_mode):
            if leads_out(path, target):
                self._leave(path, "it is a link that leads out of the workspace")
            else:
                self.links.append((path, target))
        elif not stat.S_ISREG(found.st_mode):
            self._leave(path, "it is no regular file")
        elif found.st_size > MAX_FILE_BYTES:
            self._leave(path, f"it is larger than {MAX_FILE_BYTES >> 20} MB")
        elif total + found.st_size > MAX_TOTAL_BYTES:
            self._leave(path, f"the files together are larger than {MAX_TOTAL_BYTES >> 20} MB")
        else:
            fd = open_file(root, path, os.O_RDONLY)
            if fd is None:
                self._leave(path, "it cannot be read")
                return None
            self.files.append(File(path, stat.S_IMODE(found.st_mode) & 0o777, found.st_mtime_ns, found.st_size))
            return self._blocks(fd, self.files[-1])
        return None

    def _blocks(self, fd: int, file: File) -> Iterator[bytes]:
        """The contents, as long as the file was when it was looked at; shorter when it shrinks meanwhile."""
        limit, file.size = file.size, 0
        with os.fdopen(fd, "rb", buffering=0) as source:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return      # replaced meanwhile
            while file.size < limit and (block := source.read(min(_BLOCK, limit - file.size))):
                file.size += len(block)
                yield block

    def _leave(self, path: str, reason: str) -> None:
        if len(self.left_out) < MAX_NAMED:
            self.left_out[path or "."] = reason
        else:
            self.left_out["..."] = "and more"

    # In the manifest --------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        return {"files": [[file.path, file.mode, file.mtime, file.size] for file in self.files],
                "folders": self.folders, "links": self.links, "left_out": self.left_out}

    @staticmethod
    def from_json(manifest: dict[str, Any]) -> Tree:
        """Read it back, checked.

        Raises:
            ConfigError: It is malformed, or a path leads out of the workspace.
        """
        files, folders, links, left_out = (manifest.get(key) for key in ("files", "folders", "links", "left_out"))
        if not (isinstance(files, list) and isinstance(folders, list) and isinstance(links, list)
                and isinstance(left_out, dict)) or len(files) + len(folders) + len(links) > MAX_FILES:
            raise ConfigError("its list of files is malformed, or too long")
        tree = Tree(left_out={str(path)[:MAX_PATH]: str(reason)[:200] for path, reason in left_out.items()})
        for path, mode, mtime, size in files:
            if not all(type(number) is int and 0 <= number < 1 << 63 for number in (mode, mtime, size)):
                raise ConfigError("its list of files is malformed")
            tree.files.append(File(_inside(path), mode & 0o777, mtime, size))
        for path, mode in folders:
            if type(mode) is not int:
                raise ConfigError("its list of files is malformed")
            tree.folders.append((_inside(path), mode & 0o777))
        for path, target in links:
            if not isinstance(target, str) or "\0" in target or len(target) > MAX_PATH \
                    or leads_out(_inside(path), target):
                raise ConfigError(f"it has a link that leads out of the workspace: {str(path)[:100]!r}")
            os.fsencode(target)
            tree.links.append((path, target))
        leaves = [file.path for file in tree.files] + [path for path, _ in tree.links]
        known = {*leaves, *(path for path, _ in tree.folders)}
        if len(known) != len(leaves) + len(tree.folders):
            raise ConfigError("it has two files of the same path")
        taken = set(leaves)
        for path in known:
            while path := path.rpartition("/")[0]:
                if path in taken:
                    raise ConfigError(f"it has a file inside a file: {path[:100]!r}")
        return tree

    # Out of the file --------------------------------------------------------------------------------------------------

    def unpack(self, source: Path, root: Path, *, without: frozenset[str] | None = None) -> None:
        """Make a workspace of ours what was stored; files that are there are written anew, others removed.

        Args:
            source: The saved file.
            root: The workspace.
            without: Paths of files and links to leave out, and with them the folders that hold nothing else.

        Raises:
            OSError, ConfigError: The file was changed since it was read, or the disk is full.
        """
        owner = root.stat()
        give = (owner.st_uid, owner.st_gid) if is_root() else None
        folders = self.folders if without is None else []
        without = without or frozenset()
        self._clear(root, {file.path for file in self.files} - without, {path for path, _ in folders})
        for path, _ in folders:
            _folder(root, path, give)
        with zipfile.ZipFile(source) as archive:
            for number, file in enumerate(self.files):
                if file.path not in without:
                    _fill(root, file, archive, f"files/{number}", give)
        for path, target in self.links:
            if path not in without:
                _link(root, path, target, give)
        for path, mode in reversed(folders):
            fd = open_folder(root, path)
            if fd is not None:
                os.fchmod(fd, mode | 0o700)
                os.close(fd)

    def _clear(self, root: Path, keep: set[str], wanted: set[str]) -> None:
        """Remove what is not to be there: all but these files, and these folders and those above the files."""
        for path in list(keep):
            while path := path.rpartition("/")[0]:
                wanted.add(path)
        pending = [""]
        while pending:
            folder = pending.pop()
            fd = open_folder(root, folder)
            if fd is None:
                continue
            try:
                for name in os.listdir(fd):
                    path = f"{folder}/{name}" if folder else name
                    mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        if path in wanted:
                            pending.append(path)
                        else:
                            shutil.rmtree(name, dir_fd=fd, ignore_errors=True)
                    elif path not in keep or not stat.S_ISREG(mode):
                        os.unlink(name, dir_fd=fd)
            except OSError:
                pass    # gone again
            finally:
                os.close(fd)


def leads_out(path: str, target: str) -> bool:
    """Whether a link at `path` leads out of the workspace, as far as its text says."""
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return target.startswith("/") or end == ".." or end.startswith("../")


def _inside(path: Any) -> str:
    """A path that stays in the workspace, as it is.

    Raises:
        ConfigError: It does not.
    """
    if not isinstance(path, str) or not path or len(path) > MAX_PATH or "\0" in path \
            or any(part in ("", ".", "..") for part in path.split("/")):
        raise ConfigError(f"it has a path that leads out of the workspace: {str(path)[:100]!r}")
    os.fsencode(path)
    return path


def _folder(root: Path, path: str, give: tuple[int, int] | None) -> None:
    """Make a folder, and those above it."""
    done = ""
    for name in path.split("/"):
        parent = open_folder(root, done)
        if parent is None:
            raise OSError(f"the workspace changed while it was filled: {done}")
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            if give:
                os.chown(name, *give, dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        done = f"{done}/{name}" if done else name


def _fill(root: Path, file: File, archive: zipfile.ZipFile, member: str, give: tuple[int, int] | None) -> None:
    folder = file.path.rpartition("/")[0]
    if folder:
        _folder(root, folder, give)
    fd = open_file(root, file.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if fd is None:
        raise OSError(f"the workspace changed while it was filled: {file.path}")
    with os.fdopen(fd, "wb") as target, archive.open(member) as source:
        left = file.size
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise ConfigError("the saved file was changed while it was loaded")
            target.write(block)
        target.flush()      # before the time of change is set
        if give:
            os.fchown(fd, *give)
        os.fchmod(fd, file.mode | 0o600)
        os.utime(fd, ns=(file.mtime, file.mtime))


def _link(root: Path, path: str, target: str, give: tuple[int, int] | None) -> None:
    folder, _, name = path.rpartition("/")
    if folder:
        _folder(root, folder, give)
    parent = open_folder(root, folder)
    if parent is None:
        return
    try:
        os.symlink(target, name, dir_fd=parent)
        if give:
            os.chown(name, *give, dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
