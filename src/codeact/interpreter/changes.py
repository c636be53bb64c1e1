"""What a session did to a folder of the user's, as a list that can be read, shown as a diff, and chosen from.

`Interpreter.changes()` gives it, and `codeact changes`. Made from what a layer (layers.py) says differs: only that is
looked at, never the whole folder. Everything in it is a session's choice: names may hold any character (`shown` makes
one fit for a terminal), contents may be large or no text.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

from codeact.errors import InterpreterError
from codeact.interpreter.baseline import Baseline, version
from codeact.interpreter.beneath import open_file, readlink
from codeact.interpreter.layers import MAX_PATH_BYTES, Layer

__all__ = ["Change", "Changes", "Kind", "find", "shown"]

Kind = Literal["added", "modified", "deleted", "type changed"]

MAX_CHANGES = 300_000
MAX_TEXT_BYTES = 1 << 20
MAX_DIFF_CHARS = 64 << 10
MAX_COMPARED_LINES = 1500
"""Of the part that differs; beyond, a diff takes long and nobody reads it."""
_CHUNK = 1 << 20
_SPECIAL = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@dataclass(frozen=True)
class Change:
    """One file, link or folder that the session left differently."""

    path: str
    """Relative to the user's folder."""
    kind: Kind
    before: int | None
    """Bytes; None where there was no file."""
    after: int | None
    """Bytes; None where there is no file any more."""
    mode: tuple[int, int] | None = None
    """The permissions before and after, where they differ."""
    folder: bool = False
    """A folder: one that is deleted, new and empty, or has other permissions."""
    refused: str | None = None
    """Why it is never applied."""
    conflict: str | None = None
    """Why applying it would undo something of the user's."""
    _mine: os.stat_result | None = field(default=None, repr=False, compare=False)
    _user: os.stat_result | None = field(default=None, repr=False, compare=False)
    _layer: Layer | None = field(default=None, repr=False, compare=False)

    @property
    def binary(self) -> bool:
        """Whether either side is no text (or too large to be looked at)."""
        return any(text is None for text in self._texts())

    def diff(self) -> str:
        """The change as unified text; a line of words where there are no lines to compare. Cut when it is long."""
        old, new = self._texts()
        name = shown(self.path)
        if old is None or new is None:
            return f"Binary file {name}: {_bytes(self.before)} before, {_bytes(self.after)} after\n"
        sides = ("/dev/null" if self._user is None else f"a/{name}", "/dev/null" if self._mine is None else f"b/{name}")
        text = ""
        if self.mode is not None:
            text = f"{name}: permissions {self.mode[0]:03o} before, {self.mode[1]:03o} after\n"
        text += _unified(_split(old), _split(new), *sides)
        if len(text) > MAX_DIFF_CHARS:
            text = text[:MAX_DIFF_CHARS].rpartition("\n")[0] + f"\n... {len(text) - MAX_DIFF_CHARS:,} characters more\n"
        return text

    def _texts(self) -> tuple[str | None, str | None]:
        layer = self._layer
        assert layer is not None
        old = _text(self._user, lambda: open_file(layer.source, self.path, os.O_RDONLY),
                    lambda: readlink(layer.source, self.path))
        new = _text(self._mine, lambda: layer.open_mine(self.path), lambda: layer.link(self.path))
        return old, new


class Changes(Sequence[Change]):
    """The changes, sorted by path. Folders are only named where that is all there is to say of them.

    Args:
        source: The user's folder.
        every: All of them, folders that other changes imply included.
    """

    def __init__(self, source: Path, every: Sequence[Change]):
        self.source, self.every = source, every
        holding = {change.path[:i] for change in every for i, letter in enumerate(change.path) if letter == "/"}
        self._told = [change for change in every
                      if not (change.folder and change.kind in ("added", "deleted") and change.path in holding)]

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        return self._told[index]

    def __len__(self) -> int:
        return len(self._told)

    def diff(self) -> str:
        """All of them as unified text."""
        return "".join(change.diff() for change in self)

    def __str__(self) -> str:
        return "\n".join(map(line, self)) or "no changes"

    def __repr__(self) -> str:
        return f"<Changes: {len(self)}>"


def line(change: Change) -> str:
    """One change in a line."""
    letter = {"added": "A", "modified": "M", "deleted": "D", "type changed": "T"}[change.kind]
    notes = [] if change.mode is None else [f"permissions {change.mode[0]:03o} to {change.mode[1]:03o}"]
    if not change.folder:
        sizes = [_bytes(size) for size in (change.before, change.after) if size is not None]
        notes.insert(0, " to ".join(dict.fromkeys(sizes)))
    notes += [f"REFUSED: {change.refused}"] if change.refused else []
    notes += [f"CONFLICT: {change.conflict}"] if change.conflict else []
    tail = f"  ({'; '.join(note for note in notes if note)})" if any(notes) else ""
    return f"{letter}  {shown(change.path)}{'/' * change.folder}{tail}"


def shown(path: str) -> str:
    """A path as text that no terminal stumbles over."""
    if path.isprintable():
        return path
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)


