"""Write a trajectory to a file while it happens: each turn is on disk before the next begins.

`Recorder` is an observer. Its file is one that `trajectory.load` reads, whatever happens to the program; a line that a
killed program left unfinished is taken out when the file is next opened for writing. Cells and calls of tools are
written too, before the turn: whoever resumes has to know what was under way, and what must not be done a second time.
"""

import contextlib
import json
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from codeact.errors import ConfigError
from codeact.events import Code, Ended, Event, Started, ToolCalled
from codeact.trajectory import Turn

__all__ = ["Recorder", "is_free"]

_FIRST = b'{"type":"'
"""How a file of trajectories begins, white space aside."""


class Recorder:
    """An observer that adds what it sees to a file.

    Args:
        path: Made if it is not there, with its folders; else added to. Nobody else may read it: it holds what the user
            and the cells wrote.

    Raises:
        ConfigError: It cannot be written, another program is writing it, or it holds something else than trajectories.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot write to {self.path}: {error.strerror}") from None
        self._file: IO[bytes] = open(descriptor, "rb+", buffering=0)
        try:
            _check(self._file, self.path)
            _lock(self._file, self.path)
            _drop_unfinished_line(self._file)
        except BaseException:
            self._file.close()
            raise

    def __call__(self, event: Event) -> None:
        """Write the event, if it is part of a trajectory."""
        if isinstance(event, Started | Code | ToolCalled | Turn | Ended):
            self.write(event.to_json())
            if isinstance(event, Turn):
                os.fsync(self._file.fileno())

    def write(self, line: dict[str, Any]) -> None:
        """Write one line, or nothing.

        Raises:
            ConfigError: It cannot be written, as where the disk is full.
        """
        data = memoryview(json.dumps(line).encode("ascii") + b"\n")
        before = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(before)  # the next line must not begin in the middle of this one
            raise ConfigError(f"cannot write to {self.path}: {error.strerror}") from None

    def close(self) -> None:
        """Let others write the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def is_free(path: Path) -> bool:
    """Whether no program is writing the file."""
    try:
        with open(path, "rb") as file:
            _lock(file, path)
    except FileNotFoundError:
        return True
    except (OSError, ConfigError):
        return False
    return True


def _check(file: IO[bytes], path: Path) -> None:
    """A slip in a file's name must not add lines to a text of the user's, or cut off its last one."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ConfigError(f"cannot write to {path}: a trajectory needs a regular file")
    head = b"".join(file.read(256).split())[: len(_FIRST)]
    if not _FIRST.startswith(head):
        raise ConfigError(f"{path} holds something else than trajectories: name another file")


def _lock(file: IO[bytes], path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError(f"another program is writing {path}: name another file, or end it") from None


def _drop_unfinished_line(file: IO[bytes], step: int = 1 << 16) -> None:
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - step)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        file.truncate(end)
