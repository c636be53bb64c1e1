"""Builds a wheel from a source distribution, inside the walls: such a build runs code of the package.

`Packages` calls it for what an index has no wheel of. The build is a session of its own, at level 3, that can reach the
index and nothing else, and holds nothing of the session that asks or of the user: no passwords of the index either.
What comes out is one file, which the host copies and then checks like any other wheel (wheels.py).

Not protected against: a package that tells others of itself through the index's own hosts.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from codeact.errors import InterpreterError, PackageError
from codeact.interpreter.backend import Backend, Request
from codeact.interpreter.output import Text
from codeact.interpreter.package_job import Job
from codeact.interpreter.pip import OPTIONS, Pip
from codeact.interpreter.requirements import Requirement
from codeact.interpreter.settings import Settings

__all__ = ["build"]

MAX_LINES = 200
MAX_CERTIFICATES_BYTES = 16 << 20
_ERROR = re.compile(r"(?:ERROR: |\s*(?=\w+Error: ))(.+)")
_FOLDER, _CERTIFICATES = "wheels", "certificates.pem"

_CELL = """\
import os, subprocess, sys
environment = {{**os.environ, **{environment!r}}}
if os.path.exists({certificates!r}):
    environment["PIP_CERT"] = os.path.abspath({certificates!r})
command = [sys.executable, *{pip!r}, "wheel", "--no-deps", "--wheel-dir", {folder!r}, "--", {requirement!r}]
sys.exit(subprocess.call(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment))
"""


def build(requirement: Requirement, *, pip: Pip, settings: Settings, level: int, start: Callable[[Request], Backend],
          into: Path, max_mb: int, job: Job) -> Path:
    """A wheel that meets a requirement, copied into `into`; not checked yet.

    Args:
        settings: Of the session that asks.
        level: Of its walls.
        start: Makes the build's session.

    Raises:
        PackageError: It cannot be built here.
        Stopped: The job was stopped.
    """
    hosts = pip.index.hosts()
    if not hosts:
        raise PackageError(f"{requirement.text} has no wheel, and a build needs an index on the network")
    job.tell(f"Building {requirement.text} from source, inside the walls")
    try:
        backend = start(Request(
            limits=settings.limits, read=(pip.site,) if pip.site else (), network=tuple(hosts),
            sandbox=settings.sandbox if level == 3 else "namespaces", python=settings.python, imports=settings.imports))
    except (InterpreterError, ValueError) as error:
        raise PackageError(f"{requirement.text} has no wheel, and cannot be built from source here: {error}") from None
    try:
        job.on_stop = backend.interrupt
        job.check()
        return _built(requirement, backend, pip, into, max_mb, job)
    finally:
        job.on_stop = lambda: None
        backend.close()


def _built(requirement: Requirement, backend: Backend, pip: Pip, into: Path, max_mb: int, job: Job) -> Path:
    _bring_certificates(pip, backend.workspace)
    environment = {"PIP_RETRIES": "1", **pip.index.public_environment(), **OPTIONS, "PIP_NO_CACHE_DIR": "1",
                   "PYTHONUNBUFFERED": "1"}
    code = _CELL.format(environment=environment, certificates=_CERTIFICATES, folder=_FOLDER,
                        requirement=requirement.text, pip=[pip.runner] if pip.runner else ["-m", "pip"])
    teller = _Teller(job, pip.index.clear)
    ran = backend.run(code, 1, seconds=job.seconds_left, on_output=teller)
    if ran.outcome.fault is not None:
        raise ran.outcome.fault
    teller.end()
    job.check()
    if ran.outcome.status not in ("ok", "error"):
        raise PackageError(f"building {requirement.text} was stopped: {ran.outcome.reason}")
    try:
        wheel = _take_out(backend.workspace, into, max_mb)
    except OSError:
        wheel = None
    if wheel is None:
        refused = dict.fromkeys(f"{one.host}:{one.port} was refused ({one.reason})"
                                for one in getattr(backend, "network_log", ()) if not one.allowed)
        hint = "".join("; " + line for line in list(refused)[:3])
        if teller.found_none and not refused:
            raise PackageError(f"the package index has no {requirement.text} for this Python; is the name right?")
        said = f": {teller.error}" if teller.error and not refused else ""
        raise PackageError(f"{requirement.text} has no wheel, and could not be built from source{said}{hint}")
    return wheel


def _bring_certificates(pip: Pip, workspace: Path) -> None:
    """The authorities that the user has pip believe; they are public, and their file may lie anywhere."""
    try:
        data = Path(pip.index.authorities or "").read_bytes()[:MAX_CERTIFICATES_BYTES]
    except OSError:
        return
    path = workspace / _CERTIFICATES
    path.write_bytes(data)
    path.chmod(0o644)


def _take_out(workspace: Path, into: Path, max_mb: int) -> Path | None:
    """Copy the one wheel there is; no link is followed and no more is read than may be."""
    folder = os.open(workspace / _FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for _, entry in zip(range(100), entries, strict=False) if entry.name.endswith(".whl")]
        if len(names) != 1:
            return None
        handle = os.open(names[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with open(handle, "rb") as source:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            target = into / names[0]
            left = max_mb << 20
            with open(target, "xb") as out:
                while data := source.read(1 << 20):
                    left -= len(data)
                    if left < 0:
                        target.unlink()
                        raise PackageError(f"the wheel takes more than {max_mb} MB, the limit of a session's packages")
                    out.write(data)
        return target
    finally:
        os.close(folder)


class _Teller:
    """Passes lines of the build's output on: they are the package's own words, at most a few."""

    def __init__(self, job: Job, clear: Callable[[str], str]):
        self._job, self._clear, self._rest, self._n_lines = job, clear, "", 0
        self.error = ""
        """The last line that tells of one."""
        self.found_none = False
        """Whether pip says that the index has nothing of that name."""

    def __call__(self, event: object) -> None:
        if isinstance(event, Text):
            *lines, rest = (self._rest + event.text).split("\n")
            self._rest = rest[-2000:]
            for line in lines:
                self._tell(line)

    def end(self) -> None:
        self._tell(self._rest)

    def _tell(self, line: str) -> None:
        if found := _ERROR.match(line[:500]):
            self.error = self._clear(found[1]).rstrip()
            self.found_none |= self.error.startswith("No matching distribution found")
        self._n_lines += 1
        if self._n_lines <= MAX_LINES and line.strip():
            self._job.tell("  " + self._clear(line[:500]).rstrip())
