"""The files of a conversation: a folder that hostile code writes in, and that people read from and put into.

Nothing is read or written through a link, nor outside the folder, whatever a name says.
"""

import contextlib
import mimetypes
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from codeact.chats.values import FileInfo
from codeact.errors import ChatRefused, NotFound

__all__ = ["archived", "listed", "read", "remove", "write"]

_MAX_FILES = 5_000
_MAX_LOOKED_AT = 50_000
_MAX_BYTES = 256 << 20
_NO_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC


def listed(folder: Path) -> list[FileInfo]:
    """Regular files, the latest first; what begins with a point is left out, and so is what is too much.

    A name that is no text is spelled with backslashes, and `read` takes it so.
    """
    found: list[FileInfo] = []
    n_looked_at = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        n_looked_at += 1 + len(names)
        for name in sorted(names):
            if name.startswith(".") or len(found) == _MAX_FILES:
                continue
            path = Path(where, name)
            try:
                about = path.lstat()
            except OSError:   # gone since
                continue
            if stat.S_ISREG(about.st_mode):
                found.append(_info(str(path.relative_to(folder)), about))
        if len(found) == _MAX_FILES or n_looked_at > _MAX_LOOKED_AT:
            break
    return sorted(found, key=lambda one: -one.modified)


def _info(name: str, about: os.stat_result) -> FileInfo:
    spelled = name.encode(errors="backslashreplace").decode()
    mime = mimetypes.guess_type(spelled)[0] or "application/octet-stream"
    return FileInfo(spelled, about.st_size, about.st_mtime, mime)


def read(folder: Path, name: str) -> bytes:
    """A file's bytes.

    Raises:
        NotFound: There is no such file.
        ChatRefused: It is larger than may be.
    """
    at, last = _found(folder, name)
    try:
        descriptor = os.open(last, os.O_RDONLY | os.O_NONBLOCK | _NO_LINKS, dir_fd=at)
    except OSError:
        raise NotFound(f"there is no file {name[:200]!r}") from None
    finally:
        os.close(at)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):   # exchanged since
            raise NotFound(f"{name[:200]!r} is no file")
        if os.fstat(file.fileno()).st_size > _MAX_BYTES:
            raise ChatRefused(f"{name} is larger than {_MAX_BYTES >> 20} MiB")
        return file.read(_MAX_BYTES)


def write(folder: Path, name: str, data: bytes) -> FileInfo:
    """Put a file into the folder itself; folders in its name are left off.

    Raises:
        ChatRefused: The name is none, or something that is no file has it.
    """
    if len(data) > _MAX_BYTES:
        raise ChatRefused(f"a file may have {_MAX_BYTES >> 20} MiB")
    last = name.replace("\\", "/").rpartition("/")[2].strip().lstrip(".")
    if not last or len(last.encode(errors="replace")) > 200 or not last.isprintable():
        raise ChatRefused(f"{name[:80]!r} is no name for a file")
    try:
        descriptor = os.open(folder / last, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | _NO_LINKS, 0o644)
        with open(descriptor, "wb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ChatRefused(f"{last} is there, and is no file")
            file.write(data)
            file.flush()
            return _info(last, os.fstat(file.fileno()))
    except OSError as error:
        raise ChatRefused(f"cannot write {last}: {error.strerror}") from None


def remove(folder: Path, name: str) -> None:
    """Take a file away.

    Raises:
        NotFound: There is no such file.
        ChatRefused: It cannot be taken away.
    """
    at, last = _found(folder, name)
    try:
        os.unlink(last, dir_fd=at)
    except OSError as error:
        raise ChatRefused(f"cannot remove {name[:200]}: {error.strerror}") from None
    finally:
        os.close(at)


def archived(folder: Path) -> Iterator[bytes]:
    """All files as a zip, piece by piece."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[call-overload]
        for one in listed(folder):
            try:
                data = read(folder, one.name)
            except (NotFound, ChatRefused):
                continue
            made.writestr(one.name, data)
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """A file that can only be written to, and emptied."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise NotFound(f"there is no file {name[:200]!r}")
    return parts


def _found(folder: Path, name: str) -> tuple[int, str]:
    """A descriptor of the folder that a regular file is in, reached without following any link, and its name there.

    Raises:
        NotFound: There is no such file.
    """
    bytes_of = re.sub(r"\\udc([89a-f][0-9a-f])", lambda found: chr(0xDC00 + int(found[1], 16)), name)
    for one in dict.fromkeys((name, bytes_of)):
        *above, last = _parts(one)
        with contextlib.suppress(OSError, ValueError):   # ValueError: a name that the file system cannot have
            at = _opened(folder, above)
            try:
                if stat.S_ISREG(os.stat(last, dir_fd=at, follow_symlinks=False).st_mode):
                    return at, last
            except BaseException:
                os.close(at)
                raise
            os.close(at)
    raise NotFound(f"there is no file {name[:200]!r}")


def _opened(folder: Path, parts: list[str]) -> int:
    """A descriptor of a folder below another, reached without following any link."""
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | _NO_LINKS, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