def find(layer: Layer, baseline: Baseline) -> Changes:
    """What the session has changed and was not applied.

    Raises:
        InterpreterError: There is too much of it.
    """
    found: list[Change] = []
    for path, mine, user in layer.differing():
        if baseline.is_same(path, version(mine)):
            continue
        change = _change(layer, baseline, path, mine, user)
        if change is not None:
            found.append(change)
        if len(found) > MAX_CHANGES:
            raise InterpreterError(f"the session changed more than {MAX_CHANGES:,} files of {layer.source}; delete "
                                   "what is not needed in a cell, or discard the changes")
    return Changes(layer.source, sorted(found, key=lambda change: change.path))


def _change(layer: Layer, baseline: Baseline, path: str, mine: os.stat_result | None,
            user: os.stat_result | None) -> Change | None:
    if mine is None and user is None:
        return None
    types = [None if one is None else stat.S_IFMT(one.st_mode) for one in (user, mine)]
    mode = None
    if user is not None and mine is not None:
        kind: Kind = "modified" if types[0] == types[1] else "type changed"
        modes = stat.S_IMODE(user.st_mode) & 0o777, stat.S_IMODE(mine.st_mode) & 0o777
        if kind == "modified" and modes[0] != modes[1] and types[0] != stat.S_IFLNK:
            mode = modes
        elif kind == "modified" and (types[0] == stat.S_IFDIR or _equal(layer, path, mine, user)):
            return None
    else:
        kind = "added" if user is None else "deleted"
    now = version(user)
    conflict = None
    if baseline.changed_meanwhile(path, now):
        conflict = "it was deleted meanwhile" if user is None else "it was changed meanwhile"
    return Change(path, kind, _size(user), _size(mine), mode, folder=(types[1] or types[0]) == stat.S_IFDIR,
                  refused=_refused(path, mine, user), conflict=conflict, _mine=mine, _user=user, _layer=layer)


def _refused(path: str, mine: os.stat_result | None, user: os.stat_result | None) -> str | None:
    """Why a change is not one for the user's folder."""
    if user is not None and stat.S_IFMT(user.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        return "what the user has there is no file, folder or link"
    if mine is None:
        return None
    if user is not None and os.geteuid() not in (0, user.st_uid):
        return "the file belongs to another user, and would be yours afterwards"
    kind = stat.S_IFMT(mine.st_mode)
    if kind in _SPECIAL:
        return _SPECIAL[kind]
    if kind == stat.S_IFREG and mine.st_mode & (stat.S_ISUID | stat.S_ISGID):
        return "a set-user-id or set-group-id file"
    if len(os.fsencode(path)) >= MAX_PATH_BYTES:
        return "its path is too long"
    return None


def _equal(layer: Layer, path: str, mine: os.stat_result, user: os.stat_result) -> bool:
    """Whether two files, or two links, have the same content."""
    if mine.st_size != user.st_size:
        return False
    if stat.S_ISLNK(mine.st_mode):
        return layer.link(path) == readlink(layer.source, path)
    if not stat.S_ISREG(mine.st_mode):
        return True
    fds = layer.open_mine(path), open_file(layer.source, path, os.O_RDONLY)
    try:
        if fds[0] is None or fds[1] is None:
            return False
        position = 0
        while True:
            ours, theirs = (os.pread(fd, _CHUNK, position) for fd in fds if fd is not None)
            if ours != theirs:
                return False
            if not ours:
                return True
            position += len(ours)
    finally:
        for fd in fds:
            if fd is not None:
                os.close(fd)


def _size(found: os.stat_result | None) -> int | None:
    return None if found is None or stat.S_ISDIR(found.st_mode) else found.st_size


def _bytes(size: int | None) -> str:
    return "nothing" if size is None else f"{size:,} byte{'s' * (size != 1)}"


def _text(found: os.stat_result | None, opened: Callable[[], int | None], link: Callable[[], str | None]) -> str | None:
    """The content of one side; "" where there is none, None where it is no text."""
    if found is None or stat.S_ISDIR(found.st_mode):
        return ""
    if stat.S_ISLNK(found.st_mode):
        return f"-> {link() or ''}\n"
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_TEXT_BYTES:
        return None
    fd = opened()
    if fd is None:
        return None
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    try:
        return None if len(data) > MAX_TEXT_BYTES or b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _split(text: str) -> list[str]:
    """Lines as editors count them, their ends included."""
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [line for line in text.split("\n")[-1:] if line]


def _unified(old: list[str], new: list[str], before: str, after: str) -> str:
    """A unified diff; where too much differs for one, the lines are counted."""
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    tail = 0
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    sizes = len(old) - same - tail, len(new) - same - tail
    if min(sizes) > 0 and max(sizes) > MAX_COMPARED_LINES:
        return (f"--- {before}\n+++ {after}\n@@ -{same + 1},{sizes[0]} +{same + 1},{sizes[1]} @@ too many lines to "
                "compare\n")
    first, last = max(0, same - 3), max(0, tail - 3)
    return "".join(_lines(difflib.unified_diff(old[first:len(old) - last], new[first:len(new) - last], before, after),
                          first))


def _lines(diff: Iterator[str], offset: int) -> Iterator[str]:
    for text in diff:
        if text.startswith("@@") and offset:
            marks = [f"{mark[0]}{int(mark[1:].partition(',')[0]) + offset}{''.join(mark.partition(',')[1:])}"
                     for mark in text.split()[1:3]]
            text = f"@@ {marks[0]} {marks[1]} @@\n"
        yield text if text.endswith("\n") else f"{text}\n\\ No newline at end of file\n"
