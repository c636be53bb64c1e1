"""`files`: one folder of the host, to look at, and to write to where the user says so.

    files:/some/dir         files.list, files.read, files.search
    files:/some/dir:rw      files.write too

Paths are relative to the folder. Each step of a path is opened by itself and no link is followed, so that neither `..`
nor a link nor a folder that is swapped meanwhile leads out; only regular files are read. Not protected against: what
other programs put into the folder; hard links to files elsewhere that the user owns.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError
from codeact.tools.module import ToolModule
from codeact.tools.tool import Tool

__all__ = ["create"]

MAX_READ = 1 << 20
"""Characters that one call gives."""
MAX_SEARCHED = 2 << 20
"""Bytes of a file that is searched; larger ones are passed over."""
MAX_WRITE = 16 << 20
MAX_ENTRIES = 2000
MAX_VISITED = 50_000
MAX_DEPTH = 32

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def create(spec: str = "") -> ToolModule:
    """The tools, for `plugins`.

    Args:
        spec: The folder; with `:rw` behind it cells may write there.

    Raises:
        ConfigError: There is no such folder.
    """
    path, colon, mode = spec.rpartition(":")
    if not colon or mode not in ("ro", "rw"):
        path, mode = spec, "ro"
    try:
        folder = os.open(Path(path).expanduser(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if path else -1
    except OSError as error:
        raise ConfigError(f"files:{path}: {error.strerror}; it takes a folder: \"files:DIR\", or \"files:DIR:rw\" to "
                          "write too") from None
    if folder < 0:
        raise ConfigError("files takes a folder: \"files:DIR\", or \"files:DIR:rw\" to write too")
    kept = _Folder(folder)
    tools: list[Tool[..., Any]] = [Tool(kept.entries, name="list"), Tool(kept.read), Tool(kept.search)]
    if mode == "rw":
        tools.append(Tool(kept.write))
    name = Path(path).expanduser().resolve().name
    may = "to read and write" if mode == "rw" else "read-only"
    doc = f"The files of the folder {name!r} on the user's machine, {may}."
    return ToolModule("files", tools, doc, close=kept.close)


class _Folder:
    """The tools' own; `descriptor` is the folder, and owned."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def entries(self, path: str = ".", pattern: str = "*", recursive: bool = False) -> list[dict[str, Any]]:
        """What is in a folder: [{"path", "type": "file", "folder", "link" or "other", "size"}], sorted by path.

        `pattern` is matched against names, as in "*.py". With `recursive`, folders in it too. At most 2000 entries.
        """
        found: list[dict[str, Any]] = []
        for name, info in self._walk(path, recursive):
            if fnmatch.fnmatchcase(name.rpartition("/")[2], pattern):
                found.append({"path": name, "type": _kind(info), "size": info.st_size})
                if len(found) >= MAX_ENTRIES:
                    break
        return sorted(found, key=lambda entry: str(entry["path"]))

    def read(self, path: str, start: int = 0, max_chars: int = 100_000) -> str:
        """The text of a file, from character `start` on."""
        with self._opened(path) as file:
            size = os.fstat(file).st_size
            if size > MAX_WRITE:
                raise ValueError(f"{path} has {size} bytes; files up to {MAX_WRITE} can be read")
            text = _read(file, MAX_WRITE).decode("utf-8", "replace")
        start = max(0, start)
        return text[start:start + max(0, min(max_chars, MAX_READ))]

    def search(self, text: str, path: str = ".", pattern: str = "*", max_results: int = 100) -> list[dict[str, Any]]:
        """Lines that contain a text, whatever the case: [{"path", "line": number, "text"}].

        `pattern` is matched against names of files. Folders in `path` are searched too.
        """
        wanted = text.casefold()
        if not wanted:
            raise ValueError("there is nothing to search for")
        found: list[dict[str, Any]] = []
        for name, info in self._walk(path, True):
            if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_SEARCHED or \
                    not fnmatch.fnmatchcase(name.rpartition("/")[2], pattern):
                continue
            try:
                with self._opened(name) as file:
                    content = _read(file, MAX_SEARCHED)
            except OSError:
                continue
            if b"\0" in content[:1024]:
                continue
            for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
                if wanted in line.casefold():
                    found.append({"path": name, "line": number, "text": line[:500]})
                    if len(found) >= max(1, min(max_results, MAX_ENTRIES)):
                        return found
        return found

    def write(self, path: str, text: str, append: bool = False) -> int:
        """Write a file, whole or not at all, and the folders it needs; the bytes it has then."""
        data = text.encode("utf-8")
        *folders, name = _steps(path) or [""]
        if not name:
            raise ValueError("this is no path of a file")
        with self._into(folders, make=True) as folder:
            mode = 0o644
            try:
                with _regular(name, folder) as old:
                    mode = os.fstat(old).st_mode & 0o777
                    data = _read(old, MAX_WRITE + 1) + data if append else data
            except FileNotFoundError:
                pass
            if len(data) > MAX_WRITE:
                raise ValueError(f"files up to {MAX_WRITE} bytes can be written")
            draft = f".codeact-{secrets.token_hex(8)}"
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(data)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(draft, dir_fd=folder)
                raise
        return len(data)

    # Ways -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _into(self, steps: list[str], *, make: bool = False) -> Iterator[int]:
        """A folder below, opened step by step."""
        if self._descriptor < 0:
            raise RuntimeError("the folder was closed")
        at = os.dup(self._descriptor)
        try:
            for step in steps:
                try:
                    below = os.open(step, _FOLDER, dir_fd=at)
                except FileNotFoundError:
                    if not make:
                        raise
                    os.mkdir(step, dir_fd=at)
                    below = os.open(step, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            yield at
        except OSError as error:
            raise _told(error, "/".join(steps)) from None
        finally:
            os.close(at)

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        *folders, name = _steps(path) or ["."]
        with self._into(folders) as folder, _regular(name, folder) as file:
            yield file

    def _walk(self, path: str, recursive: bool) -> Iterator[tuple[str, os.stat_result]]:
        visited = 0
        waiting = [_steps(path)]
        while waiting:
            steps = waiting.pop()
            try:
                with self._into(steps) as folder:
                    entries = []
                    with os.scandir(folder) as listed:
                        for entry in listed:
                            entries.append((entry.name, entry.stat(follow_symlinks=False)))
                            if visited + len(entries) >= MAX_VISITED:
                                break
            except OSError:
                if steps == _steps(path):
                    raise
                continue   # a folder that cannot be read
            visited += len(entries)
            for name, info in sorted(entries, reverse=True, key=lambda entry: entry[0]):
                if recursive and stat.S_ISDIR(info.st_mode) and len(steps) < MAX_DEPTH and visited < MAX_VISITED:
                    waiting.append([*steps, name])
            for name, info in sorted(entries, key=lambda entry: entry[0]):
                yield "/".join([*steps, name]), info


def _steps(path: str) -> list[str]:
    """The names of a path.

    Raises:
        ValueError: It leads out.
    """
    if "\0" in path or path.startswith(("/", "~")):
        raise ValueError(f"{path!r:.200}: paths are relative to the folder")
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise ValueError(f"{path!r:.200} leads out of the folder")
    return steps


@contextmanager
def _regular(name: str, folder: int) -> Iterator[int]:
    """A regular file in a folder, opened to read; nothing else is waited for."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _told(error, name) from None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise IsADirectoryError(errno.EISDIR, "no regular file", name)
        yield file
    finally:
        os.close(file)


def _read(file: int, most: int) -> bytes:
    content = bytearray()
    while len(content) < most and (piece := os.read(file, min(1 << 20, most - len(content)))):
        content += piece
    return bytes(content)


def _told(error: OSError, name: str) -> OSError:
    """The error in words that fit: a link is refused with ELOOP, or ENOTDIR where a folder is wanted."""
    if error.errno == errno.ELOOP:
        return PermissionError(errno.EACCES, "links are not followed", name)
    return error


def _kind(info: os.stat_result) -> str:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(info.st_mode), "other")
