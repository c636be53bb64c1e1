"""The file of a saved session: a zip of a manifest, the journal, the stored variables and the workspace's files.

`write` makes one, whole or not at all; `read` checks one before anything is made of it. Nothing in it is pickled. The
members are numbered (`files/0`, `files/1`, ...) and the manifest says which path each is, so that no name in the zip is
ever used as a path. saving.py decides what goes in and what becomes of it.

A file to be read is untrusted: sizes are checked before anything is unpacked, paths before anything is written, and
what is written stays in the workspace (saved_files.py). What this does not protect against: what the code in the file
does when it is run again, inside the session's walls, like any cell.

Source: docs/decisions/0006-saved-sessions.md.
"""

from __future__ import annotations

import errno
import json
import os
import time
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from codeact.errors import ConfigError
from codeact.interpreter.journal import Entry
from codeact.interpreter.saved_files import Tree

__all__ = ["FORMAT", "Saved", "read", "write"]

FORMAT = 1
MAX_JSON_BYTES = 64 << 20
MAX_PARTS_BYTES = 512 << 20
"""Of the binary values of the variables; the same again of the tools' answers."""
MAX_DIRECTORY_BYTES = 16 << 20
MAX_CELLS = 1_000_000
_END = 22
"""Bytes of a zip's last record, without a comment."""
_BLOCK = 1 << 20


@dataclass
class Saved:
    """What a file holds."""

    cells: int
    """How many cells had run: the next is one more."""
    entries: list[Entry]
    """Of the journal."""
    state: bytes | None
    """The variables as the kernel spelled them; JSON."""
    parts: list[bytes]
    """Their binary values."""
    tree: Tree
    """The workspace."""
    folder: str | None
    """The user's folder it worked in, whose files are not here; None where it had a workspace of its own."""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    unstored: str = ""
    """Why there is no state."""
    path: Path | None = None
    """Where it was read from: the files' contents are still there."""
    told: bool = True
    """Whether the model is told of it with its first result; else who loads it does that."""


# Writing --------------------------------------------------------------------------------------------------------------


def write(path: Path, saved: Saved, root: Path | None) -> int:
    """Make the file, replacing one of that name in one step; its size in bytes.

    Args:
        root: The workspace that `saved.tree` lists; None where no files are stored.

    Raises:
        OSError: It cannot be written.
        ConfigError: The session is too large.
    """
    target = Path(os.path.abspath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file")
    part = target.with_name(f".{target.name}.{os.urandom(6).hex()}.part")
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=False, compresslevel=1) as archive:
                _fill(archive, saved, root)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell() if file.seek(0, os.SEEK_END) else 0
        os.replace(part, target)
    except zipfile.LargeZipFile:
        raise ConfigError("the session is too large to be saved: a file holds at most 2 GB") from None
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    with suppress(OSError):     # not every file system lets a folder be synchronised
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return size


def _fill(archive: zipfile.ZipFile, saved: Saved, root: Path | None) -> None:
    journal, answers = _spell_journal(saved.entries)
    if root is not None:
        for number, blocks in enumerate(saved.tree.store(root)):
            _add(archive, f"files/{number}", blocks)
    _add(archive, "journal.json", [journal])
    _add(archive, "journal.bin", answers)
    if saved.state is not None:
        _add(archive, "state.json", [saved.state])
        _add(archive, "state.bin", saved.parts)
    manifest = {
        "format": FORMAT, "cells": saved.cells, "workspace": saved.folder, "python": saved.python,
        "packages": saved.packages, **saved.tree.as_json(), "journal_sizes": [len(part) for part in answers],
        "state_sizes": [len(part) for part in saved.parts] if saved.state is not None else None,
        "unstored": saved.unstored}
    _add(archive, "manifest.json", [json.dumps(manifest).encode()])


