"""Write a trajectory to a file while it happens: each turn is on disk before the next begins.

`Recorder` is an observer. Its file is one that `trajectory.load` reads, whatever happens to the program; a line that a
killed program left unfinished is taken out when the file is next opened for writing. Calls of tools are written too:
whoever resumes has to know which cells must not be run a second time.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from codeact.errors import ConfigError
from codeact.events import Ended, Event, Started, ToolCalled
from codeact.trajectory import Turn

__all__ = ["Recorder"]


class Recorder:
    """An observer that adds what it sees to a file.

    Args:
        path: Made if it is not there, with its folders; else added to. Nobody else may read it: it holds what the user
            and the cells wrote.

    Raises:
        ConfigError: It cannot be written, or another program is writing it.
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
            _lock(self._file)
        except OSError:
            self._file.close()
            raise ConfigError(f"another program is writing {self.path}: name another file, or end it") from None
        _drop_unfinished_line(self._file)

    def __call__(self, event: Event) -> None:
        """Write the event, if it is part of a trajectory."""
        if isinstance(event, Started | Turn | ToolCalled | Ended):
            self.write(event.to_json())
            if isinstance(event, Turn):
                os.fsync(self._file.fileno())

    def write(self, line: dict[str, Any]) -> None:
        """Write one line."""
        data = memoryview(json.dumps(line).encode("ascii") + b"\n")
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        """Let others write the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _lock(file: IO[bytes]) -> None:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
