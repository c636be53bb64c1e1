"""Moves files into a workspace and out of it, for clients who are not on this machine's file system.

The HTTP service and the MCP server upload, download and list through here. A workspace is hostile: a cell may have put
a link, a pipe or a folder anywhere, and may change it meanwhile. So every step goes through descriptors of folders
(as in beneath.py), no link is followed on any part of a path, and only regular files are read. An upload is written
beside its place and takes it in one step: a failed one leaves what was there.

This does not look at what is in a file: what comes out was written by a cell.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from codeact.interpreter import beneath

__all__ = ["BadPath", "FileEntry", "TooLarge", "check", "listing", "put", "take"]

MAX_PATH = 1024
"""Characters."""
MAX_DEPTH = 64
PIECE = 1 << 20
"""Bytes that are copied at once."""


class BadPath(ValueError):
    """A path that does not name a file of the workspace; the message says what does."""


class TooLarge(ValueError):
    """More bytes than may be moved."""


class Readable(Protocol):
    """A binary file, as far as it is needed here."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class FileEntry:
    """A regular file in a workspace."""

    path: str
    """Relative to the workspace."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since the epoch."""


def put(root: Path, path: str, source: Readable, *, max_bytes: int) -> int:
    """Write a file, with the folders on the way to it; an existing one is replaced.

    Args:
        root: The workspace.
        path: Relative to it.
        source: Read to its end.

    Returns:
        How many bytes were written.

    Raises:
        BadPath: The path leads elsewhere, or there is something on it that is no folder.
        TooLarge: The source has more bytes; nothing is changed then.
        OSError: The file system refuses.
    """
    *folders, name = _parts(path)
    owner = root.stat()
    parent = _make_folders(root, folders, owner)
    try:
        temporary = f".codeact-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o644, dir_fd=parent)
        try:
            with open(fd, "wb") as file:
                written = _copy(source, file, max_bytes)
                _give(fd, owner)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException as error:
            _unlink(temporary, parent)
            if isinstance(error, (IsADirectoryError, NotADirectoryError)):
                raise BadPath(f"{path!r} is a folder; name a file") from None
            raise
        return written
    finally:
        os.close(parent)


def check(path: str) -> None:
    """Judge a path.

    Raises:
        BadPath: It is not a plain relative one.
    """
    _parts(path)


def take(root: Path, path: str) -> BinaryIO:
    """Open a regular file for reading; the caller closes it.

    Raises:
        BadPath: The path leads elsewhere.
        FileNotFoundError: There is no regular file of this name.
    """
    _parts(path)
    fd = beneath.open_file(root, path, os.O_RDONLY)
    if fd is None or not stat.S_ISREG(os.fstat(fd).st_mode):
        if fd is not None:
            os.close(fd)
        raise FileNotFoundError(f"the workspace has no file {path!r}")
    return open(fd, "rb")


def listing(root: Path, *, max_files: int) -> list[FileEntry]:
    """The regular files of a workspace, sorted by path; what begins with a dot is left out.

    Args:
        max_files: No more than so many; which ones, the file system says.
    """
    found: list[FileEntry] = []
    for entry in _walk(root, "", 0):
        if len(found) >= max_files:
            break
        found.append(entry)
    return sorted(found, key=lambda entry: entry.path)


def _parts(path: str) -> list[str]:
    """The names on a path.

    Raises:
        BadPath: It is not a plain relative one.
    """
    parts = path.split("/")
    if len(path) > MAX_PATH or len(parts) > MAX_DEPTH or any(
            part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > 255 for part in _encodable(parts)):
        raise BadPath(f"{path[:100]!r} is no path of a file in the workspace; it is relative, such as data/table.csv, "
                      "without '..' and without a slash at either end")
    return parts


def _encodable(parts: list[str]) -> list[str]:
    """The names, or an empty one (which no file has) for such as no file system can spell."""
    try:
        os.fsencode("".join(parts))
    except UnicodeEncodeError:
        return [""]
    return parts


def _make_folders(root: Path, folders: list[str], owner: os.stat_result) -> int:
    fd = beneath.open_folder(root, "")
    if fd is None:
        raise FileNotFoundError(f"the workspace {root} is gone")
    for position, part in enumerate(folders):
        try:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
                made = True
            except FileExistsError:
                made = False
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            if made:
                _give(inner, owner)
        except OSError as error:
            if isinstance(error, (NotADirectoryError, FileNotFoundError)) or error.errno == errno.ELOOP:   # a link
                raise BadPath(f"{'/'.join(folders[:position + 1])!r} is no folder") from None
            raise
        finally:
            os.close(fd)
        fd = inner
    return fd


def _give(fd: int, owner: os.stat_result) -> None:
    """Let the session own it: as root we would keep it from changing its files."""
    if os.geteuid() == 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _copy(source: Readable, target: BinaryIO, max_bytes: int) -> int:
    written = 0
    while piece := source.read(PIECE):
        written += len(piece)
        if written > max_bytes:
            raise TooLarge(f"a file may have {max_bytes:,} bytes, and this one has more")
        target.write(piece)
    return written


def _unlink(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        pass


def _walk(root: Path, folder: str, depth: int) -> Iterator[FileEntry]:
    fd = beneath.open_folder(root, folder)
    if fd is None:
        return
    inner: list[str] = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue   # gone meanwhile
                if stat.S_ISREG(found.st_mode):
                    yield FileEntry(path, found.st_size, found.st_mtime)
                elif stat.S_ISDIR(found.st_mode):
                    inner.append(path)
    except OSError:
        pass   # not ours to read
    finally:
        os.close(fd)
    if depth < MAX_DEPTH:
        for path in inner:
            yield from _walk(root, path, depth + 1)
