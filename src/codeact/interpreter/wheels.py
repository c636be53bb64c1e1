"""Unpacks wheels into a session's folder: files are checked, copied and bounded, and nothing of a wheel is run.

`Packages` calls `unpack` for each wheel, whether it came from an index or out of a build inside the walls; both are
untrusted. pip's own installer is not used: it sets no bound on what a small archive unpacks to.

Left out: scripts, headers and data files (`NAME.data/scripts` and its like), `.pth` files, compiled bytecode. Not
protected against: what the modules do when they are imported, which happens inside the walls.

Source: PEP 427; the binary distribution format of the Python Packaging User Guide.
"""

from __future__ import annotations

import email.parser
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from codeact.interpreter.requirements import normalised

__all__ = ["BadWheel", "Wheel", "merge"]

MAX_FILES = 100_000
MAX_PATH_CHARS, MAX_DEPTH = 1000, 40
MAX_METADATA_BYTES = 16 << 20
_CHUNK = 1 << 20

_FILE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._]*)-([A-Za-z0-9][A-Za-z0-9._+!]*)(?:-[0-9][A-Za-z0-9_.]*)?"
                        r"-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl", re.A)
_LEFT_OUT = re.compile(r"[^/]*\.pth|(.*/)?__pycache__/.*|.*\.pyc")


class BadWheel(Exception):
    """A wheel breaks a rule; the message says which."""


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    target: str
    """Where it goes, relative to the folder of modules."""


class Wheel:
    """A wheel that has been looked at, file by file, and that `unpack` may write out.

    Args:
        path: Of a file that nobody else can change.

    Raises:
        BadWheel: It breaks a rule.
    """

    def __init__(self, path: Path):
        self.path = path
        named = _FILE_NAME.fullmatch(path.name) if len(path.name) <= 255 else None
        if named is None:
            raise BadWheel(f"{path.name[:100]!r} is not the name of a wheel")
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = self._checked(archive.infolist())
                self.name, self.version = self._metadata(archive)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, EOFError) as error:
            raise BadWheel(f"{path.name} cannot be read: {error}") from None
        if normalised(self.name) != normalised(named[1]):
            raise BadWheel(f"{path.name} says of itself that it is {self.name!r}"[:500])
        self.n_bytes = sum(member.info.file_size for member in self._members)
        """Of its files, as the archive says; `unpack` holds it to that."""

    def _checked(self, infos: list[zipfile.ZipInfo]) -> list[_Member]:
        if len(infos) > MAX_FILES:
            raise BadWheel(f"{self.path.name} has {len(infos)} files; at most {MAX_FILES} are taken")
        members = []
        for info in infos:
            _check_name(self.path.name, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadWheel(f"{self.path.name}: {info.filename!r} is no plain file")
            if info.flag_bits & 1:
                raise BadWheel(f"{self.path.name}: {info.filename!r} is encrypted")
            target = None if info.is_dir() else _target(info.filename)
            if target is not None:
                members.append(_Member(info, target))
        if len({member.target for member in members}) != len(members):
            raise BadWheel(f"{self.path.name} holds a file twice")
        return members

    def _metadata(self, archive: zipfile.ZipFile) -> tuple[str, str]:
        found = [member.info for member in self._members if re.fullmatch(r"[^/]+\.dist-info/METADATA", member.target)]
        if len(found) != 1 or found[0].file_size > MAX_METADATA_BYTES:
            raise BadWheel(f"{self.path.name} has no METADATA that can be read")
        with archive.open(found[0]) as file:
            text = file.read(MAX_METADATA_BYTES).decode("utf-8", "replace")
        fields = email.parser.HeaderParser().parsestr(text)
        name, version = str(fields.get("Name", "")).strip(), str(fields.get("Version", "")).strip()
        self.addresses = [str(line)[:200] for line in fields.get_all("Requires-Dist", [])
                          if "@" in str(line).partition(";")[0]]
        """Packages that it wants by address and not by name."""
        return name, version

    def unpack(self, folder: Path) -> None:
        """Write its files into an empty folder of ours.

        Raises:
            BadWheel: It holds more than it says.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in self._members:
                    target = folder / member.target
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._copy(archive, member, target)
            for place, _, _ in os.walk(folder):
                os.chmod(place, 0o755)   # whatever the umask: sessions of root are another user
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, EOFError) as error:
            raise BadWheel(f"{self.path.name} cannot be unpacked: {error}") from None

    def _copy(self, archive: zipfile.ZipFile, member: _Member, target: Path) -> None:
        left = member.info.file_size
        mode = 0o755 if (member.info.external_attr >> 16) & 0o100 else 0o644
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with open(handle, "wb") as out, archive.open(member.info) as source:
            while data := source.read(_CHUNK):
                left -= len(data)
                if left < 0:
                    raise BadWheel(f"{self.path.name}: {member.target!r} is larger than it says")
                out.write(data)
            os.fchmod(handle, mode)


def merge(source: Path, target: Path) -> None:
    """Move what is in one folder of ours into another; what is there already stays. Modules come before metadata."""
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name.endswith(".dist-info")):
        place = target / entry.name
        if not place.exists():
            os.rename(entry.path, place)
        elif entry.is_dir(follow_symlinks=False) and place.is_dir():
            merge(Path(entry.path), place)


def _check_name(wheel: str, name: str) -> None:
    parts = name.rstrip("/").split("/")
    if (not name or name.startswith("/") or "\\" in name or len(name) > MAX_PATH_CHARS or len(parts) > MAX_DEPTH
            or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > 255 for part in parts)
            or not name.isprintable()):
        raise BadWheel(f"{wheel}: {name[:100]!r} is no path inside it")


def _target(name: str) -> str | None:
    """Where a file goes; None for what is left out."""
    data = re.match(r"[^/]+\.data/([^/]+)/(.+)", name)
    if data is not None:
        if data[1] not in ("purelib", "platlib"):
            return None
        name = data[2]
    elif re.match(r"[^/]+\.data/", name):
        return None
    return None if _LEFT_OUT.fullmatch(name) else name

