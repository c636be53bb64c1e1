"""Runs pip on the host, for the Python of a session: wheels only, with nothing of ours but the index it is to ask.

`Packages` uses it to find out what a request takes, and to fetch it. pip gets an environment made from nothing, an
empty home, no configuration file, and cannot start programs (pip_program.py); what it writes goes to a folder of the
request's own. It never installs: nothing is written to any Python.

Not protected against: an index that the user trusts and should not; faults of pip in reading what an index sends.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from codeact.errors import PackageError
from codeact.interpreter.indexes import Index
from codeact.interpreter.package_job import Job
from codeact.interpreter.pip_words import PipWords

__all__ = ["OPTIONS", "Found", "NoWheel", "Pip", "empty_folder"]

LEAST_PIP = (22, 2)
"""The first that reports what it would install."""
PROBE_SECONDS = 60.0
LOOK_SECONDS = 0.25
"""Between two looks at the space a download takes."""
MAX_REPORT_BYTES = 64 << 20
PROGRAM = Path(__file__).with_name("pip_program.py")

OPTIONS = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
           "PIP_NO_COLOR": "1", "PIP_PROGRESS_BAR": "off", "PIP_NO_PYTHON_VERSION_WARNING": "1",
           "PIP_KEYRING_PROVIDER": "disabled"}
"""The environment of each pip of ours: it reads no configuration file, and asks nobody."""


@dataclass(frozen=True)
class Found:
    """A package that a request takes."""

    name: str
    version: str


class Pip:
    """The pip of one session.

    Args:
        python: The session's.
        url: Of an index to ask instead of those the user configured.
        max_mb: What one run may write.

    Raises:
        PackageError: There is no pip that can be used.
    """

    def __init__(self, python: str, url: str | None, max_mb: int):
        self.python, self._max_mb = python, max_mb
        known = self._probe()
        self.runner, self.site = self._choose(known)
        """Another Python's copy of pip to be used: the program, the folder it lies in; empty for the session's own."""
        self.installed: dict[str, str] = known["installed"]
        self.index = Index(self._configured(), url)

    def _probe(self) -> dict[str, dict[str, str]]:
        environment = {**_plain_environment(), "HOME": os.path.expanduser("~")}
        done = self._ask("", ["probe"], environment)
        try:
            found = json.loads(done.stdout.splitlines()[-1])
            return {"installed": {str(name): str(version) for name, version in found["installed"].items()},
                    "python": {"version": ".".join(map(str, found["python"]))}}
        except (ValueError, KeyError, IndexError):
            raise PackageError(f"{self.python} does not say what is installed: {done.stderr.strip()[-300:]}") from None

    def _choose(self, known: dict[str, dict[str, str]]) -> tuple[str, str]:
        own = known["installed"].get("pip", "")
        if _release(own) >= LEAST_PIP:
            return "", ""
        try:
            ours = metadata.distribution("pip")
            runner = Path(str(ours.locate_file("pip/__pip-runner__.py")))
        except metadata.PackageNotFoundError:
            runner = Path()
        what = f"has pip {own}" if own else "has no pip"
        if not runner.is_file():
            raise PackageError(f"{self.python} {what}; installing packages takes pip {LEAST_PIP[0]}.{LEAST_PIP[1]} or "
                               f"later there (`{self.python} -m ensurepip --upgrade`), or in codeact's own Python")
        least = re.search(r"PYTHON_REQUIRES = \((\d+), (\d+)\)", runner.read_text())
        version = tuple(map(int, known["python"]["version"].split(".")))
        if least is None or version < (int(least[1]), int(least[2])):
            raise PackageError(f"{self.python} {what}, and that of codeact's own Python does not do for "
                               f"Python {known['python']['version']}; `{self.python} -m ensurepip --upgrade` may help")
        return str(runner), str(runner.parent)

    def _configured(self) -> str:
        """What the user configured, as pip itself reads it: in the user's own environment."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = self._ask(self.runner, ["config", "list"], environment)
        return done.stdout if done.returncode == 0 else ""

    def _ask(self, runner: str, arguments: Sequence[str],
             environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.python, str(PROGRAM), runner, "1", *arguments], env=environment, cwd="/", text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS, check=False)

    # What is asked of it ----------------------------------------------------------------------------------------------

    def resolve(self, texts: Sequence[str], pinned: dict[str, str], wheels: Path, work: Path, job: Job) -> list[Found]:
        """What has to be added for requirements to be met, where nothing that is there may change.

        Args:
            pinned: Name -> version of all that is there.
            wheels: A folder with further wheels.
            work: An empty folder for this.

        Raises:
            NoWheel: Something has none.
            PackageError: They cannot be met.
        """
        constraints, report = work / "constraints.txt", work / "report.json"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()
                                       if _is_plain(name, version)))
        self._run(["install", "--dry-run", "--report", str(report), "--constraint", str(constraints),
                   *_common(wheels), "--", *texts], work, job)
        if report.stat().st_size > MAX_REPORT_BYTES:
            raise PackageError("pip's report is too large")
        found = []
        for item in json.loads(report.read_bytes())["install"]:
            name, version = str(item["metadata"]["name"]), str(item["metadata"]["version"])
            if item.get("is_direct") or not _is_plain(name, version):
                raise PackageError(f"{name[:100]} is wanted by its address; packages are taken from the index alone")
            found.append(Found(name, version))
        return found

    def fetch(self, found: Sequence[Found], wheels: Path, work: Path, job: Job) -> list[Path]:
        """Download the wheels of packages.

        Raises:
            PackageError: One does not come.
        """
        into = work / "wheels"
        self._run(["download", "--no-deps", "--dest", str(into), *_common(wheels), "--",
                   *(f"{one.name}=={one.version}" for one in found)], work, job)
        return sorted(into.glob("*.whl"))

    def _run(self, arguments: Sequence[str], work: Path, job: Job) -> None:
        """Run pip to its end.

        Raises:
            NoWheel, PackageError: It fails.
        """
        home = work / "home"
        home.mkdir(exist_ok=True)
        environment = {
            **_plain_environment(), "HOME": str(home), "TMPDIR": str(home),
            "PYTHONUSERBASE": os.path.expanduser("~/.local"),   # sessions see it too
            "PIP_RETRIES": "1", **self.index.environment(), **OPTIONS, "PIP_CACHE_DIR": str(home / "cache")}
        words = PipWords(job.tell, self.index.clear)
        job.check()
        with subprocess.Popen([self.python, str(PROGRAM), self.runner, str(self._max_mb), *arguments], env=environment,
                              cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True) as process:
            try:
                self._see_through(process, words, work, job)
                status = process.wait()
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if status:
            errors = "\n".join(words.errors) or f"pip ended with exit code {status}"
            if words.is_unreachable:
                raise PackageError(f"the package index could not be reached or refused: {errors}")
            raise NoWheel(words.no_match, errors) if words.no_match else PackageError(errors)

    def _see_through(self, process: subprocess.Popen[bytes], words: PipWords, work: Path, job: Job) -> None:
        assert process.stdout is not None
        out, look_at = process.stdout.fileno(), 0.0
        poll = select.poll()
        poll.register(out, select.POLLIN)
        poll.register(job.wake, select.POLLIN)
        while True:
            ready = dict(poll.poll(LOOK_SECONDS * 1000))
            job.check()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                if _size(work) > self._max_mb << 20:
                    raise PackageError(f"it takes more than {self._max_mb} MB, the limit of a session's packages")
            if out in ready:
                data = os.read(out, 65536)
                words.feed(data)
                if not data:
                    return


class NoWheel(PackageError):
    """An index has no wheel that fits."""

    def __init__(self, requirement: str, errors: str):
        super().__init__(errors)
        self.requirement = requirement


def _plain_environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1"}


def _common(wheels: Path) -> list[str]:
    return ["--only-binary", ":all:", *(["--find-links", str(wheels)] if wheels.is_dir() else [])]


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _is_plain(name: str, version: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name, re.A)
                and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*", version, re.A))


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass   # moved away meanwhile
    return total


def empty_folder(path: Path) -> Path:
    """A folder of ours, made anew."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path


