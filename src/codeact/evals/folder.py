"""The folder of one run: what was run, every finished trajectory, and what the infrastructure failed at.

    manifest.json         suite and version, models, formats, settings, limits, versions of packages, when
    trajectories.jsonl    trajectories as `trajectory.load` reads them, each written at once when it is finished
    failures.jsonl        jobs that were given up, not for the model's fault

The runner writes it, `codeact eval report` reads it, `codeact eval resume` goes on with it. A job counts as done when
its last line is in the file; what a killed program left half written is cut off before anything is added. Reading goes
line by line: memory does not grow with the length of trajectories.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from codeact.errors import ConfigError, TrajectoryError
from codeact.evals.episode import Job
from codeact.trajectory import Stop, Trajectory, parse

__all__ = ["Failure", "Record", "RunFolder"]

MANIFEST, TRAJECTORIES, FAILURES = "manifest.json", "trajectories.jsonl", "failures.jsonl"
VERSION = 1


@dataclass(frozen=True)
class Record:
    """One finished job, without its turns."""

    job: Job
    about: Mapping[str, Any]
    """What `episode.play` noted."""
    stop: Stop
    n_turns: int
    start: int
    """Where its lines begin in the file, in bytes."""
    end: int


@dataclass(frozen=True)
class Failure:
    """A job that was given up: the server, the interpreter or the network failed, not the model."""

    job: Job
    error: str
    """`Type: message` of the last try."""
    n_tries: int


class RunFolder:
    """A run's files; `create` or `open` makes one. Writing is for one program at a time, from any of its threads."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._writing = threading.Lock()
        self._file: Any = None

    @classmethod
    def create(cls, path: str | Path, manifest: Mapping[str, Any]) -> Self:
        """Make a folder for a new run and open it for writing.

        Raises:
            ConfigError: There is one already, or it cannot be written.
        """
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / MANIFEST).exists():
                raise ConfigError(f"{path} holds a run already; go on with it: codeact eval resume {path}")
            whole = {"version": VERSION, **manifest}
            _write_whole(path / MANIFEST, json.dumps(whole, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot make the folder of the run, {path}: {error.strerror}") from None
        made = cls(path, whole)
        made.open_for_writing()
        return made

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run for reading.

        Raises:
            ConfigError: It is not the folder of a run.
        """
        path = Path(path)
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path} is not the folder of a run: there is no {MANIFEST} in it") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {path / MANIFEST}: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
            raise ConfigError(f"{path / MANIFEST} was written by another version, or is no manifest of a run")
        return cls(path, manifest)

    def open_for_writing(self) -> None:
        """Let this program add to it; a trajectory that was not finished is cut off.

        Raises:
            ConfigError: Another program writes it.
        """
        try:
            file = open(self.path / TRAJECTORIES, "a+b", buffering=0)
        except OSError as error:
            raise ConfigError(f"cannot write to {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigError(f"another program is running {self.path}: wait for it, or end it") from None
        end = 0
        for record in self.records():
            end = record.end
        os.truncate(self.path / TRAJECTORIES, end)
        self._file = file

    def add(self, trajectory: Trajectory) -> None:
        """Write a finished trajectory, whole or not at all.

        Raises:
            OSError: The disk is full, or gone.
        """
        data = "".join(f"{line}\n" for line in trajectory.lines()).encode("ascii")
        with self._writing:
            before = self._file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(before)
                raise

    def fail(self, failure: Failure) -> None:
        """Note a job that was given up; it is tried again when the run is resumed."""
        line = {**failure.job._asdict(), "error": failure.error, "n_tries": failure.n_tries, "time": round(time.time())}
        with self._writing, open(self.path / FAILURES, "a", encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")

    def records(self) -> Iterator[Record]:
        """The finished jobs in the order they were finished; of two of one job the first. Turns are not read.

        Raises:
            ConfigError: A line is none that a run writes.
        """
        path = self.path / TRAJECTORIES
        seen: set[Job] = set()
        about: Any = None
        start = n_turns = position = 0
        try:
            file = open(path, "rb")
        except FileNotFoundError:
            return
        with file:
            for number, line in enumerate(file, start=1):
                began, position = position, position + len(line)
                if not line.endswith(b"\n"):
                    return
                try:
                    if line.startswith(b'{"type": "turn"'):
                        n_turns += 1
                        continue
                    data = json.loads(line)
                    if data["type"] == "start":
                        about, start, n_turns = data["about"], began, 0
                        continue
                    job = Job(*(about[field] for field in Job._fields))
                    record, about = Record(job, about, Stop(data["stop"]), n_turns, start, position), None
                except (ValueError, KeyError, TypeError) as error:
                    raise ConfigError(f"{path}, line {number}: not of a run ({error!r})") from None
                if job not in seen:
                    seen.add(job)
                    yield record

    def trajectory(self, record: Record) -> Trajectory:
        """The whole of a finished job.

        Raises:
            ConfigError: It cannot be read.
        """
        try:
            with open(self.path / TRAJECTORIES, "rb") as file:
                file.seek(record.start)
                lines = file.read(record.end - record.start).decode("utf-8", "surrogateescape").split("\n")
            return parse(lines)[0]
        except (OSError, TrajectoryError, IndexError) as error:
            raise ConfigError(f"{self.path / TRAJECTORIES}: cannot read {record.job}: {error}") from None

    def failures(self) -> list[Failure]:
        """The jobs that were given up and have not been finished since; of two of one job the last."""
        found: dict[Job, Failure] = {}
        try:
            lines = (self.path / FAILURES).read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                data = json.loads(line)
                job = Job(*(data[field] for field in Job._fields))
                found[job] = Failure(job, data["error"], data["n_tries"])
            except (ValueError, KeyError, TypeError):   # empty, or cut off when the program was killed
                continue
        if found:
            for record in self.records():
                found.pop(record.job, None)
        return list(found.values())

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


def _write_whole(path: Path, text: str) -> None:
    """A file that is there has all of it."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