def _add(archive: zipfile.ZipFile, name: str, blocks: Iterable[bytes]) -> None:
    blocks = iter(blocks)
    first = next(blocks, b"")
    sample = first[:1 << 16]
    info = zipfile.ZipInfo(name, time.localtime()[:6])
    # What is compressed already, or random, takes ten times as long and gets no smaller
    gains = len(zlib.compress(sample, 1)) < 0.9 * len(sample)
    info.compress_type = zipfile.ZIP_DEFLATED if gains else zipfile.ZIP_STORED
    with archive.open(info, "w") as target:
        target.write(first)
        for block in blocks:
            target.write(block)


def _spell_journal(entries: Sequence[Entry]) -> tuple[bytes, list[bytes]]:
    for with_answers in (True, False):      # too many answers: the cells that got them cannot be replayed
        answers: list[bytes] = []
        spelled = []
        for entry in entries:
            calls = [[question, [[header, len(answers), _keep(answers, parts)] for header, parts in replies]]
                     for question, replies in entry.calls.items()] if with_answers else []
            replayable = entry.replayable and not entry.network and (with_answers or not entry.calls)
            spelled.append([entry.code, entry.number, entry.seconds, entry.fingerprint, replayable, entry.pure,
                            entry.files, sorted(entry.touched), calls, entry.inputs])
        text = json.dumps(spelled).encode()
        if len(text) <= MAX_JSON_BYTES and sum(map(len, answers)) <= MAX_PARTS_BYTES:
            return text, answers
    raise ConfigError(f"the session is too large to be saved: the code of its cells is over {MAX_JSON_BYTES >> 20} MB")


def _keep(answers: list[bytes], parts: Sequence[bytes]) -> int:
    answers.extend(map(bytes, parts))
    return len(parts)


# Reading --------------------------------------------------------------------------------------------------------------


def read(path: str | Path, max_bytes: int | None) -> Saved:
    """What a file holds, checked from end to end.

    Args:
        max_bytes: Of the workspace's files together; None for no limit.

    Raises:
        FileNotFoundError, OSError: There is no such file, or it cannot be read.
        ConfigError: It is no saved session, is damaged, or breaks a limit.
    """
    with open(path, "rb") as file:
        try:
            return _read(file, Path(path), max_bytes)
        except ConfigError as error:
            raise ConfigError(f"{path} cannot be loaded: {error}") from None
        except Exception as error:      # zipfile, zlib and json have many ways to say no
            if isinstance(error, OSError) and error.errno != errno.EINVAL:      # an offset that is none
                raise
            raise ConfigError(f"{path} cannot be loaded: it is no saved session, or it is damaged "
                              f"({type(error).__name__}: {str(error)[:200]})") from None


def _read(file: IO[bytes], path: Path, max_bytes: int | None) -> Saved:
    _check_end(file)
    with zipfile.ZipFile(file) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.filename in members:
                raise ConfigError(f"it has two members named {info.filename[:100]!r}")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ConfigError("it has a member that is encrypted or compressed in a way this version does not know")
            members[info.filename] = info
        manifest = _json(archive, members, "manifest.json")
        if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
            raise ConfigError("it is no saved session")
        if manifest["format"] != FORMAT:
            raise ConfigError(f"it has format {manifest['format']}, and this version of codeact reads format {FORMAT}")
        tree = Tree.from_json(manifest)
        if max_bytes is not None and tree.total > max_bytes:
            raise ConfigError(f"its workspace holds {tree.total >> 20} MB, and the limit is {max_bytes >> 20} MB "
                              "(Limits(workspace_mb=...))")
        answers = _parts(archive, members, "journal.bin", manifest.get("journal_sizes"))
        entries = _entries(_json(archive, members, "journal.json"), answers)
        sizes = manifest.get("state_sizes")
        state = None if sizes is None else _bytes(archive, members, "state.json", MAX_JSON_BYTES)
        parts = [] if sizes is None else _parts(archive, members, "state.bin", sizes)
        expected = {"manifest.json", "journal.json", "journal.bin"} | {f"files/{n}" for n in range(len(tree.files))} \
            | (set() if sizes is None else {"state.json", "state.bin"})
        if set(members) != expected:
            odd = sorted(set(members) ^ expected)[0]
            raise ConfigError(f"its members are not those its manifest speaks of ({odd[:100]!r})")
        for number, item in enumerate(tree.files):
            _check_file(archive, members[f"files/{number}"], item.size)
    cells, folder, unstored = manifest.get("cells"), manifest.get("workspace"), manifest.get("unstored")
    packages = manifest.get("packages")
    if type(cells) is not int or not 0 <= cells <= MAX_CELLS or not isinstance(folder, str | None) \
            or not isinstance(unstored, str) or not isinstance(packages, dict):
        raise ConfigError("its manifest is malformed")
    return Saved(cells, entries, state, parts, tree, folder, str(manifest.get("python", ""))[:40],
                 {str(name)[:40]: str(version)[:40] for name, version in packages.items()}, unstored[:1000], path)


def _check_end(file: IO[bytes]) -> None:
    """The zip's last record, before `zipfile` believes it: a list of members of a size that can be held in memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END))
    end = file.read(_END)
    if len(end) < _END or end[:4] != b"PK\5\6" or end[20:22] != b"\0\0":
        raise ConfigError("it is no saved session, or its end is missing")
    if int.from_bytes(end[12:16], "little") > MAX_DIRECTORY_BYTES:
        raise ConfigError("it has more members than a saved session can have")
    file.seek(0)


def _bytes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, limit: int) -> bytes:
    if name not in members:
        raise ConfigError(f"it has no {name}")
    with archive.open(members[name]) as source:
        data = source.read(limit + 1)
        if len(data) > limit:
            raise ConfigError(f"its {name} is over the limit of {limit >> 20} MB")
        source.read(1)      # its end: here the checksum is compared
    return data


def _json(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Any:
    return json.loads(_bytes(archive, members, name, MAX_JSON_BYTES))


def _parts(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, sizes: Any) -> list[bytes]:
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise ConfigError("its manifest is malformed")
    whole = memoryview(_bytes(archive, members, name, MAX_PARTS_BYTES))
    if sum(sizes) != len(whole):
        raise ConfigError(f"its {name} is not as long as its manifest says")
    parts, start = [], 0
    for size in sizes:
        parts.append(bytes(whole[start:start + size]))
        start += size
    return parts


def _check_file(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> None:
    with archive.open(info) as source:
        left = size
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                break
    if left:
        raise ConfigError("a file in it is not as long as its manifest says")


def _entries(rows: Any, answers: Sequence[bytes]) -> list[Entry]:
    if not isinstance(rows, list):
        raise ConfigError("its journal is malformed")
    entries = []
    for row in rows:
        code, number, seconds, fingerprint, replayable, pure, files, touched, calls, inputs = row
        well = (isinstance(code, str) and type(number) is int and 0 <= number <= MAX_CELLS
                and isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 and isinstance(fingerprint, str)
                and all(type(flag) is bool for flag in (replayable, pure, files))
                and isinstance(touched, list) and all(isinstance(path, str) for path in touched)
                and isinstance(inputs, list) and all(isinstance(line, str | None) for line in inputs))
        if not well or not isinstance(calls, list):
            raise ConfigError("its journal is malformed")
        entries.append(Entry(code, number, float(seconds), fingerprint, replayable, pure, files, inputs=inputs,
                             touched=frozenset(touched),
                             calls={_text(question): [_reply(reply, answers) for reply in replies]
                                    for question, replies in calls}))
    numbers = [entry.number for entry in entries]
    if numbers != sorted(set(numbers)):
        raise ConfigError("its journal is malformed: the cells are not in order")
    return entries


def _reply(spelled: Any, answers: Sequence[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    header, first, count = spelled
    if not isinstance(header, dict) or header.get("t") != "reply" or type(first) is not int or type(count) is not int \
            or not 0 <= first <= first + count <= len(answers):
        raise ConfigError("its journal is malformed")
    return header, list(answers[first:first + count])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError("its journal is malformed")
    return value
